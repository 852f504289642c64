package relay

import (
	"errors"
	"strconv"
	"strings"
)

// Reply is an SMTP reply (RFC 5321 section 4.2) with its enhanced status code
// (RFC 3463). The text is for the client: short, generic, without host names,
// addresses or internal error strings.
type Reply struct {
	Code     int
	Enhanced [3]int // {0,0,0}: none, as in an upstream's reply without one
	Text     string // lines separated by "\n"
}

// String returns the reply as it stands on the wire, lines joined by " / ".
func (r Reply) String() string {
	s := strconv.Itoa(r.Code)
	if r.Enhanced != [3]int{} {
		s += " " + strconv.Itoa(r.Enhanced[0]) + "." + strconv.Itoa(r.Enhanced[1]) + "." + strconv.Itoa(r.Enhanced[2])
	}
	return s + " " + strings.ReplaceAll(r.Text, "\n", " / ")
}

// Positive, Temporary and Permanent are the classes of RFC 5321 section 4.2.1.
func (r Reply) Positive() bool  { return r.Code >= 200 && r.Code < 300 }
func (r Reply) Temporary() bool { return r.Code >= 400 && r.Code < 500 }
func (r Reply) Permanent() bool { return r.Code >= 500 && r.Code < 600 }

// The replies that the relay gives of its own. An upstream's reply is passed
// through instead where one exists.
var (
	ReplyRecipientOK = Reply{250, [3]int{2, 1, 5}, "Recipient ok"}

	// Faults of ours, and everything unclassified: a wrong 4xx costs a retry,
	// a wrong 5xx loses mail.
	ReplyLocalError   = Reply{451, [3]int{4, 3, 0}, "Local error, try again later"}
	ReplyUnavailable  = Reply{451, [3]int{4, 4, 1}, "Next hop unavailable, try again later"}
	ReplyUnknown      = Reply{451, [3]int{4, 4, 2}, "No answer from the next hop, try again later"}
	ReplyThrottled    = Reply{451, [3]int{4, 4, 5}, "Sending rate reached, try again later"}
	ReplyPaused       = Reply{451, [3]int{4, 3, 2}, "Next hop is not accepting mail, try again later"}
	ReplyConfig       = Reply{451, [3]int{4, 3, 5}, "Next hop is not configured for this mail, try again later"}
	ReplyInProgress   = Reply{451, [3]int{4, 4, 5}, "An earlier attempt for this mail is still in progress, try again later"}
	ReplyRetryRoute   = Reply{451, [3]int{4, 4, 0}, "Try again later, this mail will take another route"}
	ReplyMemory       = Reply{452, [3]int{4, 3, 1}, "Insufficient memory, try again later"}
	ReplyTooManyRcpts = Reply{452, [3]int{4, 5, 3}, "Too many recipients"} // RFC 5321 section 4.5.3.1.10
	ReplyOneRoute     = Reply{452, [3]int{4, 5, 3}, "Send this recipient in a transaction of its own"}

	// The client's own.
	ReplyLineEnds  = Reply{554, [3]int{5, 6, 0}, "Message has a bare CR, a bare LF or a NUL; lines must end in CRLF"} // RFC 5321 section 2.3.8
	ReplyTooLarge  = Reply{552, [3]int{5, 3, 4}, "Message exceeds the size limit"}                                    // RFC 1870 section 6.3
	ReplyHeader    = Reply{554, [3]int{5, 6, 0}, "Message header section is too large"}
	ReplyLoop      = Reply{554, [3]int{5, 4, 6}, "Routing loop detected"} // RFC 3463: X.4.6
	ReplyMessage   = Reply{554, [3]int{5, 6, 0}, "Message refused by the next hop"}
	ReplyBadDest   = Reply{553, [3]int{5, 1, 3}, "Recipient address refused by the next hop"}
	ReplyNeedsUTF8 = Reply{553, [3]int{5, 6, 7}, "Next hop does not support SMTPUTF8"} // RFC 6531 section 3.5
)

// ReplyTo turns any error into the reply for the client. It is the one place
// that does: an *Error brings its reply, everything else is a fault of ours. A
// 5xx stands only where somebody refused this mail for good, whatever the error
// says: with an outage or without an answer it would lose mail.
func ReplyTo(err error) Reply {
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		return ReplyLocalError
	case e.Reply.Temporary():
		return e.Reply
	case e.Reply.Permanent() && e.Outcome == NotAccepted && (e.Kind == Rejected || e.Kind == ClientFault):
		return e.Reply
	}
	return ReplyLocalError
}
