package rollout

// Gate is what must hold before the share rises.
type Gate struct {
	Limits
	MinMessages int64 // fewer are not judged
}

// blind is the reason of a gate that cannot pass by itself.
const blind = "blind to delivery (rollout.events is none): promote by hand when the figures elsewhere are good"

// Judge looks at the figures of the step in force, and at what the guard says
// of the last minutes. It passes only on enough data that is good beyond
// chance; without data it holds.
func (g *Gate) Judge(f *Figures, guard *Judgement) Judgement {
	j := newJudgement()
	j.add(f.acceptance(&f.SES, g.Limits, g.Limits, "SES").gated(g.MinMessages))
	late := delay{&f.SES.Delay, g.DelayMax, g.DelayMax, "through SES"}
	j.add(late.gated(g.MinMessages))
	if f.Events == nil {
		j.hold(blind)
	} else {
		j.add(success(f.Events, g.Limits, g.Limits).gated(g.MinMessages))
		j.add(bounce(f.Events, g.Limits, g.Limits).gated(g.MinMessages))
	}
	for _, c := range guard.Criteria {
		if c.past || g.worse(&c) {
			j.hold("the guard: " + c.Text)
		}
		if c.Name == NoData && c.Value != nil && (c.Sample >= g.MinMessages && *c.Value >= c.Limit/2 || c.Sample > 0 && *c.Value >= c.Limit) {
			j.hold("the guard: " + c.Text)
		}
	}
	return j
}

// worse reports whether the last minutes are surely worse than the gate asks
// for, though the guard still bears them: the long good time of a step must not
// hide what begins just before its end.
func (g *Gate) worse(c *Criterion) bool {
	if c.Interval == nil || c.Sample < g.MinMessages {
		return false
	}
	switch c.Name {
	case Acceptance, Success:
		return c.Interval.High < g.SuccessMin
	case Bounce:
		return c.Interval.Low > g.BounceMax
	case Delay:
		return c.Interval.Low > g.DelayMax.Seconds()
	}
	return false
}

// unread takes back what was judged by an older part of SES's reports: the record
// of whoever promotes on it must not say that they were good.
func (j *Judgement) unread(why string) {
	for i := range j.Criteria {
		if c := &j.Criteria[i]; (c.Name == Success || c.Name == Bounce) && c.Verdict == Pass {
			c.Verdict = Hold
			c.Text += "; " + why
		}
	}
	j.hold(why)
}

// hold adds a reason that is no figure.
func (j *Judgement) hold(reason string) {
	j.Verdict = j.Verdict.worse(Hold)
	j.Reasons = append(j.Reasons, reason)
}
