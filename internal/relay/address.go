package relay

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// Address is a mailbox of RFC 5321 section 4.1.2 as it stood on the wire: the
// quoting of the local part is kept, because an address that was unquoted and
// is written raw again injects commands. The zero Address is the null
// reverse-path.
type Address struct {
	Local  string // with its quotes, when it had them
	Domain string // a domain or an address literal in brackets
}

// Limits of RFC 5321 section 4.5.3.1.
const (
	maxLocalPart = 64 * 4 // RFC 5321 says 64 octets; longer ones exist (VERP) and Cuenote may take them
	maxDomain    = 255
)

// Errors of ParseAddress. All of them are the client's syntax (501 5.1.3 or 5.1.7).
var (
	ErrNoDomain    = errors.New("the address has no domain")
	ErrAddressByte = errors.New("the address has a byte that is not allowed there")
	ErrAddressLong = errors.New("the address is too long")
	ErrAddressUTF8 = errors.New("a non-ASCII address needs SMTPUTF8")
)

// IsNull reports whether a is the null reverse-path "<>".
func (a Address) IsNull() bool { return a.Local == "" && a.Domain == "" }

// String returns the mailbox without angle brackets; "" for the null reverse-path.
func (a Address) String() string {
	if a.IsNull() {
		return ""
	}
	return a.Local + "@" + a.Domain
}

// Path returns the address in angle brackets, ready for MAIL and RCPT.
func (a Address) Path() string { return "<" + a.String() + ">" }

// IsASCII reports whether a can be sent without SMTPUTF8 (RFC 6531).
func (a Address) IsASCII() bool { return isASCII(a.Local) && isASCII(a.Domain) }

// ParseAddress parses a mailbox without angle brackets. It goes byte by byte
// and is lenient where the mail of Japanese carriers needs it ("a..b.@docomo.ne.jp"
// is no Dot-string but is delivered every day), and strict where an address
// could become a command: control bytes, unquoted blanks and brackets, a second
// "@", 8-bit bytes without utf8.
func ParseAddress(s string, allowUTF8 bool) (Address, error) {
	local, domain, err := cutMailbox(s)
	if err != nil {
		return Address{}, err
	}
	if len(local) > maxLocalPart || len(domain) > maxDomain {
		return Address{}, ErrAddressLong
	}
	a := Address{Local: local, Domain: domain}
	if !a.IsASCII() {
		if !allowUTF8 {
			return Address{}, ErrAddressUTF8
		}
		if !utf8.ValidString(s) {
			return Address{}, ErrAddressByte
		}
	}
	if err := checkDomain(domain); err != nil {
		return Address{}, err
	}
	return a, nil
}

// cutMailbox splits at the "@" that ends the local part, checking every byte
// of the local part on the way.
func cutMailbox(s string) (local, domain string, err error) {
	i := 0
	if strings.HasPrefix(s, `"`) {
		if i = quotedEnd(s); i < 0 {
			return "", "", ErrAddressByte
		}
	} else {
		for i < len(s) && s[i] != '@' {
			if !isLocalByte(s[i]) {
				return "", "", ErrAddressByte
			}
			i++
		}
	}
	if i == 0 {
		return "", "", ErrAddressByte
	}
	if i >= len(s)-1 || s[i] != '@' {
		return "", "", ErrNoDomain
	}
	return s[:i], s[i+1:], nil
}

// quotedEnd returns the index behind the closing quote of a Quoted-string, or -1.
func quotedEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			i++
			if i >= len(s) || isControl(s[i]) {
				return -1
			}
		case isControl(c):
			return -1
		}
	}
	return -1
}

// checkDomain accepts what can stand in a path: letters, digits, hyphens, dots
// and underscores (seen in the wild), 8-bit bytes of a U-label, or a literal.
func checkDomain(d string) error {
	if strings.HasPrefix(d, "[") {
		if len(d) < 3 || !strings.HasSuffix(d, "]") {
			return ErrAddressByte
		}
		for i := 1; i < len(d)-1; i++ {
			if c := d[i]; !isAlnum(c) && c != '.' && c != ':' && c != '-' {
				return ErrAddressByte
			}
		}
		return nil
	}
	for i := 0; i < len(d); i++ {
		if c := d[i]; !isAlnum(c) && c != '.' && c != '-' && c != '_' && c < 0x80 {
			return ErrAddressByte
		}
	}
	if d[0] == '.' || strings.Contains(d, "..") {
		return ErrAddressByte
	}
	return nil
}

// IsDotString reports whether the local part is a Dot-string of RFC 5321
// section 4.1.2, which is all that SES takes.
func (a Address) IsDotString() bool {
	prev := byte('.')
	for i := 0; i < len(a.Local); i++ {
		c := a.Local[i]
		if c == '.' && prev == '.' || c != '.' && !isAtext(c) {
			return false
		}
		prev = c
	}
	return prev != '.'
}

// isAtext is the atext of RFC 5322 section 3.2.3.
func isAtext(c byte) bool {
	return isAlnum(c) || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

func isLocalByte(c byte) bool { return c == '.' || isAtext(c) || c >= 0x80 }

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func isControl(c byte) bool { return c < 0x20 || c == 0x7f }

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
