package main

import (
	"context"
	"fmt"
	"time"

	"sesrelay/internal/simulator"
)

// splitSteps are the percentages that follow each other.
var splitSteps = []float64{0, 10, 50, 100, 0}

// splitChange moves the live split under load.
func splitChange() *scenario {
	return &scenario{
		Name: "split-change", Title: "The split goes 0, 10, 50, 100, 0 during load",
		Help: "Each change is made by \"relay split set\". The time to effect is read from the deliveries: the moment at which, by maximum\n" +
			"likelihood, their share changed. It counts from before the command starts. Both next hops answer after 5 ms here, since their\n" +
			"latency would be part of it. --for is divided among the five percentages.",
		change: func(o *options) {
			o.Percent, o.SESLatency, o.CuenoteLatency = splitSteps[0], "5ms", "5ms"
		},
		account: roomy,
		during:  changeSplit,
		judge: func(ctx context.Context, st *stand, r *result) error {
			list, err := st.control.deliveries(ctx)
			if err != nil {
				return err
			}
			r.Split.Requested = -1
			r.Changes = judgeChanges(st.changes, list, st.gen.start.Add(st.plan.length()))
			return nil
		},
		limits: none(limits{"errors": 0, "unconfirmed": 0, "rate": 99.5, "effect": 2}),
	}
}

// change is one move of the split.
type change struct {
	From, To    float64
	Asked, Done time.Time // before and after the command
}

func changeSplit(ctx context.Context, st *stand) error {
	phase := st.opts.For / time.Duration(len(splitSteps))
	for i, to := range splitSteps[1:] {
		if !st.sleepUntil(ctx, st.opts.Warmup+time.Duration(i+1)*phase) {
			return nil
		}
		c := change{From: splitSteps[i], To: to, Asked: time.Now()}
		if err := st.relays.at(0).setSplit(ctx, to, fmt.Sprintf("load test: %g to %g", c.From, to)); err != nil {
			return err
		}
		c.Done = time.Now()
		st.changes = append(st.changes, c)
		st.mark(fmt.Sprintf("%g → %g %%", c.From, to))
	}
	return nil
}

// changeResult is how a change of the split took effect. Times are seconds
// since the command was started.
type changeResult struct {
	From           float64 `json:"from"`
	To             float64 `json:"to"`
	CommandSeconds float64 `json:"command_seconds"` // until the command had returned
	EffectSeconds  float64 `json:"effect_seconds"`  // until the deliveries' share changed
	LastSeconds    float64 `json:"last_seconds"`    // until the last delivery on a way that is closed now; 0 = both stay open
	Share          float64 `json:"share"`           // of SES, in percent, from a second after the command to the next change
}

// baseline is how much of the time before a change belongs to its series.
const baseline = 3 * time.Second

// judgeChanges reads from the deliveries, in order of arrival, when each change
// took effect. end is when the last one's time is over.
func judgeChanges(changes []change, list []arrivedAt, end time.Time) (results []changeResult) {
	for i, c := range changes {
		until := end
		if i+1 < len(changes) {
			until = changes[i+1].Asked
		}
		r := changeResult{From: c.From, To: c.To, CommandSeconds: c.Done.Sub(c.Asked).Seconds()}
		since := c.Asked.Add(-baseline)
		if i > 0 { // no draws of the percentage before the last one
			settled := changes[i-1].Asked.Add(time.Duration(results[i-1].EffectSeconds * float64(time.Second)))
			since = time.Unix(0, max(since.UnixNano(), settled.UnixNano()))
		}
		series := between(list, since, until)
		draws := make([]bool, len(series))
		for k, d := range series {
			draws[k] = d.SES
		}
		r.EffectSeconds = until.Sub(c.Asked).Seconds() // never
		if at := changePoint(draws, c.From/100, c.To/100); at < len(series) {
			r.EffectSeconds = max(time.Unix(0, series[at].At).Sub(c.Asked).Seconds(), 0)
		}
		r.LastSeconds = lastOn(between(list, c.Asked, until), c.To, c.Asked)
		r.Share = shareOf(between(list, c.Done.Add(time.Second), until))
		results = append(results, r)
	}
	return results
}

// between returns the deliveries of a stretch of time.
func between(list []arrivedAt, from, to time.Time) (part []arrivedAt) {
	for _, d := range list {
		if d.At >= from.UnixNano() && d.At < to.UnixNano() {
			part = append(part, d)
		}
	}
	return part
}

// lastOn is when the last delivery came on the way that 0 % or 100 % closes.
func lastOn(list []arrivedAt, percent float64, since time.Time) (seconds float64) {
	if percent != 0 && percent != 100 {
		return 0
	}
	for _, d := range list {
		if d.SES == (percent == 0) {
			seconds = time.Unix(0, d.At).Sub(since).Seconds()
		}
	}
	return seconds
}

// shareOf is the share of SES in percent; 0 without deliveries.
func shareOf(list []arrivedAt) float64 {
	n := 0
	for _, d := range list {
		if d.SES {
			n++
		}
	}
	if len(list) == 0 {
		return 0
	}
	return 100 * float64(n) / float64(len(list))
}

// returnTime is the first delivery by SES after a time.
func returnTime(list []arrivedAt, after time.Time) (time.Time, bool) {
	for _, d := range list {
		if at := time.Unix(0, d.At); d.SES && !at.Before(after) {
			return at, true
		}
	}
	return time.Time{}, false
}

// away is how long a next hop is gone in the outage scenario.
func away(o simulator.Outage) sinkState { return sinkState{Outage: &o} }
