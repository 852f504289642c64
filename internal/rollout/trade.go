package rollout

import (
	"context"
	"maps"
	"time"
)

// heard is what a process has counted since its start, and when it said so.
type heard struct {
	total map[string]*Counts
	at    time.Time
}

// self is this process beside c.Instance, which is the local ring's.
const self = "\x00self"

// Bounds of what is remembered of processes that say nothing more: they may
// come back with all that they have counted.
const (
	remembered    = 24 * time.Hour
	maxRemembered = 64
)

// count puts what a process has counted since the last look into a ring, and
// into the backlog of the stages.
func (c *Controller) count(now time.Time, run string, total map[string]*Counts, into *ring) {
	was, known := c.before[run]
	own := run == c.Instance || run == self
	if !known && !own { // counted before this instance came: when is not known
		c.before[run] = heard{total, now}
		return
	}
	s := c.settings.Load()
	recent := own || now.Sub(was.at) <= s.Window+s.Guard.NoDataMax
	for step, d := range growth(was.total, total) {
		if recent { // else it is no part of a window
			into.add(now, step, d)
			if into == c.fleet && step == c.Live.Current().Applied().Tag() {
				c.sent.add(now, d.SES.Accepted)
			}
		}
		if into == c.fleet {
			c.tried.add(&Counts{Judged: d.Judged, Fit: d.Fit, Rehearsed: d.Rehearsed}, 1)
			c.pending.add(now, step, d)
		}
	}
	c.before[run] = heard{withOlder(total, was.total), now}
	c.counted = now
}

// withOlder is total with the shares that are in before only: what is left out
// once must not count again when it comes back.
func withOlder(total, before map[string]*Counts) map[string]*Counts {
	out := total
	for step, c := range before {
		if _, is := total[step]; is {
			continue
		}
		if len(out) == len(total) {
			out = maps.Clone(total)
		}
		out[step] = c
	}
	return out
}

// trade brings the counts of the fleet. What this instance has counted was
// looked at already, and goes into the fleet's ring from the same figures.
func (c *Controller) trade(ctx context.Context, now time.Time, mine map[string]*Counts) {
	c.count(now, self, mine, c.fleet)
	others, err := c.Exchange.Trade(ctx, mine)
	if err != nil {
		return
	}
	for run, total := range others {
		c.count(now, run, total, c.fleet)
	}
	c.forget(now)
}

// forget drops processes that have long said nothing, and the most silent ones
// of too many.
func (c *Controller) forget(now time.Time) {
	oldest := ""
	for run, h := range c.before {
		switch {
		case now.Sub(h.at) > remembered:
			delete(c.before, run)
		case oldest == "" || h.at.Before(c.before[oldest].at):
			oldest = run
		}
	}
	if len(c.before) > maxRemembered {
		delete(c.before, oldest)
	}
}
