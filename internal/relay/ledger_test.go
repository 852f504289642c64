package relay

import (
	"context"
	"crypto/sha256"
	"testing"
	"testing/synctest"
	"time"
)

func key(n byte) Fingerprint { return Fingerprint{n} }

func claimed(t *testing.T, l Ledger, fp Fingerprint, owner string) Claim {
	t.Helper()
	c, err := l.Claim(context.Background(), fp, owner)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLedgerStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewMemoryLedger(6*time.Hour, 100, time.Now)
		if c := claimed(t, l, key(1), "a"); c.State != Claimed {
			t.Fatalf("first claim: %+v", c)
		}
		start := time.Now()
		if c := claimed(t, l, key(1), "b"); c.State != Busy || time.Since(start) != claimWait {
			t.Fatalf("while it runs: %+v after %v", c, time.Since(start))
		}
		l.Release(key(1), "a")
		if c := claimed(t, l, key(1), "b"); c.State != Claimed {
			t.Fatalf("after a release: %+v", c)
		}
		l.Accept(key(1), "b", Receipt{ID: "x"})
		if c := claimed(t, l, key(1), "c"); c.State != Duplicate || c.Receipt.ID != "x" {
			t.Fatalf("after acceptance: %+v", c)
		}
		time.Sleep(6*time.Hour + time.Second)
		if c := claimed(t, l, key(1), "c"); c.State != Claimed {
			t.Fatalf("after the time to live: %+v", c)
		}
	})
}

// TestLedgerOwnerDies: a claim that nobody settles ends by itself, and a late
// settlement by the old owner does not end the new one's.
func TestLedgerOwnerDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewMemoryLedger(time.Hour, 100, time.Now)
		claimed(t, l, key(1), "dead")
		time.Sleep(claimLife)
		if c := claimed(t, l, key(1), "b"); c.State != Claimed {
			t.Fatalf("%+v", c)
		}
		l.Release(key(1), "dead")
		if c := claimed(t, l, key(1), "c"); c.State != Busy {
			t.Fatalf("the new owner's claim is gone: %+v", c)
		}
	})
}

// TestLedgerTakeover: who waits for an attempt that died hears of the one that
// took its place.
func TestLedgerTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewMemoryLedger(time.Hour, 100, time.Now)
		claimed(t, l, key(1), "dead")
		time.Sleep(claimLife - time.Second)
		got := make(chan Claim)
		go func() { got <- claimed(t, l, key(1), "waiting") }()
		time.Sleep(2 * time.Second)
		claimed(t, l, key(1), "next")
		l.Accept(key(1), "next", Receipt{ID: "x"})
		if c := <-got; c.State != Duplicate || c.Receipt.ID != "x" {
			t.Errorf("%+v", c)
		}
	})
}

// TestLedgerIsBounded reaches the limit: the oldest receipts go first.
func TestLedgerIsBounded(t *testing.T) {
	l := NewMemoryLedger(time.Hour, 10, time.Now)
	for i := range byte(30) {
		claimed(t, l, key(i), "a")
		l.Accept(key(i), "a", Receipt{})
		l.Accept(key(i), "a", Receipt{}) // twice is no leak
	}
	if n := len(l.accepted.index); n > 10 || len(l.flights) != 0 {
		t.Fatalf("%d receipts, %d flights", n, len(l.flights))
	}
	if c := claimed(t, l, key(29), "b"); c.State != Duplicate {
		t.Errorf("the newest receipt is gone: %+v", c)
	}
	if c := claimed(t, l, key(0), "b"); c.State != Claimed {
		t.Errorf("the oldest receipt is still there: %+v", c)
	}
}

func TestLedgerRemembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewMemoryLedger(time.Hour, 10, time.Now)
		l.Remember(key(1))
		if !l.Remembered(key(1)) || l.Remembered(key(2)) {
			t.Error("wrong memory")
		}
		time.Sleep(rememberLife)
		if l.Remembered(key(1)) {
			t.Error("remembered for too long")
		}
		for i := range byte(200) {
			l.Remember(key(i))
			l.MarkUnknown(key(i), "a", SES)
		}
		if n, m := len(l.remembered.index), len(l.unknown.index); n > 10 || m > 10 {
			t.Errorf("%d remembered, %d unknown", n, m)
		}
	})
}

// TestFingerprint: the order of recipients does not matter, everything else does.
func TestFingerprint(t *testing.T) {
	content := func(s string) Fingerprint {
		return fingerprint(&Envelope{ReversePath: addr("s@x")}, []Address{addr("a@x"), addr("b@x")}, hashOf(s))
	}
	base := content("c")
	env := &Envelope{ReversePath: addr("s@x")}
	if fingerprint(env, []Address{addr("b@x"), addr("a@x")}, hashOf("c")) != base {
		t.Error("the order of recipients matters")
	}
	for name, other := range map[string]Fingerprint{
		"content":   content("d"),
		"recipient": fingerprint(env, []Address{addr("a@x")}, hashOf("c")),
		"sender":    fingerprint(&Envelope{ReversePath: addr("t@x")}, []Address{addr("a@x"), addr("b@x")}, hashOf("c")),
		"null":      fingerprint(&Envelope{}, []Address{addr("a@x"), addr("b@x")}, hashOf("c")),
	} {
		if other == base {
			t.Errorf("another %s gives the same fingerprint", name)
		}
	}
}

func hashOf(s string) [sha256.Size]byte { return sha256.Sum256([]byte(s)) }
