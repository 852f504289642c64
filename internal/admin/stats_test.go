package admin

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"sesrelay/internal/relay"
)

var epoch = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// clock is moved by the test.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func near(t *testing.T, what string, got *float64, want float64) {
	t.Helper()
	if got == nil || math.Abs(*got-want) > 0.02*math.Abs(want)+1e-9 {
		t.Errorf("%s: %v, want %v", what, show(got), want)
	}
}

func show(p *float64) any {
	if p == nil {
		return nil
	}
	return *p
}

func TestShares(t *testing.T) {
	t.Parallel()
	c := &clock{epoch}
	s := NewStats(nil, c.Now)
	if sh := s.Shares(); sh.Eligible != nil || sh.Effective != nil {
		t.Fatal("shares without mail")
	}
	for i := range 1000 {
		rec := record(relay.Cuenote, relay.ResultAccepted)
		switch {
		case i < 200:
			rec = record(relay.SES, relay.ResultAccepted)
		case i < 250: // left to SES, and taken by Cuenote
			rec.Eligible, rec.Reason = true, relay.ReasonBreaker
		case i >= 900: // left to SES, and held by the brake
			rec.Held = true
		case i < 350: // counted when it was sent
			rec = record(relay.SES, relay.ResultDuplicate)
		case i < 400:
			rec.Result = relay.ResultDeferred
		}
		s.Observe(rec)
		c.now = c.now.Add(100 * time.Millisecond)
	}
	sh := s.Shares()
	near(t, "eligible", sh.Eligible, 100*350.0/900)
	near(t, "effective", sh.Effective, 100*200.0/850)
	f := s.figures()
	if r := f.reasonCounts(); len(r) != 3 || r[0] != (ReasonCount{relay.Cuenote, relay.ReasonSplit, 650}) || r[2] != (ReasonCount{relay.Cuenote, relay.ReasonBreaker, 50}) {
		t.Errorf("%+v", r)
	}
	c.now = c.now.Add(6 * time.Minute)
	if sh := s.Shares(); sh.Eligible != nil || sh.Effective != nil {
		t.Error("mail of six minutes ago still counts")
	}
}

func TestUpstreamFigures(t *testing.T) {
	t.Parallel()
	c := &clock{epoch}
	s := NewStats(nil, c.Now)
	for i := range 600 { // ten a second for a minute, 1 to 100 ms
		rec := record(relay.SES, relay.ResultAccepted)
		rec.Recipients = append(rec.Recipients, rec.Recipients...)
		rec.Attempts[0].Took = time.Duration(i%100+1) * time.Millisecond
		if i%10 == 0 {
			rec.Attempts[0].Outcome = relay.NotAccepted
			rec.Attempts[0].Err = &relay.Error{Kind: relay.Unavailable}
		}
		if i%10 == 1 { // the client's own: says nothing about SES
			rec.Attempts[0].Outcome = relay.NotAccepted
			rec.Attempts[0].Err = &relay.Error{Kind: relay.ClientFault}
		}
		s.Observe(rec)
		c.now = c.now.Add(100 * time.Millisecond)
	}
	f := s.figures()
	u := f.upstream(Upstream{Name: relay.SES, Open: true, Because: "throttled", InFlight: 3})
	near(t, "rate", &u.Rate, 10)
	near(t, "success", u.Success, 100*480.0/540)
	near(t, "p50", u.P50, 50)
	near(t, "p99", u.P99, 99)
	if u.Messages != 600 || u.Attempts != 540 || u.Breaker != "open" || u.Because != "throttled" || u.InFlight != 3 {
		t.Errorf("%+v", u)
	}
	if used := float64(f.recent[0].recipients) / f.recentTime.Seconds(); math.Abs(used-20) > 0.5 {
		t.Errorf("%v recipients a second", used)
	}
	if v := f.upstream(Upstream{Name: relay.Cuenote}); v.Success != nil || v.P50 != nil || v.Rate != 0 || v.Breaker != "closed" {
		t.Errorf("without mail: %+v", v)
	}
	c.now = c.now.Add(2 * time.Minute)
	f = s.figures()
	if v := f.upstream(Upstream{Name: relay.SES}); v.Rate != 0 || v.Messages != 600 {
		t.Errorf("two minutes later: %+v", v)
	}
}

// Slots are used again; an old one never leaks into a new one.
func TestSlotsOverHours(t *testing.T) {
	t.Parallel()
	c := &clock{epoch}
	s := NewStats(nil, c.Now)
	for i := range 3000 {
		s.Observe(record(relay.SES, relay.ResultAccepted))
		c.now = c.now.Add(7 * time.Second)
		if i%37 != 0 {
			continue
		}
		if f := s.figures(); f.decided > 300/7+2 || i > 100 && f.decided < 280/7 {
			t.Fatalf("%d in five minutes", f.decided)
		}
	}
}

func TestHugeLatencyAndOddRecords(t *testing.T) {
	t.Parallel()
	s := NewStats(nil, nil)
	rec := record(relay.SES, relay.ResultUnknown)
	rec.Attempts[0].Took, rec.Attempts[0].Err = time.Hour, errors.New("plain")
	s.Observe(rec)
	rec = record(relay.SES, relay.ResultAccepted)
	rec.Attempts[0].Took = -time.Second
	s.Observe(rec)
	s.Observe(&relay.Record{Result: relay.ResultDeferred}) // ended before a route
	s.Observe(&relay.Record{Route: "other", Attempts: []relay.Attempt{{Route: "other"}}})
	f := s.figures()
	if f.decided != 2 || f.routes[0].attempts != 2 || f.routes[0].latency.TotalCount() != 2 {
		t.Errorf("%+v", f)
	}
	near(t, "p99", quantile(f.routes[0].latency, 99), 120_000)
}

func TestMeasuredTraffic(t *testing.T) {
	t.Parallel()
	c := &clock{epoch}
	s := NewStats(nil, c.Now)
	for minute := range 26 * 60 {
		n := 2
		if minute == 25*60 {
			n = 50
		}
		for range n {
			rec := record(relay.Cuenote, relay.ResultAccepted)
			rec.Recipients = make([]relay.Address, 3)
			s.Observe(rec)
		}
		if minute == 60 {
			if tr := s.Traffic(); tr.PerDay != 0 || tr.PeakPerMinute != 2 || tr.RecipientsPerMessage != 3 {
				t.Errorf("after an hour: %+v", tr)
			}
		}
		c.now = c.now.Add(time.Minute)
	}
	if tr := s.Traffic(); tr.PeakPerMinute != 50 || tr.PerDay < 2*24*60 || tr.PerDay > 2*24*60+50 {
		t.Errorf("after a day: %+v", tr)
	}
	c.now = c.now.Add(48 * time.Hour)
	if tr := s.Traffic(); tr.PeakPerMinute != 0 || tr.PerDay != 0 || tr.RecipientsPerMessage != 1 {
		t.Errorf("after silence: %+v", tr)
	}
}

// Right after a start the minutes are no whole ones: 50 mails a second are not
// 12 seconds' worth a minute.
func TestMeasuredTrafficOfTheFirstMinutes(t *testing.T) {
	t.Parallel()
	c := &clock{epoch.Add(50 * time.Second)}
	s := NewStats(nil, c.Now)
	for range 12 * 50 {
		s.Observe(record(relay.SES, relay.ResultAccepted))
	}
	if tr := s.Traffic(); tr.PeakPerMinute != 600 {
		t.Errorf("at once: %+v", tr)
	}
	c.now = c.now.Add(12 * time.Second)
	if tr := s.Traffic(); tr.PeakPerMinute < 2999 || tr.PeakPerMinute > 3001 {
		t.Errorf("after 12 s: %+v", tr)
	}
}

func TestEffectiveMetric(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	s := NewStats(reg, nil)
	s.Observe(record(relay.SES, relay.ResultAccepted))
	for range 3 {
		s.Observe(record(relay.Cuenote, relay.ResultAccepted))
	}
	const want = `
# HELP relay_split_effective_percent Share of the accepted mail that SES accepted, over five minutes; NaN without mail.
# TYPE relay_split_effective_percent gauge
relay_split_effective_percent 25
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if !math.IsNaN(NewStats(nil, nil).effective()) {
		t.Error("without mail there is no share")
	}
}

func BenchmarkObserve(b *testing.B) {
	o := Observe(NewTraces(1000), NewStats(nil, nil))
	rec := record(relay.SES, relay.ResultAccepted)
	for b.Loop() {
		o(rec)
	}
}

func BenchmarkFigures(b *testing.B) {
	c := &clock{epoch}
	s := NewStats(nil, c.Now)
	for range slots * 10 {
		s.Observe(record(relay.SES, relay.ResultAccepted))
		s.Observe(record(relay.Cuenote, relay.ResultAccepted))
		c.now = c.now.Add(time.Second)
	}
	for b.Loop() {
		s.figures()
	}
}
