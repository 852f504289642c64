package split

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Live is the split in force. Reading it takes one atomic load; changing it is
// a compare-and-swap with a name and a reason. The brake needs neither version
// nor disk.
type Live struct {
	store Store
	fleet fleet // the store again, when other instances change it too; nil: it is this instance's own
	now   func() time.Time
	cur   atomic.Pointer[Snapshot]

	origin string       // of the brakes pulled here; new with every process, so that no number comes twice
	pulls  atomic.Int64 // drawn so far

	writing chan struct{} // holds one during a versioned change; the brake does not wait for it
}

// Snapshot is what is in force at one moment. It never changes.
type Snapshot struct {
	State
	Unsaved bool // the store could not keep the last change: a restart would forget it

	changed chan struct{}
}

// Changed is closed when this snapshot is no longer the current one.
func (s *Snapshot) Changed() <-chan struct{} { return s.changed }

// LiveConfig sets a Live.
type LiveConfig struct {
	Initial    Percent               // split.ses_percent: counts when nothing is stored
	Now        func() time.Time      // nil is time.Now
	Registerer prometheus.Registerer // nil: no metrics
}

// NewLive loads the stored value. A stored value wins over the configuration's
// whatever they are; a store that cannot be read is an error, never 0 and never
// the configuration's value.
func NewLive(ctx context.Context, store Store, cfg LiveConfig) (*Live, error) {
	if !cfg.Initial.Valid() {
		return nil, fmt.Errorf("split.ses_percent: %s: %w", cfg.Initial, ErrRange)
	}
	l := &Live{store: store, now: cfg.Now, origin: rand.Text(), writing: make(chan struct{}, 1)}
	if l.now == nil {
		l.now = time.Now
	}
	state, found, err := store.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("split: load: %w", err)
	}
	if !found {
		state = State{Ceiling: Full, Value: Value{SESPercent: cfg.Initial,
			Reason: "split.ses_percent, nothing stored yet", ChangedBy: "configuration", ChangedAt: l.stamp()}}
	} else if err := state.check(); err != nil {
		return nil, fmt.Errorf("split: load: %w", err)
	}
	l.cur.Store(&Snapshot{State: state, changed: make(chan struct{})})
	if f, ok := store.(fleet); ok {
		l.fleet = f
		f.bind(l)
	}
	l.register(cfg.Registerer)
	return l, nil
}

func (l *Live) register(r prometheus.Registerer) {
	if r == nil {
		return
	}
	r.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "relay_split_requested_percent",
			Help: "Share of the mail that the operator wants at SES, in percent."},
			func() float64 { return l.Current().SESPercent.Float() }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "relay_split_version",
			Help: "Version of the split that this instance applies."},
			func() float64 { return float64(l.Current().Version) }))
}

// Current returns what is in force. It never blocks.
func (l *Live) Current() *Snapshot { return l.cur.Load() }

// History returns the changes, newest first.
func (l *Live) History(ctx context.Context) ([]Change, error) { return l.store.History(ctx) }

// Set makes percent the requested share. Its errors are ErrStale, ErrReason,
// ErrWho, ErrRange and ErrRefused; with ErrNotSaved the value is in force.
func (l *Live) Set(ctx context.Context, ifVersion int64, percent Percent, reason, who string) (*Snapshot, error) {
	if !percent.Valid() {
		return nil, fmt.Errorf("%s: %w", percent, ErrRange)
	}
	return l.change(ctx, ifVersion, ActionSet, reason, who, func(next *State) error {
		before := next.SESPercent
		next.SESPercent, next.Previous = percent, &before
		return nil
	})
}

// Undo returns to the value before the last one, as a new version. A second
// Undo returns to where the first began. Its errors are Set's, and ErrNoUndo.
func (l *Live) Undo(ctx context.Context, ifVersion int64, reason, who string) (*Snapshot, error) {
	return l.change(ctx, ifVersion, ActionUndo, reason, who, func(next *State) error {
		if next.Previous == nil {
			return ErrNoUndo
		}
		before := next.SESPercent
		next.SESPercent, next.Previous = *next.Previous, &before
		return nil
	})
}

// Release takes off the brakes that this instance knows of, as a new version:
// the requested share is applied again. One that is pulled meanwhile, here or
// elsewhere, stays on: ErrStale. Its errors are Set's, and ErrNoBrake.
func (l *Live) Release(ctx context.Context, ifVersion int64, reason, who string) (*Snapshot, error) {
	return l.release(ctx, ifVersion, nil, reason, who)
}

// ReleaseKnown is Release for somebody who has seen the brakes of these names
// (State.Brakes) and no other. With another one on it changes nothing: ErrStale.
func (l *Live) ReleaseKnown(ctx context.Context, ifVersion int64, names []string, reason, who string) (*Snapshot, error) {
	seen := func(p Pull) bool { return slices.Contains(names, p.Name()) }
	return l.release(ctx, ifVersion, seen, reason, who)
}

// release takes off what the caller has seen; nil: what this instance has.
func (l *Live) release(ctx context.Context, ifVersion int64, seen func(Pull) bool, reason, who string) (*Snapshot, error) {
	return l.change(ctx, ifVersion, ActionRelease, reason, who, func(next *State) error {
		if next.Brake == nil {
			return ErrNoBrake
		}
		for _, p := range next.Pulls {
			if seen != nil && !seen(p) {
				return fmt.Errorf("a brake that you have not seen is on (%s: %s): %w", p.By, p.Reason, ErrStale)
			}
		}
		next.Version++ // a release is of its own version
		next.release(next.Version)
		return nil
	})
}

// change makes one versioned change: edit writes the new state over a copy of
// the old one.
func (l *Live) change(ctx context.Context, ifVersion int64, action Action, reason, who string, edit func(*State) error) (*Snapshot, error) {
	reason, err := clean(reason, ErrReason)
	if err != nil {
		return nil, err
	}
	if who, err = clean(who, ErrWho); err != nil {
		return nil, err
	}
	select {
	case l.writing <- struct{}{}:
		defer func() { <-l.writing }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: another change does not end, is the disk in order? %w", ErrRefused, ctx.Err())
	}
	old := l.Current()
	behind := old.Version < ifVersion || action == ActionRelease && old.Brake == nil
	if l.fleet != nil && behind { // the caller has read another instance, which is ahead
		l.fleet.refresh(ctx)
		old = l.Current()
	}
	if old.Version != ifVersion {
		return nil, fmt.Errorf("version %d is asked for and %d is in force: %w", ifVersion, old.Version, ErrStale)
	}
	if old.Version >= maxVersion {
		return nil, fmt.Errorf("%w: version %d is the last; only the brake works until state.file and the key in Redis are removed with all instances stopped", ErrRefused, old.Version)
	}
	next := old.State
	if err := edit(&next); err != nil {
		return nil, err
	}
	next.Version, next.Reason, next.ChangedBy, next.ChangedAt = old.Version+1, reason, who, l.stamp()
	c := Change{At: next.ChangedAt, Who: who, Action: action, Reason: reason, Version: next.Version,
		Before: old.SESPercent, After: next.SESPercent}
	if action == ActionRelease {
		c.Before, c.After = old.Applied(), next.Applied()
	}
	saved := l.store.CompareAndSwap(ctx, old.State, next, c)
	if saved != nil && !errors.Is(saved, ErrNotSaved) {
		return nil, saved
	}
	return l.publish(old, next, saved)
}

// publish puts next in force, joined with what has come meanwhile. A brake
// pulled since old was read stays on, and fails a release.
func (l *Live) publish(old *Snapshot, next State, saved error) (*Snapshot, error) {
	for {
		cur := l.Current()
		s := &Snapshot{State: merge(cur.State, next), changed: make(chan struct{})}
		s.Unsaved = saved != nil || cur.Unsaved && !s.State.equal(&next)
		if !l.swap(cur, s) {
			continue
		}
		if old.Brake != nil && next.Brake == nil && s.Brake != nil {
			return s, fmt.Errorf("the brake was pulled again and stays on: %w", ErrStale)
		}
		return s, saved
	}
}

// swap puts s in force in cur's place, and tells who waits for it.
func (l *Live) swap(cur, s *Snapshot) bool {
	done := l.cur.CompareAndSwap(cur, s)
	if done {
		close(cur.changed)
	}
	return done
}

// Sync tries again to save what the store could not keep.
func (l *Live) Sync(ctx context.Context) error {
	if err := l.store.Sync(ctx); err != nil {
		return err
	}
	l.setUnsaved(false)
	return nil
}

func (l *Live) setUnsaved(unsaved bool) {
	for {
		cur := l.Current()
		if cur.Unsaved == unsaved {
			return
		}
		s := &Snapshot{State: cur.State, Unsaved: unsaved, changed: make(chan struct{})}
		if l.swap(cur, s) {
			return
		}
	}
}

func (l *Live) stamp() time.Time { return l.now().UTC().Round(0) }
