package rollout

import (
	"context"
	"slices"
	"time"
)

// maxShown bounds the decisions of a view; the report has them all.
const maxShown = 30

// View returns what was seen at the last look, at most a second ago.
func (c *Controller) View(context.Context) View { return *c.view.Load() }

// show makes the view. The caller holds mu.
func (c *Controller) show(now time.Time) {
	foreseen := c.foreseen()
	s, set := &foreseen, c.settings.Load()
	v := &View{Applied: c.Live.Current().Applied(), Unsaved: c.giving != nil || len(c.unsaved) > 0, Phase: s.Phase, Since: s.Since, Step: s.Index, Steps: c.steps(), Percent: s.Percent,
		StepSince: given(s.StepSince), Until: given(s.Until), StartedAt: given(s.StartedAt), StartedBy: s.StartedBy, Reason: s.Reason,
		Gate:       GateView{Judgement: c.gate, ByItself: c.Events != nil},
		Guard:      GuardView{Armed: set.Armed, Window: set.Window.String(), BlindToDelivery: c.Events == nil, Judgement: c.guard, Trips: s.Trips, LastTrip: s.LastTrip},
		RollbackTo: "previous",
		Events:     c.eventsView(),
		Rehearsal:  c.tried.rehearsal(), // before the first step
		Controller: ControllerView{Instance: c.Lease.Holder(), Here: c.leads},
		Version:    s.Version, Decisions: []Decision{}}
	if c.trouble != nil {
		v.Trouble = storeAway
	}
	if set.ToZero {
		v.RollbackTo = "zero"
	}
	if s.Stop.Reason != "" {
		v.Hold = &HoldView{Reason: s.Stop.Reason, By: s.Stop.By, At: s.Since, Next: s.nextCommand()}
	}
	if st, ok := c.current(now); ok && st.Counts.Judged > 0 {
		v.Rehearsal = st.Counts.rehearsal()
	}
	for i := len(s.Decisions) - 1; i >= 0 && len(v.Decisions) < maxShown; i-- {
		v.Decisions = append(v.Decisions, s.Decisions[i])
	}
	c.view.Store(v)
}

// storeAway is said to whoever looks; the log has the cause.
const storeAway = "the state of the rollout cannot be read: nothing moves by itself, guard and abort work"

// foreseen is the state with the abort and the trips in it that are in force
// here and that the store does not have yet: what whoever has just given an
// order has to see.
func (c *Controller) foreseen() State {
	stored := c.state
	defer func() { c.state = stored }()
	if a := c.giving; a != nil && (c.state.Phase != Aborted || a.brake != nil) {
		c.state = c.state.aborted(c.Now(), a.order, a.from, a.brake)
	}
	for i := range c.unsaved {
		if next, is := c.told(&c.unsaved[i]); is {
			c.state = next
		}
	}
	return c.state
}

// steps are those of the rollout or, before one, those that start would take.
func (c *Controller) steps() []StepView {
	steps, index := c.state.Steps, c.state.Index
	if len(steps) == 0 || c.state.Phase == Idle || c.state.Phase == Aborted {
		steps, index = c.settings.Load().Steps, -1
	}
	out := make([]StepView, len(steps))
	for i, s := range steps {
		out[i].State = StepTodo
		switch {
		case i == index && c.state.Phase != Completed:
			out[i].State = StepCurrent
		case i <= index:
			out[i].State = StepDone
		}
		if out[i].SetPercent = s.Set; s.Set == nil {
			text := ""
			if s.Pause > 0 {
				text = s.Pause.String()
			}
			out[i].Pause = &text
		}
	}
	return out
}

func (c *Controller) eventsView() EventsView {
	if c.Events == nil {
		return EventsView{Source: "none"}
	}
	v := EventsView{Source: "cloudwatch", Trouble: c.events.problem()}
	if end, any := c.events.newest(); any {
		v.LastData = &end
	}
	return v
}

// Report returns the stage report.
func (c *Controller) Report(ctx context.Context) Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, s := c.Now(), c.state
	r := Report{At: now, Phase: s.Phase, StartedAt: given(s.StartedAt), StartedBy: s.StartedBy, Reason: s.Reason,
		Stages: []StageReport{}, Trips: s.Trips, Decisions: slices.Clone(s.Decisions)}
	if r.Decisions == nil {
		r.Decisions = []Decision{}
	}
	var all Counts
	for i := range s.Stages {
		st := s.Stages[i]
		if st.Until.IsZero() {
			st, _ = c.current(now)
			st.Gate = c.gate.Criteria
		}
		all.add(&st.Counts, 1)
		r.Stages = append(r.Stages, st.report())
	}
	if r.Rehearsal = all.rehearsal(); all.Judged == 0 { // before the first step
		r.Rehearsal = c.tried.rehearsal()
	}
	return r
}

// given is nil for the zero time.
func given(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
