package ses

import (
	"errors"
	"fmt"
	"strings"

	"sesrelay/internal/relay"
)

// MaxLine is the longest line that SES takes, in bytes without CRLF (RFC 5322
// section 2.1.1).
const MaxLine = 998

// Classes of what Judge finds; a closed set too.
const (
	JudgeNullSender = "null_sender"     // SES has no null reverse-path
	JudgeSMTPUTF8   = "smtputf8"        // nor RFC 6531
	JudgeRecipients = "recipients"      // none, or more than MaxRecipients
	JudgeAddress    = "address"         // one malformed recipient refuses the whole call
	JudgeSize       = "size"            // larger than ses.message_size
	JudgeRepeated   = "header_repeated" // a field stands twice that may stand once
	JudgeLine       = "line_length"     // a line over MaxLine
	JudgeNoFrom     = "no_from"         // SES takes the sender from the From field
)

// Judge says what SES would answer to a mail, as far as that can be known here,
// and sends nothing: nil, or the first fault as a refusal of this mail. Whether
// the identities of From are verified is the router's to say.
func (c *Client) Judge(env *relay.Envelope, to []relay.Address, content *relay.Content) *relay.Error {
	switch {
	case env.ReversePath.IsNull():
		return unfit(JudgeNullSender, relay.ReplyConfig, errors.New("ses: null reverse-path"))
	case env.SMTPUTF8 || !env.ReversePath.IsASCII():
		return unfit(JudgeSMTPUTF8, relay.ReplyNeedsUTF8, errors.New("ses: SMTPUTF8"))
	case len(to) == 0 || len(to) > MaxRecipients:
		return unfit(JudgeRecipients, relay.ReplyTooManyRcpts, fmt.Errorf("ses: %d recipients, not 1 to %d", len(to), MaxRecipients))
	case content.Size > c.cfg.MessageSize:
		return unfit(JudgeSize, relay.ReplyTooLarge, fmt.Errorf("ses: %d bytes are more than ses.message_size, %d", content.Size, c.cfg.MessageSize))
	case len(content.From) == 0 || strings.TrimSpace(content.From[0]) == "":
		return unfit(JudgeNoFrom, relay.ReplyMessage, errors.New("ses: no From field"))
	case content.Repeated:
		return unfit(JudgeRepeated, relay.ReplyMessage, errors.New("ses: a field is repeated that may stand once"))
	case content.LongestLine > MaxLine:
		return unfit(JudgeLine, relay.ReplyMessage, fmt.Errorf("ses: a line of %d bytes is longer than %d", content.LongestLine, MaxLine))
	}
	for i, a := range to {
		if unfitRecipient(a) {
			return unfit(JudgeAddress, relay.ReplyBadDest, fmt.Errorf("ses: recipient %d is an address that SES does not take", i+1))
		}
	}
	return nil
}

// unfit is the refusal of one mail: nothing about the account, so nothing for
// the breaker.
func unfit(class string, reply relay.Reply, err error) *relay.Error {
	return verdict{kind: relay.Rejected, class: class, reply: reply}.error(err)
}

// unfitRecipient reports whether SES would refuse the whole call because of a:
// it takes ASCII, a Dot-string of at most 64 octets before the "@" (RFC 5321
// section 4.5.3.1.1), and a domain behind it.
func unfitRecipient(a relay.Address) bool {
	const maxLocal = 64
	return !a.IsASCII() || a.Local == "" || len(a.Local) > maxLocal || !a.IsDotString() ||
		a.Domain == "" || strings.HasPrefix(a.Domain, "[") || strings.HasSuffix(a.Domain, ".")
}
