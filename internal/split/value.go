package split

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Value is one version of the live split.
type Value struct {
	Version    int64     `json:"version"`     // 0: never set, the configuration's value
	SESPercent Percent   `json:"ses_percent"` // as requested
	Reason     string    `json:"reason"`
	ChangedBy  string    `json:"changed_by"`
	ChangedAt  time.Time `json:"changed_at"`
}

// Brake says who pulled the brake, why and when.
type Brake struct {
	By      string    `json:"by"`
	Reason  string    `json:"reason"`
	At      time.Time `json:"at"`
	Ceiling Percent   `json:"ceiling"` // of the share of SES while it is on
}

// maxVersion is more than a change a second would reach, and leaves room: a
// version out of a damaged store must not end the counting.
const maxVersion = 1 << 52

// State is all that a Store keeps of the split besides its history.
type State struct {
	Value
	Previous *Percent `json:"previous,omitempty"` // what Undo returns to
	Ceiling  Percent  `json:"ceiling"`            // the lowest of Pulls; Full: the brake is off
	Brake    *Brake   `json:"brake,omitempty"`    // the first of Pulls, for people
	Pulls    []Pull   `json:"pulls,omitempty"`    // what holds the brake on, the strictest first
	Lifted   []Lift   `json:"lifted,omitempty"`   // what releases have taken off
}

// Applied is the percentage in force: the requested one, under the ceiling.
func (s *State) Applied() Percent { return min(s.SESPercent, s.Ceiling) }

// check reports what no relay could have written.
func (s *State) check() error {
	switch {
	case s.Version < 0 || s.Version > maxVersion:
		return fmt.Errorf("version %d is not between 0 and %d", s.Version, int64(maxVersion))
	case !s.SESPercent.Valid():
		return fmt.Errorf("ses_percent %s is not between 0 and 100", s.SESPercent)
	case !s.Ceiling.Valid():
		return fmt.Errorf("ceiling %s is not between 0 and 100", s.Ceiling)
	case s.Previous != nil && !s.Previous.Valid():
		return fmt.Errorf("previous %s is not between 0 and 100", *s.Previous)
	}
	return s.checkBrakes()
}

// raises reports whether next lets more mail to SES than s, now or once the
// brake is released. Only such a change may be refused for want of disk space.
func (s *State) raises(next *State) bool {
	return next.SESPercent > s.SESPercent || next.Ceiling > s.Ceiling
}

// Action names a kind of change.
type Action string

// The actions in the history.
const (
	ActionSet     Action = "set"
	ActionUndo    Action = "undo"
	ActionBrake   Action = "brake"
	ActionRelease Action = "release"
)

// Change is one line of the history. For set and undo, Before and After are
// requested percentages; for brake and release, applied ones.
type Change struct {
	At      time.Time `json:"at"`
	Who     string    `json:"who"`
	Action  Action    `json:"action"`
	Reason  string    `json:"reason"`
	Before  Percent   `json:"before"`
	After   Percent   `json:"after"`
	Version int64     `json:"version"` // in force afterwards
}

// Errors of a change. ErrNotSaved comes together with the new value: it is in
// force here, and a restart would forget it.
var (
	ErrStale    = errors.New("the split has changed meanwhile: read it again and repeat")
	ErrReason   = errors.New("a reason is required: say in a few words why the split changes")
	ErrWho      = errors.New("it is not known who asks for the change")
	ErrRange    = errors.New("write a number from 0 to 100 in steps of 0.01")
	ErrNoUndo   = errors.New("there is no earlier value to return to")
	ErrNoBrake  = errors.New("the brake is not on")
	ErrNotSaved = errors.New("in force, but not saved: a restart would forget it")
	ErrRefused  = errors.New("the change could not be saved and was not made")
)

// maxText bounds who and why.
const maxText = 500

// notText finds control characters, line ends of Unicode among them, and what
// turns the direction of writing: a terminal or a page would show another text
// than the one that was written.
func notText(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
}

// clean trims a reason or name and refuses what has no place in a log line.
func clean(s string, missing error) (string, error) {
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		return "", missing
	case len(s) > maxText:
		return "", fmt.Errorf("%w (at most %d bytes)", missing, maxText)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, notText):
		return "", fmt.Errorf("%w (one line, without control characters)", missing)
	}
	return s, nil
}
