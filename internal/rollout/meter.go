package rollout

import (
	"sync"
	"time"
)

// Outcome is how a mail ended for the upstream that it was meant for.
type Outcome uint8

// The outcomes.
const (
	OutcomeNone      Outcome = iota // says nothing about it: the client's fault, or not asked
	OutcomeAccepted                 //
	OutcomeFailed                   // surely not accepted
	OutcomeUnknown                  // no answer after all was sent
	OutcomeOverQuota                // no quota of ours, and SES does not throttle
)

// Sample is one mail at its end.
type Sample struct {
	Step       string // of the share in force when its route was decided: the relay-step tag
	ToSES      bool   // it was meant for SES; else for Cuenote
	Outcome    Outcome
	Recipients int
	Delay      time.Duration // since the first hop's Received; negative when unknown
	Deferred   bool          // the relay had deferred it before: the delay is not the upstream's
	Latency    time.Duration // in the relay and the upstream
	Rehearsed  bool          // split.rehearse has judged it
	Unfit      string        // why SES would not have been asked; "" when it would
}

// maxSteps bounds the shares that are counted apart.
const maxSteps = 16

// Meter counts the mail of this instance by the share that was in force. What
// it returns only grows.
type Meter struct {
	mu    sync.Mutex // guards what follows
	steps map[string]*Counts
	used  []string // steps, the one used last at the end
}

// NewMeter returns an empty meter.
func NewMeter() *Meter { return &Meter{steps: map[string]*Counts{}} }

// Observe counts one mail. It is quick.
func (m *Meter) Observe(s Sample) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.counts(s.Step)
	if s.Rehearsed {
		c.rehearsed(s.Unfit)
	}
	h := &c.Cuenote
	if s.ToSES {
		h = &c.SES
	}
	switch s.Outcome {
	case OutcomeAccepted:
		h.accepted(&s)
	case OutcomeFailed:
		h.Failed++
	case OutcomeUnknown:
		h.Unknown++
	case OutcomeOverQuota:
		h.OverQuota++
	}
}

func (h *Hop) accepted(s *Sample) {
	h.Accepted++
	h.Recipients += int64(s.Recipients)
	h.Latency.record(latencyScale, s.Latency)
	switch {
	case s.Deferred:
		h.DeferredFirst++
	case s.Delay >= 0:
		h.Delay.record(delayScale, s.Delay)
	}
}

func (c *Counts) rehearsed(unfit string) {
	c.Judged++
	if unfit == "" {
		c.Fit++
		return
	}
	if c.Rehearsed == nil {
		c.Rehearsed = map[string]int64{}
	}
	c.Rehearsed[unfit]++
}

// counts returns the counts of a step, the oldest of which gives way.
func (m *Meter) counts(step string) *Counts {
	if n := len(m.used); n > 0 && m.used[n-1] == step {
		return m.steps[step]
	}
	for i, s := range m.used {
		if s == step {
			m.used = append(append(m.used[:i:i], m.used[i+1:]...), step)
			return m.steps[step]
		}
	}
	if len(m.used) == maxSteps {
		delete(m.steps, m.used[0])
		m.used = m.used[1:]
	}
	m.used = append(m.used, step)
	m.steps[step] = &Counts{}
	return m.steps[step]
}

// Total returns all that was counted since the start, by step.
func (m *Meter) Total() map[string]*Counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[string]*Counts, len(m.steps))
	for step, c := range m.steps {
		out[step] = c.clone()
	}
	return out
}

// growth is what came since was, of one process. A total that is smaller was
// begun anew.
func growth(was, now map[string]*Counts) map[string]*Counts {
	out := map[string]*Counts{}
	for step, c := range now {
		before, ok := was[step]
		switch {
		case !ok || c.total() < before.total():
			out[step] = c.clone()
		case c.total() > before.total():
			d := c.clone()
			d.add(before, -1)
			out[step] = d
		}
	}
	return out
}
