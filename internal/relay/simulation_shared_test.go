package relay

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// sharedState is a model of the ledger in Redis (internal/ledger): the same
// states and times, behind a network that loses questions and answers.
type sharedState struct {
	s *fleetSim

	mu      sync.Mutex // guards what follows
	entries map[Fingerprint]*entry
}

// entry is what the fleet knows of one mail.
type entry struct {
	owner    string
	until    time.Time // of the claim, or of what is unknown
	unknown  bool
	unknowns int
	receipt  *Receipt
}

var errNetwork = errors.New("the shared state does not answer")

// ask carries a question to the shared state and the answer back. What went
// wrong on the way is noted: from then on a copy of this mail may be one too many.
func (st *sharedState) ask(i *incarnation, tx *fleetTx, do func()) error {
	if i.place.isCut() || i.dead() || st.s.goesWrong(tx.rnd, st.s.lossy) {
		time.Sleep(100*time.Millisecond + time.Duration(tx.rnd.Int64N(1000)))
		tx.mail.excuse("a question to the shared state was lost")
		st.s.count(&st.s.sum.Lost)
		return errNetwork
	}
	tick(tx.rnd, 20*time.Millisecond)
	if i.dead() {
		return errNetwork
	}
	st.mu.Lock()
	do()
	st.mu.Unlock()
	if st.s.goesWrong(tx.rnd, st.s.lossy) {
		time.Sleep(80*time.Millisecond + time.Duration(tx.rnd.Int64N(1000)))
		tx.mail.excuse("an answer of the shared state was lost")
		st.s.count(&st.s.sum.Lost)
		return errNetwork
	}
	tick(tx.rnd, 20*time.Millisecond)
	return nil
}

func (st *sharedState) of(fp Fingerprint) *entry {
	e := st.entries[fp]
	if e == nil {
		e = &entry{}
		st.entries[fp] = e
	}
	return e
}

// claim is the claim script.
func (e *entry) claim(owner string, now time.Time) (c Claim, running bool) {
	c.Unknowns = e.unknowns
	switch {
	case e.receipt != nil:
		c.State, c.Receipt = Duplicate, *e.receipt
	case now.Before(e.until) && e.unknown:
		c.State = Busy
	case now.Before(e.until) && e.owner != owner:
		return c, true
	default:
		e.owner, e.until, e.unknown = owner, now.Add(claimLife), false
	}
	return c, false
}

// fleetLedger is the ledger of one incarnation.
type fleetLedger struct{ i *incarnation }

var _ Ledger = (*fleetLedger)(nil)

// Claim implements Ledger.
func (l *fleetLedger) Claim(_ context.Context, fp Fingerprint, owner string) (Claim, error) {
	tx := l.i.place.s.tx(owner)
	l.i.local.Lock()
	r, known := l.i.settled[fp]
	l.i.local.Unlock()
	if known {
		l.i.place.s.count(&l.i.place.s.sum.Duplicates)
		return Claim{State: Duplicate, Receipt: r}, nil
	}
	heard := false
	for began := time.Now(); ; tick(tx.rnd, 250*time.Millisecond) {
		var c Claim
		running := false
		err := l.i.place.s.shared.ask(l.i, tx, func() { c, running = l.i.place.s.shared.of(fp).claim(owner, time.Now()) })
		switch {
		case err != nil && !heard:
			return Claim{State: Claimed}, nil // alone: the mail goes through
		case (err != nil || running) && time.Since(began) > claimWait:
			l.Release(fp, owner)
			return Claim{State: Busy}, nil
		case running:
			heard = true
		case err == nil:
			if c.State == Duplicate {
				l.i.place.s.count(&l.i.place.s.sum.Duplicates)
			}
			return c, nil
		}
	}
}

// fork gives another goroutine numbers of its own.
func fork(rnd *rand.Rand) *rand.Rand { return rand.New(rand.NewPCG(rnd.Uint64(), 4)) }

// settle writes a change in the background, again and again until it is there
// or the relay has died: then what an upstream took may be sent again.
func (l *fleetLedger) settle(fp Fingerprint, owner string, write func(e *entry)) {
	s := l.i.place.s
	if l.i.dead() {
		s.tx(owner).mail.excuse("its relay died before it was settled")
		return
	}
	tx := s.tx(owner)
	own := &fleetTx{id: tx.id, mail: tx.mail, rnd: fork(tx.rnd)}
	s.running.Go(func() {
		for s.shared.ask(l.i, own, func() { write(s.shared.of(fp)) }) != nil {
			if l.i.dead() {
				own.mail.excuse("its relay died before it was settled")
				return
			}
			tick(own.rnd, 4*time.Second)
		}
	})
}

// Accept implements Ledger.
func (l *fleetLedger) Accept(fp Fingerprint, owner string, r Receipt) {
	l.i.local.Lock()
	l.i.settled[fp] = r
	l.i.local.Unlock()
	l.settle(fp, owner, func(e *entry) { e.receipt = &r })
}

// Release implements Ledger.
func (l *fleetLedger) Release(fp Fingerprint, owner string) {
	l.settle(fp, owner, func(e *entry) {
		if e.owner == owner {
			e.until = time.Time{}
		}
	})
}

// MarkUnknown implements Ledger.
func (l *fleetLedger) MarkUnknown(fp Fingerprint, owner string, route Route) {
	l.settle(fp, owner, func(e *entry) {
		if route == SES {
			e.unknowns++
		}
		if e.owner == owner {
			e.unknown = true
		}
	})
}

// Remember implements Ledger.
func (l *fleetLedger) Remember(Fingerprint) {}

// Remembered implements Ledger.
func (l *fleetLedger) Remembered(Fingerprint) bool { return false }
