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
