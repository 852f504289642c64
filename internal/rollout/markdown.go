package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Markdown writes the report for people.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Rollout report\n\n%s, phase **%s**", stamp(r.At), r.Phase)
	if r.StartedAt != nil {
		fmt.Fprintf(&b, ", started %s by %s: %s", stamp(*r.StartedAt), cell(r.StartedBy), cell(r.Reason))
	}
	fmt.Fprintf(&b, ". The guard has put the split back %d times.\n\n## Stages\n\n", r.Trips)
	r.volumes(&b)
	r.fates(&b)
	for i := range r.Stages {
		r.Stages[i].section(&b, i+1)
	}
	r.rehearsed(&b)
	r.record(&b)
	return b.String()
}

func (r *Report) volumes(b *strings.Builder) {
	b.WriteString("| stage | share | from | to | SES accepted | failed | unknown | over quota | acceptance | delay p50 / p95 / p99 | latency p50 / p95 / p99 | Cuenote accepted | Cuenote delay p95 |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for i, s := range r.Stages {
		fmt.Fprintf(b, "| %d | %s %% | %s | %s | %d | %d | %d | %d | %s | %s | %s | %d | %s |\n", i+1, s.Percent, stamp(s.Since), end(s.Until),
			s.SES.Accepted, s.SES.Failed, s.SES.Unknown, s.SES.OverQuota, rateText(s.Acceptance), s.SES.Delay.text(), s.SES.Latency.text(), s.Cuenote.Accepted, secondsText(s.Cuenote.Delay.P95))
	}
	b.WriteString("\n")
}

func (r *Report) fates(b *strings.Builder) {
	b.WriteString("| stage | sent | delivered | bounced | complained | rejected | delayed | success | bounce | complaint | quota, 24 hours | quota, rate |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for i, s := range r.Stages {
		e := s.Events
		if e == nil {
			fmt.Fprintf(b, "| %d | not read | | | | | | | | | %s | %s |\n", i+1, useText(s.Quota.DayUsed, s.Quota.DayMax), useText(s.Quota.RatePeak, s.Quota.RateMax))
			continue
		}
		fmt.Fprintf(b, "| %d | %d | %d | %d | %d | %d | %d | %s | %s | %s | %s | %s |\n", i+1, e.Send, e.Delivery, e.Reported.Bounce, e.Reported.Complaint, e.Reject, e.DeliveryDelay,
			rateText(e.Success), rateText(e.Bounced), rateText(e.Complained), useText(s.Quota.DayUsed, s.Quota.DayMax), useText(s.Quota.RatePeak, s.Quota.RateMax))
	}
	b.WriteString("\n")
}

// section says who began and ended a stage, and what the gate has seen.
func (s *StageReport) section(b *strings.Builder, n int) {
	fmt.Fprintf(b, "### Stage %d: %s %%\n\nBegun by %s (%s): %s.\n", n, s.Percent, cell(s.EnteredBy), s.Entered, cell(s.Why))
	if s.Left != "" {
		fmt.Fprintf(b, "Ended by %s (%s): %s.\n", cell(s.LeftBy), s.Left, cell(s.LeftWhy))
	}
	b.WriteString("\n")
	for _, c := range s.Gate {
		fmt.Fprintf(b, "- %s, %s: %s\n", c.Name, c.Verdict, cell(c.Text))
	}
	if len(s.Gate) > 0 {
		b.WriteString("\n")
	}
}

func (r *Report) rehearsed(b *strings.Builder) {
	b.WriteString("## Rehearsal\n\n")
	v := r.Rehearsal
	if v.Judged == 0 {
		b.WriteString("Nothing was judged (`split.rehearse` is off, or all mail goes to SES).\n\n")
		return
	}
	fmt.Fprintf(b, "Of %d messages that did not go to SES, SES would have been asked to take %d (%s).\n\n", v.Judged, v.Fit, rateText(v.Eligible))
	reasons := make([]string, 0, len(v.Reasons))
	for reason := range v.Reasons {
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	for _, reason := range reasons {
		fmt.Fprintf(b, "- %s: %d\n", reason, v.Reasons[reason])
	}
	if len(reasons) > 0 {
		b.WriteString("\n")
	}
}

func (r *Report) record(b *strings.Builder) {
	b.WriteString("## Decisions\n\n| when | what | by | SES | why |\n|---|---|---|---|---|\n")
	for _, d := range r.Decisions {
		fmt.Fprintf(b, "| %s | %s | %s | %s %% -> %s %% | %s |\n", stamp(d.At), d.Action, cell(d.Who), d.From, d.To, cell(d.Reason))
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func end(t *time.Time) string {
	if t == nil {
		return "now"
	}
	return stamp(*t)
}

// cell keeps a text inside a table.
func cell(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, s)
	return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(orElse(s, "-"))
}

func rateText(p *float64) string {
	if p == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f %%", *p)
}

func secondsText(s *float64) string {
	if s == nil {
		return "-"
	}
	return time.Duration(*s * float64(time.Second)).Round(time.Millisecond).String()
}

func (q Quantiles) text() string {
	return secondsText(q.P50) + " / " + secondsText(q.P95) + " / " + secondsText(q.P99)
}

// useText writes a use and its limit.
func useText(used, limit float64) string {
	switch {
	case limit < 0:
		return fmt.Sprintf("%.0f, unlimited", used)
	case limit == 0:
		return fmt.Sprintf("%.0f, limit not known", used)
	}
	return fmt.Sprintf("%.0f of %.0f", used, limit)
}
