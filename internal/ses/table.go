package ses

import (
	"fmt"
	"net/http"
	"strings"
	"unicode"

	"sesrelay/internal/relay"
)

// answer is what SES said.
type answer struct {
	status    int    // HTTP
	requestID string // X-Amzn-RequestId
	messageID string // of a 200; "" when its body could not be read
	code      string // exception name of anything else, without namespace; "" when there is none
	message   string // its text: may hold addresses, for the log only
}

// verdict is a row's right side. The zero Outcome is NotAccepted.
type verdict struct {
	outcome relay.Outcome
	kind    relay.Kind
	signal  relay.Signal
	class   string
	reply   relay.Reply
}

// The rows of the table that several answers share.
var (
	throttled  = verdict{kind: relay.Exhausted, class: ClassThrottled, reply: relay.ReplyThrottled}
	dailyQuota = verdict{kind: relay.Exhausted, class: ClassDailyQuota, reply: relay.ReplyThrottled}
	suspended  = verdict{signal: relay.SignalTrip, class: ClassSuspended, reply: relay.ReplyPaused}
	paused     = verdict{signal: relay.SignalTrip, class: ClassPaused, reply: relay.ReplyPaused}
	mailFrom   = verdict{signal: relay.SignalTrip, class: ClassMailFrom, reply: relay.ReplyConfig}
	notFound   = verdict{signal: relay.SignalTrip, class: ClassNotFound, reply: relay.ReplyConfig}
	access     = verdict{signal: relay.SignalTrip, class: ClassAccess, reply: relay.ReplyConfig}
	unsigned   = verdict{signal: relay.SignalTrip, class: ClassCredentials, reply: relay.ReplyConfig}

	// Without another route the client keeps the mail: the identity is ours to verify.
	unverified = verdict{kind: relay.Rejected, class: ClassUnverified, reply: relay.ReplyConfig}
	refused    = verdict{kind: relay.Rejected, class: ClassMessageRejected, reply: relay.ReplyMessage}

	// A deleted default configuration set answers BadRequest to everything, so
	// these count towards the breaker's ratio.
	badRequest = verdict{kind: relay.Rejected, signal: relay.SignalCount, class: ClassBadRequest, reply: relay.ReplyMessage}
	badAddress = verdict{kind: relay.Rejected, signal: relay.SignalCount, class: ClassBadRequest, reply: relay.ReplyBadDest}
	badSize    = verdict{kind: relay.Rejected, signal: relay.SignalCount, class: ClassBadRequest, reply: relay.ReplyTooLarge}

	serverError = verdict{outcome: relay.Unknown, signal: relay.SignalCount, class: ClassServerError, reply: relay.ReplyUnknown}
	unexpected  = verdict{outcome: relay.Unknown, signal: relay.SignalCount, class: ClassUnexpected, reply: relay.ReplyLocalError}
)

// byCode holds the exceptions whose name alone decides ("Errors" of SendEmail,
// SES API v2 reference; "Common Errors"; the signature errors of IAM).
var byCode = map[string]verdict{
	"TooManyRequestsException":           throttled,
	"ThrottlingException":                throttled,
	"Throttling":                         throttled,
	"RequestThrottled":                   throttled,
	"LimitExceededException":             dailyQuota,
	"AccountSuspendedException":          suspended,
	"SendingPausedException":             paused,
	"MailFromDomainNotVerifiedException": mailFrom,
	"NotFoundException":                  notFound,

	"AccessDenied":                  access,
	"AccessDeniedException":         access,
	"NotAuthorized":                 access,
	"OptInRequired":                 access,
	"SubscriptionRequiredException": access,

	"ExpiredToken":                           unsigned,
	"ExpiredTokenException":                  unsigned,
	"RequestExpired":                         unsigned,
	"RequestTimeTooSkewed":                   unsigned,
	"SignatureDoesNotMatch":                  unsigned,
	"InvalidSignatureException":              unsigned,
	"IncompleteSignature":                    unsigned,
	"IncompleteSignatureException":           unsigned,
	"InvalidClientTokenId":                   unsigned,
	"InvalidAccessKeyId":                     unsigned,
	"UnrecognizedClientException":            unsigned,
	"MissingAuthenticationToken":             unsigned,
	"MissingAuthenticationTokenException":    unsigned,
	"AuthFailure":                            unsigned,
	"InvalidToken":                           unsigned,
	"NotAuthorizedException":                 access,
	"AccountSuspended":                       suspended,
	"SendingPaused":                          paused,
	"AccountSendingPausedException":          paused,
	"ConfigurationSetSendingPausedException": paused,
	"ConfigurationSetDoesNotExist":           notFound,
	"ConfigurationSetDoesNotExistException":  notFound,
	"MailFromDomainNotVerified":              mailFrom,
}

// classify turns an answer into its row. It is called for everything but 200.
func classify(a answer) *relay.Error {
	v := lookUp(a)
	return v.error(fmt.Errorf("ses: HTTP %d %s: %s (request %s)", a.status, quotable(a.code, maxID), quotable(a.message, maxMessage), quotable(a.requestID, maxID)))
}

// Bounds on what of an answer stands in a reply or in the log.
const (
	maxID      = 200
	maxMessage = 1000
)

// quotable cuts a text from the net down to what may stand in the log: what is
// no printable character is a "?". It is cut between words, because half an
// address would not be known for one and masked.
func quotable(s string, limit int) string {
	if len(s) > limit {
		s = s[:strings.LastIndexByte(s[:limit], ' ')+1] + "..."
	}
	s = strings.ToValidUTF8(s, "?")
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

func (v verdict) error(cause error) *relay.Error {
	return &relay.Error{Outcome: v.outcome, Kind: v.kind, Signal: v.signal, Class: v.class, Reply: v.reply, Err: cause}
}

// lookUp finds the row. A 5xx is unknown whatever it says. The texts come
// first among the 4xx, because the class that they come in differs between
// reports; they are matched at the start only, because further in stands what
// the client wrote (display names, addresses).
func lookUp(a answer) verdict {
	if a.status >= 500 {
		return serverError
	}
	if a.status < 400 {
		return unexpected
	}
	if v, ok := byText(a.message); ok && a.code != "" {
		return v
	}
	if v, ok := byCode[a.code]; ok {
		return v
	}
	switch {
	case a.code == "MessageRejected":
		return refused
	case a.code == "BadRequestException" || a.code == "ValidationException":
		return badRequestRow(a.message)
	case a.status == http.StatusTooManyRequests: // refused before it was looked at, by whatever stands in front
		return throttled
	case a.status == http.StatusRequestEntityTooLarge:
		return badSize
	}
	return unexpected
}

// byText recognises the sentences of SES that mean the same in every class.
func byText(message string) (verdict, bool) {
	m := strings.TrimPrefix(strings.ToLower(message), "throttling failure: ")
	switch {
	case strings.HasPrefix(m, "daily message quota exceeded"), strings.HasPrefix(m, "daily sending quota exceeded"):
		return dailyQuota, true
	case strings.HasPrefix(m, "maximum sending rate exceeded"):
		return throttled, true
	case strings.HasPrefix(m, "sending paused for"):
		return paused, true
	case strings.HasPrefix(m, "sending suspended for"):
		return suspended, true
	case strings.HasPrefix(m, "email address is not verified"), strings.HasPrefix(m, "email address not verified"):
		return unverified, true
	case strings.HasPrefix(m, "configuration set"):
		return notFound, true
	}
	return verdict{}, false
}

// badRequestRow tells faults of an address and of the size from the others.
func badRequestRow(message string) verdict {
	m := strings.ToLower(message)
	for _, s := range []string{"illegal address", "invalid email address", "missing final '@domain'", "missing local", "missing domain", "local address",
		"domain starts with", "domain ends with", "domain contains", "local part", "invalid recipient"} {
		if strings.HasPrefix(m, s) {
			return badAddress
		}
	}
	if strings.HasPrefix(m, "message length") || strings.HasPrefix(m, "message too long") {
		return badSize
	}
	return badRequest
}
