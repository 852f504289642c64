package admin

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"sesrelay/internal/quota"
)

// Thresholds of the alarms. Success is judged from alarmSample answers on; the
// levels are those of the migration: its target and its rollback value.
const (
	critical    = "critical"
	warning     = "warning"
	alarmSample = 200
	successGoal = 99.5 // percent
	successLow  = 95   // percent
	dayWarning  = 0.8  // of the day's quota
)

// standing is an alarm before it is known since when. key stays the same while
// its figures change.
type standing struct{ key, level, text string }

// alarms returns what stands now, the worst first. The caller holds mu.
func (a *API) alarms(s *Status, q quota.Status) []Alarm {
	found := slices.Concat(splitAlarms(s), upstreamAlarms(s), quotaAlarms(s, q))
	out := []Alarm{}
	since := map[string]time.Time{}
	for _, f := range found {
		t, stood := a.since[f.key]
		if !stood {
			t = s.Now
		}
		since[f.key] = t
		out = append(out, Alarm{f.level, f.text, t})
	}
	a.since = since
	if a.Config.Alarms != nil {
		out = append(out, a.Config.Alarms()...)
	}
	slices.SortStableFunc(out, func(x, y Alarm) int {
		return cmp.Or(cmp.Compare(x.Level, y.Level), x.Since.Compare(y.Since)) // "critical" sorts before "warning"
	})
	return out
}

func splitAlarms(s *Status) (out []standing) {
	if b := s.Split.Brake; b != nil {
		text := fmt.Sprintf("the brake is on: SES gets %s %% instead of %s %% (%s: %s)", s.Split.Applied, s.Split.Requested, b.By, b.Reason)
		if s.Split.Applied == s.Split.Requested { // as behind a rollback, which lowers both
			text = fmt.Sprintf("the brake is on: SES gets no more than %s %% (%s: %s)", s.Split.Applied, b.By, b.Reason)
		}
		out = append(out, standing{"brake", warning, text})
	}
	if s.Split.Unsaved {
		out = append(out, standing{"unsaved", critical, "the split in force is not saved, a restart would forget it: look at the disk of state.file"})
	}
	behind := 0
	for _, i := range s.Split.Instances {
		if i.Version < s.Split.Version || s.Split.Brake != nil && i.Applied > s.Split.Applied {
			behind++
		}
	}
	if behind > 0 {
		out = append(out, standing{"behind", warning, fmt.Sprintf("%d of %d instances do not apply version %d yet", behind, len(s.Split.Instances), s.Split.Version)})
	}
	return out
}

func upstreamAlarms(s *Status) (out []standing) {
	for _, u := range s.Upstreams {
		name := string(u.Name)
		if u.Breaker == "open" {
			out = append(out, standing{"breaker " + name, critical, fmt.Sprintf("the breaker of %s is open: %s", name, u.Because)})
		}
		if u.Success == nil || u.Attempts < alarmSample {
			continue
		}
		text := fmt.Sprintf("%s accepted %.2f %% of %d messages in five minutes", name, *u.Success, u.Attempts)
		switch {
		case *u.Success <= successLow:
			out = append(out, standing{"success " + name, critical, text})
		case *u.Success < successGoal:
			out = append(out, standing{"success " + name, warning, text})
		}
	}
	return out
}

func quotaAlarms(s *Status, q quota.Status) (out []standing) {
	switch {
	case q.Day:
		out = append(out, standing{"day spent", critical, "the 24-hour quota of SES is spent: mail for SES goes the way of quota.on_exhausted"})
	case q.Spent:
		out = append(out, standing{"rate spent", warning, "the sending rate of SES is used up: mail for SES goes the way of quota.on_exhausted"})
	}
	if !q.Day && q.DayMax > 0 && q.DayUsed > dayWarning*q.DayMax {
		out = append(out, standing{"day", warning, fmt.Sprintf("%.0f of %.0f recipients of the 24-hour quota are used", q.DayUsed, q.DayMax)})
	}
	if !q.Share && q.RateNow < 0.99*q.Rate { // a share has an alarm of its own
		out = append(out, standing{"throttled", warning, fmt.Sprintf("SES throttles: %.1f recipients a second instead of %.1f", q.RateNow, q.Rate)})
	}
	if !q.Known && s.Split.Requested > 0 {
		out = append(out, standing{"quota unknown", warning, fmt.Sprintf("the sending quota is not known until GetAccount answers: SES gets %.1f recipients a second", q.RateNow)})
	}
	return out
}
