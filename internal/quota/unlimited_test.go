package quota

import (
	"context"
	"testing"
	"time"
)

// TestUnlimitedAccount: an account without a rate, as simulators have, lets
// everything through.
func TestUnlimitedAccount(t *testing.T) {
	l, err := New(Config{Headroom: 0.9, MaxWait: 2 * time.Second}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.SetAccount(Unlimited, Unlimited, 0)
	for range 10_000 {
		if err := l.Take(context.Background(), 50); err != nil {
			t.Fatal(err)
		}
	}
	if s := l.Status(); !s.Known || s.DayMax != Unlimited {
		t.Errorf("%+v", s)
	}
}

// A rate that nobody has said is marked as a guess, and shown as nothing more.
func TestGuessedRate(t *testing.T) {
	t.Parallel()
	l, err := New(Config{Headroom: 0.9}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := l.Status(); !s.Guess || s.Rate != 0.9*sandboxRate {
		t.Errorf("nothing said: %+v", s)
	}
	if err := l.Reconfigure(Config{Rate: 10, Headroom: 0.9}); err != nil {
		t.Fatal(err)
	}
	if s := l.Status(); s.Guess || s.Rate != 9 {
		t.Errorf("configured: %+v", s)
	}
	if err := l.Reconfigure(Config{Headroom: 0.9}); err != nil {
		t.Fatal(err)
	}
	l.SetAccount(1000, 20, 0)
	if s := l.Status(); s.Guess || s.Rate != 18 {
		t.Errorf("said by GetAccount: %+v", s)
	}
}
