package apiclient

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Status is what one screen shows: GET /v1/status.
type Status struct {
	Instance  string     `json:"instance"` // that answered
	Version   string     `json:"version"`
	StartedAt time.Time  `json:"started_at"`
	Ready     bool       `json:"ready"`
	Draining  bool       `json:"draining"`
	Split     Split      `json:"split"`
	Upstreams []Upstream `json:"upstreams"`
	Quota     Quota      `json:"quota"`
	Fleet     *Fleet     `json:"fleet"`  // whose figures these are; nil: of this instance alone
	Alarms    []Alarm    `json:"alarms"` // the worst first
	Reasons   []Reason   `json:"reasons"`
}

// Fleet says whose figures a status shows.
type Fleet struct {
	Instances int    `json:"instances"`
	Reporting int    `json:"reporting"`
	Up        bool   `json:"up"` // Redis answers
	Error     string `json:"error"`
}

// Upstream is what one upstream did in the last minutes.
type Upstream struct {
	Name     string   `json:"name"`
	Rate     float64  `json:"rate"`    // messages per second
	Success  *float64 `json:"success"` // percent; nil without mail
	P50      *float64 `json:"p50_ms"`
	P99      *float64 `json:"p99_ms"`
	Breaker  string   `json:"breaker"` // closed, open or probing
	Because  string   `json:"breaker_reason"`
	InFlight int64    `json:"in_flight"`
}

// Quota is the SES sending quota, in recipients.
type Quota struct {
	Rate    float64 `json:"rate"`     // per second; 0 = not known, -1 = unlimited
	Used    float64 `json:"used"`     // per second
	DayMax  float64 `json:"day_max"`  // 0 = not known, -1 = unlimited
	DayUsed float64 `json:"day_used"` //
}

// Alarm is something that a person should look at.
type Alarm struct {
	Level string    `json:"level"` // critical or warning
	Text  string    `json:"text"`
	Since time.Time `json:"since"`
}

// Reason counts why mail took its route.
type Reason struct {
	Upstream string  `json:"upstream"`
	Reason   string  `json:"reason"`
	Messages float64 `json:"messages"`
}

// Status reads the status.
func (c *Client) Status(ctx context.Context) (*Status, Answer, error) {
	a, err := c.do(ctx, request{method: http.MethodGet, path: "/v1/status"})
	if err != nil {
		return nil, a, err
	}
	s := &Status{}
	return s, a, a.decode(s)
}

// Trace asks what happened to a message, by relay id, SES message id or
// fingerprint: GET /v1/trace/{id}.
func (c *Client) Trace(ctx context.Context, id string) (*Trace, Answer, error) {
	a, err := c.do(ctx, request{method: http.MethodGet, path: "/v1/trace/" + url.PathEscape(id)})
	if err != nil {
		return nil, a, err
	}
	t := &Trace{}
	return t, a, a.decode(t)
}

// RouteTest asks which way a mail would go: POST /v1/route-test.
func (c *Client) RouteTest(ctx context.Context, q RouteQuestion) (*RouteAnswer, Answer, error) {
	a, err := c.do(ctx, request{method: http.MethodPost, path: "/v1/route-test", body: q})
	if err != nil {
		return nil, a, err
	}
	r := &RouteAnswer{}
	return r, a, a.decode(r)
}
