package simulator

import (
	"bytes"
	"fmt"
)

// Kinds of Anomaly.
const (
	AnomalyBareLF        = "bare-lf"        // LF without CR before it, in a command or a message
	AnomalyBareCR        = "bare-cr"        // CR without LF after it
	AnomalyNUL           = "nul"            // NUL byte
	AnomalyBareDot       = "bare-dot"       // a lone dot between line ends of which one is not CRLF: smuggling
	AnomalyUnstuffed     = "unstuffed-dot"  // a line that begins with a dot which nobody doubled
	AnomalySequence      = "sequence"       // a command out of sequence
	AnomalySyntax        = "syntax"         // a command that RFC 5321 does not know in this form
	AnomalyPipelining    = "pipelining"     // input that RFC 2920 does not allow to be sent ahead
	AnomalyNotOffered    = "not-offered"    // a parameter or content that the EHLO reply did not offer
	AnomalyLongLine      = "long-line"      // a command line over 2,048 bytes
	AnomalyPlainPassword = "plain-password" // AUTH before TLS where TLS is offered
	AnomalyTruncated     = "truncated"      // the connection ended inside a message
)

// Anomaly is something that a correct SMTP client does not send.
type Anomaly struct {
	Kind       string `json:"kind"`
	Detail     string `json:"detail"`
	Connection int64  `json:"connection"`
}

// String returns the anomaly in one line, for a test's message.
func (a Anomaly) String() string {
	return fmt.Sprintf("connection %d: %s: %s", a.Connection, a.Kind, a.Detail)
}

// lineEndAnomalies calls report for each kind of wrong line end, NUL and smuggled dot in a message as it came over the
// wire, before unstuffing. The counts make the usual, clean message cheap.
func lineEndAnomalies(wire []byte, report func(kind, detail string)) {
	crlf, lf, cr := bytes.Count(wire, []byte("\r\n")), bytes.Count(wire, []byte{'\n'}), bytes.Count(wire, []byte{'\r'})
	if bytes.IndexByte(wire, 0) >= 0 {
		report(AnomalyNUL, around(wire, bytes.IndexByte(wire, 0)))
	}
	if lf > crlf {
		report(AnomalyBareLF, fmt.Sprintf("%d in a message", lf-crlf))
	}
	if cr > crlf {
		report(AnomalyBareCR, fmt.Sprintf("%d in a message", cr-crlf))
	}
	if lf > crlf || cr > crlf {
		if at := bareDot(wire); at >= 0 {
			report(AnomalyBareDot, around(wire, at))
		}
	}
	if at := unstuffed(wire); at >= 0 {
		report(AnomalyUnstuffed, around(wire, at))
	}
}

// bareDot finds a dot that stands alone between two line ends, of which at least one is a bare CR or LF: some server
// down the line may take it for the end of the message. The true CRLF.CRLF is not part of wire.
func bareDot(wire []byte) int {
	for i, c := range wire {
		if c != '.' || (i > 0 && wire[i-1] != '\n' && wire[i-1] != '\r') {
			continue
		}
		if i+1 == len(wire) || wire[i+1] == '\r' || wire[i+1] == '\n' {
			return i
		}
	}
	return -1
}

// unstuffed finds a line that begins with one dot followed by something else: a client that stuffs sends two.
func unstuffed(wire []byte) int {
	for from := 0; ; {
		i := 0
		if from > 0 || len(wire) == 0 || wire[0] != '.' {
			n := bytes.Index(wire[from:], []byte("\n."))
			if n < 0 {
				return -1
			}
			i = from + n + 1
		}
		if i+1 < len(wire) && wire[i+1] != '.' && wire[i+1] != '\r' && wire[i+1] != '\n' {
			return i
		}
		from = i + 1
	}
}

// around quotes the bytes near a place.
func around(b []byte, at int) string {
	return fmt.Sprintf("%q at %d", b[max(at-20, 0):min(at+20, len(b))], at)
}
