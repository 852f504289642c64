package split

import (
	"context"
	"errors"
	"fmt"
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
// step. Under a brake that is lower, or below that share, it changes nothing.
func (l *Live) BrakeTo(ceiling Percent, who, reason string) (*Snapshot, error) {
	if cur := l.Current(); !ceiling.Valid() || ceiling == Full || ceiling > 0 && cur.Brake != nil && cur.Ceiling <= ceiling {
		return cur, nil
	}
	b := Brake{By: shorten(who, "unknown"), Reason: shorten(reason, "no reason given"), At: l.stamp(), Ceiling: ceiling}
	old, now := l.lower(b)
	c := Change{At: b.At, Who: b.By, Action: ActionBrake, Reason: b.Reason,
		Before: old.Applied(), After: now.Applied(), Version: now.Version}
	err := l.saveBrake(old.State, b, c)
	l.setUnsaved(err != nil)
	return l.Current(), err
}

// lower puts the lower ceiling in force and returns the snapshots around it. A
// brake that is lower stays.
func (l *Live) lower(b Brake) (old, now *Snapshot) {
	for {
		cur := l.Current()
		if cur.Ceiling < b.Ceiling {
			return cur, cur
		}
		s := &Snapshot{State: cur.State, Unsaved: cur.Unsaved, changed: make(chan struct{})}
		s.Ceiling, s.Brake, s.Unshared = b.Ceiling, &b, l.fleet != nil
		if l.cur.CompareAndSwap(cur, s) {
			close(cur.changed)
			return cur, s
		}
	}
}

// saveBrake gives the store a bounded time: a disk that hangs must not keep
// whoever pulled the brake waiting.
func (l *Live) saveBrake(old State, b Brake, c Change) error {
	ctx, cancel := context.WithTimeout(context.Background(), brakeSave)
	done := make(chan error, 1)
	go func() {
		defer cancel()
		done <- l.store.Lower(ctx, old, b.Ceiling, b, c)
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
