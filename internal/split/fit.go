package split

import (
	"strings"

	"sesrelay/internal/relay"
)

// maxLocalSES is the longest local part of RFC 5321 section 4.5.3.1.1. The
// relay takes longer ones, because Cuenote may; SES does not.
const maxLocalSES = 64

// fitEnvelope says why SES cannot take mail with this envelope; "" when it can.
func (c *settings) fitEnvelope(env *relay.Envelope, known *identities) relay.Reason {
	from := env.ReversePath
	switch {
	case from.IsNull():
		return relay.ReasonNullSender
	case env.SMTPUTF8:
		return relay.ReasonSMTPUTF8
	case !localFits(from):
		return relay.ReasonLocalPart
	case !domainFits(from.Domain):
		return relay.ReasonDomain
	case c.MessageSize > 0 && env.Size > c.MessageSize:
		return relay.ReasonSize
	case !known.verified(from.Local, from.Domain, c.Now()):
		return relay.ReasonIdentity
	}
	return ""
}

// fitAddress says why SES cannot address this recipient; "" when it can. One
// address that SES refuses refuses the whole call.
func fitAddress(to relay.Address) relay.Reason {
	switch {
	case !localFits(to):
		return relay.ReasonLocalPart
	case !domainFits(to.Domain):
		return relay.ReasonDomain
	}
	return ""
}

// localFits: SES takes the Dot-string of RFC 5321 section 4.1.2 only, which
// excludes non-ASCII and quoted local parts and the "a..b.@docomo.ne.jp" of
// Japanese carriers.
func localFits(a relay.Address) bool {
	return len(a.Local) <= maxLocalSES && a.IsDotString()
}

// domainFits reports whether d is a host name of several labels (RFC 1123
// section 2.1). Address literals, underscores, U-labels, a final dot and names
// without a dot are what SES answers with "Domain contains illegal character"
// and the like; Cuenote may know them.
func domainFits(d string) bool {
	if !strings.Contains(d, ".") {
		return false
	}
	for label := range strings.SplitSeq(d, ".") {
		if !labelFits(label) {
			return false
		}
	}
	return true
}

func labelFits(l string) bool {
	if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	for i := range len(l) {
		c := l[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return true
}
