//go:build firefox

package console

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestFirefox walks through the console in Firefox by keys alone: the split is
// changed and the brake is pulled (make test-firefox). The chromium tests are
// the thorough ones; this one sees what only another engine can get wrong.
func TestFirefox(t *testing.T) {
	program, err := exec.LookPath("firefox-esr")
	if err != nil {
		if program, err = exec.LookPath("firefox"); err != nil {
			t.Fatalf("%v: sh scripts/need.sh firefox", err)
		}
	}
	r := demo(t)
	cmd := exec.Command("node", "firefox/walk.mjs", program, r.base())
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, problems.String())
	}
	var seen struct {
		Browser, Slider, Result, Asked, Brake, Japanese string
		Problems, Hosts, Way, Outlines                  []string
	}
	if err := json.Unmarshal(out, &seen); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("%s: %v", seen.Browser, seen.Way)
	for _, problem := range seen.Problems {
		t.Errorf("in the browser: %s", problem)
	}
	for _, host := range seen.Hosts {
		if host != r.http {
			t.Errorf("a request went to %q", host)
		}
	}
	if want := []string{"slider", "percent", "why", "brake"}; !slices.Equal(seen.Way, want) {
		t.Errorf("Tab went by %v, not %v", seen.Way, want)
	}
	if slices.ContainsFunc(seen.Outlines, func(o string) bool { return o != "solid" }) {
		t.Errorf("the focus is not seen: %v", seen.Outlines)
	}
	if seen.Asked != "" {
		t.Errorf("the first key has done something: %q", seen.Asked)
	}
	for what, is := range map[string][2]string{
		"slider": {seen.Slider, "3"}, "result": {seen.Result, "requested 25.5 %, applied 25.5 %"}, "brake": {seen.Brake, "Done: SES gets 0 % of new mail."}, "japanese": {seen.Japanese, "Cuenoteへ戻す"},
	} {
		if !strings.Contains(is[0], is[1]) {
			t.Errorf("%s: %q, not %q", what, is[0], is[1])
		}
	}
	if now := r.applied(""); now != 0 {
		t.Errorf("SES still gets %v %%", now)
	}
}
