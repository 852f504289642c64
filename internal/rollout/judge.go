package rollout

import (
	"fmt"
	"time"
)

// Limits are what a judge compares with. Rates are in percent.
type Limits struct {
	SuccessMin   float64
	DelayMax     time.Duration // for the 95th percentile
	BounceMax    float64
	ComplaintMax float64 // of a guard
}

// complaintGoal is what SES itself asks for: below 0.1 %.
const complaintGoal = 0.1

// rate is a share of bad messages and the share at which it is too much, with
// the words for it.
type rate struct {
	name   Name
	bad, n int64
	limit  float64 // as configured
	goal   float64 // of the gate, as configured
	least  bool    // the limit is for the good ones: success at least so much
	what   string  // "SES accepted %s of %d messages"
}

// share turns a configured percentage into a share of bad ones.
func (r *rate) share(percent float64) float64 {
	if r.least {
		percent = 100 - percent
	}
	return percent / 100
}

// criterion fills in everything but the verdict.
func (r *rate) criterion() Criterion {
	c := Criterion{Name: r.name, Limit: r.limit, Unit: Percent, Sample: r.n, Verdict: Hold}
	good := r.bad
	if r.least {
		good = r.n - r.bad
	}
	c.Value = percentOf(good, r.n)
	if c.Value == nil {
		c.Text = fmt.Sprintf("%s: no figures", r.name)
		return c
	}
	low, high := shareInterval(good, r.n)
	c.Interval = &Interval{100 * low, 100 * high}
	c.Text = fmt.Sprintf(r.what, fmt.Sprintf("%.2f %%", *c.Value), r.n) +
		fmt.Sprintf(" (%.2f to %.2f %% at 99 %% confidence)", 100*low, 100*high)
	return c
}

// past reports whether the value itself has reached the limit.
func (r *rate) past() bool {
	return r.n > 0 && float64(r.bad) >= r.share(r.limit)*float64(r.n) && (r.bad > 0 || r.share(r.limit) > 0)
}

// beyondChance reports whether a system that keeps the goal would hardly show
// so many bad ones.
func (r *rate) beyondChance() bool {
	return atLeast(r.bad, r.n, min(r.share(r.goal), r.share(r.limit))) < tail
}

func (r *rate) badOnes() (bad, n int64) { return r.bad, r.n }
func (r *rate) suspect() bool           { return r.beyondChance() }

// guarded judges for the guard: the limit is reached, and not by chance.
func (r *rate) guarded(least int64) Criterion {
	c := r.criterion()
	switch {
	case r.n < least:
		c.Text += fmt.Sprintf("; %d are needed to judge", least)
	case !r.past():
		c.Verdict = Pass
	case !r.beyondChance():
		c.past = true
		c.Text += fmt.Sprintf("; the limit is %s %%, but chance could do this to a sample of that size", plain(r.limit))
	default:
		c.past = true
		c.Verdict = Rollback
		c.Text += fmt.Sprintf("; the limit is %s %%", plain(r.limit))
	}
	return c
}

// gated judges for a gate: the whole interval keeps the limit.
func (r *rate) gated(least int64) Criterion {
	c := r.criterion()
	limit, high := r.share(r.limit), 1.0 // of the bad ones
	if i := c.Interval; i != nil {
		high = i.High / 100
		if r.least {
			high = 1 - i.Low/100
		}
	}
	switch {
	case r.n < least:
		c.Text += fmt.Sprintf("; %d are needed to judge", least)
	case high <= limit || r.bad == 0 && limit == 0:
		c.Verdict = Pass
	case float64(r.bad) <= limit*float64(r.n):
		c.Text += fmt.Sprintf("; that does not yet show %s %%", plain(r.limit))
	default:
		c.past = true
		c.Text += fmt.Sprintf("; %s %% is asked for", plain(r.limit))
	}
	return c
}

// delay is the 95th percentile of a histogram of delays against a limit.
type delay struct {
	h           *Histogram
	limit, goal time.Duration
	of          string // "mail through SES"
}

func (d *delay) criterion() (c Criterion) {
	c = Criterion{Name: Delay, Limit: d.limit.Seconds(), Unit: Seconds, Sample: d.h.total, Verdict: Hold}
	c.Value = d.h.quantile(delayScale, 0.95)
	if c.Value == nil {
		c.Text = "delay: no figures"
		return c
	}
	low, high := rankInterval(d.h.total, 0.95)
	c.Interval = &Interval{d.h.rank(delayScale, low), d.h.rank(delayScale, high)}
	c.Text = fmt.Sprintf("the delay of %d messages %s is %s at the 95th percentile (%s to %s at 99 %% confidence)",
		d.h.total, d.of, seconds(*c.Value), seconds(c.Interval.Low), seconds(c.Interval.High))
	return c
}

// badOnes are those that are as late as the limit.
func (d *delay) badOnes() (bad, n int64) { return d.h.since(delayScale, d.limit), d.h.total }

func (d *delay) suspect() bool {
	bad, _ := d.badOnes()
	return bad > 0
}

func (d *delay) guarded(least int64) Criterion {
	c := d.criterion()
	switch {
	case c.Sample < least:
		c.Text += fmt.Sprintf("; %d are needed to judge", least)
	case *c.Value < c.Limit:
		c.Verdict = Pass
	case c.Interval.Low <= d.goal.Seconds():
		c.past = true
		c.Text += fmt.Sprintf("; the limit is %s, but chance could do this to a sample of that size", d.limit)
	default:
		c.past = true
		c.Verdict = Rollback
		c.Text += fmt.Sprintf("; the limit is %s", d.limit)
	}
	return c
}

func (d *delay) gated(least int64) Criterion {
	c := d.criterion()
	switch {
	case c.Sample < least:
		c.Text += fmt.Sprintf("; %d are needed to judge", least)
	case c.Interval.High <= c.Limit:
		c.Verdict = Pass
	case *c.Value <= c.Limit:
		c.Text += fmt.Sprintf("; that does not yet show %s", d.limit)
	default:
		c.past = true
		c.Text += fmt.Sprintf("; at most %s is asked for", d.limit)
	}
	return c
}

// seconds writes seconds as a duration for people.
func seconds(s float64) string { return time.Duration(s * float64(time.Second)).String() }

// plain writes a percentage without superfluous zeros.
func plain(p float64) string { return fmt.Sprintf("%g", p) }

// The rates of a window. Bounce and complaint are of what SES has said the fate of.
func (f *Figures) acceptance(h *Hop, l, goal Limits, who string) *rate {
	return &rate{Acceptance, h.Failed + h.Unknown, h.answers(), l.SuccessMin, goal.SuccessMin, true, who + " accepted %s of %d messages"}
}

func success(r *Reported, l, goal Limits) *rate {
	return &rate{Success, r.failed(), r.Delivery + r.failed(), l.SuccessMin, goal.SuccessMin, true, "SES delivered %s of %d messages whose end it reported"}
}

func bounce(r *Reported, l, goal Limits) *rate {
	return &rate{Bounce, r.Bounce, r.Delivery + r.Bounce, l.BounceMax, goal.BounceMax, false, "%s of %d messages bounced"}
}

func complaint(r *Reported, l Limits) *rate {
	n := max(r.Delivery, r.Complaint) // late ones, of mail delivered before
	return &rate{Complaint, r.Complaint, n, l.ComplaintMax, complaintGoal, false, "%s of %d messages delivered were complained about"}
}
