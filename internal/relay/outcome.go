package relay

import "errors"

// Outcome is what an upstream's answer means. There are three, never two: a
// timeout after the request was written is neither acceptance nor refusal.
type Outcome uint8

const (
	// NotAccepted: surely not taken; safe to try elsewhere.
	NotAccepted Outcome = iota
	// Accepted: the upstream has taken responsibility.
	Accepted
	// Unknown: may have been accepted. Never failed over in the same transaction.
	Unknown
)

// String returns the word used in logs.
func (o Outcome) String() string {
	return [...]string{"not accepted", "accepted", "unknown"}[o]
}

// Kind says which setting governs the other way for mail that was not accepted.
type Kind uint8

const (
	Unavailable Kind = iota // on_unavailable: the upstream cannot take mail now
	Rejected                // on_rejected: it refuses this mail for good
	Exhausted               // on_exhausted: the sending quota is spent
	ClientFault             // nobody would take it: the client's own fault, or the client is gone
)

// Signal is what an error tells the circuit breaker of its upstream.
type Signal uint8

const (
	SignalNone  Signal = iota // about one mail or recipient only: counts as an answer
	SignalCount               // counts towards the failure ratio
	SignalTrip                // concerns the whole account or host: opens the breaker at once
	SignalBusy                // the upstream was not asked (all places are taken, or it is too late): says nothing about it
)

// Error is an upstream's answer that is not an acceptance. It carries two
// texts: Reply is what the client reads when no other route takes the mail,
// Err is what the log reads.
type Error struct {
	Outcome Outcome // NotAccepted or Unknown
	Kind    Kind
	Signal  Signal
	Class   string // closed set of the upstream, for metrics: "throttled", "dial", "rejected" ...
	Reply   Reply
	Err     error
}

// Error returns the complete text, for the log only.
func (e *Error) Error() string {
	s := e.Class + ": " + e.Outcome.String() + " (" + e.Reply.String() + ")"
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// AsError returns err as an *Error. Anything unclassified counts as Unknown:
// it is answered 451 and never sent a second time in the same transaction.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Outcome: Unknown, Signal: SignalCount, Class: "unclassified", Reply: ReplyLocalError, Err: err}
}
