package console

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/rollout"
)

// sentenceSources are the files whose sentences the page shows.
var sentenceSources = []string{
	"../../internal/admin/alarm.go", "../../cmd/relay/alarms.go", "../../internal/split/plan.go",
	"../../internal/rollout/judge.go", "../../internal/rollout/gate.go", "../../internal/rollout/guard.go",
	"../../internal/rollout/lead.go", "../../internal/rollout/state.go", "../../internal/rollout/controller.go", "../../internal/rollout/orders.go",
}

// notSaid are literals with a blank that nobody reads on the page.
var notSaid = []string{"%s of %s", "another instance", "%s (%.2f to %.2f %% at 99 %% confidence)", "delay: no figures"}

// formatsOf are the string literals of a file with words in them, where a value
// that is put between two of them stands as %s. What goes into the log, and
// errors, which have no translation, are left out.
func formatsOf(t *testing.T, file string) (out []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var look func(n ast.Node) bool
	look = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec, *ast.Field:
			return false
		case *ast.CompositeLit:
			if fmt.Sprint(n.Type) == "standing" && len(n.Elts) == 3 { // its key is for comparing
				ast.Inspect(n.Elts[2], look)
				return false
			}
		case *ast.CallExpr:
			if s, ok := n.Fun.(*ast.SelectorExpr); ok {
				on := fmt.Sprint(s.X)
				if inner, ok := s.X.(*ast.SelectorExpr); ok {
					on = inner.Sel.Name
				}
				if on == "Log" || on == "errors" || s.Sel.Name == "Errorf" || s.Sel.Name == "AfterFunc" {
					return false
				}
			}
		case *ast.BinaryExpr:
			if n.Op == token.ADD {
				if text, words := rendered(n); words {
					out = append(out, text)
					ast.Inspect(n.Y, func(m ast.Node) bool { // a format inside
						if call, ok := m.(*ast.CallExpr); ok {
							ast.Inspect(call, look)
							return false
						}
						return true
					})
				}
				return false
			}
		case *ast.BasicLit:
			if text, words := rendered(n); words {
				out = append(out, text)
			}
		}
		return true
	}
	ast.Inspect(f, look)
	return out
}

// rendered is a literal, or a sum of literals and values.
func rendered(e ast.Expr) (text string, words bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING || strings.HasPrefix(e.Value, "`json") {
			return "", false
		}
		s, err := strconv.Unquote(e.Value)
		return s, err == nil && strings.Contains(strings.TrimSpace(s), " ")
	case *ast.BinaryExpr:
		x, some := rendered(e.X)
		y, more := rendered(e.Y)
		return x + y, some || more
	case *ast.CallExpr:
		if len(e.Args) > 0 && fmt.Sprint(e.Fun) == "&{fmt Sprintf}" {
			return rendered(e.Args[0])
		}
	}
	return "%s", false
}

// Every sentence that the relay shows on the page has one in Japanese, and none
// is left from one that it no longer says.
func TestEverySentenceIsInJapanese(t *testing.T) {
	t.Parallel()
	p := open(t, demo(t).base())
	p.live()
	have := eval[[]string](p, `import("/console/texts.js").then((m) => m.formats)`)
	var said []string
	for _, file := range sentenceSources {
		found := formatsOf(t, file)
		if len(found) == 0 {
			t.Errorf("%s: no sentence was found", filepath.Base(file))
		}
		for _, text := range found {
			if slices.Contains(notSaid, text) || strings.HasPrefix(text, "relay rollout ") {
				continue
			}
			said = append(said, text)
			if !slices.Contains(have, text) {
				t.Errorf("%s: no Japanese for %q", filepath.Base(file), text)
			}
		}
	}
	for _, text := range have {
		if strings.Contains(text, " ") && !slices.Contains(said, text) && !slices.Contains(putTogether, text) {
			t.Errorf("nothing says %q", text)
		}
	}
}

// putTogether are sentences whose parts stand in several places.
var putTogether = []string{"the guard: %s", "the plan: %s", "rollback: %s", "rollout: %s", "rollout aborted: %s", "%s recipients", "1 recipient", "SES has no verified identity", "split.ses_percent, nothing stored yet", "through SES", "through Cuenote"}

// What gate and guard really say, about figures of all kinds, is Japanese to the
// last word, and keeps every number.
func TestJudgementsInJapanese(t *testing.T) {
	t.Parallel()
	p := open(t, demo(t).base())
	p.live()
	texts := judgements(t)
	if len(texts) < 100 {
		t.Fatalf("only %d texts", len(texts))
	}
	list, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	japanese := eval[[]string](p, `import("/console/texts.js").then((m) => %s.map(m.inJapanese))`, string(list))
	for i, text := range japanese {
		if left := englishWord.FindString(strings.ReplaceAll(text, "rollout.events が none", "")); left != "" {
			t.Errorf("%q is left in %q, for %q", left, text, texts[i])
		}
		want, got := figure.FindAllString(strings.ReplaceAll(texts[i], "95th", "95"), -1), figure.FindAllString(text, -1)
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(want, got) {
			t.Errorf("%q has other figures than %q", text, texts[i])
		}
	}
}

var (
	englishWord = regexp.MustCompile(`\b[a-z]{3,}\b`)
	figure      = regexp.MustCompile(`[0-9][0-9.a-z]*`)
)

// judgements are texts of random figures, the reasons of a gate and of a guard
// and all of them as a trip tells them.
func judgements(t *testing.T) (out []string) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(7, 7))
	number := func() int64 { return rnd.Int64N(1 << rnd.IntN(16)) }
	gate := rollout.Gate{Limits: rollout.Limits{SuccessMin: 99.5, DelayMax: 5 * time.Minute, BounceMax: 2}, MinMessages: 500}
	guard := rollout.Guard{Limits: rollout.Limits{SuccessMin: 95, DelayMax: 10 * time.Minute, BounceMax: 5, ComplaintMax: 0.3}, Goal: gate.Limits, MinMessages: 100, NoDataMax: 15 * time.Minute}
	hop := func() rollout.Hop {
		h := rollout.Hop{Accepted: number(), Failed: number() / 8, Unknown: number() / 64}
		delays := fmt.Sprintf("[[%d,%d],[%d,%d]]", rnd.IntN(20), 1+number(), rnd.IntN(60), number())
		if err := json.Unmarshal([]byte(delays), &h.Delay); err != nil {
			t.Fatal(err)
		}
		return h
	}
	for range 400 {
		f := &rollout.Figures{Long: &rollout.Reported{Delivery: number(), Complaint: number() / 512}, Unreported: number(), SilentFor: time.Duration(rnd.Int64N(int64(time.Hour)))}
		f.SES, f.Cuenote = hop(), hop()
		if rnd.IntN(4) > 0 {
			f.Events = &rollout.Reported{Delivery: number(), Bounce: number() / 16, Reject: number() / 64}
		}
		alarm := guard.Judge(f)
		var breaches []string
		for _, c := range alarm.Criteria {
			out = append(out, c.Text)
			if c.Verdict == rollout.Rollback {
				breaches = append(breaches, c.Text)
			}
		}
		if len(breaches) > 0 {
			out = append(out, "rollback: "+strings.Join(breaches, "; "))
		}
		judged := gate.Judge(f, &alarm)
		out = append(out, judged.Reasons...)
	}
	return out
}
