package rollout

// Phase is where a rollout stands. It is a metric label.
type Phase string

// The phases.
const (
	Idle       Phase = "idle"
	Running    Phase = "running"
	Gating     Phase = "gating"
	Paused     Phase = "paused"
	Held       Phase = "held"
	RolledBack Phase = "rolled_back"
	Aborted    Phase = "aborted"
	Completed  Phase = "completed"
)

// Phases are all phases, in the order in which a rollout meets them.
var Phases = []Phase{Idle, Running, Gating, Paused, Held, RolledBack, Aborted, Completed}

// underway reports whether the rollout owns the split: a change by hand holds it.
func (p Phase) underway() bool { return p == Running || p == Gating || p == Paused }

// still reports whether somebody or the guard has stopped the rollout.
func (p Phase) still() bool { return p == Paused || p == Held || p == RolledBack || p == Aborted }

// abortText begins the reason of an abort's brake.
const abortText = "rollout aborted: "

// Verdict is what a judge says. The worst of several counts.
type Verdict string

// The verdicts, best first.
const (
	Pass     Verdict = "pass"
	Hold     Verdict = "hold"
	Rollback Verdict = "rollback"
)

// worse returns the worse of two verdicts.
func (v Verdict) worse(o Verdict) Verdict {
	if v == Rollback || o == Rollback {
		return Rollback
	}
	if v == Hold || o == Hold {
		return Hold
	}
	return Pass
}

// Name is the name of a criterion, and the reason of a trip. It is a metric label.
type Name string

// The criteria.
const (
	Acceptance Name = "acceptance"
	Delay      Name = "delay"
	Success    Name = "success"
	Bounce     Name = "bounce"
	Complaint  Name = "complaint"
	NoData     Name = "no_data"
)

// Names are all criteria.
var Names = []Name{Acceptance, Delay, Success, Bounce, Complaint, NoData}

// Action is a kind of decision, and of notification. It is a metric label.
type Action string

// The actions.
const (
	ActionStart    Action = "start"
	ActionPause    Action = "pause"
	ActionResume   Action = "resume"
	ActionPromote  Action = "promote" // by hand, past pause and gate
	ActionAdvance  Action = "advance" // by itself: the gate has passed
	ActionHold     Action = "hold"
	ActionRollback Action = "rollback"
	ActionAbort    Action = "abort"
	ActionComplete Action = "complete"
)

// Actions are all actions.
var Actions = []Action{ActionStart, ActionPause, ActionResume, ActionPromote, ActionAdvance, ActionHold, ActionRollback, ActionAbort, ActionComplete}

// Units of a criterion.
const (
	Percent = "percent"
	Seconds = "seconds"
)

// Who decides when nobody does: names in the history of the split.
const (
	guardName   = "guard"
	rolloutName = "rollout"
)
