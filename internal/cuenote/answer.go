package cuenote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"sesrelay/internal/relay"
)

// command names what a reply answers.
type command string

const (
	cmdMail command = "MAIL"
	cmdRcpt command = "RCPT"
	cmdData command = "DATA"
	cmdDot  command = "the final dot"
)

// The closed set of classes: a metric label.
const (
	classPool       = "pool"       // no connection became free in time
	classRate       = "rate"       // the rate limit would not let it through in time
	classDial       = "dial"       // no TCP connection
	classGreeting   = "greeting"   // refused by the greeting or at EHLO
	classTLS        = "tls"        // no TLS, or a certificate that does not verify
	classAuth       = "auth"       // AUTH failed or is not possible
	classConnection = "connection" // reset or closed before the final dot
	classTimeout    = "timeout"    // no reply in time before the final dot
	classShutdown   = "shutdown"   // 421
	classProtocol   = "protocol"   // something that is no SMTP reply, or a reply out of place
	classDeferred   = "deferred"   // 4xx, passed on
	classRejected   = "rejected"   // 5xx about this mail or recipient, passed on
	classConfig     = "config"     // 5xx about this relay, not passed on
	classSMTPUTF8   = "smtputf8"   // not offered
	classReplay     = "replay"     // a recipient was accepted before and is refused on a new connection
	classUnanswered = "unanswered" // no reply to the final dot: the outcome is unknown
	classCanceled   = "canceled"   // the client's side gave up
	classCaller     = "caller"     // an address or content that may not be written: a bug of ours
	classContent    = "content"    // the content could not be had: the caller's own error
)

// classes are all of them, so that each counter exists from the start.
var classes = []string{
	classPool, classRate, classDial, classGreeting, classTLS, classAuth, classConnection, classTimeout, classShutdown,
	classProtocol, classDeferred, classRejected, classConfig, classSMTPUTF8, classReplay, classUnanswered,
	classCanceled, classCaller, classContent,
}

// refusal classifies a reply that does not let the transaction go on.
func refusal(cmd command, r *reply) *relay.Error {
	switch {
	case r.code == 421: // never passed on: it would close the client's connection too
		return unavailable(classShutdown, relay.SignalCount, fmt.Errorf("cuenote: %s: %s", cmd, r.quoted()))
	case r.code/100 == 4:
		return passedOn(cmd, r, relay.Unavailable, classDeferred, systemSignal(r))
	case r.code/100 == 5:
		if signal, ours := aboutUs(cmd, r); ours {
			return misconfigured(classConfig, signal, fmt.Errorf("cuenote: %s: %s", cmd, r.quoted()))
		}
		return passedOn(cmd, r, relay.Rejected, classRejected, relay.SignalNone)
	}
	return unavailable(classProtocol, relay.SignalCount, fmt.Errorf("cuenote: %s: reply out of place: %s", cmd, r.quoted()))
}

func passedOn(cmd command, r *reply, kind relay.Kind, class string, signal relay.Signal) *relay.Error {
	return &relay.Error{Kind: kind, Signal: signal, Class: class, Reply: r.passed(), Err: errRefused[cmd]}
}

// errRefused needs no text of its own: relay.Error shows the reply.
var errRefused = map[command]error{
	cmdMail: errors.New("cuenote: MAIL was refused"),
	cmdRcpt: errors.New("cuenote: RCPT was refused"),
	cmdData: errors.New("cuenote: DATA was refused"),
	cmdDot:  errors.New("cuenote: the content was refused"),
}

// systemSignal tells a full disk or a broken lookup table (RFC 3463: X.3.Y,
// mail system status) from a reply about one mail.
func systemSignal(r *reply) relay.Signal {
	if enhanced, _ := cutEnhanced(r.code, r.text); enhanced[1] == 3 && enhanced != [3]int{} {
		return relay.SignalCount
	}
	return relay.SignalNone
}

// aboutUs tells a 5xx about this relay from one about the mail. What Cuenote
// says because we did not authenticate, may not relay, or wrote a command it
// does not know must never bounce the client's mail: it is 451 and an alarm.
// When in doubt it is about us: a wrong 4xx costs a retry, a wrong 5xx loses mail.
func aboutUs(cmd command, r *reply) (relay.Signal, bool) {
	enhanced, text := cutEnhanced(r.code, r.text)
	switch r.code {
	case 530, 534, 535, 538: // RFC 4954 section 6, RFC 3207 section 4: of the connection, not of a mail
		return relay.SignalTrip, true
	case 521: // RFC 7504: this host accepts no mail
		return relay.SignalTrip, cmd == cmdMail
	case 500, 502, 503, 504, 555: // syntax, sequence, parameter; at the dot 500 is "line too long"
		return relay.SignalCount, cmd != cmdDot
	case 501:
		return relay.SignalCount, ourSyntax(cmd, enhanced)
	case 550, 553, 554:
		return relay.SignalCount, ourPermission(cmd, r.code, enhanced, text)
	}
	return relay.SignalNone, false
}

// ourSyntax decides 501. An address that Cuenote cannot read is the mail's own
// (X.1.Y); RCPT has no parameter but the address.
func ourSyntax(cmd command, enhanced [3]int) bool {
	switch cmd {
	case cmdMail, cmdData:
		return enhanced[1] != 1
	case cmdRcpt:
		return enhanced[1] == 5
	}
	return false
}

// ourPermission decides 550, 553 and 554. At MAIL a security reply (X.7.Y) is
// about who may send here, and a bare 554 says nothing about the mail.
func ourPermission(cmd command, code int, enhanced [3]int, text []byte) bool {
	switch cmd {
	case cmdMail:
		return enhanced[1] == 7 || code == 554 && enhanced[1] != 1 || saysNoRelay(text)
	case cmdRcpt: // where many servers say what they think of client and sender (Postfix: smtpd_delay_reject)
		return saysNoRelay(text) || enhanced[1] == 7 && strings.Contains(asciiLower(string(text)), "sender address rejected")
	case cmdData:
		return enhanced[1] == 5 // "554 5.5.1 no valid recipients": we count them ourselves
	}
	return false
}

// noRelay are the words by which servers refuse a client rather than a
// recipient; most do so at RCPT only, with the codes of a bad recipient.
var noRelay = []string{
	"relay access denied", "relaying denied", "relay denied", "relay not permitted", "relaying not permitted",
	"relaying not allowed", "relay not allowed", "relaying prohibited", "relay prohibited", "unable to relay",
	"client host", "helo command rejected", "banned sending ip", "your ip address", "allowed rcpthosts",
	"authentication required", "not authenticated", "must authenticate", "authenticate first", "must issue a starttls",
}

func saysNoRelay(text []byte) bool {
	lower := asciiLower(string(text))
	for _, words := range noRelay {
		if strings.Contains(lower, words) {
			return true
		}
	}
	return false
}

// early classifies a reply that came before the final dot. Nothing was
// accepted; only "too large" is believed to be final.
func early(r *reply) *relay.Error {
	switch {
	case r.code == 552:
		return passedOn(cmdDot, r, relay.Rejected, classRejected, relay.SignalNone)
	case r.code/100 == 4 && r.code != 421:
		return passedOn(cmdDot, r, relay.Unavailable, classDeferred, systemSignal(r))
	case r.code == 421:
		return refusal(cmdDot, r)
	}
	return unavailable(classProtocol, relay.SignalCount, fmt.Errorf("cuenote: reply before the end of the content: %s", r.quoted()))
}

// lost classifies a read or write that failed before the final dot.
func lost(ctx context.Context, during string, err error) *relay.Error {
	if ctx.Err() != nil {
		return gaveUp(ctx, during)
	}
	err = fmt.Errorf("cuenote: %s: %w", during, err)
	switch {
	case isTimeout(err):
		return unavailable(classTimeout, relay.SignalCount, err)
	case errors.Is(err, errGarbage):
		return unavailable(classProtocol, relay.SignalCount, err)
	}
	return unavailable(classConnection, relay.SignalCount, err)
}

// gaveUp classifies the end of ctx: a client that left, or a deadline that
// passed while Cuenote was waited for.
func gaveUp(ctx context.Context, during string) *relay.Error {
	err := fmt.Errorf("cuenote: %s: %w", during, ctx.Err())
	if errors.Is(err, context.DeadlineExceeded) {
		return unavailable(classTimeout, relay.SignalCount, err)
	}
	return &relay.Error{Kind: relay.ClientFault, Class: classCanceled, Reply: relay.ReplyLocalError, Err: err}
}

// unanswered is the outcome when the final dot was written and no reply came
// (RFC 5321 section 4.2.5). It is never failed over.
func unanswered(err error) *relay.Error {
	return &relay.Error{Outcome: relay.Unknown, Kind: relay.Unavailable, Signal: relay.SignalCount, Class: classUnanswered,
		Reply: relay.ReplyUnknown, Err: fmt.Errorf("cuenote: no reply to the final dot: %w", err)}
}

func unavailable(class string, signal relay.Signal, err error) *relay.Error {
	return &relay.Error{Kind: relay.Unavailable, Signal: signal, Class: class, Reply: relay.ReplyUnavailable, Err: err}
}

func misconfigured(class string, signal relay.Signal, err error) *relay.Error {
	return &relay.Error{Kind: relay.Unavailable, Signal: signal, Class: class, Reply: relay.ReplyConfig, Err: err}
}

// callerBug refuses to write something that would break the dialogue.
func callerBug(err error) *relay.Error {
	return &relay.Error{Kind: relay.ClientFault, Class: classCaller, Reply: relay.ReplyLocalError, Err: err}
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}
