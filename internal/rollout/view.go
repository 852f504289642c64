package rollout

import (
	"time"

	"sesrelay/internal/split"
)

// View is GET /v1/rollout, and the answer of every path that moves a rollout.
type View struct {
	Phase      Phase          `json:"phase"`
	Since      time.Time      `json:"since"` // of the phase
	Step       int            `json:"step"`  // index into steps; -1: none yet
	Steps      []StepView     `json:"steps"`
	Percent    split.Percent  `json:"percent"`    // of the step in force
	StepSince  *time.Time     `json:"step_since"` // since when; null: no step yet
	Until      *time.Time     `json:"until"`      // end of the pause that runs; null: none
	StartedAt  *time.Time     `json:"started_at"`
	StartedBy  string         `json:"started_by"`
	Reason     string         `json:"reason"` // of the start
	Hold       *HoldView      `json:"hold"`   // why it stands still; null: it does not
	Gate       GateView       `json:"gate"`
	Guard      GuardView      `json:"guard"`
	RollbackTo string         `json:"rollback_to"` // previous or zero
	Events     EventsView     `json:"events"`
	Rehearsal  RehearsalView  `json:"rehearsal"`
	Controller ControllerView `json:"controller"`
	Applied    split.Percent  `json:"applied"`   // share of SES in force now, under the brake
	Unsaved    bool           `json:"unsaved"`   // an abort or a trip is in force, is shown here and is not stored yet
	Trouble    string         `json:"trouble"`   // why the stored state cannot be read; "" when it can
	Version    int64          `json:"version"`   // of the rollout's state
	Decisions  []Decision     `json:"decisions"` // newest first
}

// StepView is one step and where it stands.
type StepView struct {
	SetPercent *split.Percent `json:"set_percent"` // null: a pause
	Pause      *string        `json:"pause"`       // such as "168h0m0s"; "" waits for promote; null: a percentage
	State      string         `json:"state"`       // done, current or todo
}

// The states of a step.
const (
	StepDone    = "done"
	StepCurrent = "current"
	StepTodo    = "todo"
)

// HoldView says why a rollout stands still, and what moves it.
type HoldView struct {
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Next   string    `json:"next"` // the command that goes on
}

// GateView is the gate before the next step, judged over the step in force.
type GateView struct {
	Judgement
	ByItself bool `json:"by_itself"` // false: blind to delivery, and only promote passes it
}

// GuardView is the guard, judged over its window.
type GuardView struct {
	Armed           bool   `json:"armed"`
	Window          string `json:"window"`            // that it judges, such as "5m0s"
	BlindToDelivery bool   `json:"blind_to_delivery"` // rollout.events is none: bounces and complaints are not seen
	Judgement
	Trips    int   `json:"trips"`
	LastTrip *Trip `json:"last_trip"`
}

// Trip is one time that the guard put the split back.
type Trip struct {
	At       time.Time     `json:"at"`
	Instance string        `json:"instance"` // that saw it
	From     split.Percent `json:"from"`
	To       split.Percent `json:"to"`
	Reasons  []Name        `json:"reasons"`
	Text     string        `json:"text"`
}

// EventsView is what SES reports, and how fresh that is.
type EventsView struct {
	Source   string     `json:"source"`    // none or cloudwatch
	LastData *time.Time `json:"last_data"` // of the newest minute with data
	Trouble  string     `json:"trouble"`   // why it cannot be read; "" when it can
}

// RehearsalView is what split.rehearse has found since the step began: of the
// mail that did not go to SES, how much SES would have been asked to take.
type RehearsalView struct {
	Judged   int64            `json:"judged"`
	Fit      int64            `json:"fit"`
	Eligible *float64         `json:"eligible"` // percent; null: nothing was judged
	Reasons  map[string]int64 `json:"reasons"`  // of the rest
}

// ControllerView is the instance that decides.
type ControllerView struct {
	Instance string `json:"instance"` // "": none holds the lease now
	Here     bool   `json:"here"`
}

// Decision is one line of the record: who did what, why, and the figures at
// that moment.
type Decision struct {
	At       time.Time     `json:"at"`
	Action   Action        `json:"action"`
	Who      string        `json:"who"`
	Reason   string        `json:"reason"`
	Phase    Phase         `json:"phase"` // afterwards
	Step     int           `json:"step"`
	From     split.Percent `json:"from"` // applied before
	To       split.Percent `json:"to"`   // and afterwards
	Criteria []Criterion   `json:"criteria"`
}
