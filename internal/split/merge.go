package split

import (
	"context"
	"reflect"
	"slices"
	"strings"
)

// fleet is a Store that other instances change too: it tells its Live what
// they did.
type fleet interface {
	bind(*Live)
	refresh(ctx context.Context) // reads the store now and puts in force what is newer there
	nudge()                      // the Live holds something that the store may not have
}

// merge joins what two instances, or an instance and the shared store, hold.
// The higher version wins. Two values under one version come from a store that
// has lost writes (a failover): the lower percentage wins. Of the brake
// everything is kept: all pulls, less those that a release has named, whatever
// the versions.
func merge(a, b State) State {
	out := a
	if prevails(&b, &a) {
		out = b
	}
	out.brakes(&a, &b)
	return out
}

// prevails reports whether a's value wins over b's. It orders all values, so that
// every instance comes to the same.
func prevails(a, b *State) bool {
	switch {
	case a.Version != b.Version:
		return a.Version > b.Version
	case a.SESPercent != b.SESPercent:
		return a.SESPercent < b.SESPercent
	case !a.ChangedAt.Equal(b.ChangedAt):
		return a.ChangedAt.Before(b.ChangedAt)
	}
	return strings.Compare(a.ChangedBy+"\x00"+a.Reason, b.ChangedBy+"\x00"+b.Reason) < 0
}

// equal compares by instant, and pulls by their names.
func (s *State) equal(o *State) bool {
	a, b := *s, *o
	same := a.ChangedAt.Equal(b.ChangedAt) && slices.EqualFunc(a.Pulls, b.Pulls, samePull) && slices.Equal(a.Lifted, b.Lifted)
	a.Brake, a.Pulls, a.Lifted, a.ChangedAt = nil, nil, nil, b.ChangedAt
	b.Brake, b.Pulls, b.Lifted = nil, nil, nil
	return same && reflect.DeepEqual(a, b)
}

// holds reports whether anybody ever set something: a value of the
// configuration alone is nothing to write over what a fleet had.
func (s *State) holds() bool { return s.Version > 0 || s.Brake != nil }

// adopt puts what the shared store holds in force, as far as it wins. What this
// instance holds beyond it stays, and the store gets it later.
func (l *Live) adopt(stored State) {
	for {
		cur := l.Current()
		s := &Snapshot{State: merge(cur.State, stored), Unsaved: cur.Unsaved, changed: make(chan struct{})}
		if s.State.equal(&stored) {
			s.Unsaved = false
		}
		if s.State.equal(&cur.State) && s.Unsaved == cur.Unsaved {
			return
		}
		if l.swap(cur, s) {
			return
		}
	}
}

// TakeBrake puts on a brake that was pulled on another instance and came here
// past the shared store; one that has been released changes nothing. It neither
// waits nor fails; the history's line is written by whoever pulled it.
func (l *Live) TakeBrake(p Pull) *Snapshot {
	p.By, p.Reason, p.At = shorten(p.By, "unknown"), shorten(p.Reason, "no reason given"), p.At.UTC().Round(0)
	if y := p.At.Year(); y < 0 || y > 9999 { // RFC 3339 cannot write it, and the brake could not be kept
		p.At = l.stamp()
	}
	if p.check() != nil { // a brake all the same
		if !p.Ceiling.Valid() || p.Ceiling == Full {
			p.Ceiling = 0
		}
		_, now, _ := l.pull(p.Brake)
		return now
	}
	for {
		cur := l.Current()
		s := &Snapshot{State: cur.State, Unsaved: cur.Unsaved, changed: make(chan struct{})}
		s.pull(p)
		if s.State.equal(&cur.State) {
			return cur
		}
		if l.swap(cur, s) {
			break
		}
	}
	if l.fleet != nil {
		l.fleet.nudge()
	}
	return l.Current()
}
