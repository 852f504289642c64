package config

import (
	"fmt"
	"strings"
	"time"
)

// maxDelay is where the last bucket of the rollout's delays begins.
const maxDelay = 2 * time.Hour

// checkRollout refuses steps that do not rise, and a gate that lets pass what
// the guard puts back.
func checkRollout(r *report, c *Config) {
	checkSteps(r, c)
	checkLimitsOfRollout(r, c)
	n := c.Rollout.Notify
	if n.SNSTopic != "" && !strings.HasPrefix(n.SNSTopic, "arn:aws") {
		r.wrong("rollout.notify.sns_topic", fmt.Sprintf("%q is no ARN", n.SNSTopic), "write arn:aws:sns:REGION:ACCOUNT:NAME")
	}
	if n.Grafana != "" && n.GrafanaTokenFile == "" {
		r.wrong("rollout.notify.grafana", "annotations need a token", "write rollout.notify.grafana_token_file")
	}
	if n.Grafana == "" && n.GrafanaTokenFile != "" {
		r.wrong("rollout.notify.grafana_token_file", "a token without a Grafana", "write rollout.notify.grafana, or remove it")
	}
}

func checkSteps(r *report, c *Config) {
	last := 0
	for i, s := range c.Rollout.Steps {
		key := fmt.Sprintf("rollout.steps[%d]", i)
		pause := r.given(key+".pause") || s.Pause > 0 // the default's steps are in no file
		switch {
		case (s.SetPercent != nil) == pause:
			r.wrong(key, "is not one step", "write {set_percent: 10}, {pause: 168h}, or {pause: 0s} to wait for promote")
		case pause && i == 0:
			r.wrong(key, "the first step is a pause", "begin with set_percent")
		case pause:
		case *s.SetPercent <= last:
			r.wrong(key+".set_percent", fmt.Sprintf("%s is not above the %s before", FormatPercent(*s.SetPercent), FormatPercent(last)), "write shares that rise: going back is relay rollout abort")
		default:
			last = *s.SetPercent
		}
	}
}

// checkLimitsOfRollout: what the guard puts back, no gate may have let pass. A
// limit of the gate that is not in the file follows the guard's.
func checkLimitsOfRollout(r *report, c *Config) {
	guard := c.Rollout.Guard
	follow := &c.Rollout.Gate
	if !r.given("rollout.gate.success_min") {
		follow.SuccessMin = max(follow.SuccessMin, guard.SuccessMin)
	}
	if !r.given("rollout.gate.delay_max") {
		follow.DelayMax = min(follow.DelayMax, guard.DelayMax)
	}
	if !r.given("rollout.gate.bounce_max") {
		follow.BounceMax = min(follow.BounceMax, guard.BounceMax)
	}
	gate := c.Rollout.Gate
	if gate.SuccessMin < guard.SuccessMin {
		r.wrong("rollout.gate.success_min", fmt.Sprintf("%s passes what the guard puts back at %s", FormatPercent(gate.SuccessMin), FormatPercent(guard.SuccessMin)), "write at least rollout.guard.success_min")
	}
	if gate.DelayMax > guard.DelayMax {
		r.wrong("rollout.gate.delay_max", fmt.Sprintf("%s passes what the guard puts back at %s", formatDuration(gate.DelayMax), formatDuration(guard.DelayMax)), "write at most rollout.guard.delay_max")
	}
	if guard.DelayMax > maxDelay {
		r.wrong("rollout.guard.delay_max", fmt.Sprintf("%s can never be reached: delays are told apart up to %s", formatDuration(guard.DelayMax), formatDuration(maxDelay)), "write at most 2h")
	}
	if gate.BounceMax > guard.BounceMax {
		r.wrong("rollout.gate.bounce_max", fmt.Sprintf("%s passes what the guard puts back at %s", FormatPercent(gate.BounceMax), FormatPercent(guard.BounceMax)), "write at most rollout.guard.bounce_max")
	}
	if guard.Enabled && c.Rollout.Events == "cloudwatch" && guard.NoDataMax < 5*time.Minute {
		r.warn("rollout.guard.no_data_max", "CloudWatch itself may be some minutes behind", "write 5m or more")
	}
}
