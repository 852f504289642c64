package admin

import (
	"net/http"
	"strings"

	"sesrelay/internal/quota"
	"sesrelay/internal/split"
)

func (a *API) getPlan(w http.ResponseWriter, r *http.Request) error {
	percent, err := split.ParsePercent(r.URL.Query().Get("percent"))
	if err != nil {
		return refuse(http.StatusUnprocessableEntity, "percent: "+err.Error())
	}
	writeJSON(w, http.StatusOK, a.plan(percent))
	return nil
}

// plan fills what the configuration leaves open with what was measured.
func (a *API) plan(percent split.Percent) split.Plan {
	s := a.settings.Load()
	t, measured := s.Traffic, a.Stats.Traffic()
	if t.PeakPerMinute == 0 {
		t.PeakPerMinute = measured.PeakPerMinute
	}
	if t.PerDay == 0 {
		t.PerDay = measured.PerDay
	}
	if t.RecipientsPerMessage == 0 {
		t.RecipientsPerMessage = measured.RecipientsPerMessage
	}
	q := a.Quota()
	c := split.Capacity{SESRate: q.Rate, SESDay: q.DayMax, CuenoteRate: s.Cuenote}
	if unknownDay(q) {
		c.SESDay = 0
	}
	if q.Guess {
		c.SESRate = 0
	}
	p := split.MakePlan(percent, t, c)
	if q.Day {
		p.DaySpent(q.DayUsed)
	}
	if s.Traffic.PeakPerMinute == 0 && p.OK {
		p.MeasuredFor(a.Stats.Age())
	}
	return p
}

// unknownDay: before GetAccount has answered, "unlimited" means "not known".
func unknownDay(q quota.Status) bool { return !q.Known && q.DayMax < 0 }

// Carries refuses a share above the one that is asked for now when SES cannot
// carry it. Its error is what the caller of the API reads.
func (a *API) Carries(percent split.Percent) error {
	return a.carries(percent, a.Split.Current().Version, false)
}

// carries refuses an increase that SES cannot carry. A lowering is never
// refused. A stale version is left to the split: what to do about it is more
// useful than a plan from a value that is no longer in force.
func (a *API) carries(percent split.Percent, version int64, force bool) error {
	now := a.Split.Current()
	if force || percent <= now.SESPercent || !percent.Valid() || version != now.Version {
		return nil
	}
	plan := a.plan(percent)
	if plan.SESFits {
		return nil
	}
	var texts []string
	for _, m := range plan.Missing {
		if strings.HasPrefix(m.Of, "ses_") {
			texts = append(texts, m.Text)
		}
	}
	p := refuse(http.StatusConflict, "SES cannot carry "+percent.String()+" %: "+strings.Join(texts, "; ")+". Ask for more quota, or repeat with force")
	p.Plan = &plan
	return p
}
