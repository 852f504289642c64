package rollout

import (
	"maps"
	"time"
)

// Hop are the counts of one upstream, in messages that were meant for it.
type Hop struct {
	Accepted      int64     `json:"accepted,omitempty"`
	Failed        int64     `json:"failed,omitempty"`         // surely not accepted, throttling and an open breaker among it
	Unknown       int64     `json:"unknown,omitempty"`        // no answer after all was sent
	OverQuota     int64     `json:"over_quota,omitempty"`     // found no quota of ours: says nothing about SES
	DeferredFirst int64     `json:"deferred_first,omitempty"` // of Accepted, those that the relay had deferred: not in Delay
	Recipients    int64     `json:"recipients,omitempty"`     // of Accepted
	Delay         Histogram `json:"delay"`                    // of Accepted, since the first hop's Received
	Latency       Histogram `json:"latency"`                  // of Accepted, in the relay and the upstream
}

// answers is how many mails say something about the upstream.
func (h *Hop) answers() int64 { return h.Accepted + h.Failed + h.Unknown }

func (h *Hop) add(o *Hop, factor int64) {
	h.Accepted += factor * o.Accepted
	h.Failed += factor * o.Failed
	h.Unknown += factor * o.Unknown
	h.OverQuota += factor * o.OverQuota
	h.DeferredFirst += factor * o.DeferredFirst
	h.Recipients += factor * o.Recipients
	h.Delay.merge(&o.Delay, factor)
	h.Latency.merge(&o.Latency, factor)
}

// Counts is the mail that was decided on while one share was in force.
type Counts struct {
	SES       Hop              `json:"ses"`
	Cuenote   Hop              `json:"cuenote"`
	Judged    int64            `json:"judged,omitempty"` // by split.rehearse
	Fit       int64            `json:"fit,omitempty"`    // of those, what SES would have been asked to take
	Rehearsed map[string]int64 `json:"rehearsed,omitempty"`
}

func (c *Counts) add(o *Counts, factor int64) {
	c.SES.add(&o.SES, factor)
	c.Cuenote.add(&o.Cuenote, factor)
	c.Judged += factor * o.Judged
	c.Fit += factor * o.Fit
	for reason, n := range o.Rehearsed {
		if c.Rehearsed == nil {
			c.Rehearsed = map[string]int64{}
		}
		c.Rehearsed[reason] += factor * n
	}
}

func (c *Counts) clone() *Counts {
	out := &Counts{}
	out.add(c, 1)
	return out
}

// total grows with everything that is counted; it never falls while a process lives.
func (c *Counts) total() int64 {
	return c.SES.answers() + c.SES.OverQuota + c.Cuenote.answers() + c.Judged
}

func (c *Counts) rehearsal() RehearsalView {
	v := RehearsalView{Judged: c.Judged, Fit: c.Fit, Reasons: map[string]int64{}}
	maps.Copy(v.Reasons, c.Rehearsed)
	v.Eligible = percentOf(c.Fit, c.Judged)
	return v
}

// percentOf is nil without a whole: no mail is not 0 %.
func percentOf(part, whole int64) *float64 {
	if whole <= 0 {
		return nil
	}
	p := 100 * float64(part) / float64(whole)
	return &p
}

// failed is what never reached the mailbox, as far as SES has said.
func (r *Reported) failed() int64 { return r.Bounce + r.Reject + r.RenderingFailure }

// Add adds o.
func (r *Reported) Add(o Reported) {
	r.Send += o.Send
	r.Delivery += o.Delivery
	r.Bounce += o.Bounce
	r.Complaint += o.Complaint
	r.Reject += o.Reject
	r.RenderingFailure += o.RenderingFailure
	r.DeliveryDelay += o.DeliveryDelay
}

// Any reports whether anything was reported at all.
func (r *Reported) Any() bool { return *r != Reported{} }

// Figures are what a judge goes by: the mail sent under the share in force, and
// of that only.
type Figures struct {
	Counts
	Events     *Reported     // what SES reported in the window; nil: rollout.events is none
	Long       *Reported     // and over a day: complaints come late
	Unread     string        // why what SES reports is not known here; "" it is
	Unreported int64         // accepted by SES since the newest report
	SilentFor  time.Duration // since the oldest of those
}
