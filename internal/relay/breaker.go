package relay

import (
	"sync"
	"time"
)

// BreakerConfig sets a circuit breaker.
type BreakerConfig struct {
	FailureRatio float64       // opens at this share of failures, 0..1
	MinRequests  int           // of at least so many answers within the window
	OpenFor      time.Duration // then one mail at a time probes
}

// breakerWindow is the time over which answers are counted.
const breakerWindow = 10 * time.Second

// probeLife is how long a mail that was being sent may keep others from probing:
// longer than any answer takes. Before it is sent, OpenFor is its limit: a slow
// client must not keep the breaker open.
const probeLife = 150 * time.Second

// Breaker keeps mail away from an upstream that does not work as a whole. It
// opens at once on an answer about the whole account or host, and on the ratio
// of failures; after OpenFor one mail at a time probes the upstream.
type Breaker struct {
	cfg BreakerConfig
	now func() time.Time

	mu        sync.Mutex // guards what follows; held for a few instructions only
	since     time.Time  // start of the counting window
	answers   int
	failures  int
	open      bool
	openUntil time.Time
	probe     int       // number of the probe under way; 0 when there is none
	probes    int       // given so far
	probeEnds time.Time // then another mail may probe
	reason    string    // class of the error that opened it
}

// NewBreaker returns a closed breaker. now is the clock.
func NewBreaker(cfg BreakerConfig, now func() time.Time) *Breaker {
	return &Breaker{cfg: cfg, now: now, since: now()}
}

// Ticket is the permission to use the upstream for one mail. Exactly one of
// its methods counts; later calls do nothing. The zero Ticket does nothing.
type Ticket struct {
	b     *Breaker
	probe int // its number; 0 for an ordinary mail
}

// Allow gives a ticket, or false while the breaker is open. When the open time
// is over the ticket is the probe, and no other is given until it is settled
// or its time is over.
func (b *Breaker) Allow() (Ticket, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return Ticket{b: b}, true
	}
	now := b.now()
	if now.Before(b.openUntil) || b.probe != 0 && now.Before(b.probeEnds) {
		return Ticket{}, false
	}
	b.probes++
	b.probe, b.probeEnds = b.probes, now.Add(b.cfg.OpenFor)
	return Ticket{b: b, probe: b.probe}, true
}

// Open reports whether the breaker is open, and the class of the error behind it.
func (b *Breaker) Open() (bool, string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open, b.reason
}

// MaySend is asked right before the mail is sent: the breaker may have opened
// since the ticket was given, or a slow mail's turn as the probe be over.
func (b *Breaker) MaySend(t *Ticket) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return true
	}
	if t.probe == 0 || t.probe != b.probe {
		return false
	}
	b.probeEnds = b.now().Add(probeLife)
	return true
}

// Settle tells how the mail ended: nil for an acceptance. A fault of the client
// says nothing about the upstream.
func (t *Ticket) Settle(err *Error) {
	if err != nil && err.Kind == ClientFault {
		t.Cancel()
		return
	}
	if t.b != nil {
		t.b.settle(t.probe, err)
	}
	*t = Ticket{}
}

// Cancel gives the ticket back unused, so that another mail may probe.
func (t *Ticket) Cancel() {
	if t.b != nil && t.probe != 0 {
		t.b.mu.Lock()
		t.b.endProbe(t.probe)
		t.b.mu.Unlock()
	}
	*t = Ticket{}
}

// endProbe lets another mail probe, and reports whether this one was the probe.
func (b *Breaker) endProbe(number int) bool {
	if number == 0 || number != b.probe {
		return false
	}
	b.probe = 0
	return true
}

func (b *Breaker) settle(number int, err *Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	probe := b.endProbe(number)
	if err != nil && err.Signal == SignalBusy {
		return
	}
	now := b.now()
	failed := err != nil && err.Signal != SignalNone
	switch {
	case failed && (probe || err.Signal == SignalTrip):
		b.trip(now, err.Class)
	case probe:
		b.open, b.reason = false, ""
		b.since, b.answers, b.failures = now, 0, 0
	case !b.open:
		b.count(now, failed, err)
	}
}

func (b *Breaker) count(now time.Time, failed bool, err *Error) {
	if now.Sub(b.since) >= breakerWindow {
		b.since, b.answers, b.failures = now, 0, 0
	}
	b.answers++
	if !failed {
		return
	}
	b.failures++
	if b.answers >= b.cfg.MinRequests && float64(b.failures) >= b.cfg.FailureRatio*float64(b.answers) {
		b.trip(now, err.Class)
	}
}

func (b *Breaker) trip(now time.Time, class string) {
	b.open, b.reason = true, class
	b.openUntil = now.Add(b.cfg.OpenFor)
	b.since, b.answers, b.failures = now, 0, 0
}
