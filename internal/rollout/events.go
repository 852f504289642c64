package rollout

import (
	"context"
	"sync"
	"time"
)

// Events is where SES reports what became of the mail (CloudWatch).
type Events interface {
	// Read returns what was reported about the mail of one step (the value of
	// its relay-step tag), by the minute in which it happened. A minute without
	// a report is absent.
	Read(ctx context.Context, step string, from, to time.Time) (map[time.Time]Reported, error)
}

// Times of reading.
const (
	readEvery   = 10 * time.Second
	readTimeout = 10 * time.Second
	readAgain   = 15 * time.Minute // CloudWatch adds to the last minutes
	readAtMost  = 24 * time.Hour
	lateEvery   = 2 * time.Minute  // for stages that are over
	foldAfter   = 30 * time.Minute // a minute so old is counted for good
)

// eventLog is what was read about the step in force.
type eventLog struct {
	mu      sync.Mutex // guards what follows
	step    string
	since   time.Time
	minutes map[time.Time]Reported
	read    time.Time // last success
	reads   int       // successes, of all steps
	last    time.Time // newest minute with data
	grew    time.Time // when a look found more in it
	trouble string
}

// reset begins anew for another step.
func (r *eventLog) reset(step string, since time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.step == step && r.since.Equal(since) {
		return
	}
	r.step, r.since, r.minutes = step, since, map[time.Time]Reported{}
	r.read, r.last, r.grew = time.Time{}, time.Time{}, time.Time{}
}

// next says what to read.
func (r *eventLog) next(now time.Time) (step string, from time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from = now.Add(-readAtMost)
	if !r.read.IsZero() {
		from = r.read.Add(-readAgain)
	}
	if r.since.After(from) {
		from = r.since
	}
	return r.step, from.Truncate(time.Minute)
}

// take keeps an answer, unless another step has come meanwhile.
func (r *eventLog) take(step string, now time.Time, minutes map[time.Time]Reported, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.step != step {
		return
	}
	if err != nil {
		r.trouble = err.Error()
		return
	}
	r.read, r.trouble = now, ""
	r.reads++
	for m, c := range minutes {
		if !c.Any() {
			continue
		}
		if !m.Before(r.last) && r.minutes[m] != c {
			r.last, r.grew = m, now
		}
		r.minutes[m] = c
	}
	for m := range r.minutes {
		if now.Sub(m) > readAtMost+time.Hour {
			delete(r.minutes, m)
		}
	}
}

// sum adds up the minutes from..to (to not among them), of those since the step began.
func (r *eventLog) sum(from, to time.Time) *Reported {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := &Reported{}
	for m, c := range r.minutes {
		if !m.Before(from.Truncate(time.Minute)) && m.Before(to) {
			out.Add(c)
		}
	}
	return out
}

// newest is up to when there is data: the end of its newest minute or, while
// that one runs, when it last grew; without any, when the step began.
func (r *eventLog) newest() (end time.Time, any bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last.IsZero() {
		return r.since, false
	}
	end = r.last.Add(time.Minute)
	if r.grew.Before(end) {
		end = r.grew
	}
	return maxTime(end, r.since), true
}

func (r *eventLog) problem() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.trouble
}

// ReadEvents reads what SES has reported about the share in force, where the
// lease is held.
func (c *Controller) ReadEvents(ctx context.Context) {
	if c.Events == nil {
		return
	}
	c.mu.Lock()
	now, leads := c.Now(), c.leads
	step, since := c.Live.Current().Applied().Tag(), c.since
	if st, ok := c.state.stage(); ok && st.Percent.Tag() == step {
		since = st.Since
	}
	c.mu.Unlock()
	c.events.reset(step, since)
	if !leads {
		return
	}
	step, from := c.events.next(now)
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	minutes, err := c.Events.Read(ctx, step, from, now)
	c.events.take(step, now, minutes, err)
	if err != nil && ctx.Err() != context.Canceled {
		c.Log.Warn("rollout: what SES reports cannot be read", "error", err.Error())
	}
}

// foldEvents moves the older minutes of the stage in force into its sums.
func (c *Controller) foldEvents(s State) State {
	st, ok := s.stage()
	if !ok || c.Events == nil || !c.leads {
		return s
	}
	to := c.events.until(st.Percent.Tag(), st.Since, c.Now())
	from := maxTime(st.Since, st.EventsTo)
	if !to.After(from) {
		return s
	}
	sum := c.events.sum(from, to)
	if st.Events != nil {
		sum.Add(*st.Events)
	}
	st.Events, st.EventsTo = sum, to
	return s.withStage(st)
}

// successes counts the looks that have read what SES reports.
func (r *eventLog) successes() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reads
}

// readSince reports whether a look after t has read what SES reports.
func (r *eventLog) readSince(t time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.read.After(t)
}

// until is the minute up to which everything about a stage was read for good;
// zero when it is another one that is read.
func (r *eventLog) until(step string, since, now time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.step != step || !r.since.Equal(since) || r.read.IsZero() {
		return time.Time{}
	}
	to := now.Add(-foldAfter)
	if t := r.read.Add(-readAgain); t.Before(to) {
		to = t
	}
	return to.Truncate(time.Minute)
}

// ReadLate reads again what SES has reported about the stages of the last day
// that are over: bounces and complaints come late.
func (c *Controller) ReadLate(ctx context.Context) {
	c.mu.Lock()
	leads, now, stages := c.leads, c.Now(), c.state.Stages
	c.mu.Unlock()
	if !leads || c.Events == nil {
		return
	}
	for i, st := range stages {
		if st.Until.IsZero() || now.Sub(st.Until) > readAtMost {
			continue
		}
		late, err := c.readLate(ctx, st, stages[i+1:], now)
		if err != nil {
			continue // the next look tries again
		}
		c.mu.Lock()
		if i < len(c.state.Stages) && c.state.Stages[i].Since.Equal(st.Since) && (c.state.Stages[i].Late == nil || *c.state.Stages[i].Late != *late) {
			next := c.state
			next.Stages = append([]Stage(nil), next.Stages...)
			next.Stages[i].Late = late
			c.log(c.swap(ctx, next))
		}
		c.mu.Unlock()
	}
}

// readLate sums up what came after the folded minutes, until the same share
// came into force again: its mail has the same tag.
func (c *Controller) readLate(ctx context.Context, st Stage, after []Stage, now time.Time) (*Reported, error) {
	for _, next := range after {
		if next.Percent == st.Percent && next.Since.Before(now) {
			now = next.Since
		}
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	minutes, err := c.Events.Read(ctx, st.Percent.Tag(), maxTime(st.Since, st.EventsTo).Truncate(time.Minute), now)
	sum := &Reported{}
	for _, m := range minutes {
		sum.Add(m)
	}
	return sum, err
}
