package rollout

import (
	"fmt"
	"slices"
	"time"

	"sesrelay/internal/split"
)

// State is all that is kept of a rollout. Its methods return the next one and
// change nothing themselves: whoever stores it compares versions and swaps.
type State struct {
	Version int64     `json:"version"` // 0: never stored
	Phase   Phase     `json:"phase"`
	Since   time.Time `json:"since"` // of the phase
	Steps   []Step    `json:"steps"` // as they were when it started
	Index   int       `json:"index"` // last step that was entered; -1: none

	Percent   split.Percent `json:"percent"`    // of the step in force
	StepSince time.Time     `json:"step_since"` // zero: no step yet
	Seen      int64         `json:"seen"`       // version of the split that is the rollout's own; another one was made by hand
	Until     time.Time     `json:"until"`      // end of the pause that runs; zero: none

	Interrupted Phase         `json:"interrupted,omitempty"` // what pause or hold has stopped: running, gating, or paused at an open pause
	Left        time.Duration `json:"left,omitempty"`        // of the pause that was stopped

	StartedAt time.Time `json:"started_at"`
	StartedBy string    `json:"started_by"`
	Reason    string    `json:"reason"`
	Stop      Stop      `json:"stop"` // why it stands still

	Pending  *Pending        `json:"pending,omitempty"` // a change of the split that was begun
	Good     []split.Percent `json:"good"`              // shares whose gate has passed, or that somebody promoted
	Brake    *split.Brake    `json:"brake,omitempty"`   // the one that rollback or abort has pulled
	Trips    int             `json:"trips"`
	LastTrip *Trip           `json:"last_trip,omitempty"`

	Stages    []Stage    `json:"stages"`    // of this rollout, oldest first
	Counted   time.Time  `json:"counted"`   // what was counted until then is in them
	Decisions []Decision `json:"decisions"` // oldest first, at most maxDecisions
}

// Stop says why a rollout stands still.
type Stop struct {
	Reason string `json:"reason,omitempty"`
	By     string `json:"by,omitempty"`
}

// Pending is written before the split is changed, so that whoever finds it
// after a crash knows that the change was the rollout's own.
type Pending struct {
	Index   int           `json:"index"`
	Percent split.Percent `json:"percent"`
	Base    int64         `json:"base"`             // version of the split before
	Brakes  []string      `json:"brakes,omitempty"` // that were on, and come off by a second change
	Action  Action        `json:"action"`
	Who     string        `json:"who"`
	Reason  string        `json:"reason"`
	At      time.Time     `json:"at"`
	Gate    []Criterion   `json:"gate"`
}

// begun reports whether the first change of a step was made and no other since:
// the share is asked for, and brakes that have to come off are on.
func (p *Pending) begun(s *split.Snapshot) bool {
	return s.Version == p.Base+1 && s.SESPercent == p.Percent && s.ChangedBy == p.Who
}

// made reports whether the whole step is in force.
func (p *Pending) made(s *split.Snapshot) bool {
	if len(p.Brakes) == 0 {
		return p.begun(s)
	}
	on := slices.ContainsFunc(s.Brakes(), func(name string) bool { return slices.Contains(p.Brakes, name) })
	return s.Version == p.Base+2 && s.SESPercent == p.Percent && s.ChangedBy == p.Who && !on
}

// Bounds of what is kept.
const (
	maxDecisions = 200
	maxStages    = 100
)

// newState is a rollout that was never started.
func newState(now time.Time) State { return State{Phase: Idle, Since: now, Index: -1} }

// enter is next in a phase.
func (s State) enter(p Phase, now time.Time, stop Stop) State {
	if s.Phase != p {
		s.Phase, s.Since = p, now
	}
	s.Stop = stop
	if p != Running {
		s.Until = time.Time{}
	}
	if p != Paused && p != Held {
		s.Interrupted, s.Left = "", 0
	}
	return s
}

// decided adds a line to the record. From is the share before, To the one afterwards.
func (s State) decided(d Decision) State {
	d.Phase, d.Step = s.Phase, s.Index
	if d.Criteria == nil {
		d.Criteria = []Criterion{}
	}
	keep := s.Decisions[max(0, len(s.Decisions)-maxDecisions+1):]
	s.Decisions = append(slices.Clone(keep), d)
	return s
}

// same reports whether two lines of a record are one.
func (d *Decision) same(o *Decision) bool {
	return d.At.Equal(o.At) && d.Action == o.Action && d.Who == o.Who
}

// last is the newest line of the record; nil: there is none.
func (s *State) last() *Decision {
	if n := len(s.Decisions); n > 0 {
		return &s.Decisions[n-1]
	}
	return nil
}

// decision is the line that the record of s has at its end beyond that of old.
func (s *State) decision(old *State) (Decision, bool) {
	d, was := s.last(), old.last()
	if d == nil || was != nil && d.same(was) {
		return Decision{}, false
	}
	return *d, true
}

// has reports whether a line is in the record.
func (s *State) has(d *Decision) bool {
	return slices.ContainsFunc(s.Decisions, func(o Decision) bool { return o.same(d) })
}

// knows reports whether the last decision of o is in the record of s, or too
// old to be in it.
func (s *State) knows(o *State) bool {
	d := o.last()
	return d == nil || s.has(d) || len(s.Decisions) >= maxDecisions && d.At.Before(s.Decisions[0].At)
}

// prevails reports whether s, which an instance holds, counts and not o, which
// the store has: a store that was restored, or failed over with writes lost.
// The higher version wins, as with the split; but an order or a guard that has
// stopped the rollout is not undone by somebody who never knew of it.
func (s *State) prevails(o *State) bool {
	switch {
	case s.Phase.still() && !o.Phase.still() && !o.knows(s):
		return true
	case o.Phase.still() && !s.Phase.still() && !s.knows(o):
		return false
	}
	return s.Version > o.Version
}

// start forgets the rollout before, and nothing of the record.
func (s State) start(now time.Time, steps []Step, o Order) State {
	s = s.enter(Gating, now, Stop{})
	s.Steps, s.Index, s.Percent, s.StepSince = steps, -1, 0, time.Time{}
	s.StartedAt, s.StartedBy, s.Reason = now, o.Who, o.Reason
	s.Good, s.Stages = nil, nil
	return s
}

// entered puts the step of a change that was made in force, and goes on to what
// follows it: a pause, the next gate, or the last one.
func (s State) entered(now time.Time, p Pending, from split.Percent, version int64) State {
	if p.Index > s.Index && s.Index >= 0 && (p.Action == ActionAdvance || p.Action == ActionPromote) {
		s.Good = append(slices.Clone(s.Good), s.Percent)
	}
	s = s.leaveStage(now, p.Action, p.Who, p.Reason, p.Gate)
	s.Pending, s.Seen = nil, version
	s.Index, s.Percent, s.StepSince = p.Index, p.Percent, now
	s.Stages = append(slices.Clone(s.Stages[max(0, len(s.Stages)-maxStages+1):]),
		Stage{Percent: p.Percent, Since: now, Entered: p.Action, EnteredBy: p.Who, Why: p.Reason})
	s = s.follow(now)
	return s.decided(Decision{At: now, Action: p.Action, Who: p.Who, Reason: p.Reason, From: from, To: p.Percent, Criteria: p.Gate})
}

// follow enters what comes after the step of Index: a pause, or a gate.
func (s State) follow(now time.Time) State {
	next := s.Index + 1
	switch {
	case next >= len(s.Steps) || s.Steps[next].Set != nil:
		return s.enter(Gating, now, Stop{})
	case s.Steps[next].Pause == 0:
		s.Index = next
		return s.open(now)
	}
	s.Index = next
	s = s.enter(Running, now, Stop{})
	s.Since, s.Until = now, now.Add(s.Steps[next].Pause)
	return s
}

// open enters a pause that has no end.
func (s State) open(now time.Time) State {
	s = s.enter(Paused, now, Stop{Reason: "this pause has no end: look, then promote or resume", By: "steps"})
	s.Interrupted = Paused
	return s
}

// pause stops the time, and leaves the share.
func (s State) pause(now time.Time, o Order) (State, error) {
	switch s.Phase {
	case Paused:
		return s, nil
	case Running, Gating:
		s = s.interrupt(Paused, now, Stop{Reason: o.Reason, By: o.Who})
		return s.decided(Decision{At: now, Action: ActionPause, Who: o.Who, Reason: o.Reason, From: s.Percent, To: s.Percent}), nil
	}
	return s, s.refuse("pause")
}

// hold stops it because somebody else has moved the split.
func (s State) hold(now time.Time, reason, by string, from, to split.Percent) State {
	s.Pending = nil
	s = s.interrupt(Held, now, Stop{Reason: reason, By: by})
	return s.decided(Decision{At: now, Action: ActionHold, Who: by, Reason: reason, From: from, To: to})
}

// interrupt keeps what resume goes on with.
func (s State) interrupt(p Phase, now time.Time, stop Stop) State {
	what, left := s.Interrupted, s.Left
	if s.Phase == Running || s.Phase == Gating {
		what, left = s.Phase, 0
		if !s.Until.IsZero() {
			left = max(0, s.Until.Sub(now))
		}
	}
	s = s.enter(p, now, stop)
	s.Interrupted, s.Left = what, left
	return s
}

// proceed goes on with what was interrupted. The share is in force.
func (s State) proceed(now time.Time) State {
	what, left := s.Interrupted, s.Left
	switch what {
	case Running:
		s = s.enter(Running, now, Stop{})
		s.Until = now.Add(left)
		return s
	case Paused: // an open pause: its own resume ends it, that of a hold in it does not
		if s.Phase == Held {
			return s.open(now)
		}
		return s.follow(now)
	}
	return s.enter(Gating, now, Stop{})
}

// resumed is proceed after a pause, with its line in the record.
func (s State) resumed(now time.Time, o Order) State {
	s = s.proceed(now)
	return s.decided(Decision{At: now, Action: ActionResume, Who: o.Who, Reason: o.Reason, From: s.Percent, To: s.Percent})
}

// pauseOver ends a timed pause.
func (s State) pauseOver(now time.Time) (State, bool) {
	if s.Phase != Running || now.Before(s.Until) {
		return s, false
	}
	return s.follow(now), true
}

// completed ends a rollout whose last gate has passed, or was passed by hand.
func (s State) completed(now time.Time, action Action, o Order, gate []Criterion) State {
	s.Good = append(slices.Clone(s.Good), s.Percent)
	if n := len(s.Stages); n > 0 {
		s.Stages = slices.Clone(s.Stages)
		s.Stages[n-1].Gate = gate
	}
	s = s.enter(Completed, now, Stop{})
	return s.decided(Decision{At: now, Action: action, Who: o.Who, Reason: o.Reason, From: s.Percent, To: s.Percent, Criteria: gate})
}

// aborted gives it up.
func (s State) aborted(now time.Time, o Order, from split.Percent, b *split.Brake) State {
	s = s.leaveStage(now, ActionAbort, o.Who, o.Reason, nil)
	s.Pending, s.Brake = nil, b
	s.Index, s.Percent, s.StepSince, s.Good = -1, 0, time.Time{}, nil
	s = s.enter(Aborted, now, Stop{Reason: orElse(o.Reason, "no reason given"), By: o.Who})
	return s.decided(Decision{At: now, Action: ActionAbort, Who: o.Who, Reason: o.Reason, From: from, To: 0})
}

// target says where a rollback goes. A second trip soon after the first, and
// every one outside of a rollout, goes to 0.
func (s *State) target(now time.Time, applied split.Percent, toZero bool, soon time.Duration) split.Percent {
	if toZero || s.LastTrip != nil && now.Sub(s.LastTrip.At) < soon {
		return 0
	}
	best := split.Percent(0)
	for _, p := range s.Good {
		if p < applied {
			best = max(best, p)
		}
	}
	return best
}

// tripped records that the guard has put the split back. Outside of a rollout
// the phase stays.
func (s State) tripped(t Trip, b *split.Brake, criteria []Criterion) State {
	s.Pending, s.Brake = nil, b
	s.Trips++
	s.LastTrip = &t
	if s.Phase != Idle && s.Phase != Aborted {
		s = s.leaveStage(t.At, ActionRollback, guardName, t.Text, criteria)
		s.Index, s.Percent, s.StepSince = stepAt(s.Steps, t.To), t.To, t.At
		if t.To == 0 {
			s.Index, s.Good = -1, nil
		}
		s.Good = slices.DeleteFunc(slices.Clone(s.Good), func(p split.Percent) bool { return p > t.To })
		if t.To > 0 {
			s.Stages = append(s.Stages, Stage{Percent: t.To, Since: t.At, Entered: ActionRollback, EnteredBy: guardName, Why: t.Text})
		}
		s = s.enter(RolledBack, t.At, Stop{Reason: t.Text, By: guardName})
	}
	return s.recorded(t, criteria)
}

// isBack reports whether a rollback is on record that has brought the share to
// where the guards' brakes hold it: each instance pulls its own while they do
// not reach each other.
func (s *State) isBack(cur *split.Snapshot) bool {
	return s.Phase == RolledBack && cur.Ceiling >= s.Percent
}

// tripBefore records a trip that something later has followed.
func (s State) tripBefore(t Trip, criteria []Criterion) State {
	s.Trips++
	return s.recorded(t, criteria)
}

func (s State) recorded(t Trip, criteria []Criterion) State {
	return s.decided(Decision{At: t.At, Action: ActionRollback, Who: guardName + " of " + t.Instance, Reason: t.Text, From: t.From, To: t.To, Criteria: criteria})
}

// refuse says that an order does not fit the phase, and what does.
func (s *State) refuse(what string) error {
	return fmt.Errorf("%w: %s, and the rollout is %s; %s", ErrPhase, what, s.Phase, s.nextCommand())
}

// nextCommand is what moves a rollout that stands still.
func (s *State) nextCommand() string {
	switch s.Phase {
	case Idle, Aborted, Completed:
		return `relay rollout start --reason "..."`
	case Paused, Held, RolledBack:
		return `relay rollout resume --reason "..."`
	}
	return `relay rollout promote --reason "..."`
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
