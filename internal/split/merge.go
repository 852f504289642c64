package split

import (
	"context"
	"reflect"
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
// has lost writes (a failover): the lower percentage wins. The lower ceiling
// wins whatever the version, until a release that came after it: a brake that
// the store has never seen (Unshared) was unknown to whoever released another
// one, and stays on.
func merge(a, b State) State {
	if prevails(&b, &a) {
		a, b = b, a
	}
	out := a
	if b.Released > a.Released || b.Released == a.Released && laterBrake(b.Lifted, a.Lifted) {
		out.Released, out.Lifted = b.Released, b.Lifted
	}
	out.Ceiling, out.Brake, out.Unshared = Full, nil, false
	for _, s := range []*State{&a, &b} {
		if s.stands(&out) && stricter(s, &out) {
			out.Ceiling, out.Brake, out.Unshared = s.Ceiling, s.Brake, s.Unshared
		}
	}
	return out
}

// stands reports whether the brake of s is on still, for all that is known of
// releases. The release of another brake was no word about one that its
// operator could not see.
func (s *State) stands(known *State) bool {
	switch {
	case s.Brake == nil || s.Brake.same(known.Lifted):
		return false
	case s.Unshared:
		return true
	}
	return known.Released <= s.Version
}

// laterBrake orders brakes, for two releases of one version.
func laterBrake(a, b *Brake) bool {
	if a == nil || b == nil {
		return a != nil
	}
	return a.At.After(b.At) || a.At.Equal(b.At) && a.By+"\x00"+a.Reason > b.By+"\x00"+b.Reason
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

// stricter reports whether a's brake wins over b's.
func stricter(a, b *State) bool {
	switch {
	case b.Brake == nil || a.Ceiling != b.Ceiling:
		return a.Ceiling < b.Ceiling
	case a.Unshared != b.Unshared:
		return b.Unshared // the one that everybody knows
	case !a.Brake.At.Equal(b.Brake.At):
		return a.Brake.At.Before(b.Brake.At)
	}
	return strings.Compare(a.Brake.By+"\x00"+a.Brake.Reason, b.Brake.By+"\x00"+b.Brake.Reason) < 0
}

// equal compares by instant, and by what is pointed to.
func (s *State) equal(o *State) bool {
	a, b := *s, *o
	sameBrake := (a.Brake == b.Brake || a.Brake.same(b.Brake)) && (a.Lifted == b.Lifted || a.Lifted.same(b.Lifted))
	sameTime := a.ChangedAt.Equal(b.ChangedAt)
	a.Brake, b.Brake, a.Lifted, b.Lifted, a.ChangedAt = nil, nil, nil, nil, b.ChangedAt
	return sameBrake && sameTime && reflect.DeepEqual(a, b)
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
		if s.Brake.same(cur.Brake) {
			s.Brake = cur.Brake // publish tells brakes apart by their address
		}
		if s.State.equal(&stored) {
			s.Unsaved = false
		}
		if s.State.equal(&cur.State) && s.Unsaved == cur.Unsaved {
			return
		}
		if l.cur.CompareAndSwap(cur, s) {
			close(cur.changed)
			return
		}
	}
}

// TakeBrake puts on a brake that was pulled on another instance and came here
// past the shared store. It neither waits nor fails; the history's line is
// written by whoever pulled it.
func (l *Live) TakeBrake(b Brake) *Snapshot {
	b.By, b.Reason = shorten(b.By, "unknown"), shorten(b.Reason, "no reason given")
	if !b.Ceiling.Valid() || b.Ceiling == Full {
		b.Ceiling = 0
	}
	if cur := l.Current(); cur.Ceiling <= b.Ceiling && cur.Brake != nil {
		return cur
	}
	_, now := l.lower(b)
	if l.fleet != nil {
		l.fleet.nudge()
	}
	return now
}
