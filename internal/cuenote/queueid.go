package cuenote

import "strings"

// maxQueueID bounds what is taken for an id.
const maxQueueID = 128

// queueID finds the smarthost's queue id in the text of its final reply, in
// the forms that mail servers use; "" when there is none.
//
//	2.0.0 Ok: queued as 4XyZ1k2m3n          Postfix
//	OK id=1tEGzN-000000001Ab-2xYz           Exim
//	2.0.0 4AN9gXkL012345 Message accepted for delivery     Sendmail
//	2.6.0 <id@host> [InternalId=42, Hostname=...] Queued mail for delivery     Exchange
//	Ok: 4XyZ1k2m3n, Ok 0101019a-...         gateways
func queueID(text string) string {
	_, rest := cutEnhanced(250, []byte(text))
	text = string(rest)
	lower := asciiLower(text)
	for _, mark := range []string{"queued as ", "queued with id ", "internalid=", "id=", "id: "} {
		if i := strings.Index(lower, mark); i >= 0 && (i == 0 || !isIDByte(lower[i-1])) {
			if id := firstID(text[i+len(mark):]); id != "" {
				return id
			}
		}
	}
	if i := strings.Index(lower, " message accepted"); i > 0 {
		if id := firstID(text); len(id) == i {
			return id
		}
	}
	for _, mark := range []string{"ok: ", "ok "} {
		if strings.HasPrefix(lower, mark) {
			if id := firstID(text[len(mark):]); strings.ContainsAny(id, "0123456789") {
				return id
			}
		}
	}
	return ""
}

// firstID returns the word at the start of s when it can be an id.
func firstID(s string) string {
	s = strings.TrimLeft(s, " <")
	n := 0
	for n < len(s) && isIDByte(s[n]) {
		n++
	}
	if n > maxQueueID {
		return ""
	}
	return strings.TrimRight(s[:n], ".")
}

func isIDByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '-' || c == '_' || c == '.' || c == '@' || c == '+' || c == '/'
}

func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
