package relay

import "context"

// Reason says why a mail takes its route. The set is closed: it is a metric label.
type Reason string

const (
	ReasonSplit        Reason = "split"         // the draw or the bucket
	ReasonRule         Reason = "rule"          // a rule of the configuration
	ReasonNullSender   Reason = "null_sender"   // SES has no null reverse-path
	ReasonSMTPUTF8     Reason = "smtputf8"      // SES does not offer RFC 6531
	ReasonLocalPart    Reason = "local_part"    // not a Dot-string: SES refuses it
	ReasonIdentity     Reason = "identity"      // sender domain not verified at SES
	ReasonSize         Reason = "size"          // larger than ses.message_size
	ReasonContent      Reason = "content"       // a header or line that SES refuses
	ReasonBreaker      Reason = "breaker"       // the other upstream's breaker is open
	ReasonQuota        Reason = "quota"         // sending quota spent
	ReasonRecipient    Reason = "recipient"     // SES refused the recipient, or one more of them
	ReasonUnavailable  Reason = "unavailable"   // the other upstream could not take it
	ReasonRejected     Reason = "rejected"      // the other upstream refused it for good
	ReasonRemembered   Reason = "remembered"    // an earlier attempt failed over partly
	ReasonUnknownTwice Reason = "unknown_twice" // SES left two earlier attempts unanswered
	ReasonDomain       Reason = "domain"        // a domain that SES cannot address (literal, non-ASCII)
)

// Reasons are all of them.
var Reasons = []Reason{
	ReasonSplit, ReasonRule, ReasonNullSender, ReasonSMTPUTF8, ReasonLocalPart, ReasonIdentity, ReasonSize, ReasonContent,
	ReasonBreaker, ReasonQuota, ReasonRecipient, ReasonUnavailable, ReasonRejected, ReasonRemembered, ReasonUnknownTwice, ReasonDomain,
}

// Decision is the route of a transaction, read from the split once.
type Decision struct {
	Route   Route
	Reason  Reason
	Rule    string // name of the rule that matched; "" when none did
	Version int64  // of the split that was applied
	Step    string // value of the relay-step message tag: the applied percentage
	SESOpen bool   // the applied percentage is above 0: mail may overflow to SES
	Held    bool   // the requested percentage would have sent it to SES; the brake does not
}

// Router decides routes. All its methods are quick and never block.
type Router interface {
	// Route decides at the first recipient (over LMTP: at every recipient).
	Route(env *Envelope, to Address) Decision
	// FitRecipient says why SES cannot take this recipient or this envelope; "" when it can.
	FitRecipient(env *Envelope, to Address) Reason
	// FitContent says why SES cannot take this content; "" when it can.
	FitContent(env *Envelope, c *Content) Reason
}

// Quota is the SES sending quota, counted in recipients.
type Quota interface {
	// Spent reports, without waiting, that n more recipients would not be let through soon.
	Spent(n int) bool
	// Take takes n recipients, waiting a bounded time. Its error is an *Error of Kind Exhausted.
	Take(ctx context.Context, n int) error
	// Refund gives back what was taken for mail that SES did not accept.
	Refund(n int)
	// Throttled tells that SES itself said "too fast" (daily: that the day's quota is spent).
	Throttled(daily bool)
}
