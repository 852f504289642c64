package mask

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// view is a text with one more level of escapes undone than the view before it.
// Byte i of text stands for the bytes source[at[i]:at[i+1]] of the input.
type view struct {
	text []byte
	at   []int // nil: the input itself
}

func (v *view) source(i int) int {
	if v.at == nil {
		return i
	}
	return v.at[i]
}

// weakAt stands in a view for an at-sign whose encoding also occurs by chance,
// as in "size=40960". It counts only before something like a domain.
const weakAt = 0x01

// maxLevels bounds how often escapes are undone; deeper texts are masked whole.
const maxLevels = 6

// escaped reports whether there is anything to undo.
func (v *view) escaped() bool {
	var buf [utf8.UTFMax]byte
	for i, c := range v.text {
		if classes[c]&escape == 0 {
			continue
		}
		if _, n := appendUnescaped(buf[:0], v.text[i:]); n > 0 {
			return true
		}
	}
	return false
}

// decode makes into the next view of v.
func (v *view) decode(into *view) {
	into.text, into.at = into.text[:0], into.at[:0]
	for i := 0; i < len(v.text); {
		n := 0
		if classes[v.text[i]]&escape != 0 {
			into.text, n = appendUnescaped(into.text, v.text[i:])
		}
		if n == 0 {
			into.text, n = append(into.text, v.text[i]), 1
		}
		for len(into.at) < len(into.text) {
			into.at = append(into.at, v.source(i))
		}
		i += n
	}
	into.at = append(into.at, v.source(len(v.text)))
}

// appendUnescaped appends what the escape at the start of s stands for and
// returns its length; 0 if there is none.
func appendUnescaped(dst, s []byte) ([]byte, int) {
	switch s[0] {
	case '%':
		return percent(dst, s)
	case '=':
		return quotedPrintable(dst, s)
	case '+':
		return plus(dst, s)
	case '\\':
		return backslash(dst, s)
	case '&':
		return entity(dst, s)
	case '(', '[', '{':
		if len(s) > 3 && equalFold(s[1:3], []byte("at")) && bytes.IndexByte([]byte(")]}"), s[3]) >= 0 {
			return append(dst, '@'), 4
		}
	case 0xEF, 0xEA:
		return compatibility(dst, s)
	}
	return dst, 0
}

// percent undoes %40 (RFC 3986 section 2.1) and %u0040.
func percent(dst, s []byte) ([]byte, int) {
	if len(s) >= 6 && lower(s[1]) == 'u' {
		if c, ok := number(s[2:6], 16); ok {
			return utf8.AppendRune(dst, c), 6
		}
	}
	c, ok := hexPair(s)
	if !ok {
		return dst, 0
	}
	if c == '@' && len(s) > 3 && classes[s[3]]&letter == 0 && s[3] < 0x80 && bytes.IndexByte([]byte("[%=&\\"), s[3]) < 0 {
		return append(dst, weakAt), 3 // "100%40"
	}
	return append(dst, c), 3
}

// quotedPrintable undoes =40 and soft line breaks (RFC 2045 section 6.7).
func quotedPrintable(dst, s []byte) ([]byte, int) {
	if bytes.HasPrefix(s, []byte("=\n")) {
		return dst, 2
	}
	if bytes.HasPrefix(s, []byte("=\r\n")) {
		return dst, 3
	}
	c, ok := hexPair(s)
	if !ok || 'a' <= s[1] || 'a' <= s[2] || c < ' ' && !isSpace(c) { // "status=deferred", "ip=192.0.2.1"
		return dst, 0
	}
	if c == '@' {
		c = weakAt
	}
	return append(dst, c), 3
}

// plus undoes the at-sign of xtext (RFC 3461 section 4) and of UTF-7.
func plus(dst, s []byte) ([]byte, int) {
	if bytes.HasPrefix(s, []byte("+AEA-")) {
		return append(dst, '@'), 5
	}
	if bytes.HasPrefix(s, []byte("+40")) {
		return append(dst, weakAt), 3
	}
	return dst, 0
}

// backslash undoes the escapes of JSON, Go, C and shell strings.
func backslash(dst, s []byte) ([]byte, int) {
	if len(s) < 2 {
		return dst, 0
	}
	switch s[1] {
	case 'n', 'r', 't':
		return append(dst, ' '), 2
	case '/', '"', '\\', '\'':
		return append(dst, s[1]), 2
	case 'u':
		return codePoint(dst, s, 2, 4, 16)
	case 'U':
		return codePoint(dst, s, 2, 8, 16)
	case 'x':
		return codePoint(dst, s, 2, 2, 16)
	case '0', '1':
		return codePoint(dst, s, 1, 3, 8)
	}
	return dst, 0
}

// codePoint appends the character whose number stands in digits digits after
// skip bytes.
func codePoint(dst, s []byte, skip, digits, base int) ([]byte, int) {
	if len(s) < skip+digits {
		return dst, 0
	}
	c, ok := number(s[skip:skip+digits], base)
	if !ok {
		return dst, 0
	}
	return utf8.AppendRune(dst, c), skip + digits
}

var entities = map[string]byte{
	"lt": '<', "gt": '>', "amp": '&', "quot": '"', "apos": '\'', "commat": '@', "period": '.', "plus": '+',
	"lowbar": '_', "hyphen": '-', "equals": '=', "percnt": '%', "num": '#', "colon": ':', "nbsp": ' ',
}

// entity undoes character references of XML and HTML: &#64; &#x40; &commat;
// A number also counts without its semicolon, as browsers read it.
func entity(dst, s []byte) ([]byte, int) {
	end := 1
	for end < len(s) && end < 12 && (isAlnum(s[end]) || s[end] == '#') {
		end++
	}
	name := s[1:end]
	if end < len(s) && s[end] == ';' {
		end++
		if c, ok := entities[string(name)]; ok {
			return append(dst, c), end
		}
	}
	if len(name) < 2 || name[0] != '#' {
		return dst, 0
	}
	digits, base := name[1:], 10
	if lower(digits[0]) == 'x' {
		digits, base = digits[1:], 16
	}
	if s[end-1] != ';' { // "&#64docomo": the number ends where the digits do
		n := 0
		for n < len(digits) && isDigit(digits[n], base) {
			n++
		}
		end -= len(digits) - n
		digits = digits[:n]
	}
	c, ok := number(digits, base)
	if !ok {
		return dst, 0
	}
	return utf8.AppendRune(dst, c), end
}

// compatibility turns full-width forms (U+FF01 to U+FF5E) and the small at-sign
// (U+FE6B) into ASCII.
func compatibility(dst, s []byte) ([]byte, int) {
	r, n := utf8.DecodeRune(s)
	switch {
	case 0xFF01 <= r && r <= 0xFF5E:
		return append(dst, byte(r-0xFF01+'!')), n
	case r == 0xFE6B:
		return append(dst, '@'), n
	}
	return dst, 0
}

func hexPair(s []byte) (byte, bool) {
	if len(s) < 3 {
		return 0, false
	}
	c, ok := number(s[1:3], 16)
	return byte(c), ok
}

// number reads digits of a character; surrogates and what lies past Unicode
// are no characters.
func number(digits []byte, base int) (rune, bool) {
	if len(digits) == 0 || len(digits) > 8 {
		return 0, false
	}
	for _, c := range digits {
		if !isDigit(c, base) {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(string(digits), base, 32)
	if err != nil || n > utf8.MaxRune || !utf8.ValidRune(rune(n)) {
		return 0, false
	}
	return rune(n), true
}

func isDigit(c byte, base int) bool {
	switch {
	case base <= 10:
		return '0' <= c && c < '0'+byte(base)
	case 'a' <= lower(c):
		return lower(c) <= 'f'
	}
	return '0' <= c && c <= '9'
}
