package mask

import (
	"slices"
	"sync"
)

// Text masks what is personal in free text: a diagnostic code, an SMTP reply, an
// error. The addresses in known are those that the text is about; their local
// parts are also removed where they stand alone ("unknown user taro.yamada").
func (m *Masker) Text(s string, known ...string) string {
	if m.mode == Full {
		return s
	}
	t := passages.Get().(*passage)
	defer passages.Put(t)
	var buf [512]byte
	switch whole := t.prepare(s, known); {
	case !whole:
		return string(appendGone(buf[:0], len(s)))
	case len(t.spans) == 0:
		return s // nearly every text of a log line: an id, a reply, a host's name
	}
	return string(t.appendTo(buf[:0], m))
}

// AppendText appends to dst what Text returns.
func (m *Masker) AppendText(dst []byte, s string, known ...string) []byte {
	if m.mode == Full {
		return append(dst, s...)
	}
	t := passages.Get().(*passage)
	defer passages.Put(t)
	if !t.prepare(s, known) {
		return appendGone(dst, len(s))
	}
	return t.appendTo(dst, m)
}

// prepare finds what is personal in s; false as find.
func (t *passage) prepare(s string, known []string) bool {
	t.reset(s)
	for _, addr := range known {
		local, _ := split(addr)
		t.remember([]byte(local))
	}
	return t.find()
}

// kind is what a span holds; where spans overlap the greater one decides.
type kind uint8

const (
	repeat  kind = iota // a known local part that stands alone
	network             // an IP address
	address             // local part and at-sign; the domain follows
	nothing             // of which nothing is kept
	path                // the path and query of a URL
)

// span is a part of the input that is replaced.
type span struct {
	start, end    int // in the input
	domainEnd     int // of an address, in the input
	kind          kind
	bare          bool   // the address shows no first letter
	local, domain []byte // of an address, in its view; domain is nil without an at-sign
}

// maxLocals bounds the distinct local parts looked for in one text.
const maxLocals = 128

// passage is the work on one text. It is reused, so that masking a log line
// allocates nothing but its result.
type passage struct {
	views  [maxLevels]view
	levels int
	spans  []span
	locals [][]byte // lower case, views of names
	names  []byte
}

var passages = sync.Pool{New: func() any { return new(passage) }}

func (t *passage) reset(s string) {
	t.views[0].text = append(t.views[0].text[:0], s...)
	t.levels = 1
	t.spans, t.locals, t.names = t.spans[:0], t.locals[:0], t.names[:0]
}

// find collects the spans, undoing escapes until none is left. False means that
// the text is nested too deeply, or holds too many addresses, to be sure of it.
func (t *passage) find() bool {
	for i := 0; ; i++ {
		v := &t.views[i]
		s := scanner{passage: t, view: v, b: v.text}
		s.scan()
		if !v.escaped() {
			break
		}
		if i+1 == len(t.views) {
			return false
		}
		v.decode(&t.views[i+1])
		t.levels++
	}
	for _, s := range t.spans {
		if s.kind == address {
			t.remember(s.local)
		}
	}
	if len(t.locals) > maxLocals {
		return false
	}
	for i := range t.levels {
		t.findRepeats(&t.views[i])
	}
	t.merge()
	return true
}

// remember notes a local part to be removed everywhere, and the parts of a
// subaddress and of a VERP address (taro+shop; bounce+taro=docomo.ne.jp).
func (t *passage) remember(local []byte) {
	if len(local) > window || len(t.locals) > maxLocals {
		return // no local part is that long, and many that are would take quadratic time
	}
	if quoted(local) {
		local = local[1 : len(local)-1]
	}
	t.rememberOne(local)
	plus := slices.Index(local, '+')
	if plus < 0 {
		return
	}
	t.rememberOne(local[:plus])
	detail := local[plus+1:]
	if eq := slices.Index(detail, '='); eq >= 0 {
		t.rememberOne(detail[:eq])
	}
}

func (t *passage) rememberOne(local []byte) {
	from := len(t.names)
	t.names = appendLower(t.names, local)
	name := t.names[from:len(t.names):len(t.names)]
	if !revealing(name) ||
		slices.ContainsFunc(t.locals, func(l []byte) bool { return string(l) == string(name) }) {
		t.names = t.names[:from]
		return
	}
	t.locals = append(t.locals, name)
}

func (t *passage) findRepeats(v *view) {
	for _, local := range t.locals {
		for from := 0; ; {
			i := indexFold(v.text[from:], local)
			if i < 0 {
				break
			}
			from += i + len(local)
			if isOwnWord(v.text, from-len(local), from) {
				continue
			}
			t.spans = append(t.spans, span{start: v.source(from - len(local)), end: v.source(from), kind: repeat})
		}
	}
}

// merge sorts the spans and unites those that overlap. Of two of one kind the
// longer one with the same start says what is shown, else the one that starts
// first, else the one found with fewer escapes undone.
func (t *passage) merge() {
	if !slices.IsSortedFunc(t.spans, byStart) {
		slices.SortStableFunc(t.spans, byStart)
	}
	out := t.spans[:0]
	for _, s := range t.spans {
		if len(out) == 0 || out[len(out)-1].end <= s.start {
			out = append(out, s)
			continue
		}
		last := &out[len(out)-1]
		start, end := last.start, max(last.end, s.end)
		if s.kind > last.kind || s.kind == last.kind && s.start == start && s.end > last.end {
			*last = s
		}
		last.start, last.end = start, end
	}
	t.spans = out
}

func byStart(a, b span) int { return a.start - b.start }

// appendTo appends the input with every span replaced.
func (t *passage) appendTo(dst []byte, m *Masker) []byte {
	src, from := t.views[0].text, 0
	for _, s := range t.spans {
		if s.end <= from { // inside a domain that went with its address
			continue
		}
		dst = append(dst, src[min(from, s.start):][:max(0, s.start-from)]...)
		dst = m.appendSpan(dst, src, s)
		from = max(from, s.end)
		if s.kind == address && m.mode == Hashed {
			from = max(from, s.domainEnd)
		}
	}
	return append(dst, src[from:]...)
}

func (m *Masker) appendSpan(dst, src []byte, s span) []byte {
	switch s.kind {
	case repeat:
		return append(dst, "***"...)
	case network:
		return appendIP(dst, string(src[s.start:s.end]))
	case address:
		return m.appendFound(dst, s)
	case path:
		return append(dst, "/[masked]"...)
	}
	return appendGone(dst, s.end-s.start)
}

// appendFound appends an address found in a text, up to its at-sign. The domain
// stands behind the span and is treated as text, but for Hashed.
func (m *Masker) appendFound(dst []byte, s span) []byte {
	k := m.pool.Get().(*keyed)
	defer m.pool.Put(k)
	canonicalise(k, s.local, s.domain)
	if m.mode == Hashed {
		return k.appendPseudonym(dst, longDigits)
	}
	if s.bare {
		dst = append(dst, "***"...)
	} else {
		dst = appendStart(dst, s.local)
	}
	dst = k.appendPseudonym(dst, shortDigits)
	if s.domain == nil {
		return dst
	}
	return append(dst, '@')
}
