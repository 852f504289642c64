package smtp

import (
	"strings"
	"testing"

	"sesrelay/internal/relay"
)

// TestAddressesOnTheWire is go-smtp 6 and guard 8: what reaches the
// transaction is the address as it was sent, or nothing.
func TestAddressesOnTheWire(t *testing.T) {
	t.Parallel()
	k := &keeper{}
	_, address := serve(t, k, func(c *Config) { c.Limits.IdleCommands = 1e6 })
	tests := []struct{ path, want string }{ // want: the path that the transaction sees, or the reply
		{"<b@goo.ne.jp>", "<b@goo.ne.jp>"},
		{" <b@goo.ne.jp>", "<b@goo.ne.jp>"},
		{"b@goo.ne.jp", "<b@goo.ne.jp>"},
		{"<a..b.@docomo.ne.jp>", "<a..b.@docomo.ne.jp>"},
		{"<-a@goo.ne.jp>", "<-a@goo.ne.jp>"},
		{"<b+c=d@goo.ne.jp>", "<b+c=d@goo.ne.jp>"},
		{"<b@[192.0.2.1]>", "<b@[192.0.2.1]>"},
		{"<b@[IPv6:2001:db8::1]>", "<b@[IPv6:2001:db8::1]>"},
		// Quoting is kept: unquoted and written raw, these would be commands.
		{`<"v@evil> NOTIFY=NEVER "@ok.jp>`, `<"v@evil> NOTIFY=NEVER "@ok.jp>`},
		{`<"a b"@goo.ne.jp>`, `<"a b"@goo.ne.jp>`},
		{`<"a\"b"@goo.ne.jp>`, `<"a\"b"@goo.ne.jp>`},
		{`<"a\\"@goo.ne.jp>`, `<"a\\"@goo.ne.jp>`},
		{`<"a@b"@goo.ne.jp>`, `<"a@b"@goo.ne.jp>`},
		// Source routes are stripped (RFC 5321 appendix C).
		{"<@a,@b:u@c>", "<u@c>"},
		{`<@a.jp:"u> X"@c>`, `<"u> X"@c>`},
		{"<@a b:u@c>", "501"},
		{"<@a>:u@c>", "501"},
		{"<@a", "501"},
		// Refused.
		{"<a@b@c>", "501"},
		{"<a b@goo.ne.jp>", "501"},
		{"<a@goo.ne.jp", "501"},
		{"<a@goo.ne.jp>x", "555"},
		{"<a@goo.ne.jp>>", "555"},
		{"<<a@goo.ne.jp>>", "501"},
		{"<a@goo.ne.jp> NOTIFY=NEVER", "504"},
		{"<a@goo\t.ne.jp>", "501"},
		{"<a\x01@goo.ne.jp>", "501"},
		{"<a\x7f@goo.ne.jp>", "501"},
		{"<a@goo.ne.jp\x0b>", "501"},
		{`<"a@goo.ne.jp>`, "501"},
		{`<"a"b@goo.ne.jp>`, "501"},
		{`<a"b"@goo.ne.jp>`, "501"},
		{`<"a\`, "501"},
		{"<a>", "501"},
		{"<postmaster>", "501"},
		{"<a@>", "501"},
		{"<@goo.ne.jp>", "501"},
		{"<a@.jp>", "501"},
		{"<a@b..jp>", "501"},
		{"<a@[192.0.2.1>", "501"},
		{"<>", "501"},
		{"", "501"},
		{"<", "501"},
		{">", "501"},
		{"<\xe5\xb1\xb1@goo.ne.jp>", "553 5.6.7"},
		{"<a@\xff.jp>", "553 5.6.7"},
		{"<" + strings.Repeat("a", 300) + "@goo.ne.jp>", "501"},
		{"<a@" + strings.Repeat("a", 300) + ">", "501"},
	}
	for _, tt := range tests {
		c := open(t, address)
		c.do("MAIL FROM:<sender@goo.ne.jp>", "250")
		before := len(k.log())
		c.send("RCPT TO:" + tt.path + "\r\n")
		got := c.reply()
		if seen, ok := strings.CutPrefix(k.log()[before:], "\nrcpt "); ok {
			got = seen
		}
		if !strings.HasPrefix(got, tt.want) || tt.want[0] == '<' && got != tt.want {
			t.Errorf("RCPT TO:%q: %q, want %q", tt.path, got, tt.want)
		}
		c.send("QUIT\r\n")
		c.want("221")
		c.ended() // so that the abort does not come in between
	}
}

// TestNullReversePath: "<>" is for MAIL only, and nothing else means it.
func TestNullReversePath(t *testing.T) {
	t.Parallel()
	k := &keeper{}
	_, address := serve(t, k, nil)
	for path, want := range map[string]string{"<>": "250", " <> BODY=8BITMIME": "250", "": "501", "< >": "501", `<"">`: "501", "<@a:>": "501"} {
		open(t, address).do("MAIL FROM:"+path, want)
	}
}

// TestParsePathDisagreement: where the library took another address out of the
// line, or ended it elsewhere, the address is refused.
func TestParsePathDisagreement(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ arg, lib string }{
		{"TO:<a@goo.ne.jp>", "b@goo.ne.jp"},
		{`TO:<"a"@goo.ne.jp>`, "a@evil.jp"},
		{"TO:<a@goo.ne.jp>", ""},
	} {
		if a, err := parsePath(tt.arg, "TO:", tt.lib, false); err == nil {
			t.Errorf("%s, library %q: taken as %v", tt.arg, tt.lib, a)
		}
	}
	want := relay.Address{Local: `"a b"`, Domain: "goo.ne.jp"}
	if a, err := parsePath(`to: <"a b"@goo.ne.jp> X=Y`, "TO:", "a b@goo.ne.jp", false); err != nil || a != want {
		t.Errorf("got %v, %v", a, err)
	}
}
