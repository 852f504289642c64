package ses

import (
	"fmt"
	"testing"

	"sesrelay/internal/relay"
)

// tableRow is one answer of SES and what it must become.
type tableRow struct {
	name    string
	status  int
	code    string
	message string

	outcome relay.Outcome
	kind    relay.Kind
	signal  relay.Signal
	class   string
	reply   relay.Reply
}

const (
	na      = relay.NotAccepted
	unknown = relay.Unknown
	none    = relay.SignalNone
	count   = relay.SignalCount
	trip    = relay.SignalTrip
)

var table = []tableRow{
	{"rate", 429, "TooManyRequestsException", "Maximum sending rate exceeded.", na, relay.Exhausted, none, ClassThrottled, relay.ReplyThrottled},
	{"rate without text", 429, "TooManyRequestsException", "", na, relay.Exhausted, none, ClassThrottled, relay.ReplyThrottled},
	{"rate as 400", 400, "ThrottlingException", "Rate exceeded", na, relay.Exhausted, none, ClassThrottled, relay.ReplyThrottled},
	{"rate in another class", 400, "MessageRejected", "Maximum sending rate exceeded.", na, relay.Exhausted, none, ClassThrottled, relay.ReplyThrottled},
	{"429 of something in front", 429, "", "", na, relay.Exhausted, none, ClassThrottled, relay.ReplyThrottled},

	{"day, limit exceeded", 400, "LimitExceededException", "Daily message quota exceeded.", na, relay.Exhausted, none, ClassDailyQuota, relay.ReplyThrottled},
	{"day, limit exceeded without text", 429, "LimitExceededException", "", na, relay.Exhausted, none, ClassDailyQuota, relay.ReplyThrottled},
	{"day, too many requests", 429, "TooManyRequestsException", "Daily message quota exceeded.", na, relay.Exhausted, none, ClassDailyQuota, relay.ReplyThrottled},
	{"day, throttling", 400, "ThrottlingException", "Throttling failure: Daily message quota exceeded", na, relay.Exhausted, none, ClassDailyQuota, relay.ReplyThrottled},
	{"day, message rejected", 400, "MessageRejected", "Daily message quota exceeded.", na, relay.Exhausted, none, ClassDailyQuota, relay.ReplyThrottled},

	{"account suspended", 400, "AccountSuspendedException", "x", na, relay.Unavailable, trip, ClassSuspended, relay.ReplyPaused},
	{"suspended, by text", 400, "BadRequestException", "Sending suspended for this account. For more information", na, relay.Unavailable, trip, ClassSuspended, relay.ReplyPaused},
	{"sending paused", 400, "SendingPausedException", "x", na, relay.Unavailable, trip, ClassPaused, relay.ReplyPaused},
	{"sending paused, by text", 400, "MessageRejected", "Sending paused for this account. For more information, please check the inbox", na, relay.Unavailable, trip, ClassPaused, relay.ReplyPaused},
	{"configuration set paused", 400, "BadRequestException", "Sending paused for configuration set cs.", na, relay.Unavailable, trip, ClassPaused, relay.ReplyPaused},

	{"mail from domain", 400, "MailFromDomainNotVerifiedException", "x", na, relay.Unavailable, trip, ClassMailFrom, relay.ReplyConfig},
	{"no configuration set", 404, "NotFoundException", "Configuration set <cs> does not exist.", na, relay.Unavailable, trip, ClassNotFound, relay.ReplyConfig},
	{"no configuration set, as 400", 400, "BadRequestException", "Configuration set <cs> does not exist.", na, relay.Unavailable, trip, ClassNotFound, relay.ReplyConfig},
	{"IAM", 403, "AccessDeniedException", "User: arn:aws:iam::123456789012:user/relay is not authorized to perform: ses:SendRawEmail", na, relay.Unavailable, trip, ClassAccess, relay.ReplyConfig},
	{"IAM, old name", 403, "AccessDenied", "x", na, relay.Unavailable, trip, ClassAccess, relay.ReplyConfig},
	{"expired token", 403, "ExpiredTokenException", "The security token included in the request is expired", na, relay.Unavailable, trip, ClassCredentials, relay.ReplyConfig},
	{"expired token, old name", 400, "ExpiredToken", "x", na, relay.Unavailable, trip, ClassCredentials, relay.ReplyConfig},
	{"expired request", 400, "RequestExpired", "x", na, relay.Unavailable, trip, ClassCredentials, relay.ReplyConfig},
	{"signature", 403, "SignatureDoesNotMatch", "x", na, relay.Unavailable, trip, ClassCredentials, relay.ReplyConfig},
	{"invalid signature", 403, "InvalidSignatureException", "Signature expired: 20261123T000000Z is now earlier than", na, relay.Unavailable, trip, ClassCredentials, relay.ReplyConfig},
	{"unknown key", 403, "UnrecognizedClientException", "The security token included in the request is invalid.", na, relay.Unavailable, trip, ClassCredentials, relay.ReplyConfig},
	{"no signature", 403, "MissingAuthenticationTokenException", "x", na, relay.Unavailable, trip, ClassCredentials, relay.ReplyConfig},
	{"incomplete signature", 400, "IncompleteSignatureException", "x", na, relay.Unavailable, trip, ClassCredentials, relay.ReplyConfig},

	{"identity", 400, "MessageRejected", "Email address is not verified. The following identities failed the check in region AP-NORTHEAST-1: a@example.org", na, relay.Rejected, none, ClassUnverified, relay.ReplyConfig},
	{"message", 400, "MessageRejected", "Transaction failed: Duplicate header 'DKIM-Signature'.", na, relay.Rejected, none, ClassMessageRejected, relay.ReplyMessage},
	{"message, text deeper in", 400, "MessageRejected", "Illegal name 'Sending paused for this account'", na, relay.Rejected, none, ClassMessageRejected, relay.ReplyMessage},
	{"bad request", 400, "BadRequestException", "Missing required header 'From'.", na, relay.Rejected, count, ClassBadRequest, relay.ReplyMessage},
	{"bad request, address", 400, "BadRequestException", "Illegal address", na, relay.Rejected, count, ClassBadRequest, relay.ReplyBadDest},
	{"bad request, domain", 400, "BadRequestException", "Missing final '@domain'", na, relay.Rejected, count, ClassBadRequest, relay.ReplyBadDest},
	{"bad request, size", 400, "BadRequestException", "Message length is more than 41943040 bytes long: '41943041'.", na, relay.Rejected, count, ClassBadRequest, relay.ReplyTooLarge},
	{"validation", 400, "ValidationException", "x", na, relay.Rejected, count, ClassBadRequest, relay.ReplyMessage},
	{"entity too large", 413, "", "", na, relay.Rejected, count, ClassBadRequest, relay.ReplyTooLarge},

	{"500", 500, "InternalServiceErrorException", "x", unknown, relay.Unavailable, count, ClassServerError, relay.ReplyUnknown},
	{"500 with a text of the table", 500, "TooManyRequestsException", "Maximum sending rate exceeded.", unknown, relay.Unavailable, count, ClassServerError, relay.ReplyUnknown},
	{"503", 503, "ServiceUnavailable", "x", unknown, relay.Unavailable, count, ClassServerError, relay.ReplyUnknown},
	{"502 of a load balancer", 502, "", "", unknown, relay.Unavailable, count, ClassServerError, relay.ReplyUnknown},
	{"not in the table", 400, "ConflictException", "x", unknown, relay.Unavailable, count, ClassUnexpected, relay.ReplyLocalError},
	{"403 without a code", 403, "", "", unknown, relay.Unavailable, count, ClassUnexpected, relay.ReplyLocalError},
	{"text without a code", 400, "", "Sending paused for this account", unknown, relay.Unavailable, count, ClassUnexpected, relay.ReplyLocalError},
	{"408", 408, "", "", unknown, relay.Unavailable, count, ClassUnexpected, relay.ReplyLocalError},
	{"redirect", 307, "", "", unknown, relay.Unavailable, count, ClassUnexpected, relay.ReplyLocalError},
	{"202", 202, "", "", unknown, relay.Unavailable, count, ClassUnexpected, relay.ReplyLocalError},
}

func TestTable(t *testing.T) {
	t.Parallel()
	for _, row := range table {
		for _, sender := range senders {
			t.Run(sender+"/"+row.name, func(t *testing.T) {
				t.Parallel()
				url, posts := answering(t, row.status, "", row.body())
				_, err := send(t, newClient(t, url, sender))
				row.compare(t, refusal(t, err))
				if n := posts.Load(); n != 1 {
					t.Errorf("%d requests, not 1", n)
				}
			})
		}
	}
}

func (row *tableRow) body() string {
	if row.code == "" && row.message == "" {
		return "<html>what a proxy says</html>"
	}
	return fmt.Sprintf(`{"__type":%q,"message":%q}`, row.code, row.message)
}

func (row *tableRow) compare(t *testing.T, e *relay.Error) {
	t.Helper()
	if e.Outcome != row.outcome || e.Kind != row.kind || e.Signal != row.signal || e.Class != row.class || e.Reply != row.reply {
		t.Errorf("got %v kind %d signal %d class %q reply %q", e.Outcome, e.Kind, e.Signal, e.Class, e.Reply)
		t.Errorf("not %v kind %d signal %d class %q reply %q", row.outcome, row.kind, row.signal, row.class, row.reply)
	}
	noLeak(t, e.Reply)
}
