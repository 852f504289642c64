package main

import (
	"context"
	"time"

	"github.com/spf13/pflag"

	"sesrelay/internal/simulator"
)

// headroom is the relay's default quota.headroom.
const headroom = 0.9

// quotaScenario wants more of SES than its rate allows.
func quotaScenario() *scenario {
	return &scenario{
		Name: "quota", Title: "More mail for SES than its rate allows",
		Help: "All mail is meant for SES, whose MaxSendRate is --quota-rate: the rest must take Cuenote. The judge is the simulated SES, which\n" +
			"counts what it accepted in each second of the clock, and throttles by a bucket that holds a second's worth.",
		change: func(o *options) {
			o.Percent, o.Rate, o.QuotaRate, o.For = 100, 1000, 400, 30*time.Second
			o.SESLatency, o.CuenoteLatency = "20ms", "20ms"
			o.Clients = 3000
		},
		flags: func(f *pflag.FlagSet, o *options) {
			f.Float64Var(&o.QuotaRate, "quota-rate", o.QuotaRate, "MaxSendRate of the simulated SES, recipients per second")
		},
		account: func(o *options) simulator.Account {
			return simulator.Account{MaxSendRate: o.QuotaRate, Max24HourSend: 1e9}
		},
		judge: func(ctx context.Context, st *stand, r *result) error {
			perSecond, err := st.control.perSecond(ctx, simulator.UpstreamSES)
			if err != nil {
				return err
			}
			r.Split.Requested = -1
			r.Quota = judgeQuota(perSecond, st.opts.QuotaRate, st.gen.start, st.gen.start.Add(st.plan.length()))
			return nil
		},
		// Mail waits up to 2 s for the rate, which the achieved rate shows in a short test.
		limits: none(limits{"errors": 0, "unconfirmed": 0, "rate": 90, "quota-over": 0, "quota-throttled": 0, "quota-use": 90}),
	}
}

// quotaResult is how the relay used SES's rate.
type quotaResult struct {
	Rate        float64         `json:"rate"`         // MaxSendRate
	Most        int64           `json:"most"`         // recipients accepted in one second
	SecondsOver int             `json:"seconds_over"` // seconds that, with the one before, had more than twice the rate
	UsePercent  float64         `json:"use_percent"`  // mean of the accepted, of rate x headroom
	PerSecond   map[int64]int64 `json:"per_second"`
}

// judgeQuota weighs the simulator's count of recipients by Unix second.
func judgeQuota(perSecond map[int64]int64, rate float64, from, to time.Time) *quotaResult {
	q := &quotaResult{Rate: rate, PerSecond: perSecond}
	var sum, seconds float64
	for second, n := range perSecond {
		q.Most = max(q.Most, n)
		// A moment's stall moves mail into the next second, which is no
		// overdraft: SES counts by a bucket that holds a second's worth.
		if float64(n+perSecond[second-1]) > 2*rate {
			q.SecondsOver++
		}
		if second > from.Unix() && second < to.Unix() {
			sum += float64(n)
		}
	}
	if seconds = float64(to.Unix() - from.Unix() - 1); seconds > 0 {
		q.UsePercent = 100 * sum / seconds / (rate * headroom)
	}
	return q
}
