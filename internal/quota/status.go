package quota

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Status is what operators see of the quota.
type Status struct {
	Known   bool    `json:"known"`    // GetAccount has answered, now or before a restart
	Rate    float64 `json:"rate"`     // recipients a second, headroom taken off
	Guess   bool    `json:"guess"`    // neither GetAccount nor the configuration has said the rate
	RateNow float64 `json:"rate_now"` // after SES's throttling
	Share   bool    `json:"share"`    // Redis is away: RateNow is this instance's part of the fleet's
	DayMax  float64 `json:"day_max"`  // -1: unlimited
	DayUsed float64 `json:"day_used"` // in the last 24 hours
	Waiting int     `json:"waiting"`  // recipients that wait for the rate
	Spent   bool    `json:"spent"`    // no recipient would be let through now: the rate, or the day
	Day     bool    `json:"day"`      // it is the day that is spent
}

// Status returns the quota as it stands.
func (l *Limiter) Status() Status {
	spent := l.Spent(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.resize(now)
	return Status{Day: l.daySpent(now, 1) != nil, Known: l.account.Known, Guess: guessed(&l.cfg, l.account), Rate: l.fullRate(), RateNow: float64(l.bucket.Limit()),
		DayMax: l.dayMax(), DayUsed: l.window.used(now), Waiting: l.waiting, Spent: spent}
}

type metrics struct{ wait prometheus.Histogram }

func newMetrics(reg prometheus.Registerer, status func() Status) *metrics {
	m := &metrics{wait: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "relay_quota_wait_seconds", Help: "Time that mail for SES waited for the sending rate.",
		Buckets: []float64{0, .01, .05, .1, .25, .5, 1, 2, 5}})}
	if reg == nil {
		return m
	}
	gauge := func(name, help string, value func(Status) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(status()) })
	}
	reg.MustRegister(m.wait,
		gauge("relay_ses_quota_rate", "Recipients a second that are let through to SES now.", func(s Status) float64 { return s.RateNow }),
		gauge("relay_ses_quota_day_max", "Recipients that SES allows in 24 hours; -1: unlimited.", func(s Status) float64 { return s.DayMax }),
		gauge("relay_ses_quota_day_used", "Recipients sent to SES in the last 24 hours.", func(s Status) float64 { return s.DayUsed }))
	return m
}
