package relay

import (
	"context"
	"sync"
	"time"
)

// Times of the duplicate ledger.
const (
	claimLife    = 150 * time.Second // longer than any attempt may run
	claimWait    = 10 * time.Second  // for another attempt that is still running
	rememberLife = time.Hour
)

// MemoryLedger is the ledger of one instance. Its size is bounded: when it is
// full, the oldest receipt is forgotten first. Retries of a message that was
// accepted come within minutes, so the old ones matter least.
type MemoryLedger struct {
	ttl time.Duration
	max int
	now func() time.Time

	mu         sync.Mutex // guards what follows
	flights    map[Fingerprint]*flight
	accepted   map[Fingerprint]receiptEntry
	order      []orderEntry // of accepted, a ring
	first, n   int
	unknown    map[Fingerprint]unknownEntry
	remembered map[Fingerprint]time.Time // until
	swept      time.Time
}

type flight struct {
	owner   string
	started time.Time
	done    chan struct{}
}

type receiptEntry struct {
	until   time.Time
	receipt Receipt
}

type orderEntry struct {
	fp    Fingerprint
	until time.Time
}

type unknownEntry struct {
	count     int
	busyUntil time.Time
	until     time.Time
}

// NewMemoryLedger returns a ledger that keeps receipts for ttl, at most entries of them.
func NewMemoryLedger(ttl time.Duration, entries int, now func() time.Time) *MemoryLedger {
	return &MemoryLedger{
		ttl: ttl, max: entries, now: now,
		flights:    map[Fingerprint]*flight{},
		accepted:   map[Fingerprint]receiptEntry{},
		unknown:    map[Fingerprint]unknownEntry{},
		remembered: map[Fingerprint]time.Time{},
		swept:      now(),
	}
}

var _ Ledger = (*MemoryLedger)(nil)

// Claim implements Ledger.
func (l *MemoryLedger) Claim(ctx context.Context, fp Fingerprint, owner string) (Claim, error) {
	ctx, cancel := context.WithTimeout(ctx, claimWait)
	defer cancel()
	for {
		claim, running := l.try(fp, owner)
		if running == nil {
			return claim, nil
		}
		select {
		case <-running:
		case <-ctx.Done():
			return Claim{State: Busy}, nil
		}
	}
}

// try answers at once, or returns the channel that is closed when the attempt
// in progress ends.
func (l *MemoryLedger) try(fp Fingerprint, owner string) (Claim, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if e, ok := l.accepted[fp]; ok && now.Before(e.until) {
		return Claim{State: Duplicate, Receipt: e.receipt}, nil
	}
	if f := l.flights[fp]; f != nil && now.Sub(f.started) < claimLife {
		return Claim{}, f.done
	}
	u := l.unknown[fp]
	if now.Before(u.busyUntil) {
		return Claim{State: Busy, Unknowns: u.count}, nil
	}
	l.flights[fp] = &flight{owner: owner, started: now, done: make(chan struct{})}
	return Claim{State: Claimed, Unknowns: u.count}, nil
}

// Accept implements Ledger.
func (l *MemoryLedger) Accept(fp Fingerprint, owner string, r Receipt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	until := now.Add(l.ttl)
	l.evict(now)
	l.push(orderEntry{fp, until})
	l.accepted[fp] = receiptEntry{until, r}
	delete(l.unknown, fp)
	l.end(fp, owner)
}

// Release implements Ledger.
func (l *MemoryLedger) Release(fp Fingerprint, owner string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end(fp, owner)
}

// MarkUnknown implements Ledger.
func (l *MemoryLedger) MarkUnknown(fp Fingerprint, owner string, route Route) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.sweep(now)
	u := l.unknown[fp]
	if route == SES {
		u.count++
	}
	u.until = now.Add(l.ttl)
	if f := l.flights[fp]; f != nil && f.owner == owner {
		u.busyUntil = f.started.Add(claimLife)
	}
	l.unknown[fp] = u
	l.end(fp, owner)
}

// Remember implements Ledger.
func (l *MemoryLedger) Remember(key Fingerprint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.sweep(now)
	if len(l.remembered) < l.max {
		l.remembered[key] = now.Add(rememberLife)
	}
}

// Remembered implements Ledger.
func (l *MemoryLedger) Remembered(key Fingerprint) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	until, ok := l.remembered[key]
	return ok && l.now().Before(until)
}

// end closes the flight of owner; one that another owner has taken over after
// its life stays.
func (l *MemoryLedger) end(fp Fingerprint, owner string) {
	if f := l.flights[fp]; f != nil && f.owner == owner {
		close(f.done)
		delete(l.flights, fp)
	}
}

// push appends to the ring, which grows until it has max entries.
func (l *MemoryLedger) push(e orderEntry) {
	if l.n == len(l.order) {
		grown := make([]orderEntry, min(max(1024, 2*len(l.order)), max(1, l.max)))
		for i := range l.n {
			grown[i] = l.order[(l.first+i)%len(l.order)]
		}
		l.order, l.first = grown, 0
	}
	l.order[(l.first+l.n)%len(l.order)] = e
	l.n++
}

// evict forgets receipts that are over, and the oldest when the ledger is full.
func (l *MemoryLedger) evict(now time.Time) {
	for l.n > 0 {
		e := l.order[l.first]
		if l.n < l.max && now.Before(e.until) {
			return
		}
		if got, ok := l.accepted[e.fp]; ok && !got.until.After(e.until) {
			delete(l.accepted, e.fp)
		}
		l.first = (l.first + 1) % len(l.order)
		l.n--
	}
}

// sweep forgets, once a minute, what has expired in the small maps.
func (l *MemoryLedger) sweep(now time.Time) {
	if now.Sub(l.swept) < time.Minute && len(l.unknown)+len(l.remembered) < l.max {
		return
	}
	l.swept = now
	for k, u := range l.unknown {
		if now.After(u.until) {
			delete(l.unknown, k)
		}
	}
	for k, until := range l.remembered {
		if now.After(until) {
			delete(l.remembered, k)
		}
	}
	for k, f := range l.flights {
		if now.Sub(f.started) >= claimLife {
			close(f.done)
			delete(l.flights, k)
		}
	}
}
