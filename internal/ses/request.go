package ses

import (
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"sesrelay/internal/relay"
)

// request is one SendEmail call: raw content, the envelope's recipients, and
// neither FromEmailAddress nor ReplyToAddresses, which would replace the
// message's own From and Reply-To fields.
type request struct {
	configurationSet string
	to               []relay.Address
	feedback         string // FeedbackForwardingEmailAddress; "" leaves it to SES
	tags             []tag
	content          relay.Body
}

// errSize says that a Body did not keep its word.
var errSize = errors.New("ses: the content is not as long as announced")

// appendHead appends the JSON up to the base64 text of the content, members in
// the order in which the SDK writes them.
func (r *request) appendHead(b []byte) []byte {
	b = append(b, '{')
	if r.configurationSet != "" {
		b = append(b, `"ConfigurationSetName":`...)
		b = append(appendQuoted(b, r.configurationSet), ',')
	}
	return append(b, `"Content":{"Raw":{"Data":"`...)
}

// appendTail appends what follows the content.
func (r *request) appendTail(b []byte) []byte {
	b = append(b, `"}},"Destination":{"ToAddresses":[`...)
	for i, to := range r.to {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendQuoted(b, to.String())
	}
	b = append(b, `]}`...)
	if len(r.tags) > 0 {
		b = append(r.appendTags(append(b, `,"EmailTags":[`...)), ']')
	}
	if r.feedback != "" {
		b = appendQuoted(append(b, `,"FeedbackForwardingEmailAddress":`...), r.feedback)
	}
	return append(b, '}')
}

func (r *request) appendTags(b []byte) []byte {
	for i, t := range r.tags {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendQuoted(append(b, `{"Name":`...), t.name)
		b = append(appendQuoted(append(b, `,"Value":`...), t.value), '}')
	}
	return b
}

// appendQuoted appends s as a JSON string (RFC 8259 section 7), escaped where
// the SDK escapes.
func appendQuoted(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s { // an invalid byte becomes U+FFFD
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, '\\', 'n')
		case r == '\r':
			b = append(b, '\\', 'r')
		case r == '\t':
			b = append(b, '\\', 't')
		case r < 0x20:
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&0xf])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// encodeContent appends the content in base64 (RFC 4648 section 4). Parts may
// end anywhere; up to two bytes wait for the next part.
func encodeContent(b []byte, body relay.Body) ([]byte, error) {
	var rest [3]byte
	n, total := 0, int64(0)
	for {
		part, err := body.Next()
		if err == io.EOF { //nolint:errorlint // the permission to end is io.EOF itself
			break
		}
		if err != nil {
			return b, err
		}
		total += int64(len(part))
		if total > body.Size() {
			return b, errSize
		}
		for n > 0 && n < 3 && len(part) > 0 {
			rest[n], part = part[0], part[1:]
			n++
		}
		if n == 3 {
			b, n = appendBase64(b, rest[:]), 0
		}
		whole := len(part) - len(part)%3
		b = appendBase64(b, part[:whole])
		if n == 0 {
			n = copy(rest[:], part[whole:])
		}
	}
	if total != body.Size() {
		return b, fmt.Errorf("%w: %d bytes, not %d", errSize, total, body.Size())
	}
	return appendBase64(b, rest[:n]), nil
}
