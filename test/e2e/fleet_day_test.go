package e2e

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// TestFleetDay: the day's quota is the fleet's, whoever else sends on the
// account, and whichever instances are killed and started again. One instance
// asks SES for all.
func TestFleetDay(t *testing.T) {
	t.Parallel()
	const day, others = 150, 40
	h := startHops(t)
	h.ses.SetAccount(simulator.Account{MaxSendRate: 1000, Max24HourSend: day})
	o := relayOptions{plain: true, percent: "100", set: settings{"quota.rate": "auto", "quota.daily": "auto", "quota.max_wait": "1s"}}
	h.sendAlone(t, o, others)
	// Counts the calls of GetAccount from here on.
	if err := h.ses.Faults().Set(simulator.Fault{Name: simulator.FaultDelay, At: simulator.AtAccount, Delay: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s := startRedis(t)
	f := joinFleet(t, h, fleetOptions{size: 3, relayOptions: o, redis: at(s)})
	f.dayUsed(t, others)
	mails := numbered("first", 60)
	for i, r := range f.all {
		submit(t, r.smtp, mails[20*i:20*i+20])
	}
	f.dayUsed(t, others+60)
	f.all[0].kill()
	f.all[1].scrape()
	f.all[1].stop(t, 20*time.Second)
	for i := range 2 {
		f.all[i] = f.all[i].again(t)
	}
	f.dayUsed(t, others+60)
	more := numbered("second", 120)
	for i, r := range f.all {
		submit(t, r.smtp, more[40*i:40*i+40])
	}
	mails = append(mails, more...)
	if extra := f.complete(t, mails); extra > 0 {
		t.Errorf("%d duplicates", extra)
	}
	n := h.ses.SentLast24Hours()
	t.Logf("SES got %d recipients of a day of %d; GetAccount was called %d times in %v", n, day, h.ses.Faults().Struck()[simulator.FaultDelay], time.Since(began).Round(time.Second))
	if n > day || n < day-30 { // what a killed instance had borrowed counts as sent
		t.Errorf("SES got %d recipients in a day of %d", n, day)
	}
	for i, r := range f.all {
		if n := r.metric(t, `relay_ses_errors_total{class="daily_quota"}`); n != 0 {
			t.Errorf("instance %d was refused by SES %g times: the day is spent", i+1, n)
		}
	}
	if n, most := h.ses.Faults().Struck()[simulator.FaultDelay], 1+int64(time.Since(began)/(30*time.Second)); n < 1 || n > most {
		t.Errorf("GetAccount was called %d times in %v", n, time.Since(began))
	}
}

// sendAlone has a relay that is in no fleet use a part of the day.
func (h *hops) sendAlone(t *testing.T, o relayOptions, n int) {
	t.Helper()
	o.ses, o.cuenote = h.ses.URL(), h.cuenote.Addr()
	alone := startRelay(t, o)
	submit(t, alone.smtp, numbered("alone", n))
	alone.scrape()
	alone.stop(t, 20*time.Second)
	if got := h.ses.SentLast24Hours(); got != int64(n) {
		t.Fatalf("SES has got %d of %d recipients", got, n)
	}
}

// dayUsed waits until every instance knows what the fleet has sent. Tokens that
// were lent and not used yet count until they are dead.
func (f *fleet) dayUsed(t *testing.T, n float64) {
	t.Helper()
	f.wait(t, "the day to be "+strconv.Itoa(int(n)), func(r *relayProcess) error {
		used := r.metric(t, "relay_ses_quota_day_used")
		if used < n-0.5 || used > n+0.5 {
			return fmt.Errorf("it counts %g", used)
		}
		return nil
	})
}
