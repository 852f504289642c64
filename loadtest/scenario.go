package main

import (
	"context"
	"time"

	"github.com/spf13/pflag"

	"sesrelay/internal/simulator"
)

// scenario is one thing to find out.
type scenario struct {
	Name, Title, Help string

	change   func(*options)                 // other defaults than the usual ones; nil = none
	flags    func(*pflag.FlagSet, *options) // its own flags; nil = none
	schedule func(*options) schedule        // nil = warm-up, then one rate
	account  func(*options) simulator.Account
	during   func(context.Context, *stand) error // beside the traffic; nil = nothing happens
	judge    func(context.Context, *stand, *result) error
	limits   limits
}

// none are the limits of every scenario.
func none(more limits) limits {
	l := limits{"lost": 0, "duplicated": 0, "unexpected": 0, "anomalies": 0, "dropped": 0, "open": 0, "interruption": 0}
	for name, limit := range more {
		l[name] = limit
	}
	return l
}

// without takes a limit away.
func without(name string, l limits) limits {
	delete(l, name)
	return l
}

func scenarios() []*scenario {
	return []*scenario{hundredThousand(), ramp(), splitChange(), quotaScenario(), outage(), fleetScenario(), soak()}
}

// defaults are the scenario's options before the command line is read.
func (sc *scenario) defaults() *options {
	o := usual()
	if sc.change != nil {
		sc.change(o)
	}
	return o
}

// plan is the scenario's schedule.
func (sc *scenario) plan(o *options) schedule {
	if sc.schedule != nil {
		return sc.schedule(o)
	}
	return constant(o)
}

// constant is warm-up, in which the rate rises as a fleet's does when its mail
// servers find a relay, and then one rate.
func constant(o *options) (s schedule) {
	if o.Warmup > 0 {
		for _, part := range []float64{0.25, 0.5, 0.75, 1} {
			s = append(s, step{Rate: part * o.Rate, For: o.Warmup / 4, Warm: true})
		}
	}
	return append(s, step{Rate: o.Rate, For: o.For})
}

// roomy is an account whose quota counts and never binds.
func roomy(o *options) simulator.Account {
	return simulator.Account{MaxSendRate: max(10_000, 4*o.Rate), Max24HourSend: 1e9}
}

func hundredThousand() *scenario {
	return &scenario{
		Name: "100k", Title: "100,000 mails a minute, half to SES and half to Cuenote",
		Help: "The limits are the project's targets: nothing lost or doubled, every mail accepted at once, the relay under 0.6 core,\n" +
			"p99 of the time that it adds under 5 ms, the split within 0.2 points.",
		account: roomy,
		limits: none(limits{"errors": 0, "unconfirmed": 0, "rate": 99.5, "added-p99": 5, "relay-cores": 0.6,
			"split": 0.2}),
	}
}

func soak() *scenario {
	return &scenario{
		Name: "soak", Title: "100,000 mails a minute for an hour",
		Help: "Memory and CPU time of the last quarter are compared with those of the second one: neither may grow by more than 10 %.\n" +
			"Beyond 500,000 mails deliveries are reconciled by mail instead of by recipient.",
		change:  func(o *options) { o.For = time.Hour },
		account: roomy,
		judge:   judgeDrift,
		limits: none(limits{"errors": 0, "unconfirmed": 0, "rate": 99.5, "added-p99": 5, "relay-cores": 0.6,
			"split": 0.2, "drift-rss": 10, "drift-cpu": 10}),
	}
}

// driftResult compares the last quarter of a run with its second one.
type driftResult struct {
	RSSPercent float64 `json:"rss_percent"`
	CPUPercent float64 `json:"cpu_percent"` // of the cores used at one rate
}

func judgeDrift(_ context.Context, st *stand, r *result) error {
	r.Drift = driftOf(r.Samples, st.plan.length().Seconds())
	return nil
}

// driftOf compares means; zeros when the run was too short for quarters.
func driftOf(samples []sample, length float64) *driftResult {
	var early, late []sample
	for _, s := range samples {
		switch quarter := int(4 * s.T / length); quarter {
		case 1:
			early = append(early, s)
		case 3:
			late = append(late, s)
		}
	}
	rss := func(s sample) float64 { return s.RelayMiB }
	cpu := func(s sample) float64 { return s.RelayCPU }
	return &driftResult{growth(mean(early, rss), mean(late, rss)), growth(mean(early, cpu), mean(late, cpu))}
}

func mean(list []sample, of func(sample) float64) (sum float64) {
	if len(list) == 0 {
		return 0
	}
	for _, s := range list {
		sum += of(s)
	}
	return sum / float64(len(list))
}

// growth is in percent of what it was.
func growth(before, after float64) float64 {
	if before == 0 {
		return 0
	}
	return 100 * (after - before) / before
}
