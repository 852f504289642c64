package mask

import (
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"
)

// keepIf passes values of one shape and masks all others: a field's name is no
// proof of what it holds.
func keepIf(shape func(string) bool) func(*event, string) string {
	return func(_ *event, s string) string {
		if shape(s) {
			return s
		}
		return gone(s)
	}
}

// oneOf passes the listed words, in any case, since normalised events are lower case.
func oneOf(words ...string) rule {
	return rule{text: keepIf(func(s string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, s) })
	})}
}

// addressList masks a field that holds an address, a mailbox with display name,
// or several of them: addresses only, joined by ", ".
func (e *event) addressList(s string) string {
	if s == "" || s == "<>" {
		return "<>"
	}
	found := addresses(s)
	if len(found) == 0 {
		return gone(s)
	}
	for i, addr := range found {
		found[i] = e.Address(addr)
	}
	return strings.Join(found, ", ")
}

func (e *event) ip(s string) string { return e.IP(s) }

func (e *event) diagnostic(s string) string {
	if e.tooMany {
		return gone(s)
	}
	return e.Text(s, e.known...)
}

// messageID masks a Message-ID like an address: its left side often names the
// sender. It stays comparable.
func (e *event) messageID(s string) string {
	if isIdentifier(s) {
		return s
	}
	return e.addressList(s)
}

// arn masks the address in the ARN of an identity; that of a domain stays.
func (e *event) arn(s string) string {
	head, identity, ok := strings.Cut(s, ":identity/")
	if !ok || !isARNHead(head) {
		return gone(s)
	}
	if !isDomain(identity) {
		identity = e.addressList(identity)
	}
	return head + ":identity/" + identity
}

// isARNHead knows "arn:aws:ses:ap-northeast-1:123456789012".
func isARNHead(s string) bool {
	parts := strings.Split(s, ":")
	return len(parts) == 5 && parts[0] == "arn" && strings.HasPrefix(parts[1], "aws") && isName(parts[1]) &&
		parts[2] == "ses" && isName(parts[3]) && isAccount(parts[4])
}

// link keeps scheme and host of a clicked link. What it says after them, who
// clicked where, is personal.
func (e *event) link(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || !isDomain(u.Hostname()) {
		return gone(s)
	}
	return u.Scheme + "://" + u.Hostname() + "/[masked]"
}

// mediaType keeps the type of a Content-Type without its parameters, among which
// file names are.
func (e *event) mediaType(s string) string {
	t, _, _ := strings.Cut(strings.ToLower(s), ";")
	t = strings.TrimSpace(t)
	for _, known := range [...]string{
		"text/plain", "text/html", "text/calendar", "multipart/alternative", "multipart/mixed",
		"multipart/related", "multipart/report", "multipart/signed", "message/rfc822",
	} {
		if t == known {
			return t
		}
	}
	return gone(s)
}

func isTimestamp(s string) bool {
	_, err := time.Parse(time.RFC3339Nano, s)
	return err == nil
}

// isDate knows the dates of RFC 5322, without the comment that may follow.
func isDate(s string) bool {
	_, err := mail.ParseDate(s)
	return err == nil && !strings.ContainsAny(s, "(\"<")
}

// isIdentifier knows the ids that SES makes: hexadecimal groups, in the
// documentation with EXAMPLE before them.
func isIdentifier(s string) bool {
	s = strings.TrimPrefix(s, "EXAMPLE")
	if len(s) < 16 || len(s) > 128 {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'f') && (r < 'A' || r > 'F')
	})
}

// isReportingMTA knows "dsn; a8-70.smtp-out.amazonses.com" (RFC 3464 section
// 2.2.2), and the name alone.
func isReportingMTA(s string) bool {
	if kind, name, ok := strings.Cut(s, ";"); ok {
		return (kind == "dns" || kind == "dsn") && isDomain(strings.TrimSpace(name))
	}
	return isDomain(s)
}

// isDomain knows host names of two labels or more with letters at the end.
func isDomain(s string) bool {
	if len(s) > 253 || !dottedName([]byte(s)) {
		return false
	}
	for l := range strings.SplitSeq(s, ".") {
		if !isName(l) || l == "" || l[0] == '-' {
			return false
		}
	}
	return true
}

func isName(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r != '-' && (r >= 0x80 || !isAlnum(byte(r))) })
}

// isLabel knows the names that operators give in AWS: configuration sets, lists,
// topics, and the relay's steps.
func isLabel(s string) bool {
	return s != "" && len(s) <= 64 && isName(strings.ReplaceAll(s, "_", "-"))
}

// isStatus knows enhanced status codes (RFC 3463 section 2).
func isStatus(s string) bool {
	return len(s) <= 9 && len(s) >= 5 && strings.Count(s, ".") == 2 &&
		strings.Trim(s, "0123456789.") == "" && strings.IndexByte("245", s[0]) >= 0
}

func isAccount(s string) bool { return len(s) == 12 && strings.Trim(s, "0123456789") == "" }
