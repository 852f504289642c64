package quota

import "time"

// The rate after SES has throttled: multiplied once, then added to.
const (
	paceCut     = 0.7             // what is left of the rate
	paceHold    = time.Second     // answers within it belong to the same cut: many calls are in flight
	paceRecover = 0.02            // of the full rate, regained each second: 15 s from 0.7 to 1
	paceFloor   = 0.05            // of the full rate: mail must go on probing
	recheckDay  = 5 * time.Minute // until mail tries again after "Daily message quota exceeded"
)

// pace is the part of the full rate that is used, 0.05 to 1. The zero pace is 1.
type pace struct {
	lost float64 // 1 minus the part, at since
	at   time.Time
}

// part returns the part in use at t.
func (p *pace) part(t time.Time) float64 {
	lost := p.lost
	if lost > 0 && t.After(p.at) {
		lost = max(0, lost-paceRecover*t.Sub(p.at).Seconds())
	}
	return 1 - lost
}

// cut makes the part smaller; false when it has just been cut.
func (p *pace) cut(t time.Time) bool {
	if !p.at.IsZero() && t.Sub(p.at) < paceHold {
		return false
	}
	p.lost, p.at = 1-max(paceFloor, p.part(t)*paceCut), t
	return true
}
