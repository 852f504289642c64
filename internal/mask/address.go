package mask

import (
	"bytes"
	"strings"
)

// Address masks one address as it stands in an envelope, with or without angle
// brackets: "taro@goo.ne.jp" becomes "t***#9f3a1c2b4d@goo.ne.jp". The null
// reverse-path, "" or "<>", is "<>".
func (m *Masker) Address(addr string) string {
	if m.mode == Full && addr != "" {
		return addr
	}
	var buf [128]byte
	return string(m.AppendAddress(buf[:0], addr))
}

// AppendAddress appends to dst what Address returns.
func (m *Masker) AppendAddress(dst []byte, addr string) []byte {
	if addr == "" || addr == "<>" {
		return append(dst, "<>"...)
	}
	if m.mode == Full {
		return append(dst, addr...)
	}
	if addr[0] == '<' && addr[len(addr)-1] == '>' {
		addr = addr[1 : len(addr)-1]
	}
	local, domain := split(addr)
	return m.appendMasked(dst, local, domain)
}

// split cuts an address at its last '@'; local parts may hold others in quotes.
// A local part alone ("postmaster", RFC 5321 section 4.1.1.3) has no domain.
func split(addr string) (local, domain string) {
	at := strings.LastIndexByte(addr, '@')
	if wide, size := lastWideAt(addr[at+1:]); wide >= 0 {
		wide += at + 1
		return addr[:wide], addr[wide+size:]
	}
	if at >= 0 {
		return addr[:at], addr[at+1:]
	}
	return addr, ""
}

// lastWideAt returns where the last full-width (U+FF20) or small (U+FE6B)
// at-sign stands in s, and its length: what is before it is no domain.
func lastWideAt(s string) (at, size int) {
	if strings.IndexByte(s, 0xEF) < 0 { // the first byte of both; nearly every address ends here
		return -1, 0
	}
	return max(strings.LastIndex(s, "\uFF20"), strings.LastIndex(s, "\uFE6B")), len("\uFF20")
}

// appendMasked appends the masked form of local@domain.
func (m *Masker) appendMasked(dst []byte, local, domain string) []byte {
	k := m.pool.Get().(*keyed)
	defer m.pool.Put(k)
	localLen := canonicalise(k, local, domain)
	if m.mode == Hashed {
		return k.appendPseudonym(dst, longDigits)
	}
	dst = k.appendPseudonym(appendStart(dst, local), shortDigits)
	if domain == "" {
		return dst
	}
	return appendDomain(append(dst, '@'), domain, k.canonical[:localLen])
}

// canonicalise makes k hold the canonical form of local@domain and its digest.
func canonicalise[T text](k *keyed, local, domain T) (localLen int) {
	k.canonical, localLen = appendCanonical(k.canonical[:0], local, domain)
	k.digest(k.canonical)
	return localLen
}

// appendCanonical appends the form that is hashed: lower-case ASCII, no quotes,
// no quoting backslashes, no root dot after the domain. It also returns the
// length of the local part.
// Receivers may tell "Taro" from "taro" (RFC 5321 section 2.4); none known does.
func appendCanonical[T text](dst []byte, local, domain T) ([]byte, int) {
	if quoted(local) {
		dst = appendUnquoted(dst, local[1:len(local)-1])
	} else {
		dst = appendLower(dst, local)
	}
	n := len(dst)
	if len(domain) > 0 && domain[len(domain)-1] == '.' {
		domain = domain[:len(domain)-1]
	}
	dst = append(dst, '@')
	return appendLower(dst, domain), n
}

// text is what addresses come in: strings from an envelope, bytes from a text.
type text interface{ ~string | ~[]byte }

func quoted[T text](local T) bool {
	n := len(local)
	return n >= 2 && local[0] == '"' && local[n-1] == '"'
}

func appendUnquoted[T text](dst []byte, s T) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		dst = append(dst, lower(s[i]))
	}
	return dst
}

func appendLower[T text](dst []byte, s T) []byte {
	for i := range len(s) {
		dst = append(dst, lower(s[i]))
	}
	return dst
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// appendStart appends the beginning of a masked local part. The first character
// is shown only of a local part of three or more, all ASCII.
func appendStart[T text](dst []byte, local T) []byte {
	if quoted(local) {
		local = local[1 : len(local)-1]
	}
	shown := len(local) >= 3 && isAlnum(local[0])
	for i := 0; shown && i < len(local); i++ {
		shown = local[i] < 0x80
	}
	if shown {
		dst = append(dst, local[0])
	}
	return append(dst, "***"...)
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// appendDomain appends the domain: an address literal cut to its network, a
// name as it is, but without the local part should it repeat it
// (yamada@yamada.co.jp).
func appendDomain(dst []byte, domain string, local []byte) []byte {
	if domain[0] == '[' {
		return appendLiteral(dst, domain)
	}
	from := len(dst)
	dst = append(dst, domain...)
	if !revealing(local) || len(local) > len(domain) {
		return dst
	}
	for {
		i := indexFold(dst[from:], local)
		if i < 0 {
			return dst
		}
		rest := len(dst) - (from + i + len(local))
		copy(dst[from+i+3:], dst[from+i+len(local):])
		copy(dst[from+i:], "***")
		from += i + 3
		dst = dst[:from+rest]
	}
}

// appendLiteral appends an address literal, "[192.0.2.7]" or "[IPv6:2001:db8::7]"
// (RFC 5321 section 4.1.3), cut to its network.
func appendLiteral(dst []byte, literal string) []byte {
	ip := strings.TrimSuffix(literal[1:], "]")
	dst = append(dst, '[')
	if len(ip) > 5 && strings.EqualFold(ip[:5], "ipv6:") {
		dst, ip = append(dst, ip[:5]...), ip[5:]
	}
	return append(appendIP(dst, ip), ']')
}

// minRevealing is the length from which a local part is also removed where it
// stands without its domain. Shorter ones occur by chance in any text.
const minRevealing = 4

// revealing reports whether a lower-case local part is looked for in texts.
func revealing(local []byte) bool {
	return len(local) >= minRevealing && !functionNames[string(local)]
}

// functionNames are local parts that name a function and not a person (RFC 2142
// and custom), and the words of SMTP replies: looking for them in a
// diagnostic text would remove the diagnosis.
var functionNames = map[string]bool{
	"abuse": true, "account": true, "accounts": true, "address": true, "admin": true, "administrator": true,
	"alert": true, "alerts": true, "billing": true, "blocked": true, "bounce": true, "bounces": true,
	"client": true, "contact": true, "daemon": true, "data": true, "delivery": true, "domain": true,
	"email": true, "error": true, "errors": true, "found": true, "from": true, "full": true, "helo": true,
	"help": true, "host": true, "hostmaster": true, "info": true, "inquiry": true, "invalid": true,
	"list": true, "local": true, "magazine": true, "mail": true, "mailbox": true, "mailer": true,
	"mailer-daemon": true, "mailmaster": true, "marketing": true, "member": true, "members": true,
	"message": true, "news": true, "newsletter": true, "nobody": true, "no-reply": true, "noreply": true,
	"notice": true, "notification": true, "order": true, "policy": true, "postfix": true,
	"postmaster": true, "privacy": true, "quota": true, "rate": true, "recipient": true, "rejected": true,
	"relay": true, "reply": true, "return": true, "root": true, "sales": true, "security": true,
	"sender": true, "server": true, "service": true, "shop": true, "smtp": true, "spam": true,
	"status": true, "support": true, "system": true, "table": true, "temporary": true, "test": true,
	"unknown": true, "unsubscribe": true, "user": true, "users": true, "webmaster": true,
}

// indexFold is bytes.Index with ASCII letters of s read as lower case; needle
// is lower case already.
func indexFold(s, needle []byte) int {
	first := needle[0]
	for i := 0; i+len(needle) <= len(s); i++ {
		if lower(s[i]) == first && equalFold(s[i:i+len(needle)], needle) {
			return i
		}
	}
	return -1
}

func equalFold(s, lowered []byte) bool {
	if bytes.Equal(s, lowered) {
		return true
	}
	for i, c := range s {
		if lower(c) != lowered[i] {
			return false
		}
	}
	return true
}
