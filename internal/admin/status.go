package admin

import (
	"net/http"
	"time"

	"sesrelay/internal/quota"
)

// Status is what one screen shows.
type Status struct {
	Instance  string         `json:"instance"`
	Version   string         `json:"version"`
	StartedAt time.Time      `json:"started_at"`
	Now       time.Time      `json:"now"`
	Ready     bool           `json:"ready"`
	Draining  bool           `json:"draining"`
	Split     SplitView      `json:"split"`
	Upstreams []UpstreamView `json:"upstreams"`
	Quota     QuotaView      `json:"quota"`
	Fleet     *FleetView     `json:"fleet"`   // whose figures these are; null: of this instance alone
	Alarms    []Alarm        `json:"alarms"`  // the worst first
	Reasons   []ReasonCount  `json:"reasons"` // the largest first
}

// QuotaView is the SES sending quota, in recipients.
type QuotaView struct {
	Known   bool    `json:"known"`    // GetAccount has answered
	Rate    float64 `json:"rate"`     // a second, as let through now
	Full    float64 `json:"full"`     // a second, when SES does not throttle; 0: not known
	Used    float64 `json:"used"`     // a second, over the last minute
	DayMax  float64 `json:"day_max"`  // 0: not known, -1: unlimited
	DayUsed float64 `json:"day_used"` // in the last 24 hours
	Waiting int     `json:"waiting"`
	Spent   bool    `json:"spent"`
}

// statusLife is how long a status is given again: a hundred consoles cost no
// more than one.
const statusLife = 250 * time.Millisecond

// status returns the status, perhaps one just made. A new split is never hidden
// by an old status.
func (a *API) status() *Status {
	reports := a.others() // before the lock: Redis may take its time
	a.mu.Lock()
	defer a.mu.Unlock()
	now, live := a.Now(), a.Split.Current()
	if c := a.cached; c != nil && now.Sub(c.Now) >= 0 && now.Sub(c.Now) < statusLife &&
		c.Split.Version == live.Version && c.Split.Applied == live.Applied() && c.Split.Unsaved == live.Unsaved {
		return c
	}
	f, q := a.fleetFigures(reports), a.Quota()
	s := &Status{Instance: a.Instance, Version: a.Version, StartedAt: a.started, Now: now,
		Split: a.splitView(live, f.shares()), Upstreams: []UpstreamView{}, Quota: quotaView(q, &f), Reasons: f.reasonCounts()}
	s.Ready, s.Draining = a.Ready()
	s.Fleet = a.fleetView(len(s.Split.Instances), 1+len(reports))
	for _, u := range together(a.states(reports)) {
		s.Upstreams = append(s.Upstreams, f.upstream(u))
	}
	s.Alarms = a.alarms(s, q)
	a.cached = s
	return s
}

func quotaView(q quota.Status, f *figures) QuotaView {
	v := QuotaView{Known: q.Known, Rate: q.RateNow, Full: q.Rate, Used: float64(f.recent[0].recipients) / f.recentTime.Seconds(),
		DayMax: q.DayMax, DayUsed: q.DayUsed, Waiting: q.Waiting, Spent: q.Spent}
	if unknownDay(q) {
		v.DayMax = 0
	}
	if q.Guess {
		v.Full = 0
	}
	return v
}

func (a *API) getStatus(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, a.status())
	return nil
}
