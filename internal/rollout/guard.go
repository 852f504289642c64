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
	accepted := f.acceptance(&f.SES, g.Limits, g.Goal, "SES").guarded(g.MinMessages)
	control := f.acceptance(&f.Cuenote, g.Limits, g.Goal, "Cuenote").guarded(g.MinMessages)
	j.add(unlessBoth(accepted, control))

	late := delay{&f.SES.Delay, g.DelayMax, g.Goal.DelayMax, "through SES"}
	other := delay{&f.Cuenote.Delay, g.DelayMax, g.Goal.DelayMax, "through Cuenote"}
	j.add(unlessBoth(late.guarded(g.MinMessages), other.guarded(g.MinMessages)))

	if f.Events == nil {
		return j
	}
	j.add(success(f.Events, g.Limits, g.Goal).guarded(g.MinMessages))
	j.add(bounce(f.Events, g.Limits, g.Goal).guarded(g.MinMessages))
	j.add(complaint(f.Long, g.Limits).guarded(g.MinMessages))
	j.add(g.silence(f))
	return j
}

// unlessBoth takes a rollback back when Cuenote shows the same at the same
// time: moving mail there would not help, and the fault is elsewhere.
func unlessBoth(c, control Criterion) Criterion {
	if c.Verdict == Rollback && control.Verdict == Rollback {
		c.Verdict = Hold
		c.Text += "; but so it is with Cuenote: " + control.Text
	}
	return c
}

// silence judges how long nothing was reported of mail that SES accepted. With
// too little mail, and so always at 0 %, silence is normal.
func (g *Guard) silence(f *Figures) Criterion {
	value := f.SilentFor.Seconds()
	c := Criterion{Name: NoData, Value: &value, Limit: g.NoDataMax.Seconds(), Unit: Seconds, Sample: f.Unreported, Verdict: Pass}
	c.Text = fmt.Sprintf("SES accepted %d messages since its newest report, the first of them %s ago", f.Unreported, f.SilentFor.Round(time.Second))
	if f.Unreported == 0 {
		c.Text = "SES has reported on what it accepted"
	}
	if f.Unreported >= g.MinMessages && f.SilentFor >= g.NoDataMax {
		c.past = true
		c.Verdict = Rollback
		c.Text += fmt.Sprintf("; the limit is %s", g.NoDataMax)
	}
	return c
}
