package rollout

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"sesrelay/internal/split"
)

// unread is the reason of a gate just after a takeover: only the instance that
// leads reads what SES reports.
const unread = "what SES reports has not been read since this instance leads"

// elsewhere is the reason of a gate and a guard where nobody leads or another does.
const elsewhere = "what SES reports is read by the instance that leads, and not here"

// stale is the reason of a gate while reading fails.
const stale = "what SES reports has not been read for half a minute"

// early is the reason of a gate when SES's reports end before this process began.
const early = "SES's reports end before this instance came, and it is not yet clear whether more come"

// early reports whether it cannot be known yet whether SES is silent: what was
// sent before this process began is not known to it. The next report ends that.
func (c *Controller) early(now time.Time) bool {
	newest, _ := c.events.newest()
	return newest.Before(c.began) && now.Sub(newest) >= c.settings.Load().Guard.NoDataMax
}

// staleAfter is longer than one look that takes its whole time, and the next.
const staleAfter = 3 * readEvery

// gateEvery is how often, in seconds, a gate is judged that is only looked at.
const gateEvery = 5

// lead does what the instance with the lease does: it notices what others have
// done to the split, ends pauses, judges the gate and moves the steps.
func (c *Controller) lead(ctx context.Context, now time.Time) {
	c.track(now)
	if c.settle(ctx, now) || c.notice(ctx, now) || c.lower(ctx) {
		return // one change at a time; the next look goes on
	}
	if next, over := c.state.pauseOver(now); over {
		c.log(c.swap(ctx, next))
	}
	if c.state.Phase == Gating || now.Unix()%gateEvery == 0 { // else it is only looked at
		c.judgeGate(now)
	}
	if c.justRead() && c.state.Phase == Gating && c.gate.Verdict == Pass {
		c.pass(ctx, now)
	}
	if now.Sub(c.saved) >= saveEvery {
		c.saved = now
		c.save(ctx)
	}
}

// justRead reports whether SES's reports were read since the last look. The share
// rises behind a reading only: nothing that could have been read is overlooked.
func (c *Controller) justRead() bool {
	n := c.events.successes()
	fresh := n != c.reads
	c.reads = n
	return fresh || c.Events == nil
}

// peakOver is the time whose rate counts as a peak.
const peakOver = 10 * time.Second

// track remembers how near the stage has come to the quota.
func (c *Controller) track(now time.Time) {
	q := c.Quota()
	recent, over := c.fleet.whole(c.Live.Current().Applied().Tag(), peakOver, now)
	c.quota = c.quota.with(QuotaReport{DayUsed: q.DayUsed, DayMax: q.DayMax, RateMax: q.Rate, RatePeak: float64(recent.SES.Recipients) / over.Seconds()})
}

// settle ends a change of the split that was begun and whose author is gone.
func (c *Controller) settle(ctx context.Context, now time.Time) bool {
	p := c.state.Pending
	if p == nil {
		return false
	}
	if now.Sub(p.At).Abs() < pendingFor { // of the future: by a clock that is right again
		return true
	}
	s := c.Live.Current()
	if p.made(s) {
		c.log(c.swap(ctx, c.state.entered(now, *p, c.state.Percent, s.Version)))
		return true
	}
	next := c.state
	next.Pending = nil
	if p.begun(s) { // and the brakes are on: nothing rises without somebody who looks
		next.Seen = s.Version
	}
	if p.Action == ActionStart {
		next = next.enter(Aborted, now, Stop{Reason: "the start was interrupted", By: p.Who})
	}
	c.log(c.swap(ctx, next))
	return true
}

// notice finds what was done to the split past the rollout.
func (c *Controller) notice(ctx context.Context, now time.Time) bool {
	s := c.Live.Current()
	switch {
	case s.Brake != nil && !c.ours(s.Brake) && s.Brake.By == guardName && c.state.Phase != Idle && c.state.Phase != Aborted && !c.state.isBack(s):
		return c.noticeTrip(ctx, now, s)
	case !c.state.Phase.underway():
		return false
	case s.Brake != nil && !c.ours(s.Brake):
		reason := fmt.Sprintf("%s has pulled the brake: %s", s.Brake.By, s.Brake.Reason)
		c.log(c.swap(ctx, c.state.hold(now, reason, s.Brake.By, c.state.Percent, s.Applied())))
	case s.Version != c.state.Seen:
		reason := fmt.Sprintf("%s has changed the split from %s %% to %s %% (version %d): %s", s.ChangedBy, c.state.Percent, s.SESPercent, s.Version, s.Reason)
		c.log(c.swap(ctx, c.state.hold(now, reason, s.ChangedBy, c.state.Percent, s.Applied())))
	default:
		return false
	}
	return true
}

// noticeTrip records a guard's brake whose instance could not do so itself.
func (c *Controller) noticeTrip(ctx context.Context, now time.Time, s *split.Snapshot) bool {
	at := c.arrived(now, s.Brake)
	if now.Sub(maxTime(at, c.well)) < pendingFor {
		return true // it may be about to
	}
	t := Trip{At: at, Instance: "another instance", From: c.state.Percent, To: s.Ceiling, Reasons: []Name{}, Text: strings.TrimPrefix(s.Brake.Reason, "rollback: ")}
	c.log(c.swap(ctx, c.state.tripped(t, s.Brake, nil)))
	return true
}

// arrived is when a brake was pulled; of one that was stamped by a clock ahead
// of this one's, when it was seen here first.
func (c *Controller) arrived(now time.Time, b *split.Brake) time.Time {
	if !b.At.After(now) {
		return b.At
	}
	if !c.ahead.stamp.Equal(b.At) {
		c.ahead.stamp, c.ahead.seen = b.At, now
	}
	return c.ahead.seen
}

// ours reports whether a brake is the one that the rollout knows of.
func (c *Controller) ours(b *split.Brake) bool {
	own := c.state.Brake
	return own != nil && b != nil && own.By == b.By && own.Reason == b.Reason && own.At.Equal(b.At)
}

// lower brings the requested share down to where a rollback or an abort went,
// so that whoever releases the brake does not jump back up.
func (c *Controller) lower(ctx context.Context) bool {
	s := c.Live.Current()
	if c.state.Phase != RolledBack && c.state.Phase != Aborted || s.SESPercent <= c.state.Percent || s.Version != c.state.Seen {
		return false
	}
	why := "lowered to where the rollback went"
	if c.state.Phase == Aborted {
		why = "lowered by the abort"
	}
	now, err := c.Live.Set(ctx, s.Version, c.state.Percent, why, rolloutName)
	if err != nil && !errors.Is(err, split.ErrNotSaved) {
		c.log(err)
		return true
	}
	next := c.state
	next.Seen = now.Version
	c.log(c.swap(ctx, next))
	return true
}

// judgeGate judges the stage in force.
func (c *Controller) judgeGate(now time.Time) {
	st, ok := c.current(now)
	if !ok {
		c.gate = newJudgement()
		c.gate.hold("no step is in force")
		return
	}
	f := &Figures{Counts: st.Counts, Events: st.Events, Long: st.Events}
	s := c.settings.Load()
	c.gate = s.Gate.Judge(f, &c.guard)
	switch why := c.unread(); {
	case c.Events == nil:
	case why != "":
		c.gate.unread(why) // and the guard has judged without it
	case !c.events.readSince(now.Add(-max(staleAfter, 3*c.ReadEvery))):
		c.gate.hold(stale)
	case c.early(now):
		c.gate.hold(early)
	}
	if next := nextSet(c.state.Steps, c.state.Index); next >= 0 && c.Plan != nil {
		if err := c.Plan(*c.state.Steps[next].Set); err != nil {
			c.gate.hold("the plan: " + err.Error())
		}
	}
}

// current is the stage in force with all that was counted until now.
func (c *Controller) current(now time.Time) (Stage, bool) {
	if _, ok := c.state.stage(); !ok {
		return Stage{}, false
	}
	s := c.foldEvents(c.flushed(c.state))
	st := s.Stages[len(s.Stages)-1]
	if c.Events != nil {
		recent := c.events.sum(maxTime(st.Since, st.EventsTo), now.Add(time.Hour))
		if st.Events != nil {
			recent.Add(*st.Events)
		}
		st.Events = recent
	}
	return st, true
}

// pass goes to the next step, or ends the rollout after the last.
func (c *Controller) pass(ctx context.Context, now time.Time) {
	o := Order{Who: rolloutName, Reason: "the gate has passed"}
	next := nextSet(c.state.Steps, c.state.Index)
	if next < 0 {
		c.log(c.swap(ctx, c.state.completed(now, ActionComplete, o, c.gate.Criteria)))
		return
	}
	o.Reason = fmt.Sprintf("the gate at %s %% has passed", c.state.Percent)
	c.log(c.apply(ctx, now, c.state, next, ActionAdvance, o))
}

// apply puts a step in force: the intention is stored, then the split changed,
// then the result stored. A crash between two of them is settled later.
func (c *Controller) apply(ctx context.Context, now time.Time, from State, index int, action Action, o Order) error {
	s := c.Live.Current() // the brakes in it, and no later one, are released
	if err := c.free(s, action); err != nil {
		return err
	}
	percent := *from.Steps[index].Set
	if c.Plan != nil && !o.Force && percent > s.Applied() {
		if err := c.Plan(percent); err != nil {
			return err
		}
	}
	p := Pending{Index: index, Percent: percent, Base: s.Version, Brakes: s.Brakes(), Action: action, Who: o.Who, Reason: o.Reason, At: now, Gate: c.gate.Criteria}
	before, begun := c.state, from
	begun.Pending = &p
	if err := c.swap(ctx, begun); err != nil {
		return err
	}
	version, err := c.move(ctx, s, percent, o)
	switch {
	case version == 0:
		before.Pending = nil
		return errors.Join(err, c.swap(ctx, before))
	case err != nil:
		return err // of the brakes' release, which may have been made: settle sees
	}
	return c.swap(ctx, c.state.entered(c.Now(), p, s.Applied(), version))
}

// move changes the split. The brakes that were on in s come off last, so that
// nothing is ever above the step; one that was pulled since stays. A version
// beside an error: the share was set, and the brakes may be on.
func (c *Controller) move(ctx context.Context, s *split.Snapshot, percent split.Percent, o Order) (version int64, err error) {
	now, err := c.Live.Set(ctx, s.Version, percent, "rollout: "+o.Reason, o.Who)
	if err != nil && !errors.Is(err, split.ErrNotSaved) {
		return 0, err
	}
	if now.Brake == nil {
		return now.Version, nil
	}
	released, err := c.Live.ReleaseKnown(ctx, now.Version, s.Brakes(), "rollout: "+o.Reason, o.Who)
	if err != nil && !errors.Is(err, split.ErrNotSaved) {
		return now.Version, err
	}
	return released.Version, nil
}

func (c *Controller) log(err error) {
	if err != nil && !errors.Is(err, ErrBusy) {
		c.Log.Warn("rollout: not done, it is tried again", "error", err.Error())
	}
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
