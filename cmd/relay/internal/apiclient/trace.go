package apiclient

import "time"

// Trace is all that is known about a message; a retry makes another record.
type Trace struct {
	Records []Record `json:"records"` // oldest first
	Missed  []string `json:"missed"`  // instances that could not be asked
}

// Record is one mail transaction with one instance. Addresses are as the
// relay's log.addresses says.
type Record struct {
	ID          string    `json:"id"`
	Instance    string    `json:"instance"`
	Ended       time.Time `json:"ended"`
	Client      string    `json:"client"`
	HELO        string    `json:"helo"`
	From        string    `json:"from"`
	To          []string  `json:"to"`
	Size        int64     `json:"size"`
	QueueID     string    `json:"queue_id"`
	Fingerprint string    `json:"fingerprint"`
	Route       string    `json:"route"`
	Reason      string    `json:"reason"`
	Rule        string    `json:"rule"`
	Version     int64     `json:"split_version"`
	Result      string    `json:"result"`
	Reply       string    `json:"reply"`
	UpstreamID  string    `json:"upstream_id"`
	DurationMS  float64   `json:"duration_ms"`
	DelayMS     *float64  `json:"delay_ms"`
	Attempts    []Attempt `json:"attempts"`
	Refused     []Refusal `json:"refused"`
	Error       string    `json:"error"`
}

// Attempt is one try to hand the mail to an upstream.
type Attempt struct {
	Upstream string  `json:"upstream"`
	Outcome  string  `json:"outcome"`
	Class    string  `json:"class"`
	TookMS   float64 `json:"took_ms"`
	Error    string  `json:"error"`
}

// Refusal is a recipient that was refused at RCPT.
type Refusal struct {
	To    string `json:"to"`
	Reply string `json:"reply"`
}

// RouteQuestion is a mail that is only thought of.
type RouteQuestion struct {
	From   string `json:"from"` // "" or "<>" is the null sender
	To     string `json:"to"`
	Client string `json:"client,omitempty"` // address
	HELO   string `json:"helo,omitempty"`
	User   string `json:"user,omitempty"`
	Size   int64  `json:"size,omitempty"` // bytes
}

// RouteAnswer says which way the mail would go and why.
type RouteAnswer struct {
	Route      string   `json:"route"`
	Reason     string   `json:"reason"`
	Rule       string   `json:"rule"`
	Version    int64    `json:"version"`
	SESPercent *float64 `json:"ses_percent"` // share of SES for such mail; nil when the route is fixed
	Text       string   `json:"text"`
}
