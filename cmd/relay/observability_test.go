package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// What Prometheus and Grafana are given. Its rules are tested beside it, in
// infra/observability.
const observability = "../../infra/observability/"

// prometheusOwn are no metrics of the relay's.
var prometheusOwn = []string{"up", "ALERTS"}

type ruleFile struct {
	Groups []struct {
		Rules []struct {
			Record string `yaml:"record"`
			Alert  string `yaml:"alert"`
			Expr   string `yaml:"expr"`
		} `yaml:"rules"`
	} `yaml:"groups"`
}

// expressions are all PromQL texts by where they stand, and the names that
// recording rules make.
func expressions(t *testing.T) (exprs map[string]string, recorded map[string]bool) {
	t.Helper()
	exprs, recorded = map[string]string{}, map[string]bool{}
	for _, name := range []string{"recording.yaml", "alerts.yaml"} {
		var f ruleFile
		text, err := os.ReadFile(observability + "rules/" + name)
		if err == nil {
			err = yaml.Unmarshal(text, &f)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range f.Groups {
			for i, r := range g.Rules {
				exprs[fmt.Sprintf("%s: %s%s (rule %d)", name, r.Record, r.Alert, i)] = r.Expr
				if r.Record != "" {
					recorded[r.Record] = true
				}
			}
		}
	}
	files, err := filepath.Glob(observability + "dashboards/*.json")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d dashboards, %v", len(files), err)
	}
	for _, file := range files {
		for where, expr := range dashboardExpressions(t, file) {
			exprs[where] = expr
		}
	}
	return exprs, recorded
}

// dashboardExpressions finds every "expr", and what the variables ask for.
func dashboardExpressions(t *testing.T, file string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	out := map[string]string{}
	var walk func(v any, at string)
	walk = func(v any, at string) {
		switch v := v.(type) {
		case map[string]any:
			if title, ok := v["title"].(string); ok {
				at = filepath.Base(file) + ": " + title
			}
			for key, value := range v {
				s, _ := value.(string)
				if m := labelValues.FindStringSubmatch(s); m != nil {
					s, key = m[1], "expr"
				}
				if key == "expr" && s != "" {
					out[fmt.Sprintf("%s (%d)", at, len(out))] = dashboardVariables.Replace(s)
				}
				walk(value, at)
			}
		case []any:
			for _, value := range v {
				walk(value, at)
			}
		}
	}
	walk(doc, filepath.Base(file))
	if len(out) < 10 {
		t.Errorf("%s: only %d expressions", file, len(out))
	}
	return out
}

var (
	labelValues        = regexp.MustCompile(`^label_values\((.+), \w+\)$`)
	dashboardVariables = strings.NewReplacer("$__rate_interval", "1m", "$job", "relay", "$instance", ".*")
)

// selector is a metric in an expression with its matchers.
type selector struct {
	name     string
	matchers [][3]string // label, operator, value
}

var (
	grouping     = regexp.MustCompile(`\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)`)
	selectorText = regexp.MustCompile(`\b([a-zA-Z_][a-zA-Z0-9_:]*)\s*(\(|\{[^}]*\})?`) // 5m and 1e3 are none
	matcherText  = regexp.MustCompile(`(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	durations    = regexp.MustCompile(`\[[^\]]*\]`)
	words        = []string{"and", "or", "unless", "bool", "offset", "inf", "nan"}
)

// selectors finds the metrics of an expression: every name that is no function,
// no word of the language and no label.
func selectors(expr string) (out []selector) {
	expr = durations.ReplaceAllString(grouping.ReplaceAllString(expr, " "), " ")
	for _, m := range selectorText.FindAllStringSubmatch(expr, -1) {
		if m[2] == "(" || slices.Contains(words, strings.ToLower(m[1])) {
			continue
		}
		s := selector{name: m[1]}
		for _, p := range matcherText.FindAllStringSubmatch(m[2], -1) {
			s.matchers = append(s.matchers, [3]string(p[1:4]))
		}
		out = append(out, s)
	}
	return out
}

// scraped are the label sets of each series name at /metrics.
func scraped(text string) map[string][]map[string]string {
	out := map[string][]map[string]string{}
	line := regexp.MustCompile(`(?m)^([a-z_]+)(?:\{(.*)\})? `)
	pair := regexp.MustCompile(`(\w+)="((?:[^"\\]|\\.)*)"`)
	for _, m := range line.FindAllStringSubmatch(text, -1) {
		labels := map[string]string{}
		for _, p := range pair.FindAllStringSubmatch(m[2], -1) {
			labels[p[1]] = p[2]
		}
		out[m[1]] = append(out[m[1]], labels)
	}
	return out
}

// unknown says what of a selector a relay does not have; "" when it has all.
func (s selector) unknown(series map[string][]map[string]string) string {
	sets, ok := series[s.name]
	if !ok {
		return "no relay has " + s.name
	}
	for _, m := range s.matchers {
		if m[0] == "job" || m[0] == "instance" {
			continue // Prometheus's own
		}
		for value := range strings.SplitSeq(m[2], "|") {
			if !slices.ContainsFunc(sets, func(l map[string]string) bool { return l[m[0]] == value }) {
				return fmt.Sprintf("%s has no series with %s=%q", s.name, m[0], value)
			}
		}
	}
	return ""
}

// observed is a relay that has sent mail both ways, and its metrics.
func observed(t *testing.T) (*contract, string) {
	t.Helper()
	c := newContract(t)
	c.observedMail(1)
	_, text := c.api("GET", "/metrics", "")
	return c, text
}

// observedMail sends n mails each way.
func (c *contract) observedMail(n int) {
	c.t.Helper()
	received := "Received: from a by b; " + time.Now().Format(time.RFC1123Z) + "\r\n"
	for _, percent := range []string{"0", "100"} {
		_, body := c.api("GET", "/v1/split", "")
		version := regexp.MustCompile(`"version":\s*(\d+)`).FindStringSubmatch(body)[1]
		c.want(200, "PUT", "/v1/split", `{"ses_percent":`+percent+`,"reason":"r","force":true}`, []string{`If-Match: "` + version + `"`})
		for range n {
			c.mail("taro@goo.ne.jp", received)
		}
	}
}

// fleetsOwn are metrics that only an instance with state.redis has, and this one
// has none; the tests of the fleet read them from processes that do.
var fleetsOwn = []string{"relay_ledger_alone_total"}

// Every metric, label and label value in a rule or a dashboard exists at the
// /metrics of a running relay: a panel or an alert on another would be empty
// for ever, and nobody would see it.
func TestObservabilityNamesExist(t *testing.T) {
	t.Parallel()
	_, text := observed(t)
	series := scraped(text)
	exprs, recorded := expressions(t)
	checked := 0
	for _, where := range slices.Sorted(maps.Keys(exprs)) {
		found := selectors(exprs[where])
		if len(found) == 0 {
			t.Errorf("%s: no metric in %s", where, exprs[where])
		}
		for _, s := range found {
			if recorded[s.name] || slices.Contains(prometheusOwn, s.name) || slices.Contains(fleetsOwn, s.name) {
				continue
			}
			checked++
			if why := s.unknown(series); why != "" {
				t.Errorf("%s: %s\n in %s", where, why, exprs[where])
			}
		}
	}
	if checked < 100 {
		t.Errorf("only %d selectors were checked", checked)
	}
}

// The reader of expressions above finds what is wrong.
func TestSelectors(t *testing.T) {
	t.Parallel()
	series := scraped("a_total{x=\"1\",y=\"2\"} 3\na_total{x=\"2\",y=\"2\"} 3\nb_total 1\n")
	for expr, want := range map[string]string{
		`sum by (x, nope) (rate(a_total{x="1"}[5m])) / on (job) b_total offset 5m > 1e3`: "",
		`rate(c_total[5m])`: "no relay has c_total", `a_total{z="1"}`: `a_total has no series with z="1"`,
		`a_total{x=~"1|3"}`: `a_total has no series with x="3"`, `a_total and nope`: "no relay has nope",
	} {
		got := ""
		for _, s := range selectors(expr) {
			if why := s.unknown(series); why != "" {
				got = why
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}
