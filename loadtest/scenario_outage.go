package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"sesrelay/internal/simulator"
)

// outage takes SES away for a while.
func outage() *scenario {
	return &scenario{
		Name: "outage", Title: "SES is away for a while",
		Help: "In the middle of the test SES refuses connections and cuts open ones for --outage. Mail must take Cuenote meanwhile; what was in\n" +
			"flight at the cut has no known end, is deferred, and is sent again as Postfix would (--attempts, --backoff). Nothing may be lost.\n" +
			"SES's API cannot be asked whether it took a mail, so those with an unknown end may arrive twice; no other mail may. The test\n" +
			"goes on for some three minutes after the traffic, until the ledger has let go of them.",
		change: func(o *options) {
			// An unknown end keeps its claim in the ledger for 150 s.
			o.Outage, o.Attempts, o.Backoff = 20*time.Second, 14, 15*time.Second
			o.SESLatency, o.CuenoteLatency = "20ms", "20ms"
		},
		flags: func(f *pflag.FlagSet, o *options) {
			f.DurationVar(&o.Outage, "outage", o.Outage, "how long SES is away")
		},
		account: roomy,
		during:  takeSESAway,
		judge: func(ctx context.Context, st *stand, r *result) error {
			r.Split.Requested = -1
			list, err := st.control.deliveries(ctx)
			if err != nil {
				return err
			}
			r.Outage = judgeOutage(st.gone, st.back, list, st.gen.start.Add(st.plan.length()))
			r.Outage.Deferred, r.Outage.Unknown = r.Mails.Deferred+r.Mails.Failed, r.UnknownEnds
			return nil
		},
		limits: without("duplicated", none(limits{"avoidable": 0, "unconfirmed": 0, "rate": 99, "return": 30})),
	}
}

func takeSESAway(ctx context.Context, st *stand) error {
	o := st.opts
	if o.Outage <= 0 || o.Outage >= o.For {
		return fmt.Errorf("--outage %s: above 0 and shorter than --for", o.Outage)
	}
	if !st.sleepUntil(ctx, o.Warmup+(o.For-o.Outage)/2) {
		return nil
	}
	st.gone = time.Now()
	st.mark("SES away")
	if err := st.control.set(ctx, "ses", away(simulator.OutageRefuse)); err != nil {
		return err
	}
	st.sleepUntil(ctx, o.Warmup+(o.For+o.Outage)/2)
	st.back = time.Now()
	st.mark("SES back")
	return st.control.set(context.WithoutCancel(ctx), "ses", away(simulator.NoOutage))
}

// outageResult is how the relay came through an outage.
type outageResult struct {
	Seconds       float64 `json:"seconds"`
	Deferred      int     `json:"deferred"`         // mails whose first attempt was not accepted
	Unknown       int     `json:"unknown"`          // of those, mails that SES may or may not have taken
	OnCuenote     int     `json:"on_cuenote"`       // mails that Cuenote took meanwhile
	ReturnSeconds float64 `json:"return_seconds"`   // from the end to the first mail on SES
	WholeSeconds  float64 `json:"whole_seconds"`    // from the end until the share was what it was
	Away          float64 `json:"away_ses_percent"` // share of SES meanwhile
}

// judgeOutage reads the deliveries. end is when the traffic was over: a relay
// that never came back has that time.
func judgeOutage(gone, back time.Time, list []arrivedAt, end time.Time) *outageResult {
	r := &outageResult{Seconds: back.Sub(gone).Seconds()}
	meanwhile := between(list, gone, back)
	r.Away = shareOf(meanwhile)
	for _, d := range meanwhile {
		if !d.SES {
			r.OnCuenote++
		}
	}
	r.ReturnSeconds = end.Sub(back).Seconds()
	r.WholeSeconds = r.ReturnSeconds
	if at, ok := returnTime(list, back); ok {
		r.ReturnSeconds = at.Sub(back).Seconds()
	}
	before := shareOf(between(list, gone.Add(-10*time.Second), gone)) / 100
	after := between(list, back, end)
	draws := make([]bool, len(after))
	for i, d := range after {
		draws[i] = d.SES
	}
	if i := changePoint(draws, 0, before); i < len(after) {
		r.WholeSeconds = time.Unix(0, after[i].At).Sub(back).Seconds()
	}
	return r
}
