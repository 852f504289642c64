package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// clockJumps are what a clock that is set wrong, or right again, does. SES
// refuses what is signed more than 15 minutes off.
var clockJumps = []time.Duration{30 * time.Second, -30 * time.Second, 2 * time.Hour, -2 * time.Hour, 24*time.Hour + 5*time.Minute, -24 * time.Hour}

// TestClockJumps has three instances under traffic, and sets the clock of the
// first wrong and right again. No mail is lost, doubled or refused for good, SES
// never gets more than its rate, what was accepted stays known, and split and
// brake obey, whoever is asked.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	const rate = 60.0
	s := startRedis(t)
	f := startFleet(t, fleetOptions{size: 3, clocks: true, redis: at(s), relayOptions: relayOptions{percent: "50", set: settings{
		"quota.rate": fmt.Sprint(rate), "quota.max_wait": "1s", "breaker.min_requests": "20", "breaker.open_for": "2s",
		"rollout.guard.min_messages": "1000000"}}}) // a clock that makes SES refuse a good part of the mail is a reason to put the split back
	f.mayAbort = true // what Cuenote has begun to take of mail that the ledger knows
	slow := watchStalls(t)
	// At 100 % more than the rate: the quota has something to hold.
	w := f.flow(t, "j", 0.5*rate, 0.5*rate, 0.5*rate)
	odd, held := f.all[0], 1500*time.Millisecond
	if long() {
		held = 20 * time.Second
	}
	for _, jump := range clockJumps {
		name := strings.NewReplacer("+", "", "-", "minus").Replace(jump.String())
		before, elsewhere := plainMail("mine"+name), plainMail("theirs"+name)
		mine, theirs := deliver(t, odd.smtp, before), deliver(t, f.all[1].smtp, elsewhere)
		odd.options.clock.set(t, jump)
		f.everywhere(t, 0, "split", "set", "100", "--reason", "by the one with the wrong clock", "--force")
		time.Sleep(held)
		f.everywhere(t, 1, "split", "set", "40", "--reason", "by another", "--force")
		f.everywhere(t, 0, "brake", "--reason", "by the one with the wrong clock")
		f.apply(t, 0)
		f.everywhere(t, 1, "brake", "release", "--reason", "by another")
		f.everywhere(t, 1, "brake", "--reason", "by another")
		f.apply(t, 0)
		f.everywhere(t, 0, "brake", "release", "--reason", "by the one with the wrong clock")
		f.apply(t, 40)
		f.everywhere(t, 0, "split", "set", "100", "--reason", "by the one with the wrong clock", "--force")
		for i, r := range f.all {
			alone := r.metric(t, ledgerAlone)
			for _, m := range []*corpusMail{before, elsewhere} {
				first := map[*corpusMail]string{before: mine, elsewhere: theirs}[m]
				// What Redis does not answer in time, on a machine with too much to do, is not known.
				if again := deliver(t, r.smtp, m); again != first && r.metric(t, ledgerAlone) == alone {
					t.Errorf("%v: instance %d says %q to a mail that had %q", jump, i+1, again, first)
				}
			}
		}
		if jump.Abs() < 15*time.Minute {
			odd.grows(t, jump, sesAccepted)
		} else {
			odd.grows(t, jump, `relay_messages_total{outcome="accepted",upstream="cuenote"}`)
		}
		odd.options.clock.set(t, 0)
		odd.grows(t, 0, sesAccepted)
		f.wait(t, "Redis", func(r *relayProcess) error {
			if !r.up(t) {
				return fmt.Errorf("%v: it says that Redis is away", jump)
			}
			return nil
		})
	}
	if odd.metric(t, `relay_ses_errors_total{class="credentials"}`) < 1 {
		t.Error("SES has refused nothing for its date: the test shows little")
	}
	for _, r := range f.all {
		w.mayDouble += int(r.metric(t, ledgerAlone))
	}
	w.over(t, f.hops)
	if w.ways["451"] > len(w.accepted)/10 {
		t.Errorf("%v: more than a busy machine defers", w.ways)
	}
	judgeRate(t, w, f.store.Of(simulator.UpstreamSES), rate, slow)
}

const ledgerAlone = "relay_ledger_alone_total"

const sesAccepted = `relay_messages_total{outcome="accepted",upstream="ses"}`

// grows waits until a counter has grown.
func (r *relayProcess) grows(t *testing.T, jump time.Duration, series string) {
	t.Helper()
	before := r.metric(t, series)
	eventually(t, 30*time.Second, fmt.Sprintf("with the clock %v ahead %s to grow", jump, series), func() error {
		if now := r.metric(t, series); now <= before {
			return fmt.Errorf("it is %v; %s", now, tail(r.out.String(), 3))
		}
		return nil
	})
}

// TestClockJumpWithoutRedis sets the clock back while an instance does not ask
// Redis, for it did not answer: the instance asks again as soon as without that.
func TestClockJumpWithoutRedis(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	f := startFleet(t, fleetOptions{size: 2, clocks: true, redis: at(s), relayOptions: relayOptions{percent: "50"}})
	f.mayAbort = true // what Cuenote has begun to take of mail that the ledger knows
	r := f.all[0]
	s.Freeze()
	like(t, "without Redis", deliver(t, r.smtp, plainMail("frozen")), "250 ")
	if r.metric(t, ledgerAlone) == 0 {
		t.Error("Redis answered: the test shows nothing")
	}
	r.options.clock.set(t, -2*time.Hour)
	s.Thaw()
	eventually(t, 20*time.Second, "the ledger to be shared again", func() error {
		before := r.metric(t, ledgerAlone)
		m := plainMail(fmt.Sprint("thawed", time.Now().UnixNano()))
		first := deliver(t, r.smtp, m)
		if alone := r.metric(t, ledgerAlone) - before; alone > 0 {
			return fmt.Errorf("%v claims without Redis", alone)
		}
		like(t, "a retry elsewhere", deliver(t, f.all[1].smtp, m), regexp.QuoteMeta(first))
		return nil
	})
}

// TestClockJumpAlone sets the clock of a single instance, which counts the day's
// quota and the peak of the traffic itself.
func TestClockJumpAlone(t *testing.T) {
	t.Parallel()
	s := newStage(t, relayOptions{percent: "100", clock: newClock(t), set: settings{"quota.daily": "30"}})
	for i := range 20 {
		like(t, "before", deliver(t, s.relay.smtp, plainMail(fmt.Sprint("before", i))), bySES)
	}
	for _, jump := range clockJumps {
		s.relay.options.clock.set(t, jump)
		if used := s.relay.metric(t, "relay_ses_quota_day_used"); used != 20 {
			t.Errorf("%v: %v recipients of the day used, want 20", jump, used)
		}
		var status struct{ Upstreams []struct{ Messages int } }
		s.relay.get(t, "/v1/status", &status)
		if n := status.Upstreams[0].Messages; n != 20 {
			t.Errorf("%v: %d messages in five minutes, want 20", jump, n)
		}
	}
	s.relay.options.clock.set(t, 30*time.Second)
	for i := range 10 {
		like(t, "the rest of the day", deliver(t, s.relay.smtp, plainMail(fmt.Sprint("rest", i))), bySES)
	}
	like(t, "beyond the day", deliver(t, s.relay.smtp, plainMail("beyond")), byCuenote)
}

// TestDrainAcrossClockJump sets the clock while a relay drains: a client in DATA
// has the time that drain.deadline gives it, no more and no less.
func TestDrainAcrossClockJump(t *testing.T) {
	t.Parallel()
	for _, jump := range []time.Duration{2 * time.Hour, -2 * time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			t.Parallel()
			s := newStage(t, relayOptions{clock: newClock(t), set: settings{"drain.deadline": "5s"}})
			s.mayAbort = true
			finishes, never := dial(t, s.relay.smtp), dial(t, s.relay.smtp)
			m := plainMail("finishes")
			for i, c := range []*client{finishes, never} {
				c.want("250", c.do("MAIL FROM:<news@goo.ne.jp>"))
				c.want("250", c.do("RCPT TO:<finishes%d@example.jp>", i))
				c.want("354", c.do("DATA"))
			}
			began := time.Now()
			s.relay.signal(syscall.SIGTERM)
			eventually(t, 4*time.Second, "the drain to begin", func() error {
				if code := s.relay.readyz(); code == 200 {
					return fmt.Errorf("readyz %d", code)
				}
				return nil
			})
			s.relay.options.clock.set(t, jump)
			time.Sleep(500 * time.Millisecond)
			finishes.write(string(m.content) + ".\r\n")
			like(t, "a client in DATA", finishes.read(), "250 ")
			select {
			case <-s.relay.done:
			case <-time.After(20 * time.Second):
				t.Fatal("the relay does not end at its deadline")
			}
			if took := time.Since(began); took < 4900*time.Millisecond {
				t.Errorf("the drain gave up after %v, before drain.deadline", took)
			}
			if r := never.read(); strings.HasPrefix(r, "2") {
				t.Errorf("the client that does not finish got %q", r)
			}
			if n := s.store.Copies("finishes"); n != 1 {
				t.Errorf("the mail arrived %d times", n)
			}
		})
	}
}
