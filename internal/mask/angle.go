package mask

import "bytes"

// angle handles <path>: all of it is the address, also without an at-sign, also
// when the text is cut off inside.
func (s *scanner) angle(open int) int {
	rest := s.b[open+1 : min(len(s.b), open+1+window)]
	n := bytes.IndexAny(rest, "<>")
	cut := n < 0 && open+1+len(rest) == len(s.b)
	if cut {
		n = len(rest)
	}
	if n <= 0 || !cut && rest[n] == '<' {
		return open + 1
	}
	content, end := rest[:n], open+1+n
	if bytes.Contains(content, []byte("://")) {
		return open + 1
	}
	at := bytes.LastIndexByte(content, '@')
	if at > 0 && !cut {
		s.displayName(open)
		start := open + 1
		if content[0] == '@' { // source route, RFC 5321 appendix C
			start += bytes.LastIndexByte(content[:at], ':') + 1
		}
		from, to := s.domain(open + 1 + at)
		if start < open+1+at {
			s.addAddress(start, open+1+at, from, to)
		}
		return from
	}
	if at < 0 && !bytes.ContainsAny(content, " \t\r\n") {
		s.spans = append(s.spans, span{
			start: s.view.source(open + 1), end: s.view.source(end), domainEnd: s.view.source(end),
			kind: address, local: content,
		})
		return end
	}
	return open + 1
}

// displayName masks the quoted string, the words that are not ASCII, or all words
// behind "From:" and its like, before the '<' of an address. Other words before
// an address belong to the text, as in "rejected <taro@goo.ne.jp>".
func (s *scanner) displayName(open int) {
	end := open
	for end > 0 && isSpace(s.b[end-1]) {
		end--
	}
	if end == 0 {
		return
	}
	start := end
	if s.b[end-1] == '"' {
		if start = s.quoteStart(end - 1); start < 0 {
			start = s.lineStart(end - 1)
		}
	} else if start = s.wordsAfterField(end); start < 0 {
		start = foreignWords(s.b[:end])
	}
	if start < end && (s.lastAt < 0 || start >= s.lastEnd) {
		s.add(nothing, start, end)
	}
}

// wordsAfterField returns where the words before b[end] begin if they stand
// behind "From:" or another field of mailboxes, else -1.
func (s *scanner) wordsAfterField(end int) int {
	low := max(0, end-window)
	n := bytes.LastIndexAny(s.b[low:end], ":<>,;\n")
	if n < 0 || s.b[low+n] != ':' || !s.fieldBefore(low+n, mailboxFields) {
		return -1
	}
	start := low + n + 1
	for start < end && isSpace(s.b[start]) {
		start++
	}
	return start
}

// Header fields that texts quote, in lower case.
var (
	mailboxFields = [][]byte{[]byte("from"), []byte("to"), []byte("cc"), []byte("bcc"), []byte("sender"), []byte("reply-to")}
	subjectFields = [][]byte{[]byte("subject"), []byte("thread-topic"), []byte("comments"), []byte("keywords")}
)

// fieldBefore reports whether the word before b[colon], perhaps in quotes, is one
// of names.
func (s *scanner) fieldBefore(colon int, names [][]byte) bool {
	if colon > 0 && s.b[colon-1] == '"' {
		colon--
	}
	for _, name := range names {
		from := colon - len(name)
		if from >= 0 && equalFold(s.b[from:colon], name) && (from == 0 || !isAlnum(s.b[from-1]) && s.b[from-1] != '-') {
			return true
		}
	}
	return false
}

// subject masks the rest of the line behind "Subject:", folded lines (RFC 5322
// section 2.2.3) included, or the quoted string that begins there.
func (s *scanner) subject(i int) int {
	for i < len(s.b) && (s.b[i] == ' ' || s.b[i] == '\t') {
		i++
	}
	if i < len(s.b) && s.b[i] == '"' {
		if n := bytes.IndexByte(s.b[i+1:], '"'); n >= 0 {
			s.add(nothing, i+1, i+1+n)
			return i + 1 + n
		}
	}
	end := i
	for end < len(s.b) && (s.b[end] != '\n' || end+1 < len(s.b) && (s.b[end+1] == ' ' || s.b[end+1] == '\t')) {
		end++
	}
	if end > i {
		s.add(nothing, i, end)
	}
	return end
}

// foreignWords returns where the words at the end of b begin of which each holds
// a character that is not ASCII.
func foreignWords(b []byte) int {
	start, foreign := len(b), false
	for i := len(b); i > max(0, len(b)-window); i-- {
		c := b[i-1]
		if isSpace(c) || classes[c]&stop != 0 {
			if !foreign || !isSpace(c) {
				break
			}
			foreign = false
			continue
		}
		if c >= 0x80 {
			foreign = true
		}
		if foreign {
			start = i - 1
		}
	}
	return start
}

// encodedWord masks =?charset?B?...?= (RFC 2047): a name or a subject, in which
// an address may hide as well. If its end is missing it lasts to the end of the
// line.
func (s *scanner) encodedWord(i int) int {
	b := s.b[i:]
	if len(b) < 2 || b[1] != '?' {
		return i + 1
	}
	n := bytes.IndexByte(b[2:min(len(b), 80)], '?')
	if n <= 0 || bytes.ContainsAny(b[2:2+n], " \t\r\n") {
		return i + 1
	}
	body := 2 + n + 1
	if len(b) < body+2 || bytes.IndexByte([]byte("bBqQ"), b[body]) < 0 || b[body+1] != '?' {
		return i + 1
	}
	end := len(b)
	if n := bytes.IndexByte(b, '\n'); n >= 0 {
		end = n
	}
	if n := bytes.Index(b[body+2:], []byte("?=")); n >= 0 {
		end = body + 2 + n + 2
	}
	s.add(nothing, i, i+end)
	return i + end
}
