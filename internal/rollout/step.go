package rollout

import (
	"errors"
	"fmt"
	"time"

	"sesrelay/internal/split"
)

// Step is a share to set, or a pause.
type Step struct {
	Set   *split.Percent `json:"set_percent,omitempty"` // nil: a pause
	Pause time.Duration  `json:"pause,omitempty"`       // of a pause; 0: until somebody promotes
}

// SetPercent is the step that sets a share.
func SetPercent(p split.Percent) Step { return Step{Set: &p} }

// PauseFor is the step that waits; 0 waits until somebody promotes.
func PauseFor(d time.Duration) Step { return Step{Pause: d} }

// CheckSteps reports what is wrong with a list of steps: it has to begin with a
// share, and each share is above the one before.
func CheckSteps(steps []Step) error {
	if len(steps) == 0 {
		return errors.New("there are no steps")
	}
	last := split.Percent(0)
	for i, s := range steps {
		switch {
		case s.Set == nil && i == 0:
			return errors.New("steps[0] is a pause: begin with set_percent")
		case s.Set == nil && s.Pause < 0:
			return fmt.Errorf("steps[%d]: a pause of %s", i, s.Pause)
		case s.Set == nil:
		case !s.Set.Valid():
			return fmt.Errorf("steps[%d]: %s is not between 0 and 100", i, s.Set)
		case *s.Set <= last:
			return fmt.Errorf("steps[%d]: %s %% is not above the %s %% before", i, s.Set, last)
		default:
			last = *s.Set
		}
	}
	return nil
}

// nextSet returns the index of the first share after i; -1 when there is none.
func nextSet(steps []Step, i int) int {
	for n := i + 1; n < len(steps); n++ {
		if steps[n].Set != nil {
			return n
		}
	}
	return -1
}

// lastSet returns the index of the last share of all; -1 when there is none.
func lastSet(steps []Step) int {
	for n := len(steps) - 1; n >= 0; n-- {
		if steps[n].Set != nil {
			return n
		}
	}
	return -1
}

// stepAt returns the index of the highest share that is not above p; -1 when
// every share is.
func stepAt(steps []Step, p split.Percent) int {
	at := -1
	for n, s := range steps {
		if s.Set != nil && *s.Set <= p {
			at = n
		}
	}
	return at
}
