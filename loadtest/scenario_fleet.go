package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/pflag"
)

// fleetScenario kills one of several relays under load, and starts it again.
func fleetScenario() *scenario {
	return &scenario{
		Name: "fleet", Title: "One of several relays is killed under load, and started again",
		Help: "A third into the test the last instance gets SIGKILL; at two thirds it is started again, empty. Connections take turns among\n" +
			"the instances, and go to the next when one refuses, as Postfix's do with several hosts in relayhost. Mail in flight at the kill\n" +
			"is sent again (--attempts, --backoff) and meets the shared ledger: what was recorded is answered from it, and what only the\n" +
			"killed instance could know may arrive twice. No other mail may, and none may be lost. The test goes on for some three minutes\n" +
			"after the traffic, until the ledger has let go of what the killed instance had claimed.",
		change: func(o *options) {
			// What a killed instance claimed stays claimed for 150 s.
			o.Instances, o.Attempts, o.Backoff = 3, 14, 15*time.Second
			o.SESLatency, o.CuenoteLatency = "20ms", "20ms"
		},
		flags: func(f *pflag.FlagSet, o *options) {
			f.DurationVar(&o.Outage, "away", o.Outage, "how long the instance is away; 0 = a third of --for")
		},
		account: roomy,
		during:  killOne,
		judge:   judgeFleet,
		limits:  without("duplicated", none(limits{"needless": 0, "unconfirmed": 0, "rate": 99, "split": 0.5, "failing": 5, "notice": 10})),
	}
}

// killing is what happened to the killed instance.
type killing struct {
	at, back, noticed time.Time
}

// killOne kills the last instance and starts it again.
func killOne(ctx context.Context, st *stand) error {
	o := st.opts
	if o.Instances < 2 {
		return errors.New("--instances: one of two or more is killed")
	}
	away := o.Outage
	if away <= 0 {
		away = o.For / 3
	}
	if away >= o.For {
		return fmt.Errorf("--away %s: shorter than --for", away)
	}
	if !st.sleepUntil(ctx, o.Warmup+(o.For-away)/2) {
		return nil
	}
	last := o.Instances - 1
	st.kill = &killing{at: time.Now()}
	st.mark("killed")
	st.relays.kill(last)
	st.kill.noticed = st.notice(ctx, o.Instances-1, away)
	st.sleepUntil(ctx, o.Warmup+(o.For+away)/2)
	st.kill.back = time.Now()
	st.mark("started again")
	return st.relays.restart(context.WithoutCancel(ctx), last) // also after Ctrl-C: what is left is counted
}

// notice waits until the first relay's status names n instances, and returns
// when; zero when it does not within the time.
func (st *stand) notice(ctx context.Context, n int, patience time.Duration) time.Time {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		if seen, err := st.relays.at(0).instances(ctx); err == nil && seen == n {
			return time.Now()
		}
	}
	return time.Time{}
}

// instances is how many instances a relay sees.
func (p *relayProcess) instances(ctx context.Context) (int, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", p.API+"/v1/status", nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	var status struct {
		Split struct {
			Instances []json.RawMessage `json:"instances"`
		} `json:"split"`
	}
	if err := json.NewDecoder(res.Body).Decode(&status); err != nil {
		return 0, fmt.Errorf("status: %w", err)
	}
	return len(status.Split.Instances), nil
}

// fleetResult is how the fleet took the loss of an instance.
type fleetResult struct {
	InFlight       int     `json:"in_flight"`       // mails with an attempt that was cut between the final dot and its answer
	Failed         int     `json:"failed"`          // mails whose first attempt was not accepted
	FailingSeconds float64 `json:"failing_seconds"` // from the kill to the end of the last second in which a first attempt failed
	NoticeSeconds  float64 `json:"notice_seconds"`  // from the kill until the others' status did not name it any more; -1 = never
	AwaySeconds    float64 `json:"away_seconds"`
}

func (f *fleetResult) String() string {
	return fmt.Sprintf("one instance killed for %.1f s: %d mails were not accepted at once, %d of them were between dot and answer; failures for %.1f s, noticed after %.1f s",
		f.AwaySeconds, f.Failed, f.InFlight, f.FailingSeconds, f.NoticeSeconds)
}

func judgeFleet(_ context.Context, st *stand, r *result) (err error) {
	k := st.kill
	if k == nil { // interrupted before
		r.Fleet = &fleetResult{NoticeSeconds: -1}
		return nil
	}
	f := &fleetResult{Failed: r.Mails.Deferred + r.Mails.Failed, AwaySeconds: k.back.Sub(k.at).Seconds(), NoticeSeconds: -1}
	if !k.noticed.IsZero() {
		f.NoticeSeconds = k.noticed.Sub(k.at).Seconds()
	}
	for _, e := range st.gen.rec.entries {
		if e.unknown {
			f.InFlight++
		}
	}
	f.FailingSeconds = failing(r.Samples, k.at.Sub(st.gen.start).Seconds())
	r.Fleet = f
	return nil
}

// failing is how long after the kill the last second ended in which something
// was not accepted.
func failing(samples []sample, kill float64) (seconds float64) {
	for _, s := range samples {
		if s.T > kill && s.Errors > 0 {
			seconds = s.T - kill
		}
	}
	return seconds
}
