package main

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"os"
	"strings"
)

//go:embed report.html report.css
var assets embed.FS

// saveReport writes the report: one file that loads nothing from anywhere.
func saveReport(path string, r *result) error {
	var b bytes.Buffer
	if err := renderReport(&b, r); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// page is what the template shows.
type page struct {
	*result
	CSS   template.CSS
	Tiles []tile
	Plots []plot
}

// tile is a figure at the top.
type tile struct {
	Value, Unit, Label, Note string
	Bad                      bool
}

func renderReport(b *bytes.Buffer, r *result) error {
	css, err := assets.ReadFile("report.css")
	if err != nil {
		return err
	}
	t, err := template.New("report.html").Funcs(template.FuncMap{
		"number": number, "signed": func(v float64) string { return fmt.Sprintf("%+.2f", v) },
		"fixed": func(digits int, v float64) string { return fmt.Sprintf("%.*f", digits, v) },
		"keys":  failureKeys, "thousands": thousands,
	}).ParseFS(assets, "report.html")
	if err != nil {
		return err
	}
	return t.Execute(b, page{r, template.CSS(css), r.tiles(), r.plots()})
}

// tiles are the figures that answer the questions asked first.
func (r *result) tiles() []tile {
	rec, relay := r.Reconciliation, r.process("relay")
	wrong := rec.Lost + rec.Duplicated + rec.Unexpected
	list := []tile{
		{Value: thousands(int(r.Achieved*60 + 0.5)), Unit: "/ min", Label: "mails answered", Note: thousands(int(r.Requested*60+0.5)) + " requested", Bad: r.failed("rate", "dropped")},
		{Value: thousands(wrong), Label: "lost, doubled or stray", Note: "of " + thousands(rec.Accepted) + " accepted, one by one", Bad: wrong > 0},
		{Value: number(round(r.Added.P99, 2)), Unit: "ms", Label: "added by the relay, p99", Note: fmt.Sprintf("p50 %.2f ms", r.Added.P50), Bad: r.failed("added-p99")},
		{Value: fmt.Sprintf("%.2f", relay.Cores), Unit: "cores", Label: "relay", Note: fmt.Sprintf("%.3f CPU s per 1,000 mails", relay.CPUPer1000), Bad: r.failed("relay-cores", "relay-cpu")},
	}
	switch {
	case r.Split.Requested >= 0:
		list = append(list, tile{Value: fmt.Sprintf("%.2f", r.Split.Effective), Unit: "%", Label: "to SES", Note: fmt.Sprintf("%g %% requested", r.Split.Requested), Bad: r.failed("split")})
	case len(r.Changes) > 0:
		list = append(list, tile{Value: fmt.Sprintf("%.0f", 1000*slowestChange(r)), Unit: "ms", Label: "slowest split change", Note: "from command to deliveries", Bad: r.failed("effect")})
	case r.Quota != nil:
		list = append(list, tile{Value: fmt.Sprintf("%.0f", r.Quota.UsePercent), Unit: "%", Label: "of the allowed SES rate", Note: fmt.Sprintf("%d seconds over", r.Quota.SecondsOver), Bad: r.failed("quota-over", "quota-use")})
	case r.Fleet != nil:
		list = append(list, tile{Value: number(round(r.Fleet.FailingSeconds, 1)), Unit: "s", Label: "with failures after the kill", Note: fmt.Sprintf("%d mails were in flight there", r.Fleet.InFlight), Bad: r.failed("failing", "needless")})
	case r.Outage != nil:
		list = append(list, tile{Value: number(round(r.Outage.ReturnSeconds, 1)), Unit: "s", Label: "until back on SES", Note: fmt.Sprintf("after %.0f s away", r.Outage.Seconds), Bad: r.failed("return")})
	}
	if r.Knee != nil {
		list[0] = tile{Value: thousands(int(r.Knee.Rate)), Unit: "mails/s", Label: "at the knee", Note: fmt.Sprintf("p99 %.0f ms", r.Knee.P99), Bad: r.failed("knee")}
	}
	return list
}

// failed says whether one of the thresholds does not hold.
func (r *result) failed(names ...string) bool {
	for _, v := range r.Thresholds {
		for _, name := range names {
			if v.Name == name && !v.OK {
				return true
			}
		}
	}
	return false
}

// SpecialLines are the scenario's own findings.
func (p page) SpecialLines() []setting { return p.special() }

// FailedThresholds are what does not hold.
func (p page) FailedThresholds() (n int) {
	for _, v := range p.Thresholds {
		if !v.OK {
			n++
		}
	}
	return n
}

// thousands writes 100000 as 100,000.
func thousands(n int) string {
	s := fmt.Sprint(n)
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 && s[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}

func round(v float64, digits int) float64 {
	f := 1.0
	for range digits {
		f *= 10
	}
	return float64(int64(v*f+0.5)) / f
}
