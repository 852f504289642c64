package split

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// brakeSave is how long Brake waits for the store. The brake is in force
// before the store is asked.
const brakeSave = 2 * time.Second

// Brake puts the share of SES to 0 at once, whatever the version, the disk or
// another change under way. It never fails: an error is ErrNotSaved, and the
// brake is in force. Only Release takes it off.
func (l *Live) Brake(who, reason string) (*Snapshot, error) { return l.BrakeTo(0, who, reason) }

// BrakeTo is Brake to a share that may be above 0: a rollback to the last good
// step. It never raises: beside a brake that is lower it counts once that one
// is released. A share that is none, or 100 %, changes nothing.
func (l *Live) BrakeTo(ceiling Percent, who, reason string) (*Snapshot, error) {
	if !ceiling.Valid() || ceiling == Full {
		return l.Current(), nil
	}
	b := Brake{By: shorten(who, "unknown"), Reason: shorten(reason, "no reason given"), At: l.stamp(), Ceiling: ceiling}
	old, now, p := l.pull(b)
	c := Change{At: b.At, Who: b.By, Action: ActionBrake, Reason: b.Reason,
		Before: old.Applied(), After: now.Applied(), Version: now.Version}
	err := l.saveBrake(old.State, p, c)
	l.setUnsaved(err != nil)
	return l.Current(), err
}

// pull puts a pull of this instance in force, and returns the snapshots around
// it. The number is drawn after the snapshot was read, so that none in it is
// higher. It stands for this instance's earlier pulls, and so is no milder.
func (l *Live) pull(b Brake) (old, now *Snapshot, p Pull) {
	for {
		cur := l.Current()
		p = Pull{Origin: l.origin, Number: max(l.pulls.Add(1), cur.latest(l.origin)+1), Brake: b}
		if i := slices.IndexFunc(cur.Pulls, func(q Pull) bool { return q.Origin == l.origin && q.Ceiling < b.Ceiling }); i >= 0 {
			p.Brake = cur.Pulls[i].Brake
		}
		s := &Snapshot{State: cur.State, Unsaved: cur.Unsaved, changed: make(chan struct{})}
		s.State.pull(p)
		if l.swap(cur, s) {
			return cur, s, p
		}
	}
}

// saveBrake gives the store a bounded time: a disk that hangs must not keep
// whoever pulled the brake waiting.
func (l *Live) saveBrake(old State, p Pull, c Change) error {
	ctx, cancel := context.WithTimeout(context.Background(), brakeSave)
	done := make(chan error, 1)
	go func() {
		defer cancel()
		done <- l.store.Lower(ctx, old, p, c)
	}()
	select {
	case err := <-done:
		if err != nil && !errors.Is(err, ErrNotSaved) {
			err = fmt.Errorf("%w: %w", ErrNotSaved, err)
		}
		return err
	case <-ctx.Done():
		select {
		case err := <-done: // finished and cancelled at the same moment
			return err
		default:
			return fmt.Errorf("%w: no answer within %s", ErrNotSaved, brakeSave)
		}
	}
}

// shorten makes who and why of a brake fit, instead of refusing them.
func shorten(s, missing string) string {
	if c, err := clean(s, ErrReason); err == nil {
		return c
	}
	out := make([]rune, 0, 80)
	for _, r := range s {
		if len(out) == cap(out) {
			break
		}
		if notText(r) {
			r = ' '
		}
		out = append(out, r)
	}
	if c, err := clean(string(out), ErrReason); err == nil {
		return c
	}
	return missing
}
