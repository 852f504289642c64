package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// deliverResult writes the report and the JSON, prints the summary, and says by
// its error whether every threshold held.
func deliverResult(out io.Writer, r *result, o *options) error {
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return err
	}
	base := filepath.Join(o.Out, r.Scenario)
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("result: %w", err)
	}
	if err := os.WriteFile(base+".json", append(b, '\n'), 0o644); err != nil {
		return err
	}
	if err := saveReport(base+".html", r); err != nil {
		return err
	}
	if o.JSON {
		if _, err := out.Write(append(b, '\n')); err != nil {
			return err
		}
	} else {
		summary(out, r)
		fmt.Fprintf(out, "\n%s.html\n%s.json\n", base, base)
	}
	if !r.Passed {
		return errNotPassed
	}
	return nil
}

// summary is the result in a few lines.
func summary(w io.Writer, r *result) {
	m, rec := r.Mails, r.Reconciliation
	fmt.Fprintf(w, "%s: %s\n\n", r.Scenario, r.Title)
	if r.Interrupted != "" {
		fmt.Fprintf(w, "ended early: %s\n", r.Interrupted)
	}
	fmt.Fprintf(w, "rate        %.0f of %.0f mails/s answered; %d started, %d dropped\n", r.Achieved, r.Requested, m.Started, m.Dropped)
	fmt.Fprintf(w, "answers     %d accepted, %d deferred, %d rejected, %d failed; %d retries, %d accepted by one, %d given up\n",
		m.Accepted, m.Deferred, m.Rejected, m.Failed, m.Retries, m.Late, m.Open)
	fmt.Fprintf(w, "arrived     %d of %d recipients (by %s); lost %d, duplicated %d, unexpected %d, unconfirmed %d\n",
		rec.Delivered, rec.Accepted, rec.By, rec.Lost, rec.Duplicated, rec.Unexpected, rec.Unconfirmed)
	fmt.Fprintf(w, "latency     p50 %.1f  p99 %.1f  p99.9 %.1f  max %.1f ms from the scheduled start\n", r.Latency.P50, r.Latency.P99, r.Latency.P999, r.Latency.Max)
	fmt.Fprintf(w, "relay adds  p50 %.2f  p99 %.2f ms\n", r.Added.P50, r.Added.P99)
	fmt.Fprintf(w, "split       %.2f %% to SES (%d, Cuenote %d)\n", r.Split.Effective, r.Split.SES, r.Split.Cuenote)
	for _, p := range r.Processes {
		fmt.Fprintf(w, "%-11s %.2f cores, %.3f CPU s / 1,000 mails, %.0f MiB\n", p.Name, p.Cores, p.CPUPer1000, p.PeakMiB)
	}
	fmt.Fprintf(w, "others      %.2f cores used by everything else on the machine\n", r.OtherCores)
	for _, key := range failureKeys(r.Failures) {
		fmt.Fprintf(w, "failure     %d x %s, as: %.160s\n", r.Failures[key].Count, key, r.Failures[key].Example)
	}
	for _, key := range failureKeys(r.Anomalies) {
		fmt.Fprintf(w, "anomaly     %d x %s, as: %.160s\n", r.Anomalies[key].Count, key, r.Anomalies[key].Example)
	}
	for _, c := range r.Changes {
		fmt.Fprintf(w, "change      %g -> %g %%: effect after %.3f s (command %.3f s), then %.2f %% on SES\n", c.From, c.To, c.EffectSeconds, c.CommandSeconds, c.Share)
	}
	special := r.special()
	for _, s := range special {
		fmt.Fprintf(w, "%-11s %s\n", s.Name, s.Value)
	}
	fmt.Fprintln(w)
	for _, v := range r.Thresholds {
		mark, sign := "ok  ", "<="
		if !v.OK {
			mark = "FAIL"
		}
		if v.Least {
			sign = ">="
		}
		fmt.Fprintf(w, "%s %-42s %s %s %s %s\n", mark, v.Title, number(v.Measured), sign, number(v.Limit), v.Unit)
	}
}

// special are the lines that only some scenarios have.
func (r *result) special() (list []setting) {
	if q := r.Quota; q != nil {
		list = append(list, setting{"quota", fmt.Sprintf("%g recipients/s allowed; at most %d in a second, %d seconds over, %g calls throttled, %.1f %% of the allowed rate used",
			q.Rate, q.Most, q.SecondsOver, r.SESErrors["throttled"], q.UsePercent)})
	}
	if o := r.Outage; o != nil {
		list = append(list, setting{"outage", fmt.Sprintf("SES away for %.1f s: %d mails took Cuenote, %d were deferred, %d of them with an unknown end; back on SES after %.1f s, share as before after %.1f s",
			o.Seconds, o.OnCuenote, o.Deferred, o.Unknown, o.ReturnSeconds, o.WholeSeconds)})
	}
	if f := r.Fleet; f != nil {
		list = append(list, setting{"fleet", f.String()})
	}
	if len(r.PerInstance) > 1 {
		list = append(list, setting{"instances", fmt.Sprintf("%v transactions; %.2f Redis commands a mail", r.PerInstance, r.RedisPerMail)})
	}
	if k := r.Knee; k != nil {
		text := fmt.Sprintf("%.0f mails/s (p99 %.0f ms)", k.Rate, k.P99)
		if !k.Reached {
			text = "not reached: at least " + text
		}
		list = append(list, setting{"knee", text})
	}
	if d := r.Drift; d != nil {
		list = append(list, setting{"drift", fmt.Sprintf("last quarter against the second: memory %+.1f %%, CPU %+.1f %%", d.RSSPercent, d.CPUPercent)})
	}
	return list
}

// failureKeys are the kinds of failure, most frequent first.
func failureKeys(m map[string]*failure) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		if d := m[b].Count - m[a].Count; d != 0 {
			return d
		}
		return len(a) - len(b)
	})
	return keys
}

// number writes whole numbers without decimals and others with three digits.
func number(v float64) string {
	switch {
	case v == float64(int64(v)):
		return strconv.FormatInt(int64(v), 10)
	case v >= 100 || v <= -100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
}

// settings are what was tested, for the report.
func (o *options) settings() []setting {
	return []setting{
		{"Rate", fmt.Sprintf("%.0f mails/s (%.0f a minute), constant arrival", o.Rate, o.Rate*60)},
		{"Time", fmt.Sprintf("%s after %s of warm-up", o.For, o.Warmup)},
		{"Sizes", o.Sizes},
		{"Recipients", o.Recipients + " a mail"},
		{"Reverse-paths", strconv.Itoa(o.Senders)},
		{"Client", fmt.Sprintf("%s, TLS %s, AUTH %t; up to %d connections, idle %s, reused for %s, RSET probe %t", o.Protocol, o.TLS, o.Auth, o.Clients, o.Idle, o.ReuseFor, o.Probe)},
		{"Simulated SES", fmt.Sprintf("%s, latency %s", scheme(o.SESTLS), o.SESLatency)},
		{"Simulated Cuenote", "SMTP, latency " + o.CuenoteLatency},
		{"Relays", o.relays()},
		{"Attempts", fmt.Sprintf("%d, %s apart", o.Attempts, o.Backoff)},
	}
}

func (o *options) relays() string {
	if o.Instances == 1 && !o.Shared {
		return "1, state in memory"
	}
	return fmt.Sprintf("%d, state in Redis", o.Instances)
}

func scheme(secure bool) string {
	if secure {
		return "https"
	}
	return "http"
}
