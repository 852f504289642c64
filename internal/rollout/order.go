package rollout

import "errors"

// Order is what somebody asks for: the body of POST /v1/rollout/....
type Order struct {
	Reason string `json:"reason"`
	Full   bool   `json:"full"`  // of promote: straight to the last step
	Force  bool   `json:"force"` // of start, resume and promote: past what the plan finds missing
	Who    string `json:"-"`
}

// Errors of an order.
var (
	ErrPhase = errors.New("the rollout is not in a phase for this")
	ErrBrake = errors.New("the brake is on, and not by the rollout: release it first with relay brake release")
	ErrGuard = errors.New("the guard would put it back at once")
	ErrStore = errors.New("the rollout's state could not be saved and nothing was changed")
	ErrBusy  = errors.New("the rollout has changed meanwhile: look again and repeat")
)
