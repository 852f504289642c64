package e2e

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// peak is a rate of mail in all, a real Postfix's part of it, and for how long.
type peak struct {
	strict, postfix int // mails a second
	during          time.Duration
}

// TestRollingRestartAtPeak restarts one of three instances after the other by
// SIGTERM while mail flows. A real Postfix has more than a server's share of the
// peak (139/s) in the long form; strict clients, which cost the machine a tenth
// as much, have the rest of 1,000/s. Nothing is lost, doubled or refused, and
// Postfix logs no failed delivery: reconnects only. The rate is reported.
func TestRollingRestartAtPeak(t *testing.T) {
	t.Parallel()
	p := peak{strict: 100, postfix: 30, during: 5 * time.Second}
	if long() {
		p = peak{strict: 860, postfix: 150, during: time.Minute}
	}
	f := &fleetStage{redis: startRedis(t)}
	f.fleet = startFleet(t, fleetOptions{size: 3, relayOptions: relayOptions{plain: true, percent: "50"}, redis: at(f.redis), apart: true})
	f.mayAbort = true
	f.rollAt(t, p)
}

func (f *fleetStage) rollAt(t *testing.T, load peak) {
	var addrs, hosts []string
	for _, r := range f.all {
		addrs, hosts = append(addrs, r.smtp), append(hosts, bracketed(r.smtp))
	}
	p := startPostfix(t, strings.Join(hosts, ", "), "default_destination_concurrency_limit = 200",
		"smtp_connection_cache_destinations = 127.0.0.2, 127.0.0.3, 127.0.0.4", "smtp_connection_reuse_time_limit = 60s")
	feed, stop := context.WithTimeout(t.Context(), load.during)
	defer stop()
	a := newAuditor("roll")
	done := a.loadAt(feed, 60, slots(feed, load.strict), time.Minute, func() []string { return addrs })
	mails := numbered("rollp", load.postfix*int(load.during.Seconds()))
	var posting sync.WaitGroup
	posting.Go(func() { f.post(feed, t, p, mails, load.postfix) })
	began := time.Now()
	f.roll(feed, t)
	during := time.Since(began)
	arrived := f.store.Count()
	posting.Wait()
	done.Wait()
	left := f.settle(t, p, mails, false)
	f.judgeRoll(t, a, p, mails, left)
	t.Logf("%d restarts in %v: %d mails arrived meanwhile, %.0f a second; half a second with the fewest had %d", f.turns, during.Round(time.Second),
		arrived, float64(arrived)/during.Seconds(), f.fewest(began, during))
}

// slots is a pace for all clients together: n attempts a second until feed ends,
// afterwards none waits.
func slots(feed context.Context, n int) func(context.Context) {
	due := make(chan struct{}, n)
	go func() {
		const tick = 10 * time.Millisecond
		began := time.Now()
		for given := 0; feed.Err() == nil; wait(feed, tick) {
			for ; given < int(time.Since(began).Seconds()*float64(n)); given++ {
				select {
				case due <- struct{}{}:
				default: // nobody is free: the rate reached is what is reported
				}
			}
		}
	}()
	return func(ctx context.Context) {
		select {
		case <-due:
		case <-feed.Done():
			wait(ctx, 5*time.Millisecond)
		}
	}
}

// post hands mails to Postfix, a number a second, by connections of eight clients.
func (f *fleetStage) post(ctx context.Context, t *testing.T, p *postfix, mails []corpusMail, rate int) {
	began := time.Now()
	for i := 0; i < len(mails); {
		due := min(len(mails), int(time.Since(began).Seconds()*float64(rate))+1)
		if ctx.Err() != nil {
			due = len(mails)
		}
		submit(t, p.addr, mails[i:due])
		i = due
		wait(ctx, 50*time.Millisecond)
	}
}

// roll restarts one instance after the other until ctx ends.
func (f *fleetStage) roll(ctx context.Context, t *testing.T) {
	for ctx.Err() == nil || f.turns < 2 { // the first may take all of a short form's time
		i := f.turns % len(f.all)
		f.turns++
		f.all[i].scrape()
		f.all[i].signal(syscall.SIGTERM)
		select {
		case <-f.all[i].done:
		case <-time.After(30 * time.Second):
			t.Error("a drain does not end")
			return
		}
		if f.all[i].err != nil {
			t.Errorf("a drained instance ended with %v", f.all[i].err)
		}
		f.all[i] = f.all[i].again(t)
		wait(ctx, 500*time.Millisecond)
	}
}

// reconnects are what a rolling restart may leave in Postfix's log beside
// deliveries: each is followed by the next address.
var reconnects = regexp.MustCompile(`Connection refused|refused to talk to me: 421 4\.3\.2 |said: 421 4\.3\.2 |lost connection with .* while |Connection reset by peer`)

// judgeRoll compares what was submitted with what arrived, and reads Postfix's log.
func (f *fleetStage) judgeRoll(t *testing.T, a *auditor, p *postfix, mails []corpusMail, left int) {
	t.Helper()
	extra, refused := a.judge(t, f.hops)
	doubled := f.complete(t, mails)
	if waiting := a.waiting(); extra+refused+doubled+left+waiting > 0 {
		t.Errorf("%d and %d duplicates, %d refused, %d queued, %d still with their clients", extra, doubled, refused, left, waiting)
	}
	status, log := p.statuses(t), p.logged(t)
	again := map[string]int{}
	for line := range strings.Lines(log) {
		switch what := reconnects.FindString(line); {
		case what != "":
			again[what]++
		case strings.Contains(line, "/smtpd["): // its own clients: the one that looked whether it listens
		case strings.Contains(line, "file system clock") || strings.Contains(line, "resetting file time stamps"): // of this machine
		case troubleWords.MatchString(line):
			t.Errorf("Postfix logs %s", line)
		}
	}
	t.Logf("Postfix: %d mails, %v; reconnects: %s", len(mails), status, counted(again))
	if status["deferred"]+status["bounced"] > 0 {
		t.Errorf("%d deferred, %d bounced:\n%s", status["deferred"], status["bounced"], troubles(log))
	}
	if f.turns < 2 {
		t.Errorf("%d restarts only", f.turns)
	}
}

// fewest is how many mails arrived in the worst half second.
func (f *fleetStage) fewest(began time.Time, during time.Duration) int {
	const bin = 500 * time.Millisecond
	bins := make([]int, during/bin)
	for _, route := range []string{"ses", "cuenote"} {
		for _, r := range f.store.Of(route) {
			if i := int(r.Time.Sub(began) / bin); i >= 0 && i < len(bins) {
				bins[i]++
			}
		}
	}
	return slices.Min(bins)
}
