package relay

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseAddress(t *testing.T) {
	for _, c := range []struct {
		in   string
		utf8 bool
		err  error
		dot  bool
	}{
		{"a@example.jp", false, nil, true},
		{"a+b=c@example.jp", false, nil, true},
		{"a..b.@docomo.ne.jp", false, nil, false}, // Japanese carriers delivered to such addresses for years
		{".a@ezweb.ne.jp", false, nil, false},
		{`"a b"@example.jp`, false, nil, false},
		{`"a@b"@example.jp`, false, nil, false},
		{`"a\"b"@example.jp`, false, nil, false},
		{"a@[192.0.2.1]", false, nil, true},
		{"a@[IPv6:2001:db8::1]", false, nil, true},
		{"a@under_score.example.jp", false, nil, true},
		{"a@xn--eckwd4c7c.jp", false, nil, true},
		{"あ@example.jp", true, nil, false},
		{"a@例え.jp", true, nil, true},
		{"あ@example.jp", false, ErrAddressUTF8, false},
		{"a\xff@example.jp", true, ErrAddressByte, false}, // invalid UTF-8
		{"a", false, ErrNoDomain, false},
		{"a@", false, ErrNoDomain, false},
		{"@example.jp", false, ErrAddressByte, false},
		{"a@b@c", false, ErrAddressByte, false},
		{"a b@c", false, ErrAddressByte, false},
		{"a>b@c", false, ErrAddressByte, false},
		{"a\r\nRCPT@c", false, ErrAddressByte, false},
		{"a\x00@c", false, ErrAddressByte, false},
		{"a@c\x00", false, ErrAddressByte, false},
		{"a@c> NOTIFY=NEVER", false, ErrAddressByte, false},
		{"\"a\r\n\"@c", false, ErrAddressByte, false},
		{`"a@c`, false, ErrAddressByte, false},
		{`"a"b@c`, false, ErrNoDomain, false},
		{"a@.example.jp", false, ErrAddressByte, false},
		{"a@[", false, ErrAddressByte, false},
		{strings.Repeat("a", 300) + "@c", false, ErrAddressLong, false},
	} {
		got, err := ParseAddress(c.in, c.utf8)
		if !errors.Is(err, c.err) || err == nil && got.String() != c.in {
			t.Errorf("%q: %v, %v; want %v", c.in, got, err, c.err)
		}
		if err == nil && got.IsDotString() != c.dot {
			t.Errorf("%q: Dot-string %v", c.in, !c.dot)
		}
	}
}

// FuzzParseAddress: what is accepted can be written into a command as it is.
func FuzzParseAddress(f *testing.F) {
	f.Add(`"v@evil> NOTIFY=NEVER "@ok.jp`, false)
	f.Add("あ@例え.jp", true)
	f.Add("a@[IPv6:::1]", false)
	f.Fuzz(func(t *testing.T, s string, allow bool) {
		a, err := ParseAddress(s, allow)
		if err != nil {
			return
		}
		if a.String() != s || !allow && !a.IsASCII() || !utf8.ValidString(s) {
			t.Fatalf("%q became %q", s, a)
		}
		quoted := false
		for i := range len(s) {
			if isControl(s[i]) {
				t.Fatalf("%q holds a control byte", s)
			}
			if s[i] == '"' && (i == 0 || s[i-1] != '\\') {
				quoted = !quoted
			}
			if !quoted && strings.IndexByte(" <>", s[i]) >= 0 {
				t.Fatalf("%q holds %q outside quotes", s, s[i])
			}
		}
	})
}
