package rollout

import "time"

// ring keeps the counts of the last minutes in slots of time, by step.
type ring struct {
	begun time.Time // slots are counted from here, so that a clock that is set forgets nothing
	slot  time.Duration
	slots []ringSlot
}

type ringSlot struct {
	number int64 // since 1970, in slots
	steps  map[string]*Counts
}

// newRing covers at least span, in slots that make a window of it fine enough.
func newRing(window, span time.Duration, now time.Time) *ring {
	slot := min(5*time.Second, max(time.Second, (window/60).Truncate(time.Second)))
	return &ring{begun: now, slot: slot, slots: make([]ringSlot, int(span/slot)+2)}
}

// number is that of t on a clock that was right when the ring began.
func (r *ring) number(t time.Time) int64 {
	return r.begun.Add(t.Sub(r.begun)).UnixNano() / int64(r.slot)
}

// start keeps the monotonic reading of begun: it is compared with times that have one.
func (r *ring) start(number int64) time.Time {
	return r.begun.Add(time.Unix(0, number*int64(r.slot)).Sub(r.begun))
}

// add counts c, which came before now.
func (r *ring) add(now time.Time, step string, c *Counts) {
	n := r.number(now)
	s := &r.slots[n%int64(len(r.slots))]
	if s.number != n || s.steps == nil {
		*s = ringSlot{number: n, steps: map[string]*Counts{}}
	}
	if s.steps[step] == nil {
		s.steps[step] = &Counts{}
	}
	s.steps[step].add(c, 1)
}

// each calls f for the slots of a step that begin in from..now or hold from,
// in no order.
func (r *ring) each(step string, from, now time.Time, f func(start time.Time, c *Counts)) {
	first, last := r.number(from), r.number(now)
	for i := range r.slots {
		s := &r.slots[i]
		if s.number < first || s.number > last {
			continue
		}
		if c := s.steps[step]; c != nil {
			f(r.start(s.number), c)
		}
	}
}

// sum adds up a step's counts.
func (r *ring) sum(step string, from, now time.Time) (out Counts) {
	r.each(step, from, now, func(_ time.Time, c *Counts) { out.add(c, 1) })
	return out
}

// whole adds up the newest full slots that make up span, and says how long they
// are: a rate must not be of part of a slot, or of a slot more.
func (r *ring) whole(step string, span time.Duration, now time.Time) (Counts, time.Duration) {
	n := (span + r.slot - 1) / r.slot
	end := r.start(r.number(now))
	return r.sum(step, end.Add(-n*r.slot), end.Add(-1)), n * r.slot
}

// accepted is what SES accepted of a step in the slots after from, and when the
// first of that was.
func (r *ring) accepted(step string, from, now time.Time) (n int64, first time.Time) {
	r.each(step, from, now, func(start time.Time, c *Counts) {
		if c.SES.Accepted == 0 || start.Before(from) {
			return
		}
		n += c.SES.Accepted
		if first.IsZero() || start.Before(first) {
			first = start
		}
	})
	return n, first
}

// oldest is when the oldest slot begins that is still held.
func (r *ring) oldest(now time.Time) time.Time {
	return maxTime(r.begun, r.start(r.number(now)-int64(len(r.slots))+1))
}

// forget drops what was counted of a step: it comes into force anew.
func (r *ring) forget(step string) {
	for i := range r.slots {
		delete(r.slots[i].steps, step)
	}
}
