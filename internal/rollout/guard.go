package rollout

import (
	"fmt"
	"time"
)

// Guard puts the split back by itself. Its goal are the gate's limits: what a
// system in order keeps.
type Guard struct {
	Limits
	Goal        Limits
	MinMessages int64         // fewer in the window are not judged
	NoDataMax   time.Duration // SES accepts mail and reports nothing for so long
}

// Judge looks at a window of figures. A criterion calls for a rollback when its
// value has reached the limit and a system that keeps the goal would show that
// by chance in less than one of 200 looks.
func (g *Guard) Judge(f *Figures) Judgement {
	j := newJudgement()
	j.add(g.unlessBoth(f.acceptance(&f.SES, g.Limits, g.Goal, "SES"), f.acceptance(&f.Cuenote, g.Limits, g.Goal, "Cuenote")))
	j.add(g.unlessBoth(&delay{&f.SES.Delay, g.DelayMax, g.Goal.DelayMax, "through SES"}, &delay{&f.Cuenote.Delay, g.DelayMax, g.Goal.DelayMax, "through Cuenote"}))

	if f.Events == nil {
		return j
	}
	j.add(success(f.Events, g.Limits, g.Goal).guarded(g.MinMessages))
	j.add(bounce(f.Events, g.Limits, g.Goal).guarded(g.MinMessages))
	j.add(complaint(f.Long, g.Limits).guarded(g.MinMessages))
	j.add(g.silence(f))
	return j
}

// control is something that can be judged, and compared with the same of Cuenote.
type control interface {
	guarded(least int64) Criterion
	badOnes() (bad, n int64)
	suspect() bool // the figures are not those of a system in order
}

// unlessBoth judges SES, and takes a rollback back when Cuenote shows the same
// at the same time: moving mail there would not help, and the fault is elsewhere.
// Half the sample is enough of Cuenote's: SES may have a few messages more.
func (g *Guard) unlessBoth(ses, cuenote control) Criterion {
	c := ses.guarded(g.MinMessages)
	if c.Verdict != Rollback {
		return c
	}
	if other := cuenote.guarded(g.MinMessages); 2*other.Sample > g.MinMessages && shared(ses, cuenote) {
		c.Verdict = Hold
		c.Text += "; but so it is with Cuenote: " + other.Text
	}
	return c
}

// shared reports whether a fault of SES is one of Cuenote too: Cuenote is not in
// order, and SES is not more than twice as bad beyond chance. Cuenote's own limit
// is not asked for: when a fault of both begins or ends, chance decides which of
// them is past its limit first.
func shared(ses, cuenote control) bool {
	low, _ := shareInterval(ses.badOnes())
	_, high := shareInterval(cuenote.badOnes())
	return cuenote.suspect() && low <= 2*high
}

// silence judges how long nothing was reported of mail that SES accepted. With
// too little mail, and so always at 0 %, silence is normal. Where the reports are
// not read nothing is known of it, which is not good news either.
func (g *Guard) silence(f *Figures) Criterion {
	value := f.SilentFor.Seconds()
	c := Criterion{Name: NoData, Value: &value, Limit: g.NoDataMax.Seconds(), Unit: Seconds, Sample: f.Unreported, Verdict: Pass}
	c.Text = fmt.Sprintf("SES accepted %d messages since its newest report, the first of them %s ago", f.Unreported, f.SilentFor.Round(time.Second))
	switch {
	case f.Unreported >= g.MinMessages && f.SilentFor >= g.NoDataMax:
		c.past = true
		c.Verdict = Rollback
		c.Text += fmt.Sprintf("; the limit is %s", g.NoDataMax)
	case f.Unread != "":
		c.Verdict, c.Text = Hold, f.Unread
		if f.Unreported == 0 {
			c.Value = nil
		}
	case f.Unreported == 0:
		c.Text = "SES has reported on what it accepted"
	}
	return c
}
