package rollout

import (
	"strings"
	"testing"
	"time"

	"sesrelay/internal/split"
)

// newFleet is a fleet of three with a share in force by hand, for longer than
// the guard's ring is.
func newFleet(t *testing.T, share split.Percent) *world {
	t.Helper()
	w, err := newWorld(1, standard())
	if err != nil {
		t.Fatal(err)
	}
	w.seconds(2)
	if _, err := w.live.Set(t.Context(), 0, share, "by hand", "ops"); err != nil {
		t.Fatal(err)
	}
	w.seconds(11 * 60)
	w.inForce(t, "before", share)
	return w
}

// seconds are looks a second apart.
func (w *world) seconds(n int) {
	for range n {
		w.step(time.Second)
	}
}

// unread are looks between two readings of what SES reports.
func (w *world) unread(n int) {
	for range n {
		for _, s := range w.relays {
			s.read = w.now.Add(time.Second)
		}
		w.step(time.Second)
	}
}

func (w *world) inForce(t *testing.T, when string, want split.Percent) {
	t.Helper()
	if got := w.live.Current().Applied(); got != want {
		t.Fatalf("%s: %s %% in force, want %s: %+v", when, got, want, w.redis.state().LastTrip)
	}
}

// handOver lets another one take the lease.
func (w *world) handOver() (to *simRelay) {
	for _, s := range w.relays {
		if !s.c.leads {
			to = s
		}
	}
	w.redis.holder, w.redis.until = to.name, w.now.Add(simLife)
	return to
}

// silence is what a relay says of SES's silence.
func (s *simRelay) silence() (c Criterion) {
	for _, c = range s.c.guard.Criteria {
		if c.Name == NoData {
			return c
		}
	}
	return c
}

// TestTakeoverIsNoSilence: the instance that takes over has read nothing of what
// SES reports, and has counted all of the last minutes' mail.
func TestTakeoverIsNoSilence(t *testing.T) {
	t.Parallel()
	w := newFleet(t, 5000)
	next := w.handOver()
	w.unread(9)
	w.inForce(t, "another leads and has read nothing", 5000)
	if !next.c.leads || next.silence().Text != unread || next.silence().Verdict != Hold {
		t.Errorf("leads %t: %+v", next.c.leads, next.silence())
	}
	w.seconds(15 * 60)
	w.inForce(t, "later", 5000)
	if got := next.silence(); got.Verdict != Pass {
		t.Errorf("%+v", got)
	}
}

// TestNobodyLedIsNoSilence: while Redis is away nobody reads what SES reports.
func TestNobodyLedIsNoSilence(t *testing.T) {
	t.Parallel()
	for _, away := range []int{5, 9 * 60, 10 * 60, 60 * 60} {
		w := newFleet(t, 5000)
		w.redis.away = true
		w.seconds(away)
		w.redis.away = false
		w.unread(9)
		w.seconds(60)
		w.inForce(t, time.Duration(away*int(time.Second)).String(), 5000)
	}
}

// TestSilenceAcrossATakeover: SES's silence is found by whoever leads, as soon as
// it has read; and when it cannot read, after the time for silence.
func TestSilenceAcrossATakeover(t *testing.T) {
	t.Parallel()
	for name, handOver := range map[string]int{"before its time is over": 9 * 60, "just before": 10*60 + 20} {
		w := newFleet(t, 5000)
		w.fault.silent = true
		w.seconds(handOver)
		w.inForce(t, name, 5000)
		w.handOver()
		w.seconds(13*60 - handOver)
		w.inForce(t, name+", with the reading", 0)
		if trip := w.redis.state().LastTrip; trip == nil || trip.Reasons[0] != NoData || !strings.Contains(trip.Text, "the limit is 10m0s") {
			t.Errorf("%s: %+v", name, trip)
		}
	}

	w := newFleet(t, 5000)
	w.handOver()
	w.unread(9*60 + 55)
	w.inForce(t, "nothing can be read", 5000)
	w.unread(15)
	w.inForce(t, "nothing can be read for ten minutes", 0)
}

// TestWhoDoesNotLeadHasNotRead: no instance says that SES has reported on
// everything, or that a gate passes, of reports that another one reads.
func TestWhoDoesNotLeadHasNotRead(t *testing.T) {
	t.Parallel()
	w, err := newWorld(1, standard())
	if err != nil {
		t.Fatal(err)
	}
	w.seconds(2)
	if err := w.leader().c.Do(t.Context(), ActionStart, Order{Who: "ops"}); err != nil {
		t.Fatal(err)
	}
	w.seconds(50 * 60)
	w.fault.silent = true
	w.seconds(9 * 60)
	var other *simRelay
	for _, s := range w.relays {
		if s.c.leads {
			continue
		}
		other = s
		v := s.c.View(t.Context())
		if got := s.silence(); got.Verdict != Hold || got.Text != elsewhere || got.Value != nil || got.Sample != 0 {
			t.Errorf("%s: %+v", s.name, got)
		}
		if v.Gate.Verdict != Hold || v.Guard.Verdict != Hold || !strings.Contains(strings.Join(v.Gate.Reasons, "\n"), elsewhere) {
			t.Errorf("%s: gate %s %q, guard %s", s.name, v.Gate.Verdict, v.Gate.Reasons, v.Guard.Verdict)
		}
	}
	if err := other.c.Do(t.Context(), ActionPromote, Order{Who: "ops"}); err != nil {
		t.Fatal(err)
	}
	all := w.redis.state().Decisions
	for _, c := range all[len(all)-1].Criteria {
		if (c.Name == Success || c.Name == Bounce) && (c.Verdict != Hold || !strings.HasSuffix(c.Text, "; "+elsewhere)) {
			t.Errorf("the record of a promotion where nothing was read: %+v", c)
		}
	}
}
