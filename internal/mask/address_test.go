package mask

import (
	"strings"
	"testing"
)

var testKey = []byte("a key for tests, 32 bytes long..")

func newTest(t testing.TB, mode Mode) *Masker {
	t.Helper()
	m, err := New(mode, testKey)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// hidden replaces pseudonyms by "#", so that tables can be read.
func hidden(s string) string {
	return pseudonyms.ReplaceAllString(s, "#")
}

func TestAddress(t *testing.T) {
	t.Parallel()
	masked, hashed, full := newTest(t, Masked), newTest(t, Hashed), newTest(t, Full)
	for _, c := range []struct{ in, masked, hashed string }{
		{"taro.yamada@docomo.ne.jp", "t***#@docomo.ne.jp", "#"},
		{"<taro.yamada@docomo.ne.jp>", "t***#@docomo.ne.jp", "#"},
		{"Taro@Goo.NE.jp", "T***#@Goo.NE.jp", "#"},
		{"ab@goo.ne.jp", "***#@goo.ne.jp", "#"},
		{"a@goo.ne.jp", "***#@goo.ne.jp", "#"},
		{"a..b.@docomo.ne.jp", "a***#@docomo.ne.jp", "#"},
		{".foo@ezweb.ne.jp", "***#@ezweb.ne.jp", "#"},
		{`"a b"@goo.ne.jp`, "a***#@goo.ne.jp", "#"},
		{`"a@b"@goo.ne.jp`, "a***#@goo.ne.jp", "#"},
		{"taro+shop@goo.ne.jp", "t***#@goo.ne.jp", "#"},
		{"bounce+taro=docomo.ne.jp@goo.ne.jp", "b***#@goo.ne.jp", "#"},
		{"太郎さん@例え.jp", "***#@例え.jp", "#"},
		{"taro太郎@goo.ne.jp", "***#@goo.ne.jp", "#"},
		{"taro@xn--r8jz45g.jp", "t***#@xn--r8jz45g.jp", "#"},
		{"user@[192.0.2.7]", "u***#@[192.0.2.0/24]", "#"},
		{"user@[IPv6:2001:db8:1:2::7]", "u***#@[IPv6:2001:db8:1::/48]", "#"},
		{"yamada@yamada.co.jp", "y***#@***.co.jp", "#"},
		{"yamada@mail.yamada-yamada.jp", "y***#@mail.***-***.jp", "#"},
		{"mail@mail.goo.ne.jp", "m***#@mail.goo.ne.jp", "#"},
		{"postmaster", "p***#", "#"},
		{"taro@", "t***#", "#"},
		{"61.@0ｉｃｈｉｒｏ＠例え．ｊｐ", "***#@例え．ｊｐ", "#"}, // the later at-sign is the address's
		{"taro﹫goo.ne.jp", "t***#@goo.ne.jp", "#"},
		{"", "<>", "<>"},
		{"<>", "<>", "<>"},
	} {
		if got := hidden(masked.Address(c.in)); got != c.masked {
			t.Errorf("masked %q: got %q, want %q", c.in, got, c.masked)
		}
		if got := hidden(hashed.Address(c.in)); got != c.hashed {
			t.Errorf("hashed %q: got %q, want %q", c.in, got, c.hashed)
		}
		if got := full.Address(c.in); got != c.in && c.in != "" {
			t.Errorf("full %q: got %q", c.in, got)
		}
	}
}

func TestPseudonym(t *testing.T) {
	t.Parallel()
	m := newTest(t, Masked)
	first := m.Address("taro@goo.ne.jp")
	if first != "t***#f4030d48b6@goo.ne.jp" {
		t.Errorf("the pseudonym changed: %q (stored lines no longer agree with new ones)", first)
	}
	for _, same := range []string{"taro@GOO.ne.jp", `"taro"@goo.ne.jp`, `"ta\ro"@goo.ne.jp`, "<taro@goo.ne.jp>", "tarO@goo.ne.jp", "taro@goo.ne.jp."} {
		if pseudonyms.FindString(m.Address(same)) != pseudonyms.FindString(first) {
			t.Errorf("%q: %q, want the pseudonym of %q", same, m.Address(same), first)
		}
	}
	for _, other := range []string{"taro@docomo.ne.jp", "jiro@goo.ne.jp", "taro+a@goo.ne.jp"} {
		if pseudonyms.FindString(m.Address(other)) == pseudonyms.FindString(first) {
			t.Errorf("%q has the pseudonym of %q", other, first)
		}
	}
	if h := newTest(t, Hashed).Address("taro@goo.ne.jp"); !strings.HasPrefix(h, "#f4030d48b6") || len(h) != 17 {
		t.Errorf("hashed: %q does not begin with the pseudonym of %q", h, first)
	}
	another, err := New(Masked, []byte("another key of 32 bytes for test"))
	if err != nil {
		t.Fatal(err)
	}
	if another.Address("taro@goo.ne.jp") == first {
		t.Error("two keys give one pseudonym")
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	if _, err := New(Masked, []byte("short")); err == nil || !strings.Contains(err.Error(), "16") {
		t.Errorf("short key: %v", err)
	}
	if _, err := New(Mode(7), testKey); err == nil {
		t.Error("mode 7 accepted")
	}
	a, _ := New(Masked, nil)
	b, _ := New(Masked, nil)
	if a.Address("taro@goo.ne.jp") == b.Address("taro@goo.ne.jp") {
		t.Error("random keys agree")
	}
	for _, mode := range []Mode{Masked, Hashed, Full} {
		if got, err := ParseMode(mode.String()); err != nil || got != mode {
			t.Errorf("%v: %v, %v", mode, got, err)
		}
	}
	if _, err := ParseMode("none"); err == nil {
		t.Error("mode none accepted")
	}
}

func TestIPAndSubject(t *testing.T) {
	t.Parallel()
	m := newTest(t, Masked)
	for in, want := range map[string]string{
		"192.0.2.77": "192.0.2.0/24", "192.0.2.77:40312": "192.0.2.0/24", "2001:db8:1:2:3::4": "2001:db8:1::/48",
		"[2001:db8:1:2::4]:25": "2001:db8:1::/48", "::ffff:192.0.2.7": "192.0.2.0/24", "fe80::1%eth0": "fe80::/48",
		"mail.goo.ne.jp": "[masked 14]", "": "[masked 0]",
	} {
		if got := m.IP(in); got != want {
			t.Errorf("IP %q: got %q, want %q", in, got, want)
		}
	}
	if got := m.Subject("パスワード"); got != "[masked 15]" {
		t.Errorf("subject: %q", got)
	}
	if got := newTest(t, Full).IP("192.0.2.77") + newTest(t, Full).Subject("s"); got != "192.0.2.77s" {
		t.Errorf("full: %q", got)
	}
}
