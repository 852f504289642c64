package observability

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

type alert struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// alerts are those of rules/alerts.yaml.
func alerts(t *testing.T) (all []alert) {
	t.Helper()
	var f struct {
		Groups []struct {
			Rules []alert `yaml:"rules"`
		} `yaml:"groups"`
	}
	text, err := os.ReadFile("rules/alerts.yaml")
	if err == nil {
		err = yaml.Unmarshal(text, &f)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range f.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) < 30 {
		t.Fatalf("only %d alerts", len(all))
	}
	return all
}

func promtool(t *testing.T, args ...string) string {
	t.Helper()
	binary, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed: apt-get install prometheus")
	}
	out, err := exec.Command(binary, args...).CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestRules(t *testing.T) {
	t.Parallel()
	promtool(t, "check", "rules", "rules/recording.yaml", "rules/alerts.yaml")
	promtool(t, "check", "config", "--syntax-only", "prometheus.yaml")
}

// Which alerts fire and when, in promtool's own words.
func TestRuleScenarios(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("rules/tests/*.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			promtool(t, "test", "rules", file)
		})
	}
}

// Every alert has a scenario in which it fires: one that cannot fire is none.
func TestEveryAlertHasItsScenario(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	files, _ := filepath.Glob("rules/tests/*.yaml") // an empty list fails below
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(b)
	}
	for _, a := range alerts(t) {
		want := `{alertname="` + a.Alert + `", severity="` + a.Labels["severity"] + `"}`
		if !strings.Contains(text.String(), want) {
			t.Errorf("%s fires in no scenario", want)
		}
	}
}

// Every alert says what is wrong and where to read on, and the runbook has an
// entry for it in both languages; it has none for alerts that are gone.
func TestRunbook(t *testing.T) {
	t.Parallel()
	english, japanese := headings(t, "operations.md"), headings(t, "operations.ja.md")
	names := []string{}
	for _, a := range alerts(t) {
		names = append(names, a.Alert)
		if s := a.Labels["severity"]; s != "warning" && s != "critical" {
			t.Errorf("%s: severity %q", a.Alert, s)
		}
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
			t.Errorf("%s says nothing", a.Alert)
		}
		if want := "docs/operations.md#" + strings.ToLower(a.Alert); a.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url %q, want %q", a.Alert, a.Annotations["runbook_url"], want)
		}
		if !slices.Contains(english, a.Alert) || !slices.Contains(japanese, a.Alert) {
			t.Errorf("%s has no entry in both runbooks", a.Alert)
		}
	}
	for _, h := range slices.Concat(english, japanese) {
		if !slices.Contains(names, h) {
			t.Errorf("the runbook has an entry for %s, which is no alert", h)
		}
	}
}

// headings are the alerts that a runbook has an entry for. Each entry says what
// to look at and what to do.
func headings(t *testing.T, name string) (found []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	entries := regexp.MustCompile(`(?m)^### (Relay\w+)$`).FindAllStringSubmatchIndex(string(text), -1)
	for i, m := range entries {
		alert, end := string(text[m[2]:m[3]]), len(text)
		if i+1 < len(entries) {
			end = entries[i+1][0]
		}
		if body := string(text[m[1]:end]); len(body) < 150 {
			t.Errorf("%s: the entry of %s helps nobody: %q", name, alert, body)
		}
		found = append(found, alert)
	}
	return found
}
