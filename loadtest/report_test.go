package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// goodResult is a result of 100k that holds every limit.
func goodResult() *result {
	r := &result{
		Scenario: "100k", Title: "100,000 mails a minute", Started: time.Date(2026, 11, 23, 11, 0, 0, 0, time.UTC), Command: "loadtest 100k",
		Machine: machine{2, "A <CPU>", "6.1", "go1.26", "0.1 0.2 0.3"}, Seconds: 60, Requested: 1666.67, Achieved: 1666.67,
		Mails: counts{Started: 100_000, Accepted: 100_000}, Latency: times{100_000, 70, 65, 120, 250, 300, 400},
		Added:          times{100_000, 0.4, 0.3, 0.8, 2.5, 8, 20},
		Curves:         []curve{{"all", [][2]float64{{50, 65}, {99, 250}}}, {"real", [][2]float64{{50, 60}, {99, 240}}}, {"added", [][2]float64{{50, 0.3}, {99, 2.5}}}},
		Split:          splitResult{Requested: 50, Effective: 50.1, Off: 0.1, SES: 50_100, Cuenote: 49_900},
		Reconciliation: &reconciliation{By: "recipient", Mails: 100_000, Accepted: 100_000, Delivered: 100_000},
		Processes:      []processResult{{"relay", 24, 0.24, 0.4, 90}, {"sink", 18, 0.18, 0.3, 200}, {"generator", 10, 0.1, 0.17, 40}},
		Settings:       []setting{{"Rate", "1667 mails/s"}}, Passed: true,
	}
	for i := range 60 {
		r.Samples = append(r.Samples, sample{T: float64(i + 1), Requested: 1667, Answered: 1660 + float64(i%7), P50: 65, P99: 240, SES: 833, Cuenote: 834, RelayCPU: 0.4, RelayMiB: 90})
	}
	return r
}

func render(t *testing.T, r *result) *html.Node {
	t.Helper()
	var b bytes.Buffer
	if err := renderReport(&b, r); err != nil {
		t.Fatal(err)
	}
	doc, err := html.Parse(&b)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// outline is what a report consists of: its headings, and what each plot draws.
func outline(doc *html.Node) (lines []string) {
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		switch n.Data {
		case "h1", "h2":
			lines = append(lines, n.Data+" "+text(n))
		case "polyline", "polygon":
			lines = append(lines, "  "+n.Data+" "+attribute(n, "class"))
		}
		if class := attribute(n, "class"); class == "mark" || class == "tile" || class == "tile bad" {
			lines = append(lines, "  "+class+" "+text(n))
		}
	}
	return lines
}

func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func TestReportOutline(t *testing.T) {
	r := goodResult()
	r.Marks = []mark{{30, "something"}}
	r.Thresholds = hundredThousand().limits.judge(r)
	got := strings.Join(outline(render(t, r)), "\n") + "\n"
	golden := filepath.Join("testdata", "report.outline")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the report has changed; UPDATE_GOLDEN=1 go test accepts it:\n%s", got)
	}
}

// TestReportIsSelfContained: it loads nothing, runs nothing, and escapes what
// came from outside.
func TestReportIsSelfContained(t *testing.T) {
	r := goodResult()
	r.Failures = map[string]*failure{"x": {2, `451 <script>alert(1)</script>`}}
	r.Reconciliation.Examples = []string{"lost <b>x</b>"}
	for n := range render(t, r).Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		switch n.Data {
		case "script", "link", "img", "iframe", "object", "b/":
			t.Errorf("there is a <%s>", n.Data)
		case "style":
			if css := text(n); strings.Contains(css, "url(") || strings.Contains(css, "@import") {
				t.Error("the style loads something")
			}
		}
		for _, a := range n.Attr {
			if a.Key == "src" || a.Key == "href" || strings.HasPrefix(a.Key, "on") || strings.Contains(a.Val, "NaN") || strings.Contains(a.Val, "Inf") {
				t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			}
		}
	}
}

// TestReportWithoutAnything: a run that was ended at once still has a report.
func TestReportWithoutAnything(t *testing.T) {
	r := &result{Reconciliation: &reconciliation{}, Interrupted: "by hand"}
	for n := range render(t, r).Descendants() {
		for _, a := range n.Attr {
			if strings.Contains(a.Val, "NaN") || strings.Contains(a.Val, "Inf") {
				t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			}
		}
	}
}

// TestResultTravels: the report can be made again from the JSON.
func TestResultTravels(t *testing.T) {
	r := goodResult()
	r.Quota = &quotaResult{Rate: 3, PerSecond: map[int64]int64{5: 6}}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var again result
	if err := json.Unmarshal(b, &again); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(r, &again) {
		t.Errorf("got  %+v\nwant %+v", &again, r)
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 99.512: "99.5", 0.04567: "0.0457", 1234: "1234", 118.26: "118.3", -3: "-3"} {
		if got := number(v); got != want {
			t.Errorf("%g: %q, want %q", v, got, want)
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
