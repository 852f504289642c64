package apiclient

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Split is the live split: GET /v1/split. Percentages are in percent.
type Split struct {
	Version    int64      `json:"version"`
	SESPercent float64    `json:"ses_percent"`
	By         string     `json:"by"`
	Reason     string     `json:"reason"`
	ChangedBy  string     `json:"changed_by"`
	ChangedAt  time.Time  `json:"changed_at"`
	Requested  float64    `json:"requested"`
	Eligible   *float64   `json:"eligible"`  // of the last five minutes; nil without mail
	Effective  *float64   `json:"effective"` // likewise
	Applied    *float64   `json:"applied"`   // requested, under the brake; nil when the relay does not say
	Brake      *Brake     `json:"brake"`     // nil: not on
	Brakes     []string   `json:"brakes"`    // names of all that are on; nil when the relay does not say
	Unsaved    bool       `json:"unsaved"`   // a restart would forget it
	Warning    string     `json:"warning"`   // of the change just made: not saved, or not told to everybody
	Instances  []Instance `json:"instances"`

	ETag string `json:"-"` // for If-Match
}

// Brake says who pulled it, why and when.
type Brake struct {
	By      string    `json:"by"`
	Reason  string    `json:"reason"`
	At      time.Time `json:"at"`
	Ceiling float64   `json:"ceiling"` // percent; the guard's can be above 0
}

// Instance is one relay of the fleet and the split version that it applies.
type Instance struct {
	ID      string   `json:"id"`
	Version int64    `json:"version"`
	Applied *float64 `json:"applied"` // percent, under the brake; nil when the relay does not say
}

// AppliedBy counts the instances that apply the split.
func (s *Split) AppliedBy() int { return s.count(s.AppliedAt) }

// BrakedBy counts the instances that hold the brake.
func (s *Split) BrakedBy() int { return s.count(s.BrakedAt) }

func (s *Split) count(applies func(Instance) bool) (n int) {
	for _, i := range s.Instances {
		if applies(i) {
			n++
		}
	}
	return n
}

// BrakedAt reports whether an instance gives SES no more than the brake allows,
// whatever its version: without Redis a change before it may not have come there.
func (s *Split) BrakedAt(i Instance) bool {
	return s.Applied != nil && i.Applied != nil && *i.Applied <= *s.Applied || s.AppliedAt(i)
}

// AppliedAt reports whether an instance applies the split's version or a later
// one and, while the brake is on, no more than the brake allows.
func (s *Split) AppliedAt(i Instance) bool {
	if s.Brake != nil && s.Applied != nil && i.Applied != nil && *i.Applied > *s.Applied {
		return false
	}
	return i.Version >= s.Version
}

// Plan says whether a percentage can be carried: GET /v1/split/plan.
type Plan struct {
	Percent           float64     `json:"percent"`
	OK                bool        `json:"ok"`       // both upstreams carry their share
	SESFits           bool        `json:"ses_fits"` // an increase is refused when false
	Missing           []Shortfall `json:"missing"`
	Unknown           []string    `json:"unknown"` // what could not be judged
	SESRateNeeded     float64     `json:"ses_rate_needed"`
	SESDayNeeded      float64     `json:"ses_day_needed"`
	CuenoteRateNeeded float64     `json:"cuenote_rate_needed"`
	Traffic           struct {
		PeakPerMinute        float64 `json:"peak_per_minute"`
		PerDay               float64 `json:"per_day"`
		RecipientsPerMessage float64 `json:"recipients_per_message"`
	} `json:"traffic"`
	Capacity struct {
		SESRate     float64 `json:"ses_rate"`
		SESDay      float64 `json:"ses_day"` // -1 = unlimited
		CuenoteRate float64 `json:"cuenote_rate"`
	} `json:"capacity"`
}

// Shortfall is one thing that is missing.
type Shortfall struct {
	Of      string  `json:"of"`
	Needed  float64 `json:"needed"`
	Allowed float64 `json:"allowed"`
	Text    string  `json:"text"`
}

// Change is one line of the history.
type Change struct {
	At      time.Time `json:"at"`
	Who     string    `json:"who"`
	Action  string    `json:"action"`
	Reason  string    `json:"reason"`
	Before  float64   `json:"before"`
	After   float64   `json:"after"`
	Version int64     `json:"version"`
}

// Split reads the live split.
func (c *Client) Split(ctx context.Context) (*Split, Answer, error) {
	return c.split(ctx, request{method: http.MethodGet, path: "/v1/split"})
}

// SetSplit asks for a percentage, given in its own decimals, if the split is
// still the one that etag names.
func (c *Client) SetSplit(ctx context.Context, percent, reason, etag string, force bool) (*Split, Answer, error) {
	body := map[string]any{"ses_percent": jsonNumber(percent), "reason": reason}
	if force {
		body["force"] = true
	}
	return c.split(ctx, request{method: http.MethodPut, path: "/v1/split", ifMatch: etag, body: body})
}

// Undo returns to the percentage before the last one.
func (c *Client) Undo(ctx context.Context, reason, etag string, force bool) (*Split, Answer, error) {
	body := map[string]any{"reason": reason}
	if force {
		body["force"] = true
	}
	return c.split(ctx, request{method: http.MethodPost, path: "/v1/split/undo", ifMatch: etag, body: body})
}

// Brake puts the share of SES to 0 now.
func (c *Client) Brake(ctx context.Context, reason string) (*Split, Answer, error) {
	return c.split(ctx, request{method: http.MethodPost, path: "/v1/brake", body: map[string]any{"reason": reason}})
}

// Release takes off the brakes that before has, unless the split is another one
// by now or a further brake is on.
func (c *Client) Release(ctx context.Context, reason string, before *Split) (*Split, Answer, error) {
	body := map[string]any{"reason": reason}
	if before.Brakes != nil { // an older relay refuses a field that it does not know
		body["brakes"] = before.Brakes
	}
	return c.split(ctx, request{method: http.MethodDelete, path: "/v1/brake", ifMatch: before.ETag, body: body})
}

func (c *Client) split(ctx context.Context, r request) (*Split, Answer, error) {
	a, err := c.do(ctx, r)
	if err != nil {
		return nil, a, err
	}
	s := &Split{ETag: a.ETag}
	if err := a.decode(s); err != nil {
		return nil, a, err
	}
	if s.ETag == "" {
		s.ETag = strconv.Quote(strconv.FormatInt(s.Version, 10))
	}
	return s, a, nil
}

// Plan asks whether a percentage can be carried.
func (c *Client) Plan(ctx context.Context, percent string) (*Plan, Answer, error) {
	a, err := c.do(ctx, request{method: http.MethodGet, path: "/v1/split/plan", query: url.Values{"percent": {percent}}})
	if err != nil {
		return nil, a, err
	}
	p := &Plan{}
	return p, a, a.decode(p)
}

// History returns the changes, newest first.
func (c *Client) History(ctx context.Context) ([]Change, Answer, error) {
	a, err := c.do(ctx, request{method: http.MethodGet, path: "/v1/split/history"})
	if err != nil {
		return nil, a, err
	}
	var h struct {
		Changes []Change `json:"changes"`
	}
	return h.Changes, a, a.decode(&h)
}

// jsonNumber is a number that was checked to be decimal digits and a point.
type jsonNumber string

// MarshalJSON writes the digits as they are.
func (n jsonNumber) MarshalJSON() ([]byte, error) {
	if _, err := strconv.ParseFloat(string(n), 64); err != nil {
		return nil, fmt.Errorf("%q is not a number", string(n))
	}
	return []byte(n), nil
}
