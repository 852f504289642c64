package simulator

import (
	"bytes"
	"mime"
	"strings"
)

// Header is one header field of a message, as it stood: name as written, value unfolded, not decoded.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// nextField cuts the first header field off b: field holds name, colon and every continuation line with its line
// ends, and rest what follows. ok is false at the empty line that ends the header section, and at the end of b.
func nextField(b []byte) (field, rest []byte, ok bool) {
	if len(b) == 0 || b[0] == '\n' || (b[0] == '\r' && len(b) > 1 && b[1] == '\n') {
		return nil, b, false
	}
	for i := 0; ; {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return b, nil, true
		}
		i += n + 1
		// RFC 5322 section 2.2.3: a line that begins with white space continues the field.
		if i == len(b) || (b[i] != ' ' && b[i] != '\t') {
			return b[:i], b[i:], true
		}
	}
}

// splitField returns the name and the raw value of a field; a line without a colon has an empty name.
func splitField(field []byte) (name, value []byte) {
	colon := bytes.IndexByte(field, ':')
	if colon < 0 {
		return nil, field
	}
	return bytes.TrimRight(field[:colon], " \t"), field[colon+1:]
}

// unfold removes the line ends of a folded value and the white space around it (RFC 5322 section 2.2.3).
func unfold(value []byte) string {
	value = bytes.TrimSpace(value)
	if bytes.IndexByte(value, '\n') < 0 {
		return string(value)
	}
	return strings.NewReplacer("\r\n", "", "\n", "").Replace(string(value))
}

// headerValues returns every value of the named field in the message's header section, in order, unfolded.
func headerValues(raw []byte, name string) []string {
	var values []string
	for {
		field, rest, ok := nextField(raw)
		if !ok {
			return values
		}
		if n, v := splitField(field); len(n) == len(name) && strings.EqualFold(string(n), name) {
			values = append(values, unfold(v))
		}
		raw = rest
	}
}

// headerValue returns the first value of the named field, or "".
func headerValue(raw []byte, name string) string {
	for {
		field, rest, ok := nextField(raw)
		if !ok {
			return ""
		}
		if n, v := splitField(field); len(n) == len(name) && strings.EqualFold(string(n), name) {
			return unfold(v)
		}
		raw = rest
	}
}

// headers returns the whole header section.
func headers(raw []byte) []Header {
	var list []Header
	for {
		field, rest, ok := nextField(raw)
		if !ok {
			return list
		}
		n, v := splitField(field)
		list = append(list, Header{Name: string(n), Value: unfold(v)})
		raw = rest
	}
}

// decodeHeader turns RFC 2047 encoded words into text, and returns the value unchanged where that fails
// (an unknown character set, a broken word): a list of messages is better with a raw subject than without one.
func decodeHeader(value string) string {
	text, err := new(mime.WordDecoder).DecodeHeader(value)
	if err != nil {
		return value
	}
	return text
}
