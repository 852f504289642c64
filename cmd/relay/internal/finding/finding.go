// Package finding has the lines of relay check. One that is not ok cannot be
// made without what puts it right.
package finding

import "encoding/json"

// Level is how bad a finding is.
type Level string

// The levels.
const (
	LevelOK      Level = "ok"
	LevelWarning Level = "warning"
	LevelFail    Level = "fail"
	LevelSkipped Level = "skipped"
)

// Finding is one line of the table of checks. Its fields are set by the
// functions below and by nothing else.
type Finding struct {
	level        Level
	name, detail string
	remedy       Remedy
}

// Remedy is what to do, and the command or the page of the AWS console that
// does it or shows what is left to do.
type Remedy struct{ text, end string }

// Run is a remedy with the command to type.
func Run(text, command string) Remedy { return Remedy{text, command} }

// Page is a remedy with the page to open.
func Page(text, url string) Remedy { return Remedy{text, url} }

// again is the remedy of a caller that has forgotten to name one.
var again = Remedy{"see docs/operations.md, and check again", "relay check --live"}

func (r Remedy) orAgain() Remedy {
	if r.end == "" {
		return again
	}
	return r
}

func (r Remedy) String() string {
	if r.text == "" {
		return r.end
	}
	return r.text + ": " + r.end
}

// OK is a check that passes.
func OK(name, detail string) Finding { return Finding{level: LevelOK, name: name, detail: detail} }

// Warning is something that works, but perhaps not as meant or not for long.
func Warning(name, detail string, r Remedy) Finding {
	return Finding{LevelWarning, name, detail, r.orAgain()}
}

// Fail is something that keeps mail from going its way.
func Fail(name, detail string, r Remedy) Finding {
	return Finding{LevelFail, name, detail, r.orAgain()}
}

// Skipped is a check that was not made, and how to have it made.
func Skipped(name, detail string, r Remedy) Finding {
	return Finding{LevelSkipped, name, detail, r.orAgain()}
}

// At is the finding with the place in the configuration that it is about.
func (f Finding) At(where string) Finding {
	f.detail = where + ": " + f.detail
	return f
}

// Level returns how bad it is.
func (f Finding) Level() Level { return f.level }

// Name returns what was looked at.
func (f Finding) Name() string { return f.name }

// Detail returns what was found.
func (f Finding) Detail() string { return f.detail }

// Fix returns what to do; "" where all is well.
func (f Finding) Fix() string { return f.remedy.String() }

// Command returns the end of the remedy, what to type or to open; "" where all
// is well.
func (f Finding) Command() string { return f.remedy.end }

// line is a finding as JSON.
type line struct {
	Level   Level  `json:"level"`
	Name    string `json:"name"`
	Detail  string `json:"detail"`
	Fix     string `json:"fix,omitempty"`
	Command string `json:"command,omitempty"` // the end of fix
}

// MarshalJSON writes the fields.
func (f Finding) MarshalJSON() ([]byte, error) {
	return json.Marshal(line{f.level, f.name, f.detail, f.Fix(), f.Command()})
}
