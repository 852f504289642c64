package rollout

import (
	"slices"
	"time"

	"sesrelay/internal/split"
)

// Stage is what is kept of the time in which one share was in force.
type Stage struct {
	Percent   split.Percent `json:"percent"`
	Since     time.Time     `json:"since"`
	Until     time.Time     `json:"until"` // zero: in force
	Entered   Action        `json:"entered"`
	EnteredBy string        `json:"entered_by"`
	Why       string        `json:"why"`
	Left      Action        `json:"left,omitempty"`
	LeftBy    string        `json:"left_by,omitempty"`
	LeftWhy   string        `json:"left_why,omitempty"`

	Counts   Counts      `json:"counts"`
	Events   *Reported   `json:"events,omitempty"` // nil: rollout.events is none
	EventsTo time.Time   `json:"events_to"`        // Events hold what was reported before
	Late     *Reported   `json:"late,omitempty"`   // after that, read again until a day after the stage was left
	Quota    QuotaReport `json:"quota"`
	Gate     []Criterion `json:"gate,omitempty"`
}

// leaveStage closes the stage that is in force.
func (s State) leaveStage(now time.Time, a Action, who, why string, gate []Criterion) State {
	n := len(s.Stages)
	if n == 0 || !s.Stages[n-1].Until.IsZero() {
		return s
	}
	s.Stages = slices.Clone(s.Stages)
	last := &s.Stages[n-1]
	last.Until, last.Left, last.LeftBy, last.LeftWhy = now, a, who, why
	if gate != nil {
		last.Gate = gate
	}
	return s
}

// stage returns a copy of the stage in force; false when there is none.
func (s *State) stage() (Stage, bool) {
	if n := len(s.Stages); n > 0 && s.Stages[n-1].Until.IsZero() {
		return s.Stages[n-1], true
	}
	return Stage{}, false
}

// withStage is s with the stage in force replaced.
func (s State) withStage(st Stage) State {
	s.Stages = slices.Clone(s.Stages)
	s.Stages[len(s.Stages)-1] = st
	return s
}

func (st *Stage) report() StageReport {
	r := StageReport{Percent: st.Percent, Since: st.Since, EnteredBy: st.EnteredBy, Entered: st.Entered, Why: st.Why,
		LeftBy: st.LeftBy, Left: st.Left, LeftWhy: st.LeftWhy, Quota: st.Quota, Gate: st.Gate,
		SES: st.Counts.SES.report(), Cuenote: st.Counts.Cuenote.report(),
		Acceptance: percentOf(st.Counts.SES.Accepted, st.Counts.SES.answers())}
	if r.Gate == nil {
		r.Gate = []Criterion{}
	}
	if !st.Until.IsZero() {
		r.Until = &st.Until
	}
	if e := st.events(); e != nil {
		r.Events = &EventsReport{Reported: *e, Success: percentOf(e.Delivery, e.Delivery+e.failed()),
			Bounced: percentOf(e.Bounce, e.Delivery+e.Bounce), Complained: percentOf(e.Complaint, e.Delivery)}
	}
	return r
}

// events are all that is known of a stage that is over.
func (st *Stage) events() *Reported {
	if st.Events == nil && st.Late == nil {
		return nil
	}
	var sum Reported
	for _, r := range []*Reported{st.Events, st.Late} {
		if r != nil {
			sum.Add(*r)
		}
	}
	return &sum
}

func (h *Hop) report() HopReport {
	return HopReport{Accepted: h.Accepted, Failed: h.Failed, Unknown: h.Unknown, OverQuota: h.OverQuota, DeferredFirst: h.DeferredFirst,
		Delay: h.Delay.quantiles(delayScale), Latency: h.Latency.quantiles(latencyScale)}
}
