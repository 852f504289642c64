package quota

import (
	"math/rand/v2"
	"testing"
	"time"
)

var epoch = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// The window against the plain list of what was added: never less than the
// exact count of the last 24 hours, never more than that of a minute longer.
func TestWindowAgainstList(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	type sent struct {
		at time.Time
		n  int64
	}
	w := newWindow(epoch)
	var list []sent
	for now := epoch; now.Before(epoch.Add(80 * time.Hour)); now = now.Add(time.Duration(rng.Int64N(int64(7 * time.Minute)))) {
		n := rng.Int64N(50)
		w.add(now, n)
		list = append(list, sent{now, n})
		var least, most float64
		for _, s := range list {
			if age := now.Sub(s.at); age < day {
				least += float64(s.n)
			}
			if age := now.Sub(s.at); age < day+time.Minute {
				most += float64(s.n)
			}
		}
		if got := w.used(now); got < least || got > most {
			t.Fatalf("%s: %v, exact %v to %v", now, got, least, most)
		}
	}
}

func TestWindowEmptiesAfterALongPause(t *testing.T) {
	t.Parallel()
	w := newWindow(epoch)
	w.add(epoch, 10)
	if got := w.used(epoch.Add(24 * time.Hour)); got != 10 {
		t.Errorf("after exactly 24 hours: %v", got)
	}
	if got := w.used(epoch.Add(24*time.Hour + time.Minute)); got != 0 {
		t.Errorf("a minute later: %v", got)
	}
	w.add(epoch.Add(900*time.Hour), 7)
	if got := w.used(epoch.Add(900 * time.Hour)); got != 7 {
		t.Errorf("after weeks: %v", got)
	}
}

func TestWindowTakesBack(t *testing.T) {
	t.Parallel()
	w := newWindow(epoch)
	w.add(epoch, 10)
	w.add(epoch.Add(time.Minute), 2)
	w.add(epoch.Add(time.Minute), -5)
	if got := w.used(epoch.Add(time.Minute)); got != 7 {
		t.Fatalf("%v", got)
	}
	w.add(epoch.Add(time.Minute), -100)
	if got := w.used(epoch.Add(time.Minute)); got != 0 {
		t.Fatalf("%v", got)
	}
}

func TestWindowClockSetBack(t *testing.T) {
	t.Parallel()
	w := newWindow(epoch)
	w.add(epoch, 10)
	w.add(epoch.Add(-5*time.Hour), 3)
	if got := w.used(epoch.Add(-5 * time.Hour)); got != 13 {
		t.Fatalf("%v", got)
	}
	if got := w.used(epoch.Add(23 * time.Hour)); got != 13 {
		t.Fatalf("%v", got)
	}
}

func TestReconcile(t *testing.T) {
	t.Parallel()
	w := newWindow(epoch)
	w.add(epoch, 900)
	w.reconcile(epoch, 1000)
	for after, want := range map[time.Duration]float64{0: 1000, 6 * time.Hour: 975, 12 * time.Hour: 950} {
		v := w
		if got := v.used(epoch.Add(after)); got != want {
			t.Errorf("after %s: %v, want %v", after, got, want)
		}
	}
	w.reconcile(epoch, 400) // SES lags: our own count wins
	if got := w.used(epoch); got != 900 {
		t.Errorf("%v", got)
	}
}

func TestPace(t *testing.T) {
	t.Parallel()
	var p pace
	if p.part(epoch) != 1 {
		t.Fatal("the zero pace is not the full rate")
	}
	if !p.cut(epoch) || p.cut(epoch.Add(paceHold-1)) {
		t.Fatal("answers within a second are not one cut")
	}
	near(t, p.part(epoch), 0.7)
	near(t, p.part(epoch.Add(5*time.Second)), 0.8)
	near(t, p.part(epoch.Add(15*time.Second)), 1)
	near(t, p.part(epoch.Add(time.Hour)), 1)
	now := epoch
	for range 100 {
		now = now.Add(paceHold)
		p.cut(now)
	}
	near(t, p.part(now), paceFloor)
	near(t, p.part(now.Add(time.Minute)), 1)
}

func near(t *testing.T, got, want float64) {
	t.Helper()
	if d := got - want; d > 1e-9 || d < -1e-9 {
		t.Errorf("%v, want %v", got, want)
	}
}
