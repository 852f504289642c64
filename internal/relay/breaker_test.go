package relay

import (
	"errors"
	"testing"
	"time"
)

func TestBreakerRatio(t *testing.T) {
	now := time.Unix(0, 0)
	b := NewBreaker(BreakerConfig{FailureRatio: 0.5, MinRequests: 20, OpenFor: 10 * time.Second}, func() time.Time { return now })
	give := func(e *Error) bool {
		ticket, ok := b.Allow()
		if ok {
			ticket.Settle(e)
		}
		return ok
	}
	for range 19 {
		give(errDown)
	}
	if open, _ := b.Open(); open {
		t.Fatal("open below the minimum of requests")
	}
	give(errNoUser) // an answer about a recipient is no failure
	give(errDown)
	if open, why := b.Open(); !open || why != "dial" {
		t.Fatalf("closed at 20 failures of 21 (%s)", why)
	}
	if give(nil) {
		t.Fatal("a ticket while open")
	}
	now = now.Add(10 * time.Second)
	if !give(errDown) {
		t.Fatal("no probe after the open time")
	}
	if give(nil) {
		t.Fatal("a ticket after a failed probe")
	}
	now = now.Add(10 * time.Second)
	if !give(errNoUser) {
		t.Fatal("no second probe")
	}
	if open, _ := b.Open(); open {
		t.Fatal("still open after the upstream answered the probe")
	}
	for range 100 { // old failures are forgotten with their window
		give(errDown)
		now = now.Add(breakerWindow)
	}
	if open, _ := b.Open(); open {
		t.Fatal("one failure a window opened the breaker")
	}
}

// TestBusyIsNoAnswer: a probe that was not even asked closes nothing, and the
// next mail may probe.
func TestBusyIsNoAnswer(t *testing.T) {
	now := time.Unix(0, 0)
	b := NewBreaker(BreakerConfig{FailureRatio: 0.5, MinRequests: 1, OpenFor: 10 * time.Second}, func() time.Time { return now })
	first, _ := b.Allow()
	first.Settle(errDown)
	now = now.Add(10 * time.Second)
	for range 3 {
		probe, ok := b.Allow()
		if !ok {
			t.Fatal("no probe after one that was not asked")
		}
		probe.Settle(&Error{Kind: Unavailable, Signal: SignalBusy, Class: "in_flight"})
		if open, _ := b.Open(); !open {
			t.Fatal("closed by a mail that was not asked")
		}
	}
}

// TestLateAnswer: answers to mail that began before the breaker opened neither
// close it nor lengthen it without end.
func TestLateAnswer(t *testing.T) {
	now := time.Unix(0, 0)
	b := NewBreaker(BreakerConfig{FailureRatio: 0.5, MinRequests: 1, OpenFor: 10 * time.Second}, func() time.Time { return now })
	first, _ := b.Allow()
	late, _ := b.Allow()
	first.Settle(errDown)
	late.Settle(nil)
	if open, _ := b.Open(); !open {
		t.Fatal("a late acceptance closed the breaker")
	}
	late.Settle(errDown) // settled twice counts once
	var zero Ticket
	zero.Settle(errDown)
	zero.Cancel()
}

func TestBudget(t *testing.T) {
	b := NewBudget(10)
	if !b.Reserve(10) || b.Reserve(1) || b.Used() != 10 {
		t.Fatal("the limit does not hold")
	}
	b.Free(10)
	if !b.Reserve(1) {
		t.Fatal("freed memory is not there")
	}
}

// TestBudgetForSmallMail: large mail cannot take all of it.
func TestBudgetForSmallMail(t *testing.T) {
	b := NewBudget(16 << 20)
	for b.Reserve(1 << 20) {
	}
	if used := b.Used(); used != 15<<20 {
		t.Fatalf("large mail takes %d bytes of 16 MiB", used)
	}
	for range 4 {
		if !b.Reserve(smallRequest) {
			t.Fatal("nothing is left for a small one")
		}
	}
	if b.Reserve(1) {
		t.Fatal("the limit does not hold")
	}
}

func TestReplyTo(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Reply
	}{
		{errNoUser, errNoUser.Reply},
		{&Error{Class: "wrapped", Reply: Reply{}, Err: errNoUser}, ReplyLocalError}, // an error without a reply hides its cause
		{&Error{Reply: Reply{Code: 250}}, ReplyLocalError},                          // never a 2xx for an error
		{errors.New("surprise"), ReplyLocalError},
	} {
		if got := ReplyTo(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}

// TestProbeIsReplaced: the turn of a probe that is not being sent ends after
// OpenFor; whatever it then does, the probe after it stands.
func TestProbeIsReplaced(t *testing.T) {
	now := time.Unix(0, 0)
	b := NewBreaker(BreakerConfig{FailureRatio: 0.5, MinRequests: 1, OpenFor: 10 * time.Second}, func() time.Time { return now })
	b.trip(now, "test")
	probe := func() Ticket {
		t.Helper()
		ticket, ok := b.Allow()
		if !ok {
			t.Fatal("no probe")
		}
		return ticket
	}
	none := func(why string) {
		t.Helper()
		if _, ok := b.Allow(); ok {
			t.Fatalf("two probes at once: %s", why)
		}
	}
	now = now.Add(10 * time.Second)
	first := probe()
	now = now.Add(9 * time.Second)
	none("within its turn")
	now = now.Add(time.Second)
	second := probe()
	if b.MaySend(&first) || !b.MaySend(&second) {
		t.Fatal("the first may send, or the second may not")
	}
	first.Cancel()
	none("the first was given up")
	now = now.Add(probeLife - time.Second)
	none("the second is being sent")
	now = now.Add(2 * time.Second)
	third := probe()
	second.Settle(nil)
	none("a late acceptance")
	if open, _ := b.Open(); !open {
		t.Fatal("closed by a probe whose turn was over")
	}
	third.Settle(nil)
	if open, _ := b.Open(); open {
		t.Fatal("still open")
	}
	if ordinary, ok := b.Allow(); !ok || !b.MaySend(&ordinary) {
		t.Fatal("closed, and no mail may be sent")
	}
}

// TestClientFaultIsNoAnswer: a client that leaves closes nothing.
func TestClientFaultIsNoAnswer(t *testing.T) {
	now := time.Unix(0, 0)
	b := NewBreaker(BreakerConfig{FailureRatio: 0.5, MinRequests: 1, OpenFor: 10 * time.Second}, func() time.Time { return now })
	b.trip(now, "test")
	now = now.Add(10 * time.Second)
	ticket, _ := b.Allow()
	ticket.Settle(&Error{Kind: ClientFault, Class: "canceled", Reply: ReplyLocalError})
	if open, _ := b.Open(); !open {
		t.Fatal("closed by a client that left")
	}
	if _, ok := b.Allow(); !ok {
		t.Fatal("no other probe")
	}
}
