package smtp

import (
	"strconv"
	"strings"

	"sesrelay/internal/relay"
)

// The replies of the service itself. Those about a message are in relay/reply.go.
var (
	replySenderOK   = relay.Reply{Code: 250, Enhanced: [3]int{2, 1, 0}, Text: "Sender ok"}
	replyDataGo     = relay.Reply{Code: 354, Text: "End data with <CR><LF>.<CR><LF>"}
	replyStartTLS   = relay.Reply{Code: 220, Enhanced: [3]int{2, 0, 0}, Text: "Ready to start TLS"}
	replyAuthOK     = relay.Reply{Code: 235, Enhanced: [3]int{2, 7, 0}, Text: "Authentication succeeded"}
	replyNoChunking = relay.Reply{Code: 502, Enhanced: [3]int{5, 5, 1}, Text: "CHUNKING is not offered"}

	// Syntax and sequence. RFC 5321 section 4.2.4, RFC 3463 X.5.
	replyLine       = relay.Reply{Code: 500, Enhanced: [3]int{5, 5, 2}, Text: "Command lines end in CRLF and hold no CR, LF or NUL"}
	replyLineLong   = relay.Reply{Code: 500, Enhanced: [3]int{5, 5, 6}, Text: "Line too long"}
	replyUnknown    = relay.Reply{Code: 500, Enhanced: [3]int{5, 5, 2}, Text: "Command not recognized"}
	replyHelloFirst = relay.Reply{Code: 503, Enhanced: [3]int{5, 5, 1}, Text: "Send EHLO first"}
	replyNested     = relay.Reply{Code: 503, Enhanced: [3]int{5, 5, 1}, Text: "A mail transaction is open already"}
	replyMailFirst  = relay.Reply{Code: 503, Enhanced: [3]int{5, 5, 1}, Text: "Send MAIL first"}
	replyRcptFirst  = relay.Reply{Code: 503, Enhanced: [3]int{5, 5, 1}, Text: "Send RCPT first"}
	replyNoRcpt     = relay.Reply{Code: 554, Enhanced: [3]int{5, 5, 1}, Text: "No valid recipients"}
	replyArgument   = relay.Reply{Code: 501, Enhanced: [3]int{5, 5, 4}, Text: "Bad argument"}
	replyParameter  = relay.Reply{Code: 555, Enhanced: [3]int{5, 5, 4}, Text: "Parameter not recognized"}   // RFC 5321 section 4.1.1.11
	replyBase64     = relay.Reply{Code: 501, Enhanced: [3]int{5, 5, 2}, Text: "Cannot decode the response"} // RFC 4954 section 4
	replySenderBad  = relay.Reply{Code: 501, Enhanced: [3]int{5, 1, 7}, Text: "Bad sender address"}
	replyRcptBad    = relay.Reply{Code: 501, Enhanced: [3]int{5, 1, 3}, Text: "Bad recipient address"}
	replyNeedsUTF8  = relay.Reply{Code: 553, Enhanced: [3]int{5, 6, 7}, Text: "A non-ASCII address needs SMTPUTF8"} // RFC 6531 section 3.5

	// TLS, AUTH and access.
	replyPipelinedTLS = relay.Reply{Code: 554, Enhanced: [3]int{5, 5, 0}, Text: "Input behind STARTTLS"} // RFC 3207 section 4.2: must be discarded; refusing is safer
	replyTLSAlready   = relay.Reply{Code: 503, Enhanced: [3]int{5, 5, 1}, Text: "TLS is already in use"}
	replyTLSNone      = relay.Reply{Code: 502, Enhanced: [3]int{5, 5, 1}, Text: "STARTTLS is not offered"}
	replyTLSFirst     = relay.Reply{Code: 530, Enhanced: [3]int{5, 7, 0}, Text: "Must issue a STARTTLS command first"} // RFC 3207 section 4
	replyAuthNeedsTLS = relay.Reply{Code: 523, Enhanced: [3]int{5, 7, 10}, Text: "Encryption needed"}                  // RFC 5248
	replyAuthNone     = relay.Reply{Code: 502, Enhanced: [3]int{5, 5, 1}, Text: "AUTH is not offered"}
	replyAuthAlready  = relay.Reply{Code: 503, Enhanced: [3]int{5, 5, 1}, Text: "Already authenticated"}
	replyAuthInMail   = relay.Reply{Code: 503, Enhanced: [3]int{5, 5, 1}, Text: "AUTH is not permitted during a mail transaction"}
	replyAuthFailed   = relay.Reply{Code: 535, Enhanced: [3]int{5, 7, 8}, Text: "Authentication credentials invalid"}
	replyAuthLater    = relay.Reply{Code: 454, Enhanced: [3]int{4, 7, 0}, Text: "Temporary authentication failure"}
	replyAuthTooMany  = relay.Reply{Code: 421, Enhanced: [3]int{4, 7, 0}, Text: "Too many authentication attempts"}
	replyAuthRequired = relay.Reply{Code: 530, Enhanced: [3]int{5, 7, 0}, Text: "Authentication required"} // RFC 4954 section 6
	replyDenied       = relay.Reply{Code: 550, Enhanced: [3]int{5, 7, 1}, Text: "Relaying denied"}
	replyDeniedAtOnce = relay.Reply{Code: 554, Enhanced: [3]int{5, 7, 1}, Text: "No service for this client"}
	replyEarly        = relay.Reply{Code: 554, Enhanced: [3]int{5, 5, 0}, Text: "Commands before the greeting"}

	// 421 closes the connection (RFC 5321 section 3.8).
	replyFull        = relay.Reply{Code: 421, Enhanced: [3]int{4, 3, 2}, Text: "Too many connections, try again later"}
	replyClientFull  = relay.Reply{Code: 421, Enhanced: [3]int{4, 7, 0}, Text: "Too many connections from this client"}
	replyDraining    = relay.Reply{Code: 421, Enhanced: [3]int{4, 3, 2}, Text: "Service is shutting down"}
	replyTimeout     = relay.Reply{Code: 421, Enhanced: [3]int{4, 4, 2}, Text: "Timeout"}
	replyGone        = relay.Reply{Code: 421, Enhanced: [3]int{4, 4, 2}, Text: "Connection lost"}
	replyBadCommands = relay.Reply{Code: 421, Enhanced: [3]int{4, 7, 0}, Text: "Too many errors"}
	replyIdleTooLong = relay.Reply{Code: 421, Enhanced: [3]int{4, 7, 0}, Text: "Too many commands without mail"}
	replyProtocol    = relay.Reply{Code: 421, Enhanced: [3]int{4, 7, 0}, Text: "This is not that protocol"}
	replyPanic       = relay.Reply{Code: 421, Enhanced: [3]int{4, 3, 0}, Text: "Internal error, try again later"}
)

const (
	maxReplyLine  = 512 // octets with CRLF, RFC 5321 section 4.5.3.1.5
	maxReplyLines = 20
)

// appendReply appends r as it goes over the wire, the enhanced code on every
// line (RFC 2034 section 4). An upstream's text is cut and cleaned: a reply is
// ASCII without control bytes.
func appendReply(b []byte, r relay.Reply) []byte {
	text, lines := r.Text, 0
	for {
		line, rest, more := strings.Cut(text, "\n")
		lines++
		more = more && rest != "" && lines < maxReplyLines
		b = appendReplyLine(b, r, line, more)
		if !more {
			return b
		}
		text = rest
	}
}

func appendReplyLine(b []byte, r relay.Reply, text string, more bool) []byte {
	start := len(b)
	b = strconv.AppendInt(b, int64(r.Code), 10)
	if more {
		b = append(b, '-')
	} else {
		b = append(b, ' ')
	}
	if r.Enhanced != [3]int{} {
		b = strconv.AppendInt(b, int64(r.Enhanced[0]), 10)
		b = append(b, '.')
		b = strconv.AppendInt(b, int64(r.Enhanced[1]), 10)
		b = append(b, '.')
		b = strconv.AppendInt(b, int64(r.Enhanced[2]), 10)
		b = append(b, ' ')
	}
	text = strings.TrimSuffix(text, "\r")
	for i := 0; i < len(text) && len(b)-start < maxReplyLine-2; i++ {
		b = append(b, printable(text[i]))
	}
	return append(b, '\r', '\n')
}

// valid reports whether r can be the answer to a command: 3xx is not one.
func valid(r relay.Reply) bool { return r.Positive() || r.Temporary() || r.Permanent() }

func printable(c byte) byte {
	switch {
	case c < 0x20:
		return ' '
	case c >= 0x7f:
		return '?'
	}
	return c
}
