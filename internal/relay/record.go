package relay

import "time"

// Result is how a message ended for the client. It is a metric label.
type Result string

const (
	ResultAccepted  Result = "accepted"  // 250: an upstream has taken responsibility
	ResultDuplicate Result = "duplicate" // 250 with the first receipt: accepted earlier
	ResultDeferred  Result = "deferred"  // 4xx, surely not taken
	ResultRejected  Result = "rejected"  // 5xx
	ResultUnknown   Result = "unknown"   // 451, but an upstream may have taken it
)

// Record is everything that is known about a transaction at its end: one is
// made per mail transaction (over LMTP per route), for the log line, the trace
// and the fleet's counters.
type Record struct {
	Envelope    Envelope
	Recipients  []Address // that were accepted at RCPT
	Refused     []Refusal // at RCPT, and over LMTP by the upstream that the rest failed over to
	Decision    Decision  // of the split, at the first recipient
	Eligible    bool      // the split and the rules left it to SES
	Held        bool      // the requested split and the rules did, the brake did not
	Route       Route     // upstream that was tried last
	Reason      Reason    // why it took that route
	Result      Result
	Reply       Reply     // to the end of data, or to the first refused recipient when nothing was sent
	Receipt     Receipt   // of Result accepted and duplicate
	Attempts    []Attempt // with the upstreams, in order
	Fingerprint Fingerprint
	Size        int64         // bytes as received; 0 before DATA
	QueueID     string        // client's queue id, from its Received line
	Delay       time.Duration // since the topmost Received; negative when unknown
	Rehearsal   Rehearsal
	Duration    time.Duration // spent in the relay and its upstreams, waiting for the client not counted
	Upstream    time.Duration // of that, spent waiting for upstreams
	Ended       time.Time
	Err         error // complete text for the log; nil when accepted
}

// Refusal is a recipient that was refused.
type Refusal struct {
	To    Address
	Reply Reply
	Err   error
}

// Attempt is one try to hand the mail to an upstream.
type Attempt struct {
	Route   Route
	Outcome Outcome
	Class   string // of the error; "" when accepted
	Took    time.Duration
	Err     error
}

// Rehearsal is the judgement of split.rehearse about mail that did not go to SES.
type Rehearsal struct {
	Judged bool
	Reason Reason // "" when SES would have been asked
}
