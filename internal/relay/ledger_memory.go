package relay

import (
	"context"
	"strings"
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
// accepted come within minutes, so the old ones matter least. The mutex is
// held for a few map operations, whatever the number of entries.
type MemoryLedger struct {
	now func() time.Time

	mu         sync.Mutex             // guards what follows
	flights    map[Fingerprint]flight // every claim is settled, so they are as many as messages in flight
	accepted   *shelf[struct{}]       // with the packed receipt as text
	unknown    *shelf[unanswered]
	remembered *shelf[struct{}]
}

// flight is an attempt that is running.
type flight struct {
	owner   string
	started time.Time
	done    chan struct{} // closed at its end; nil while nobody waits for it
}

// unanswered is mail whose outcome is unknown.
type unanswered struct {
	count     int // at SES
	busyUntil time.Time
}

// NewMemoryLedger returns a ledger that keeps receipts for ttl, at most entries of them.
func NewMemoryLedger(ttl time.Duration, entries int, now func() time.Time) *MemoryLedger {
	start := now()
	return &MemoryLedger{
		now: now, flights: map[Fingerprint]flight{},
		accepted:   newShelf[struct{}](ttl, entries, start),
		unknown:    newShelf[unanswered](ttl, entries, start),
		remembered: newShelf[struct{}](rememberLife, entries, start),
	}
}

var _ Ledger = (*MemoryLedger)(nil)

// Claim implements Ledger.
func (l *MemoryLedger) Claim(ctx context.Context, fp Fingerprint, owner string) (Claim, error) {
	claim, running := l.try(fp, owner)
	if running == nil {
		return claim, nil
	}
	ctx, cancel := context.WithTimeout(ctx, claimWait)
	defer cancel()
	for {
		select {
		case <-running:
		case <-ctx.Done():
			return Claim{State: Busy}, nil
		}
		if claim, running = l.try(fp, owner); running == nil {
			return claim, nil
		}
	}
}

// try answers at once, or returns the channel that is closed when the attempt
// in progress ends.
func (l *MemoryLedger) try(fp Fingerprint, owner string) (Claim, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if _, packed, ok := l.accepted.get(fp, now); ok {
		return Claim{State: Duplicate, Receipt: unpack(packed)}, nil
	}
	f, running := l.flights[fp]
	if running && now.Sub(f.started) < claimLife {
		if f.done == nil {
			f.done = make(chan struct{})
			l.flights[fp] = f
		}
		return Claim{}, f.done
	}
	f.wake()
	u, _, _ := l.unknown.get(fp, now)
	if now.Before(u.busyUntil) {
		return Claim{State: Busy, Unknowns: u.count}, nil
	}
	l.flights[fp] = flight{owner: owner, started: now}
	return Claim{State: Claimed, Unknowns: u.count}, nil
}

// wake lets those go on who wait for the flight's end.
func (f flight) wake() {
	if f.done != nil {
		close(f.done)
	}
}

// Accept implements Ledger.
func (l *MemoryLedger) Accept(fp Fingerprint, owner string, r Receipt) {
	var buf [256]byte
	packed := appendPacked(buf[:0], r)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted.put(fp, struct{}{}, packed, l.now())
	l.unknown.forget(fp)
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
	u, _, _ := l.unknown.get(fp, now)
	if route == SES {
		u.count++
	}
	if f, ok := l.flights[fp]; ok && f.owner == owner {
		u.busyUntil = f.started.Add(claimLife)
	}
	l.unknown.put(fp, u, nil, now)
	l.end(fp, owner)
}

// Remember implements Ledger.
func (l *MemoryLedger) Remember(key Fingerprint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remembered.put(key, struct{}{}, nil, l.now())
}

// Remembered implements Ledger.
func (l *MemoryLedger) Remembered(key Fingerprint) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _, ok := l.remembered.get(key, l.now())
	return ok
}

// end closes the flight of owner; one that another owner has taken over after
// its life stays.
func (l *MemoryLedger) end(fp Fingerprint, owner string) {
	if f, ok := l.flights[fp]; ok && f.owner == owner {
		f.wake()
		delete(l.flights, fp)
	}
}

// receiptSeparator stands in no field of a receipt: all are printable.
const receiptSeparator = "\x00"

// appendPacked appends a receipt as one text: half a million of them are kept.
func appendPacked(b []byte, r Receipt) []byte {
	b = append(append(b, r.Route...), receiptSeparator...)
	b = append(append(b, r.RelayID...), receiptSeparator...)
	b = append(append(b, r.ID...), receiptSeparator...)
	return append(b, r.Text...)
}

func unpack(packed string) Receipt {
	f := strings.SplitN(packed, receiptSeparator, 4)
	return Receipt{Route: Route(f[0]), RelayID: f[1], ID: f[2], Text: f[3]}
}
