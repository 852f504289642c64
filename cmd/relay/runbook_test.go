package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sesrelay/internal/rollout"
)

// The runbook, in its two languages. The alerts of Prometheus are compared in
// infra/observability.
var runbooks = []string{"operations.md", "operations.ja.md"}

func runbook(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// mentions fails for every entry that a runbook does not have, in backquotes.
func mentions(t *testing.T, what string, entries []string) {
	t.Helper()
	for _, name := range runbooks {
		text := runbook(t, name)
		for _, e := range entries {
			if !strings.Contains(text, "`"+e+"`") {
				t.Errorf("%s has no entry for the %s %q", name, what, e)
			}
		}
	}
}

// section is what the two languages must have in common between two headings.
type section struct {
	heading string
	level   int
	rows    int      // of tables
	links   []string // to other files, without what stands on the page
	code    []string // lines to type or to see, without their comments
}

func sections(text string) (out []section) {
	var s section
	for line := range strings.Lines(text + "\n# end\n") {
		line = strings.TrimRight(line, "\n")
		if m := headingLine.FindStringSubmatch(line); m != nil {
			out, s = append(out, s), section{heading: m[2], level: len(m[1])}
			continue
		}
		switch {
		case strings.HasPrefix(line, "|"):
			s.rows++
		case strings.HasPrefix(line, "    ") && !inList.MatchString(line):
			code, _, _ := strings.Cut(line, "  # ")
			s.code = append(s.code, strings.TrimRight(code, " "))
		}
		for _, m := range linkTarget.FindAllStringSubmatch(line, -1) {
			if !slices.Contains(runbooks, m[1]) && !slices.Contains(consolePages, m[1]) {
				s.links = append(s.links, m[1])
			}
		}
	}
	return out
}

var (
	headingLine = regexp.MustCompile(`^(#{1,4}) (.+)$`)
	inList      = regexp.MustCompile(`^ +[^ -~]`) // prose that goes on below a list item
	linkTarget  = regexp.MustCompile(`\]\(([^)]+)\)`)
)

// Both languages have the same sections, with the same commands, tables and links.
func TestRunbooksAgree(t *testing.T) {
	t.Parallel()
	english, japanese := sections(runbook(t, runbooks[0])), sections(runbook(t, runbooks[1]))
	if len(english) < 40 || len(english) != len(japanese) {
		t.Fatalf("%d sections in English, %d in Japanese", len(english), len(japanese))
	}
	commands := 0
	for i, e := range english {
		j := japanese[i]
		commands += len(e.code)
		if e.level != j.level || e.rows != j.rows || !slices.Equal(e.links, j.links) || !slices.Equal(e.code, j.code) {
			t.Errorf("%q and %q differ:\n level %d, %d; rows of tables %d, %d\n links %q\n       %q\n code  %q\n       %q",
				e.heading, j.heading, e.level, j.level, e.rows, j.rows, e.links, j.links, e.code, j.code)
		}
		if strings.HasPrefix(e.heading, "Relay") && e.heading != j.heading {
			t.Errorf("the alert %s has no heading of its own in Japanese, but %s", e.heading, j.heading)
		}
	}
	if commands < 80 {
		t.Errorf("only %d lines of code were compared", commands)
	}
}

// Every reply that the relay gives of its own has an entry, and no entry is of
// a reply that is gone.
func TestRunbookHasEveryReply(t *testing.T) {
	t.Parallel()
	replies := sourceReplies(t, "relay", "smtp", "ses", "cuenote")
	if len(replies) < 50 {
		t.Fatalf("only %d replies were found", len(replies))
	}
	mentions(t, "reply", replies)
	for _, name := range runbooks {
		for _, m := range replyEntry.FindAllStringSubmatch(runbook(t, name), -1) {
			if !slices.Contains(replies, m[1]) && !strings.Contains(m[1], "accepted by") {
				t.Errorf("%s has an entry for %q, which the relay never says", name, m[1])
			}
		}
	}
}

var replyEntry = regexp.MustCompile("`([2-5]\\d\\d \\d\\.\\d+\\.\\d+ [^`]+)`")

// sourceReplies are the Reply literals with a fixed text in packages of internal.
func sourceReplies(t *testing.T, packages ...string) (out []string) {
	t.Helper()
	for _, p := range packages {
		files, err := filepath.Glob("../../internal/" + p + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", p, len(files), err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			ast.Inspect(parse(t, file), func(n ast.Node) bool {
				if lit, ok := n.(*ast.CompositeLit); ok && lit.Type != nil && strings.HasSuffix(typeName(lit.Type), "Reply") {
					if r, ok := replyText(lit); ok {
						out = append(out, r)
					}
				}
				return true
			})
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func parse(t *testing.T, file string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// replyText renders Reply{451, [3]int{4, 3, 0}, "text"}, with or without keys.
func replyText(lit *ast.CompositeLit) (string, bool) {
	var words []string
	for _, e := range lit.Elts {
		if kv, keyed := e.(*ast.KeyValueExpr); keyed {
			e = kv.Value
		}
		switch e := e.(type) {
		case *ast.BasicLit:
			words = append(words, unquoted(e))
		case *ast.CompositeLit:
			var digits []string
			for _, d := range e.Elts {
				digits = append(digits, typeText(d))
			}
			words = append(words, strings.Join(digits, "."))
		default:
			return "", false // an upstream's own words
		}
	}
	return strings.Join(words, " "), len(words) >= 2
}

func typeText(e ast.Expr) string {
	if lit, ok := e.(*ast.BasicLit); ok {
		return unquoted(lit)
	}
	return "?"
}

func unquoted(lit *ast.BasicLit) string {
	if lit.Kind != token.STRING {
		return lit.Value
	}
	s, err := strconv.Unquote(lit.Value)
	if err != nil {
		return lit.Value
	}
	return s
}

// Every reason for which the guard puts the split back has an entry.
func TestRunbookHasEveryReasonOfTheGuard(t *testing.T) {
	t.Parallel()
	for _, name := range runbooks {
		text := runbook(t, name)
		for _, reason := range rollout.Names {
			if !strings.Contains(text, fmt.Sprintf("\n| `%s` |", reason)) {
				t.Errorf("%s has no entry for the reason %s of the guard", name, reason)
			}
		}
	}
}

// Every alarm of CloudWatch has an entry, by the part of its name that is its own.
func TestRunbookHasEveryAlarmOfCloudWatch(t *testing.T) {
	t.Parallel()
	templates, err := filepath.Glob("../../infra/templates/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range templates {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := alarmName.FindAllStringSubmatch(string(text), -1)
		if all := strings.Count(string(text), "AlarmName: "); len(found) != all-strings.Count(string(text), "RollbackAlarmName: ") {
			t.Errorf("%s has %d alarms, the names of %d could be read", file, all, len(found))
		}
		for _, m := range found {
			names = append(names, m[1])
		}
	}
	if len(names) < 30 {
		t.Fatalf("only %d alarms were found", len(names))
	}
	mentions(t, "alarm", names)
}

var alarmName = regexp.MustCompile(`AlarmName: !Sub "\$\{ProjectCode\}-\$\{Environment\}-([a-z-]+)"`)

// Every alarm of relay status and the console has an entry, by the first words
// on the screen that are always the same.
func TestRunbookHasEveryAlarmOfStatus(t *testing.T) {
	t.Parallel()
	var texts []string
	for _, file := range []string{"../../internal/admin/alarm.go", "alarms.go"} {
		before := len(texts)
		ast.Inspect(parse(t, file), func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit:
				if typeName(n.Type) == "standing" && len(n.Elts) == 3 {
					texts = append(texts, leftmost(n.Elts[2])...)
				}
			case *ast.CallExpr:
				switch name := typeName(n.Fun); {
				case name == "Sprintf":
					texts = append(texts, leftmost(n.Args[0])...)
				case name == "add" && len(n.Args) == 3:
					texts = append(texts, leftmost(n.Args[2])...)
				}
			}
			return true
		})
		if len(texts)-before < 8 {
			t.Errorf("%s: only %d texts were found", file, len(texts)-before)
		}
	}
	for _, name := range runbooks {
		text := runbook(t, name)
		for _, alarm := range texts {
			if words := constantWords(alarm); !strings.Contains(text, words) {
				t.Errorf("%s has no entry for the alarm %q (%q)", name, alarm, words)
			}
		}
	}
}

// leftmost is the literal with which a text begins; none when it begins with a value.
func leftmost(e ast.Expr) []string {
	for {
		switch x := e.(type) {
		case *ast.BinaryExpr:
			e = x.X
		case *ast.BasicLit:
			return []string{unquoted(x)}
		default:
			return nil
		}
	}
}

// constantWords is what stands before the first figure, or else the longest
// piece between two.
func constantWords(format string) string {
	pieces := formatVerb.Split(format, -1)
	best := strings.Trim(pieces[0], " (:")
	if len(best) >= 8 {
		return best
	}
	for _, p := range pieces {
		if p = strings.Trim(p, " (:"); len(p) > len(best) {
			best = p
		}
	}
	return best
}

var formatVerb = regexp.MustCompile(`%[-+.0-9]*[a-z%]`)
