package mask

import "unicode/utf8"

// Classes of bytes, so that the scanner passes ordinary text quickly.
const (
	letter  = 1 << iota
	domainy // may stand in a domain name
	stop    // ends an unquoted local part
	escape  // may begin something that stands for another character
	trigger // may begin or mark something that is masked
)

var classes = func() (t [256]uint8) {
	for c := range 256 {
		switch b := byte(c); {
		case '0' <= b && b <= '9':
			t[c] = domainy | trigger
		case isAlnum(b):
			t[c] = letter | domainy
		case b >= 0x80:
			t[c] = domainy
		case b <= ' ' || b == 0x7F:
			t[c] = stop
		}
	}
	set := func(chars string, class uint8) {
		for i := range len(chars) {
			t[chars[i]] |= class
		}
	}
	set("-._", domainy)
	set("<>()[],;:\"", stop)
	set("%=+\\&([{\xEF", escape)
	set("@<=:\x01", trigger)
	t[weakAt] &^= stop
	return t
}()

// stopBefore returns the length of the character before b[i:] if it ends an
// unquoted local part, else 0. Besides ASCII these are the ideographic space and
// the brackets and stops between which addresses stand in Japanese text; the
// full-width '.', '-', '_' and '+' belong to the local part.
func stopBefore(b []byte, i int) int {
	if c := b[i-1]; c < 0x80 {
		if classes[c]&stop != 0 && (i < 2 || b[i-2] != '\\' || c <= ' ' || c == '"') {
			return 1
		}
		return 0
	}
	r, n := utf8.DecodeLastRune(b[:i])
	switch {
	case r == 0x3000, r == 0x3001, r == 0x3002, // space, comma, full stop
		0x3008 <= r && r <= 0x3011, r == 0x3014, r == 0x3015, // brackets
		r == 0xFF08, r == 0xFF09, r == 0xFF0C, r == 0xFF1A, r == 0xFF1B, r == 0xFF1C, r == 0xFF1E, // full-width ( ) , : ; < >
		r == 0xFF3B, r == 0xFF3D, r == 0xFF62, r == 0xFF63, // full-width [ ], half-width corner brackets
		r == 0x201C, r == 0x201D, r == 0x00A0:
		return n
	}
	return 0
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
