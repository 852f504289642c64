package split

import (
	"context"
	"path/filepath"
	"testing"
)

// A brake to a share above 0 lowers, never raises, and leaves a lower one alone.
func TestBrakeTo(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	store, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLive(context.Background(), store, LiveConfig{Initial: 5000})
	if err != nil {
		t.Fatal(err)
	}
	want := func(what string, applied, ceiling Percent, by string) {
		t.Helper()
		s := l.Current()
		if s.Applied() != applied || s.Ceiling != ceiling || s.Brake == nil || s.Brake.By != by || s.Brake.Ceiling != ceiling {
			t.Fatalf("%s: applied %s, ceiling %s, brake %+v", what, s.Applied(), s.Ceiling, s.Brake)
		}
	}
	for _, full := range []Percent{Full, -1, 10001} {
		if s, err := l.BrakeTo(full, "guard", "nothing"); err != nil || s.Brake != nil {
			t.Fatalf("%s: %+v, %v", full, s.Brake, err)
		}
	}
	l.BrakeTo(1000, "guard", "bounces")
	want("lowered", 1000, 1000, "guard")
	l.BrakeTo(2000, "other", "late")
	want("a milder one", 1000, 1000, "guard")
	l.TakeBrake(Pull{Brake: Brake{By: "peer", Reason: "r", Ceiling: 3000}})
	want("a milder one of a peer", 1000, 1000, "guard")
	l.TakeBrake(Pull{Brake: Brake{By: "peer", Reason: "r", Ceiling: 500}})
	want("a stricter one of a peer", 500, 500, "peer")
	l.Brake("ops", "all off")
	want("the whole brake", 0, 0, "ops")
	l.BrakeTo(1000, "guard", "bounces")
	want("a milder one after it", 0, 0, "ops")

	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if store, err = OpenFile(path); err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if l, err = NewLive(context.Background(), store, LiveConfig{}); err != nil {
		t.Fatal(err)
	}
	want("after a restart", 0, 0, "ops")
	if s, err := l.Release(context.Background(), l.Current().Version, "over", "ops"); err != nil || s.Applied() != 5000 {
		t.Errorf("%+v, %v", s, err)
	}
}

// A guard that rolls back while a stricter brake of somebody else is on: its own
// brake counts when that one is released.
func TestBrakeBesideAnother(t *testing.T) {
	t.Parallel()
	l := testLive(t, 5000)
	stop := Pull{Origin: "other", Number: 1, Brake: Brake{By: "ops", Reason: "stop"}}
	l.TakeBrake(stop)
	seen := l.Current().State
	l.BrakeTo(1000, "guard", "bounces")
	wantState(t, l, 0, 5000, 0)
	seen.Version++
	seen.release(1) // by somebody who saw the first alone
	l.adopt(seen)
	wantState(t, l, 1, 5000, 1000)
}
