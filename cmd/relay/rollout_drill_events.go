package main

import (
	"context"
	"sync"
	"time"

	"sesrelay/internal/rollout"
	"sesrelay/internal/ses"
	"sesrelay/internal/simulator"
)

// drillEvents reports what a simulated SES accepted as CloudWatch would: by
// step, by minute. Everything is delivered, but for what bounces.
type drillEvents struct {
	store *simulator.Store

	mu     sync.Mutex // guards what follows
	bounce time.Time  // mail accepted since bounces; zero: none does
	silent time.Time  // nothing is reported of mail accepted since; zero: all is
}

var _ rollout.Events = (*drillEvents)(nil)

// Read implements rollout.Events.
func (d *drillEvents) Read(_ context.Context, step string, from, to time.Time) (map[time.Time]rollout.Reported, error) {
	d.mu.Lock()
	bounce, silent := d.bounce, d.silent
	d.mu.Unlock()
	out := map[time.Time]rollout.Reported{}
	for _, r := range d.store.Of(simulator.UpstreamSES) {
		if r.SES.Tags[ses.StepTag] != step || r.Time.Before(from) || !r.Time.Before(to) || !silent.IsZero() && r.Time.After(silent) {
			continue
		}
		m := r.Time.UTC().Truncate(time.Minute)
		sum := out[m]
		sum.Send++
		if !bounce.IsZero() && r.Time.After(bounce) {
			sum.Bounce++
		} else {
			sum.Delivery++
		}
		out[m] = sum
	}
	return out, nil
}

func (d *drillEvents) set(f func(*drillEvents)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(d)
}
