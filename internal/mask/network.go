package mask

import (
	"bytes"
	"net/netip"
)

// colon handles what a colon can mean: a URL's "://", a header field that is
// quoted in a text, or an IPv6 address.
func (s *scanner) colon(i int) int {
	if bytes.HasPrefix(s.b[i:], []byte("://")) {
		return s.url(i)
	}
	if s.fieldBefore(i, subjectFields) {
		return s.subject(i + 1)
	}
	start := i
	for start > 0 && i-start < 4 && isDigit(s.b[start-1], 16) {
		start--
	}
	if start >= 3 && equalFold(s.b[start-3:start], []byte("ipv")) { // IPv6:2001:db8::1, RFC 5321 section 4.1.3
		start = i + 1
	}
	end := start
	for end < len(s.b) && end < start+46 && (isDigit(s.b[end], 16) || s.b[end] == ':' || s.b[end] == '.') {
		end++
	}
	for end > start+2 && bytes.IndexByte([]byte(":."), s.b[end-1]) >= 0 && s.b[end-2] != ':' {
		end--
	}
	if bytes.Count(s.b[start:end], []byte(":")) < 2 {
		return i + 1
	}
	ip, err := netip.ParseAddr(string(s.b[start:end]))
	if err != nil {
		return i + 1
	}
	s.addNetwork(ip, start, end)
	return end
}

// addNetwork notes an IP address, unless it is of a private network (RFC 1918,
// RFC 4193) or of this host: it names one of the operator's own machines, and an
// error that does not say which cannot be acted on.
func (s *scanner) addNetwork(ip netip.Addr, start, end int) {
	if ip = ip.Unmap(); !ip.IsPrivate() && !ip.IsLoopback() && !ip.IsUnspecified() && !ip.IsLinkLocalUnicast() {
		s.add(network, start, end)
	}
}

// url keeps scheme and host of a URL. User name and password go, and so do path,
// query and fragment.
func (s *scanner) url(colon int) int {
	start := colon + 3
	host := start
	for host < len(s.b) && !urlEnd(s.b[host]) && bytes.IndexByte([]byte("/?#"), s.b[host]) < 0 {
		host++
	}
	end := host
	for end < len(s.b) && !urlEnd(s.b[end]) {
		end++
	}
	if end > host+1 || end > host && s.b[host] != '/' {
		s.add(path, host, end)
	}
	if at := bytes.LastIndexByte(s.b[start:host], '@'); at >= 0 {
		s.add(nothing, start, start+at)
		start += at + 1
	}
	if start < host && isDigit(s.b[start], 10) {
		s.dotted(start)
	}
	return end
}

func urlEnd(c byte) bool {
	return c <= ' ' && c != weakAt || c == '"' || c == '<' || c == '>' || c == 0x7F
}

// dotted masks an IPv4 address that begins at b[i], a digit, and returns the end
// of the number otherwise.
func (s *scanner) dotted(i int) int {
	if i > 0 && '0' <= s.b[i-1] && s.b[i-1] <= '9' {
		return i + 1
	}
	end, groups := i, 0
	var ip [4]byte
	for {
		from, value := end, 0
		for end < len(s.b) && end-from < 4 && '0' <= s.b[end] && s.b[end] <= '9' {
			value = value*10 + int(s.b[end]-'0')
			end++
		}
		if end == from || value > 255 || end-from > 3 {
			return max(end, i+1)
		}
		ip[groups] = byte(value)
		if groups++; groups == len(ip) {
			s.addNetwork(netip.AddrFrom4(ip), i, end)
			return end
		}
		if end >= len(s.b) || s.b[end] != '.' {
			return end
		}
		end++
	}
}
