package relay

import (
	"bytes"
	"errors"
	"net/mail"
	"strings"
	"time"
)

// Content is what the relay learns about a message from its bytes.
type Content struct {
	Header
	Size        int64 // bytes as received
	LongestLine int   // bytes without CRLF; 0 when the content was streamed unjudged
}

// Header is the result of one pass over a header section (RFC 5322 section 2.2).
type Header struct {
	End          int       // length of the section, the empty line included
	Kept         []Span    // what remains of the section when every X-SES-* field is removed
	From         []string  // unfolded bodies of From, in order
	Sender       []string  // of Sender
	ReturnPath   []string  // of Return-Path
	SESTags      string    // bodies of the client's X-SES-MESSAGE-TAGS, joined by commas; the fields are always removed
	Received     int       // number of Received fields
	OwnReceived  int       // of those, how many were written by this host
	HasMessageID bool      //
	Repeated     bool      // a field stands twice that SES takes only once
	HopTime      time.Time // date of the topmost Received; zero when absent or unreadable
	QueueID      string    // "id" clause of the topmost Received: Postfix's queue id
}

// Span is a half-open range of bytes of the content.
type Span struct{ Start, End int }

// maxHeader bounds the header section that is held in memory. Postfix's own
// default for what it looks at is 100 KiB (header_size_limit).
const maxHeader = 1 << 20

// errHeaderOpen says that the bytes given do not reach the end of the header section.
var errHeaderOpen = errors.New("header section is not complete")

// headerEnd returns the length of the header section at the start of b, the
// empty line included, or -1 when b does not hold all of it. from is where an
// earlier, shorter look ended.
func headerEnd(b []byte, from int) int {
	if bytes.HasPrefix(b, []byte("\r\n")) {
		return 2
	}
	from = max(0, from-3)
	if i := bytes.Index(b[from:], []byte("\r\n\r\n")); i >= 0 {
		return from + i + 4
	}
	return -1
}

// ScanHeader reads the header section at the start of b. With whole set, b is
// the complete message, which may be a header section without an empty line.
// hostname is this relay's own, for the loop check.
func ScanHeader(b []byte, whole bool, hostname string) (Header, error) {
	end := headerEnd(b, 0)
	if end < 0 {
		if !whole {
			return Header{}, errHeaderOpen
		}
		end = len(b)
	}
	s := headerScan{Header: Header{End: end}, hostname: hostname}
	for at := 0; at < end; {
		next := fieldEnd(b[:end], at)
		s.field(b[at:next], Span{at, next})
		at = next
	}
	return s.Header, nil
}

// fieldEnd returns the end of the field that starts at at, its folded lines
// included (RFC 5322 section 2.2.3).
func fieldEnd(b []byte, at int) int {
	for {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return len(b)
		}
		at += i + 1
		if at >= len(b) || b[at] != ' ' && b[at] != '\t' {
			return at
		}
	}
}

type headerScan struct {
	Header
	hostname string
	seen     uint64
}

// field looks at one field, or at one line that is no field: such a line stays
// where it is and does not end the section, because a receiver that goes on
// reading must not find an X-SES-* field behind it.
func (s *headerScan) field(f []byte, at Span) {
	colon := bytes.IndexByte(f, ':')
	name := []byte(nil)
	if colon > 0 {
		name = bytes.TrimRight(f[:colon], " \t") // obs-optional: blanks before the colon
	}
	if isSESField(name) {
		if strings.EqualFold(string(name), "X-SES-MESSAGE-TAGS") {
			s.tags(unfold(f[colon+1:]))
		}
		return
	}
	s.keep(at)
	if colon > 0 {
		s.known(name, f[colon+1:])
	}
}

// isSESField reports whether the name, blanks behind it already cut, begins with
// X-SES- in any case. Control bytes before it are nothing that RFC 5322 allows,
// and a parser may skip them.
func isSESField(name []byte) bool {
	const prefix = "x-ses-"
	if len(name) > 0 && (name[0] <= ' ' || name[0] == 0x7f) {
		name = bytes.TrimLeftFunc(name, func(c rune) bool { return c <= ' ' || c == 0x7f })
	}
	return len(name) >= len(prefix) && strings.EqualFold(string(name[:len(prefix)]), prefix)
}

// maxSESTags is more than SES takes of a message's tags; what comes behind so
// much is not collected, so that a header of many fields costs no square of them.
const maxSESTags = 32 << 10

// tags takes the tags of one field; each of several has its own.
func (s *headerScan) tags(list string) {
	switch {
	case s.SESTags == "":
		s.SESTags = list
	case list != "" && len(s.SESTags) < maxSESTags:
		s.SESTags += ", " + list
	}
}

func (s *headerScan) keep(at Span) {
	if n := len(s.Kept); n > 0 && s.Kept[n-1].End == at.Start {
		s.Kept[n-1].End = at.End
		return
	}
	s.Kept = append(s.Kept, at)
}

// singleFields may stand once only at SES ("Header fields that can appear only
// once", SES developer guide). The value is a bit of headerScan.seen.
var singleFields = func() map[string]uint64 {
	m := map[string]uint64{}
	for i, n := range []string{"from", "sender", "return-path", "message-id", "to", "cc", "bcc", "reply-to",
		"subject", "date", "mime-version", "content-type", "content-transfer-encoding", "content-disposition",
		"content-id", "content-description", "content-language", "in-reply-to", "references", "dkim-signature",
		"domainkey-signature", "list-unsubscribe", "list-unsubscribe-post", "list-id", "list-help", "list-post",
		"list-owner", "list-subscribe", "list-archive", "importance", "priority", "precedence", "auto-submitted",
		"disposition-notification-to", "organization", "thread-index", "thread-topic"} {
		m[n] = 1 << i
	}
	return m
}()

// known records the fields that the relay or SES cares about.
func (s *headerScan) known(name, body []byte) {
	var buf [32]byte
	if len(name) > len(buf) {
		return
	}
	lower := buf[:len(name)]
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	if bit := singleFields[string(lower)]; bit != 0 {
		s.Repeated = s.Repeated || s.seen&bit != 0
		s.seen |= bit
	}
	switch string(lower) {
	case "from":
		s.From = append(s.From, unfold(body))
	case "sender":
		s.Sender = append(s.Sender, unfold(body))
	case "return-path":
		s.ReturnPath = append(s.ReturnPath, unfold(body))
	case "message-id":
		s.HasMessageID = s.HasMessageID || len(bytes.TrimSpace(body)) > 0 // an empty one names no message
	case "received":
		s.received(unfold(body))
	}
}

// received reads a trace field (RFC 5321 section 4.4).
func (s *headerScan) received(body string) {
	s.Received++
	if s.hostname != "" && strings.EqualFold(clause(body, "by"), s.hostname) {
		s.OwnReceived++
	}
	if s.Received > 1 {
		return
	}
	s.QueueID = clause(body, "id")
	if i := strings.LastIndexByte(body, ';'); i >= 0 {
		s.HopTime = parseDate(strings.TrimSpace(body[i+1:]))
	}
}

// parseDate reads the date of a trace field; the zero time when it cannot. The
// form that nearly all hosts write comes first: mail.ParseDate finds it only
// after many tries, and was half the cost of the scan.
func parseDate(date string) time.Time {
	plain, _, _ := strings.Cut(date, " (") // Postfix: "+0900 (JST)"
	if t, err := time.Parse("Mon, 2 Jan 2006 15:04:05 -0700", plain); err == nil {
		return t
	}
	t, _ := mail.ParseDate(date) // zero with an error
	return t
}

// clause returns the word after the given keyword of a trace field, skipping
// comments; "" when it is not there.
func clause(body, keyword string) string {
	depth, prev := 0, ""
	for rest := body; rest != ""; {
		i := strings.IndexAny(rest, " \t();")
		if i < 0 {
			i = len(rest)
		}
		if i > 0 && depth == 0 {
			if strings.EqualFold(prev, keyword) {
				return rest[:i]
			}
			prev = rest[:i]
		}
		if i == len(rest) {
			return ""
		}
		switch rest[i] {
		case '(':
			depth++
		case ')':
			depth = max(0, depth-1)
		case ';':
			if depth == 0 {
				return ""
			}
		}
		rest = rest[i+1:]
	}
	return ""
}

// unfold removes the line ends of a folded field body and the blanks around it.
func unfold(b []byte) string {
	b = bytes.TrimSpace(b)
	if bytes.IndexByte(b, '\n') >= 0 {
		b = bytes.ReplaceAll(b, []byte("\r\n"), nil)
	}
	return string(b)
}

// longestLine returns the length of the longest line of b without its CRLF.
func longestLine(b []byte) int {
	longest := 0
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return max(longest, len(b))
		}
		longest = max(longest, i-1)
		b = b[i+1:]
	}
	return longest
}
