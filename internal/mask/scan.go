package mask

import "bytes"

// window bounds how far a quote, a comment or an angle bracket is looked for, in
// bytes. A path is 256 octets at most (RFC 5321 section 4.5.3.1.3).
const window = 320

// scanner finds what is personal in one view of a text, from left to right.
type scanner struct {
	*passage
	view *view
	b    []byte

	// the address found last: its start, its at-sign and its end
	lastStart, lastAt, lastEnd int
}

func (s *scanner) scan() {
	s.lastAt = -1
	for i := 0; i < len(s.b); {
		c := s.b[i]
		if classes[c]&trigger == 0 {
			i++
			continue
		}
		switch c {
		case '@', weakAt:
			i = s.atSign(i)
		case '<':
			i = s.angle(i)
		case '=':
			i = s.encodedWord(i)
		case ':':
			i = s.colon(i)
		default:
			i = s.dotted(i)
		}
	}
}

// add notes a span of the view; positions are translated to the input.
func (s *scanner) add(k kind, start, end int) {
	s.spans = append(s.spans, span{start: s.view.source(start), end: s.view.source(end), kind: k})
}

func (s *scanner) addAddress(start, at, from, to int) {
	s.spans = append(s.spans, span{
		start: s.view.source(start), end: s.view.source(at + 1), domainEnd: s.view.source(to), kind: address,
		local: s.b[start:at], domain: s.b[from:to], bare: s.afterEscape(start),
	})
	s.lastStart, s.lastAt, s.lastEnd = start, at, to
}

// afterEscape reports whether b[start] stands behind an escape. That may be meant
// literally and belong to the local part (0%200%40goo.ne.jp), which would be
// whole again with the first letter behind it.
func (s *scanner) afterEscape(start int) bool {
	return start > 0 && s.view.source(start)-s.view.source(start-1) != 1
}

// atSign handles the address whose at-sign is b[at], and returns where to go on.
// Its domain may be missing, since texts are cut off.
func (s *scanner) atSign(at int) int {
	from, to := s.domain(at)
	if s.b[at] == weakAt && !hasName(s.b[from:to]) {
		return at + 1
	}
	start := s.localStart(at)
	start = trimStart(s.b[:at], start)
	if start < at {
		s.addAddress(start, at, from, to)
	} else if s.view.at != nil {
		s.addBefore(s.view.source(at), s.view.source(at+1))
	}
	return from // the domain may be an IP address
}

// addBefore handles an at-sign that is input[at:end] with its escape, before
// which the view has no local part: an escape there may be meant literally, as
// in 00%00\u0040goo.ne.jp. The local part is then what stands in the input.
func (s *scanner) addBefore(at, end int) {
	input, start := s.views[0].text, at
	for start > 0 && stopBefore(input, start) == 0 {
		start--
	}
	if start < at {
		s.spans = append(s.spans, span{start: start, end: end, domainEnd: end, kind: address, local: input[start:at], domain: input[end:end]})
	}
}

// domain returns where the domain behind the at-sign stands. Blanks between
// (RFC 5322 section 4.4 knows them) count only if a dotted name follows.
func (s *scanner) domain(at int) (from, to int) {
	from = at + 1
	for from < len(s.b) && from < at+4 && isSpace(s.b[from]) {
		from++
	}
	to = from
	if from < len(s.b) && s.b[from] == '[' {
		if n := bytes.IndexByte(s.b[from:min(len(s.b), from+64)], ']'); n > 0 {
			return from, from + n + 1
		}
	}
	for to < len(s.b) && classes[s.b[to]]&domainy != 0 {
		if s.b[to] >= 0x80 && s.b[to-1] < 0x80 && dottedName(s.b[from:to]) {
			break // Japanese text goes on without a blank
		}
		to++
	}
	for to > from && bytes.IndexByte([]byte("-._"), s.b[to-1]) >= 0 {
		to--
	}
	if from > at+1 && !dottedName(s.b[from:to]) {
		return at + 1, at + 1
	}
	return from, to
}

// hasName reports whether a label behind a dot of d begins with a letter: what
// stands behind a weak at-sign may be a domain with more text behind it.
func hasName(d []byte) bool {
	for i := 1; i+1 < len(d); i++ {
		if d[i] == '.' && (classes[d[i+1]]&letter != 0 || d[i+1] >= 0x80) {
			return true
		}
	}
	return false
}

// dottedName reports whether d looks like a domain and not like a number.
func dottedName(d []byte) bool {
	dot := bytes.LastIndexByte(d, '.')
	return dot > 0 && dot+1 < len(d) && (classes[d[dot+1]]&letter != 0 || d[dot+1] >= 0x80)
}

// localStart returns where the local part before b[at] begins: atoms, dots,
// quoted strings, and a comment or blanks before the at-sign. It takes more than
// RFC 5322 allows, because what it leaves is shown.
func (s *scanner) localStart(at int) int {
	i := at
	for i > 0 && at-i < 4 && isSpace(s.b[i-1]) {
		i--
	}
	if i > 0 && s.b[i-1] == ')' {
		if n := bytes.LastIndexByte(s.b[max(0, i-window):i], '('); n >= 0 {
			i = max(0, i-window) + n
			for i > 0 && isSpace(s.b[i-1]) {
				i--
			}
		}
	}
	for end := i; i > 0; {
		if s.lastAt >= 0 && i <= s.lastEnd && i > s.lastStart { // taro@a@b: one local part
			return s.lastStart
		}
		if s.b[i-1] == '"' && (i == end || s.b[i] == '.') {
			open := s.quoteStart(i - 1)
			if open < 0 {
				return s.lineStart(i)
			}
			i = open
			continue
		}
		if stopBefore(s.b, i) > 0 {
			break
		}
		i--
	}
	return i
}

// quoteStart returns where the quoted string ends that b[end], a '"', closes:
// at the next '"' to the left behind as many backslashes; -1 if there is none.
func (s *scanner) quoteStart(end int) int {
	depth := backslashes(s.b, end)
	for i := end - 1; i >= max(0, end-window); i-- {
		if s.b[i] == '"' && backslashes(s.b, i) == depth {
			return i
		}
	}
	return -1
}

func backslashes(b []byte, i int) int {
	n := 0
	for n < i && n < 16 && b[i-1-n] == '\\' {
		n++
	}
	return n
}

// lineStart is where a local part begins whose opening quote is lost.
func (s *scanner) lineStart(i int) int {
	low := max(0, i-window)
	if s.lastAt >= 0 {
		low = max(low, min(s.lastEnd, i-1))
	}
	return low + bytes.LastIndexByte(s.b[low:i], '\n') + 1
}

// argumentNames are the names before '=' that logs and SMTP (RFC 5321 section
// 4.1.1, RFC 8601) put before an address. Any other "name=" may belong to a VERP
// address, and is masked with it.
var argumentNames = map[string]bool{
	"to": true, "from": true, "orig_to": true, "rcpt": true, "recipient": true, "sender": true, "user": true,
	"email": true, "mail": true, "address": true, "mailfrom": true, "smtp.mailfrom": true, "header.from": true,
	"header.i": true, "envelope-from": true, "orcpt": true,
}

// trimStart moves start past quotation marks and past "to=": that is not part of
// the address, whose pseudonym should be the one it has elsewhere.
func trimStart(b []byte, start int) int {
	for start < len(b) && bytes.IndexByte([]byte("'`{|\\"), b[start]) >= 0 {
		start++
	}
	head := b[start:min(len(b), start+len("smtp.mailfrom="))]
	if eq := bytes.IndexByte(head, '='); eq > 0 && eq+1 < len(b)-start {
		if argumentNames[string(bytes.ToLower(b[start:start+eq]))] {
			start += eq + 1
		}
	}
	return start
}
