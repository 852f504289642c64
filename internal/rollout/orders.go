package rollout

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"sesrelay/internal/split"
)

// byHand stands where nobody has said why: the record has who and when.
var byHand = map[Action]string{
	ActionStart: "started by hand", ActionPause: "paused by hand", ActionResume: "resumed by hand", ActionPromote: "promoted by hand",
}

// Do carries out what somebody asks for. Its errors are those of an order, of
// the plan, and of the split.
func (c *Controller) Do(ctx context.Context, action Action, o Order) error {
	if action == ActionAbort {
		return c.abort(ctx, o)
	}
	o.Reason = strings.TrimSpace(o.Reason)
	if o.Reason == "" {
		o.Reason = byHand[action]
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { c.show(c.Now()) }()
	var err error
	for range 3 {
		if c.load(ctx); c.trouble != nil {
			return fmt.Errorf("%w: %w", ErrStore, c.trouble)
		}
		if err = c.once(ctx, action, o); !errors.Is(err, ErrBusy) {
			return err
		}
	}
	return err
}

func (c *Controller) once(ctx context.Context, action Action, o Order) error {
	if c.state.Pending != nil && c.Now().Sub(c.state.Pending.At) < pendingFor {
		return fmt.Errorf("%w: a step is being put in force", ErrBusy)
	}
	switch action {
	case ActionStart:
		return c.start(ctx, o)
	case ActionPause:
		next, err := c.state.pause(c.Now(), o)
		if err != nil || next.Phase == c.state.Phase {
			return err
		}
		return c.swap(ctx, next)
	case ActionResume:
		return c.resume(ctx, o)
	case ActionPromote:
		return c.promote(ctx, o)
	}
	return fmt.Errorf("%w: %s", ErrPhase, action)
}

func (c *Controller) start(ctx context.Context, o Order) error {
	switch c.state.Phase {
	case Idle, Aborted, Completed, RolledBack:
	default:
		return c.state.refuse("start")
	}
	now := c.Now()
	return c.apply(ctx, now, c.state.start(now, c.settings.Load().Steps, o), 0, ActionStart, o)
}

// foreignBrake refuses to raise the share under a brake that somebody has
// pulled. Each counts: a person's may stand behind the guard's, which went on first.
func (c *Controller) foreignBrake(s *split.Snapshot) error {
	for i := range s.Pulls {
		b := &s.Pulls[i].Brake
		again := c.state.Phase == Aborted && strings.HasPrefix(b.Reason, abortText) // on another instance, while they did not reach each other
		if !c.ours(b) && !again && b.By != guardName {
			return fmt.Errorf("%w (%s: %s)", ErrBrake, b.By, b.Reason)
		}
	}
	return nil
}

// free reports why a step may not be put in force over a split as it is read:
// whoever goes on releases the brakes of rollback and abort, and no other; a
// step that follows another finds the split as the rollout has left it.
func (c *Controller) free(s *split.Snapshot, a Action) error {
	if (a == ActionAdvance || a == ActionPromote) && (s.Brake != nil || s.Version != c.state.Seen) {
		return fmt.Errorf("%w: the split was changed by hand; look with relay rollout status", ErrBusy)
	}
	return c.foreignBrake(s)
}

func (c *Controller) resume(ctx context.Context, o Order) error {
	now, s := c.Now(), c.Live.Current()
	switch c.state.Phase {
	case Paused:
		return c.swap(ctx, c.state.resumed(now, o))
	case Held, RolledBack:
	default:
		return c.state.refuse("resume")
	}
	if err := c.foreignBrake(s); err != nil {
		return err
	}
	if c.state.Phase == Held && s.Brake == nil && s.SESPercent == c.state.Percent && c.state.Index >= 0 {
		next := c.state.resumed(now, o)
		next.Seen = s.Version
		return c.swap(ctx, next)
	}
	index := max(0, stepAt(c.state.Steps, c.state.Percent)) // nothing in force: the first step
	return c.apply(ctx, now, c.state, index, ActionResume, o)
}

func (c *Controller) promote(ctx context.Context, o Order) error {
	now := c.Now()
	if !c.state.Phase.underway() {
		return c.state.refuse("promote")
	}
	if c.guard.Verdict == Rollback {
		return fmt.Errorf("%w: %s", ErrGuard, breaches(&c.guard))
	}
	if err := c.free(c.Live.Current(), ActionPromote); err != nil {
		return err
	}
	c.judgeGate(now)
	next := nextSet(c.state.Steps, c.state.Index)
	if o.Full {
		next = lastSet(c.state.Steps)
	}
	if next < 0 || *c.state.Steps[next].Set <= c.state.Percent {
		return c.swap(ctx, c.state.completed(now, ActionPromote, o, c.gate.Criteria))
	}
	return c.apply(ctx, now, c.state, next, ActionPromote, o)
}

// abort puts the share to 0 first, whatever else is under way, and records it
// afterwards, now or when the store answers again. It is safe to repeat.
func (c *Controller) abort(ctx context.Context, o Order) error {
	a := &abortion{order: o, from: c.Live.Current().Applied()}
	if c.Live.Current().Ceiling > 0 {
		braked, err := c.Live.BrakeTo(0, o.Who, abortText+orElse(strings.TrimSpace(o.Reason), "no reason given"))
		if err != nil {
			c.Log.Error("rollout: aborted, and the brake is on here; it is not saved yet", "error", err.Error())
		}
		a.brake = abortBrake(braked)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { c.show(c.Now()) }()
	if first := c.giving; first == nil {
		c.giving = a
	} else if a.brake != nil { // released meanwhile: this one is on
		first.brake = a.brake
	}
	for range 5 {
		if c.load(ctx); c.trouble != nil {
			break
		}
		if c.giveUp(ctx) {
			return nil
		}
	}
	c.Log.Error("rollout: aborted, and the brake is on; the rollout's own state follows when it can be saved")
	return nil
}

// abortBrake is the brake of an abort among those that are on: another one may
// have been pulled at the same moment.
func abortBrake(s *split.Snapshot) *split.Brake {
	for i := range s.Pulls {
		if b := &s.Pulls[i].Brake; strings.HasPrefix(b.Reason, abortText) {
			return b
		}
	}
	return s.Brake
}

// abortion is an abort that is in force and may have to be recorded yet.
type abortion struct {
	order Order
	from  split.Percent
	brake *split.Brake // nil: another one was on already
}

// giveUp records an abort; false: not yet.
func (c *Controller) giveUp(ctx context.Context) bool {
	a := c.giving
	if a == nil || c.state.Phase == Aborted && c.state.Pending == nil && a.brake == nil {
		c.giving = nil
		return true
	}
	brake := a.brake
	if brake == nil {
		brake = c.state.Brake // a rollback's, perhaps; a person's brake stays theirs
	}
	next := c.state.aborted(c.Now(), a.order, a.from, brake)
	next.Seen = c.Live.Current().Version
	if err := c.swap(ctx, next); err != nil {
		return false
	}
	c.giving = nil
	return true
}
