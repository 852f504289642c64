package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// measure is something that a limit can be set for.
type measure struct {
	Title string
	Unit  string
	Least bool // the limit is the least that is good; else the most
	Read  func(*result) float64
}

// measures is the closed list of thresholds.
var measures = map[string]measure{
	"lost":            {Title: "Recipients lost", Read: func(r *result) float64 { return float64(r.Reconciliation.Lost) }},
	"duplicated":      {Title: "Recipients served twice", Read: func(r *result) float64 { return float64(r.Reconciliation.Duplicated) }},
	"avoidable":       {Title: "Served twice without need", Read: func(r *result) float64 { return float64(max(r.Reconciliation.Duplicated-r.UnknownEnds, 0)) }},
	"needless":        {Title: "Served twice, and not in flight at the kill", Read: func(r *result) float64 { return float64(max(r.Reconciliation.Duplicated-r.Fleet.InFlight, 0)) }},
	"notice":          {Title: "The others know that an instance is gone", Unit: "s", Read: noticed},
	"failing":         {Title: "Seconds with failures after the kill", Unit: "s", Read: func(r *result) float64 { return r.Fleet.FailingSeconds }},
	"unexpected":      {Title: "Deliveries nobody sent", Read: func(r *result) float64 { return float64(r.Reconciliation.Unexpected) }},
	"unconfirmed":     {Title: "Delivered without the client being told", Read: func(r *result) float64 { return float64(r.Reconciliation.Unconfirmed) }},
	"anomalies":       {Title: "Protocol errors seen by Cuenote", Read: func(r *result) float64 { return float64(sum(r.Anomalies)) }},
	"dropped":         {Title: "Starts dropped", Read: func(r *result) float64 { return float64(r.Mails.Dropped) }},
	"errors":          {Title: "Mails not accepted at once", Read: func(r *result) float64 { return float64(r.Mails.Deferred + r.Mails.Rejected + r.Mails.Failed) }},
	"open":            {Title: "Mails never accepted", Read: func(r *result) float64 { return float64(r.Mails.Open) }},
	"rate":            {Title: "Achieved rate", Unit: "% of requested", Least: true, Read: func(r *result) float64 { return 100 * r.Achieved / r.Requested }},
	"p99":             {Title: "p99 from the scheduled start", Unit: "ms", Read: func(r *result) float64 { return r.Latency.P99 }},
	"added-p99":       {Title: "p99 of the time the relay adds", Unit: "ms", Read: func(r *result) float64 { return r.Added.P99 }},
	"relay-cores":     {Title: "Relay CPU", Unit: "cores", Read: func(r *result) float64 { return r.process("relay").Cores }},
	"relay-cpu":       {Title: "Relay CPU per 1,000 mails", Unit: "s", Read: func(r *result) float64 { return r.process("relay").CPUPer1000 }},
	"relay-rss":       {Title: "Relay peak memory", Unit: "MiB", Read: func(r *result) float64 { return r.process("relay").PeakMiB }},
	"split":           {Title: "Effective split off the requested", Unit: "points", Read: func(r *result) float64 { return r.Split.Off }},
	"effect":          {Title: "Slowest split change", Unit: "s", Read: slowestChange},
	"quota-over":      {Title: "Seconds over the SES rate, with the one before", Read: func(r *result) float64 { return float64(r.Quota.SecondsOver) }},
	"quota-throttled": {Title: "Calls that SES throttled", Read: func(r *result) float64 { return r.SESErrors["throttled"] }},
	"quota-use":       {Title: "Use of the allowed SES rate", Unit: "%", Least: true, Read: func(r *result) float64 { return r.Quota.UsePercent }},
	"return":          {Title: "Back on SES after the outage", Unit: "s", Read: func(r *result) float64 { return r.Outage.ReturnSeconds }},
	"drift-rss":       {Title: "Memory growth over the run", Unit: "%", Read: func(r *result) float64 { return r.Drift.RSSPercent }},
	"drift-cpu":       {Title: "CPU growth over the run", Unit: "%", Read: func(r *result) float64 { return r.Drift.CPUPercent }},
	"knee":            {Title: "Rate at the knee", Unit: "mails/s", Least: true, Read: func(r *result) float64 { return r.Knee.Rate }},
	"interruption":    {Title: "Run ended early", Read: func(r *result) float64 { return float64(min(len(r.Interrupted), 1)) }},
}

func thresholdNames() []string { return slices.Sorted(maps.Keys(measures)) }

// verdict is a threshold and what was measured.
type verdict struct {
	Name     string  `json:"name"`
	Title    string  `json:"title"`
	Unit     string  `json:"unit,omitempty"`
	Least    bool    `json:"least"`
	Limit    float64 `json:"limit"`
	Measured float64 `json:"measured"`
	OK       bool    `json:"ok"`
}

// limits are thresholds by name.
type limits map[string]float64

// thresholds are the scenario's limits, changed by "name=number" and "name=off".
func (sc *scenario) thresholds(changes []string) (limits, error) {
	l := maps.Clone(sc.limits)
	for _, text := range changes {
		name, value, ok := strings.Cut(text, "=")
		if _, known := measures[name]; !ok || !known {
			return nil, fmt.Errorf("--threshold %q: write NAME=NUMBER or NAME=off, with one of %s", text, strings.Join(thresholdNames(), ", "))
		}
		if !sc.measures(name) {
			return nil, fmt.Errorf("--threshold %s: scenario %s does not measure it", name, sc.Name)
		}
		if value == "off" {
			delete(l, name)
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("--threshold %q: %q is no number", text, value)
		}
		l[name] = n
	}
	return l, nil
}

// special are the measures that only some scenarios have.
var special = []string{"split", "effect", "avoidable", "quota-over", "quota-throttled", "quota-use", "return", "needless", "notice", "failing", "drift-rss", "drift-cpu", "knee"}

// measures says whether the scenario measures it: everything but what is
// special to another scenario.
func (sc *scenario) measures(name string) bool {
	_, own := sc.limits[name]
	return own || !slices.Contains(special, name)
}

// judge compares the result with every limit. A value that could not be
// measured (NaN) does not hold.
func (l limits) judge(r *result) []verdict {
	var list []verdict
	for _, name := range slices.Sorted(maps.Keys(l)) {
		m := measures[name]
		v := verdict{Name: name, Title: m.Title, Unit: m.Unit, Least: m.Least, Limit: l[name], Measured: m.Read(r)}
		if name == "split" {
			v.Limit = max(v.Limit, chance(r.Split))
		}
		if m.Least {
			v.OK = v.Measured >= v.Limit
		} else {
			v.OK = v.Measured <= v.Limit
		}
		list = append(list, v)
	}
	slices.SortStableFunc(list, func(a, b verdict) int { return order(a) - order(b) })
	return list
}

// order puts first what does not hold.
func order(v verdict) int {
	if v.OK {
		return 1
	}
	return 0
}

// chance is how far the share of so many mails, each drawn by itself, is off
// the requested one in 1 of 1,000 tests of a relay without fault: 3.3 standard
// deviations, in points. At a million mails it is below the target of 0.2, at
// 100,000 it is 0.5.
func chance(s splitResult) float64 {
	n, p := float64(s.SES+s.Cuenote), s.Requested/100
	if n == 0 || p < 0 {
		return 0
	}
	return math.Round(330*math.Sqrt(p*(1-p)/n)*100) / 100
}

// noticed is infinite when nobody noticed.
func noticed(r *result) float64 {
	if r.Fleet.NoticeSeconds < 0 {
		return math.Inf(1)
	}
	return r.Fleet.NoticeSeconds
}

// slowestChange is the longest time to effect.
func slowestChange(r *result) (worst float64) {
	for _, c := range r.Changes {
		worst = max(worst, c.EffectSeconds)
	}
	return worst
}
