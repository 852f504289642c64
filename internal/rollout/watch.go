package rollout

import (
	"context"
	"slices"
	"strings"
	"time"

	"sesrelay/internal/split"
)

// figures are those of the share in force, over the guard's window.
func (c *Controller) figures(now time.Time, r *ring, withEvents bool) *Figures {
	s := c.settings.Load()
	step := c.Live.Current().Applied().Tag()
	from := now.Add(-s.Window)
	if c.since.After(from) {
		from = c.since
	}
	f := &Figures{Counts: r.sum(step, from, now)}
	if withEvents && c.Events != nil {
		c.reported(f, step, now, s.Window)
	}
	return f
}

// reported adds what SES says. It reports minutes after the fact, so that its
// window ends with its newest minute. Only the instance that leads reads it: what
// came before it led is no silence until it has looked itself.
func (c *Controller) reported(f *Figures, step string, now time.Time, window time.Duration) {
	f.Events, f.Long, f.Unread = &Reported{}, &Reported{}, c.unread()
	if !c.leads {
		return
	}
	newest, _ := c.events.newest()
	f.Events = c.events.sum(maxTime(newest.Add(-max(window, time.Minute)), c.reports), now)
	f.Long = c.events.sum(maxTime(now.Add(-readAtMost), c.reports), now)
	if f.Unread != "" {
		newest = maxTime(newest, c.led)
	}
	n, first := c.accepted(step, newest, now)
	if n > 0 {
		f.Unreported, f.SilentFor = n, now.Sub(first)
	}
}

// unread says why what SES reports is not known here; "" it is.
func (c *Controller) unread() string {
	switch {
	case c.Events == nil:
		return ""
	case !c.leads:
		return elsewhere
	case !c.events.readSince(c.led):
		return unread
	}
	return ""
}

// watch judges a window, and puts the split back when it has to be. Nothing
// else is asked.
func (c *Controller) watch(ctx context.Context, now time.Time, r *ring, all bool) {
	s := c.settings.Load()
	j := s.Guard.Judge(c.figures(now, r, all))
	if all {
		c.guard = j
	}
	cur := c.Live.Current()
	if !s.Armed || j.Verdict != Rollback || cur.Ceiling == 0 {
		return
	}
	c.trip(ctx, now, cur, &j)
	c.fresh(now)
}

// trip puts the split back, by the brake, then records it.
func (c *Controller) trip(ctx context.Context, now time.Time, cur *split.Snapshot, j *Judgement) {
	s := c.settings.Load()
	from := cur.Applied()
	known := c.state
	known.LastTrip = c.lastTrip()
	to := known.target(now, from, s.ToZero, s.Window+s.Guard.NoDataMax)
	if last := c.state.LastTrip; c.sameIncident(now) && from > last.To {
		to = last.To // another instance has seen it too, and its brake is on its way here
	}
	names := j.breached()
	t := Trip{At: now, Instance: c.Instance, From: from, To: to, Reasons: names, Text: breaches(j)}
	braked, err := c.Live.BrakeTo(to, guardName, "rollback: "+t.Text)
	for _, name := range names {
		c.metrics.trips.WithLabelValues(string(name)).Inc()
	}
	c.Log.Error("guard: the split is put back", "from", from.Float(), "to", to.Float(), "reasons", t.Text, "saved", err == nil)
	c.unsaved = append(c.unsaved, untold{t, braked.Brake, j.Criteria})
}

// lastTrip is the newest one that is known here, recorded or not; nil: none.
func (c *Controller) lastTrip() *Trip {
	last := c.state.LastTrip
	for i := range c.unsaved {
		if t := &c.unsaved[i].trip; last == nil || t.At.After(last.At) {
			last = t
		}
	}
	return last
}

// sameIncident reports whether a trip at that time is the last one again, seen
// by another instance: shortly after it, and no step has come into force since.
func (c *Controller) sameIncident(at time.Time) bool {
	last := c.state.LastTrip
	return last != nil && at.Sub(last.At).Abs() < sameTrip && !c.state.StepSince.After(last.At)
}

// breaches are the reasons that call for a rollback, in words.
func breaches(j *Judgement) string {
	var out []string
	for _, c := range j.Criteria {
		if c.Verdict == Rollback {
			out = append(out, c.Text)
		}
	}
	return strings.Join(out, "; ")
}

// tell stores the trips that the store does not have. Several instances may
// have seen the same one: the first to store it counts.
func (c *Controller) tell(ctx context.Context) {
	if c.giving != nil && c.trouble == nil {
		c.giveUp(ctx)
	}
	for len(c.unsaved) > 0 && c.trouble == nil {
		if next, is := c.told(&c.unsaved[0]); is {
			if err := c.swap(ctx, next); err != nil {
				c.Log.Warn("guard: the trip is in force and could not be recorded yet", "error", err.Error())
				return
			}
		}
		c.unsaved = slices.Delete(c.unsaved, 0, 1)
	}
}

// told is the state with a trip in it; false: it is there already. A trip that
// could not be told for a while may come after what has followed it, another
// trip or somebody's order: then it is a line of the record and nothing more.
func (c *Controller) told(u *untold) (State, bool) {
	last := c.state.LastTrip
	if last != nil && u.trip.At.Sub(last.At).Abs() < sameTrip && last.To <= u.trip.To && !(c.state.StepSince.After(last.At) && u.trip.At.After(c.state.StepSince)) {
		return State{}, false
	}
	if last != nil && u.trip.At.Before(last.At) || u.trip.At.Before(c.state.StepSince) {
		return c.state.tripBefore(u.trip, u.criteria), true
	}
	return c.state.tripped(u.trip, u.brake, u.criteria), true
}
