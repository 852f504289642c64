package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/pflag"
)

// ramp raises the rate step by step until the relay cannot follow.
func ramp() *scenario {
	return &scenario{
		Name: "ramp", Title: "The rate rises until the relay cannot follow",
		Help: "The knee is the last step at which nothing was dropped or refused, at least 98 % of the rate was answered in time, and\n" +
			"p99 from the scheduled start stayed under --knee-p99. The step after it ends the run. --rate and --for do not count here.",
		change: func(o *options) {
			o.From, o.To, o.By, o.Each, o.KneeP99 = 1000, 10_000, 500, 5*time.Second, 500
			o.Clients = 2000
			o.Warmup = 3 * time.Second
		},
		flags: func(f *pflag.FlagSet, o *options) {
			f.Float64Var(&o.From, "from", o.From, "first rate, mails per second")
			f.Float64Var(&o.To, "to", o.To, "last rate")
			f.Float64Var(&o.By, "by", o.By, "step between rates")
			f.DurationVar(&o.Each, "each", o.Each, "how long each rate is offered")
			f.Float64Var(&o.KneeP99, "knee-p99", o.KneeP99, "a step whose p99 is above so many `MS` is past the knee")
		},
		schedule: rampSteps,
		account:  roomy,
		during:   watchKnee,
		judge: func(_ context.Context, st *stand, r *result) error {
			r.Steps = st.steps()
			r.Knee = kneeOf(r.Steps)
			r.Requested, r.Achieved = r.Knee.Rate, r.Knee.Achieved
			return nil
		},
		// Past the knee starts may be dropped and mails refused, but none may be lost.
		limits: limits{"lost": 0, "duplicated": 0, "unexpected": 0, "anomalies": 0, "interruption": 0, "knee": perMinute},
	}
}

func rampSteps(o *options) schedule {
	s := schedule{{Rate: o.From, For: max(o.Warmup, time.Second), Warm: true}}
	for rate := o.From; rate <= o.To && o.By > 0; rate += o.By {
		s = append(s, step{Rate: rate, For: max(o.Each, time.Second)})
	}
	return s
}

// watchKnee ends the load when a step was past the knee: what follows would
// only fill the waiting room.
func watchKnee(ctx context.Context, st *stand) error {
	for i, p := range st.plan {
		// The answers of its last mails are due a moment after the step.
		if !st.sleepUntil(ctx, st.plan.begin(i)+p.For+time.Second) {
			return nil
		}
		if !p.Warm && !st.stepResult(i).Good {
			st.mark(fmt.Sprintf("past the knee at %.0f/s", p.Rate))
			st.halt()
			return nil
		}
	}
	return nil
}

// kneeResult is what a ramp found.
type kneeResult struct {
	Rate     float64 `json:"rate"` // highest good step; 0 = none was
	Achieved float64 `json:"achieved"`
	P99      float64 `json:"p99_ms"`
	Reached  bool    `json:"reached"` // a step beyond it was not good: else the relay can do more
}

// kneeOf is the last step before the first that is not good.
func kneeOf(steps []stepResult) *kneeResult {
	k := &kneeResult{}
	for _, s := range steps {
		if !s.Good {
			k.Reached = true
			break
		}
		k.Rate, k.Achieved, k.P99 = s.Rate, s.Achieved, s.Latency.P99
	}
	return k
}

// steps are the results of the steps that ran, without warm-up.
func (st *stand) steps() (list []stepResult) {
	for i, p := range st.plan {
		if s := st.stepResult(i); !p.Warm && s.Counts.Started > 0 {
			list = append(list, s)
		}
	}
	return list
}

// stepResult judges one step by the mails that were scheduled in it.
func (st *stand) stepResult(i int) stepResult {
	rec := st.gen.rec
	rec.mu.Lock()
	defer rec.mu.Unlock()
	s := &rec.steps[i]
	r := stepResult{Rate: st.plan[i].Rate, Counts: s.counts, Latency: timesOf(s.latency)}
	r.Achieved = float64(s.within) / st.plan[i].For.Seconds()
	r.Good = s.Dropped == 0 && s.Accepted == s.finished() && r.Achieved >= 0.98*r.Rate && r.Latency.P99 <= st.opts.KneeP99
	return r
}
