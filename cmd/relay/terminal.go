package main

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// paint colours words for a terminal; the zero value leaves them plain.
type paint struct{ on bool }

// paint returns colours where the output is a terminal and NO_COLOR is empty
// (https://no-color.org).
func (c *cli) paint() paint {
	return paint{on: isTerminal(c.out) && c.getenv("NO_COLOR") == "" && c.getenv("TERM") != "dumb"}
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (p paint) escape(code, s string) string {
	if !p.on || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p paint) bold(s string) string   { return p.escape("1", s) }
func (p paint) dim(s string) string    { return p.escape("2", s) }
func (p paint) red(s string) string    { return p.escape("1;31", s) }
func (p paint) green(s string) string  { return p.escape("32", s) }
func (p paint) yellow(s string) string { return p.escape("33", s) }

// printable makes text from elsewhere safe for a terminal: control characters,
// escape sequences among them, become "?".
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError || r >= 0x200e && r <= 0x202e {
			return '?'
		}
		return r
	}, s)
}

// columns lines cells up; the last column is not padded. Columns in right are
// aligned to the right.
func columns(rows [][]string, right ...int) []string {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	lines := make([]string, len(rows))
	for n, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			gap := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if contains(right, i) {
				b.WriteString(gap + cell)
			} else {
				b.WriteString(cell + gap)
			}
			if i < len(row)-1 {
				b.WriteString("  ")
			}
		}
		lines[n] = strings.TrimRight(b.String(), " ")
	}
	return lines
}

func contains(list []int, n int) bool {
	for _, i := range list {
		if i == n {
			return true
		}
	}
	return false
}

// cut shortens s to width characters.
func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:max(0, width-1)]) + "…"
}

// percentText writes a percentage: "25 %", "12.25 %"; "-" for none.
func percentText(p *float64) string {
	if p == nil {
		return "-"
	}
	return strconv.FormatFloat(math.Round(*p*100)/100, 'f', -1, 64) + " %"
}

// count writes a number with thousands separated, and one decimal below ten.
func count(x float64) string {
	if x != math.Trunc(x) && math.Abs(x) < 10 {
		return strconv.FormatFloat(math.Round(x*10)/10, 'f', -1, 64)
	}
	s := strconv.FormatFloat(math.Round(math.Abs(x)), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if x < 0 {
		return "-" + s
	}
	return s
}

// milliseconds writes a latency: "120 ms", "1.2 s"; "-" for none.
func milliseconds(ms *float64) string {
	switch {
	case ms == nil:
		return "-"
	case *ms >= 1000:
		return strconv.FormatFloat(math.Round(*ms/100)/10, 'f', -1, 64) + " s"
	}
	return fmt.Sprintf("%.0f ms", *ms)
}

// when writes a time in the local zone.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05 MST")
}
