package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Mistake is one thing that is wrong in the file, and what to write instead.
type Mistake struct {
	File      string
	Line, Col int    // from 1
	Key       string // dotted path, such as "listeners[0].tls"; "" for the file as a whole
	Text      string // what is wrong
	Fix       string // what to write
}

// Warning is something that works, but probably not as meant.
type Warning = Mistake

// String returns "relay.yaml:LINE:COL: key: what is wrong; what to write".
func (m Mistake) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", m.File, m.Line, m.Col)
	if m.Key != "" {
		b.WriteString(m.Key + ": ")
	}
	b.WriteString(m.Text)
	if m.Fix != "" {
		b.WriteString("; " + m.Fix)
	}
	return b.String()
}

// Error holds every mistake of a file, sorted by position.
type Error struct{ Mistakes []Mistake }

// Error returns one line per mistake.
func (e *Error) Error() string {
	lines := make([]string, len(e.Mistakes))
	for i, m := range e.Mistakes {
		lines[i] = m.String()
	}
	return strings.Join(lines, "\n")
}

// position is a place in the file, from 1.
type position struct{ line, col int }

// report collects mistakes and warnings, and where each key stands.
type report struct {
	file     string
	at       map[string]position // of every key and item in the file, by path
	mistakes []Mistake
	warnings []Warning
}

// wrong records a mistake at the place of key, or of the nearest key above it
// that is in the file.
func (r *report) wrong(key, text, fix string) { r.wrongAt(r.place(key), key, text, fix) }

func (r *report) wrongAt(p position, key, text, fix string) {
	r.mistakes = append(r.mistakes, Mistake{r.file, p.line, p.col, key, text, fix})
}

// warn records a warning at the place of key.
func (r *report) warn(key, text, fix string) {
	p := r.place(key)
	r.warnings = append(r.warnings, Warning{r.file, p.line, p.col, key, text, fix})
}

// place returns where key stands; for one that is not in the file, where the
// section stands to which it belongs, and at last the top.
func (r *report) place(key string) position {
	for key != "" {
		if p, ok := r.at[key]; ok {
			return p
		}
		key = key[:max(0, strings.LastIndexAny(key, ".["))]
	}
	return position{1, 1}
}

// given reports whether key is in the file.
func (r *report) given(key string) bool { _, ok := r.at[key]; return ok }

// result sorts what was collected. The error is nil or an *Error.
func (r *report) result() ([]Warning, error) {
	order := func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col), strings.Compare(a.Key, b.Key))
	}
	slices.SortStableFunc(r.warnings, order)
	slices.SortStableFunc(r.mistakes, order)
	if len(r.mistakes) > 0 {
		return r.warnings, &Error{r.mistakes}
	}
	return r.warnings, nil
}
