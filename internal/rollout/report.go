package rollout

import (
	"time"

	"sesrelay/internal/split"
)

// Report is the stage report: GET /v1/rollout/report.
type Report struct {
	At        time.Time     `json:"at"`
	Phase     Phase         `json:"phase"`
	StartedAt *time.Time    `json:"started_at"`
	StartedBy string        `json:"started_by"`
	Reason    string        `json:"reason"`
	Stages    []StageReport `json:"stages"` // in order of time
	Rehearsal RehearsalView `json:"rehearsal"`
	Trips     int           `json:"trips"`
	Decisions []Decision    `json:"decisions"` // oldest first
}

// StageReport is what happened while one share was in force.
type StageReport struct {
	Percent   split.Percent `json:"percent"`
	Since     time.Time     `json:"since"`
	Until     *time.Time    `json:"until"` // null: in force
	EnteredBy string        `json:"entered_by"`
	Entered   Action        `json:"entered"` // the decision that began it
	Why       string        `json:"why"`
	LeftBy    string        `json:"left_by"`
	Left      Action        `json:"left"` // the decision that ended it; "" while it is in force
	LeftWhy   string        `json:"left_why"`

	SES        HopReport     `json:"ses"`
	Cuenote    HopReport     `json:"cuenote"`
	Acceptance *float64      `json:"acceptance"` // percent
	Events     *EventsReport `json:"events"`     // null: SES's reports were not read
	Quota      QuotaReport   `json:"quota"`
	Gate       []Criterion   `json:"gate"` // as judged when it was left, or now
}

// HopReport is the mail of one upstream, in messages.
type HopReport struct {
	Accepted      int64     `json:"accepted"`
	Failed        int64     `json:"failed"`         // surely not accepted
	Unknown       int64     `json:"unknown"`        // no answer after all was sent
	OverQuota     int64     `json:"over_quota"`     // found no quota of ours, SES not throttling
	DeferredFirst int64     `json:"deferred_first"` // accepted after the relay had deferred it: not in delay
	Delay         Quantiles `json:"delay_seconds"`
	Latency       Quantiles `json:"latency_seconds"` // in the relay and the upstream
}

// Quantiles of a distribution; null without a value.
type Quantiles struct {
	P50 *float64 `json:"p50"`
	P95 *float64 `json:"p95"`
	P99 *float64 `json:"p99"`
}

// EventsReport is what SES has reported about the mail of the stage, whenever
// it did.
type EventsReport struct {
	Reported
	Success    *float64 `json:"success"`           // percent delivered of delivered and failed
	Bounced    *float64 `json:"bounce_percent"`    // of delivered and bounced
	Complained *float64 `json:"complaint_percent"` // of delivered
}

// Reported are counts of SES events (CloudWatch's AWS/SES metrics).
type Reported struct {
	Send             int64 `json:"send"`
	Delivery         int64 `json:"delivery"`
	Bounce           int64 `json:"bounce"`
	Complaint        int64 `json:"complaint"`
	Reject           int64 `json:"reject"`
	RenderingFailure int64 `json:"rendering_failure"`
	DeliveryDelay    int64 `json:"delivery_delay"`
}

// QuotaReport is how near the stage came to the sending quota, in recipients.
type QuotaReport struct {
	DayUsed  float64 `json:"day_used"`  // the most in any 24 hours
	DayMax   float64 `json:"day_max"`   // 0: not known, -1: unlimited
	RatePeak float64 `json:"rate_peak"` // a second, the most over ten seconds
	RateMax  float64 `json:"rate_max"`
}
