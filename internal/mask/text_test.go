package mask

import (
	"strings"
	"testing"
	"time"
)

func TestText(t *testing.T) {
	t.Parallel()
	m := newTest(t, Masked)
	for _, c := range []struct{ in, want string }{
		// as receivers answer
		{"smtp; 550 5.1.1 <taro.yamada@docomo.ne.jp>: Recipient address rejected", "smtp; 550 5.1.1 <t***#@docomo.ne.jp>: Recipient address rejected"},
		{"smtp; 550 5.1.1 <a..b.@docomo.ne.jp>... User unknown", "smtp; 550 5.1.1 <a***#@docomo.ne.jp>... User unknown"},
		{"550 Unknown user .foo@ezweb.ne.jp", "550 Unknown user ***#@ezweb.ne.jp"},
		{"550 5.1.1 <taro.yamada>... User unknown", "550 5.1.1 <t***#>... User unknown"},
		{"550 taro.yamada: no mailbox; <taro.yamada@docomo.ne.jp>", "550 ***: no mailbox; <t***#@docomo.ne.jp>"},
		{"452 4.2.2 mailbox of \"a b\"@goo.ne.jp is full", "452 4.2.2 mailbox of a***#@goo.ne.jp is full"},
		{"from=<>, to=<taro@goo.ne.jp>, relay=mfsmax.docomo.ne.jp[192.0.2.25]:25, delay=4096, status=deferred", "from=<>, to=<t***#@goo.ne.jp>, relay=mfsmax.docomo.ne.jp[192.0.2.0/24]:25, delay=4096, status=deferred"},
		{"to=taro.yamada@docomo.ne.jp size=40960", "to=t***#@docomo.ne.jp size=40960"},
		{"rfc822;taro.yamada@docomo.ne.jp", "rfc822;t***#@docomo.ne.jp"},
		{"bounce+taro=docomo.ne.jp@goo.ne.jp for taro", "b***#@goo.ne.jp for ***"},
		{"@relay.goo.ne.jp,@b.jp:taro.yamada@docomo.ne.jp", "@relay.goo.ne.jp,@b.jp:t***#@docomo.ne.jp"},
		{"<@relay.goo.ne.jp:taro.yamada@docomo.ne.jp>", "<@relay.goo.ne.jp:t***#@docomo.ne.jp>"},
		{"taro@a.jp,jiro@b.jp", "t***#@a.jp,j***#@b.jp"},
		{"'taro.yamada@docomo.ne.jp' is unknown", "'t***#@docomo.ne.jp' is unknown"},
		{"taro.yamada (comment) @ docomo.ne.jp", "t***#@ docomo.ne.jp"},
		{"x@y@docomo.ne.jp", "x***#@docomo.ne.jp"},
		// display names
		{`"Yamada Taro" <taro@goo.ne.jp>`, `[masked 13] <t***#@goo.ne.jp>`},
		{`To: 山田 太郎 <taro@goo.ne.jp>`, `To: [masked 13] <t***#@goo.ne.jp>`},
		{`=?ISO-2022-JP?B?GyRCOzNFREJATzobKEI=?= <taro@goo.ne.jp>`, `[masked 38] <t***#@goo.ne.jp>`},
		{"name =?UTF-8?Q?taro=40docomo.ne.jp?= was rejected", "name [masked 31] was rejected"},
		{"name =?UTF-8?B?dGFyb0Bkb2NvbW8ubmUuan", "name [masked 32]"},
		{"From: Taro Yamada <taro@goo.ne.jp>, To: Hanako <hana@goo.ne.jp>", "From: [masked 11] <t***#@goo.ne.jp>, To: [masked 6] <h***#@goo.ne.jp>"},
		{"554 rejected: <taro@goo.ne.jp>", "554 rejected: <t***#@goo.ne.jp>"},
		{"554 spam (Subject: Your password, Taro)\nX-Spam: yes", "554 spam (Subject: [masked 20]\nX-Spam: yes"},
		{"subject: one\r\n two\r\nDate: now", "subject: [masked 10]\nDate: now"},
		{`{"subject":"hello","a":1} x-subject: no, the subject is`, `{"subject":"[masked 5]","a":1} x-subject: no, the subject is`},
		// cut off
		{"550 5.1.1 <taro.yamada@doc", "550 5.1.1 <t***#@doc"},
		{"550 5.1.1 <taro.yamada@", "550 5.1.1 <t***#@"},
		{"550 5.1.1 <taro.yam", "550 5.1.1 <t***#"},
		// escapes
		{"mailto:taro.yamada%40docomo.ne.jp", "mailto:t***#@docomo.ne.jp"},
		{"mailto:taro%2eyamada%2540docomo%2ene.jp", "mailto:t***#@docomo%2ene.jp"},
		{"%3Ctaro.yamada%40docomo.ne.jp%3E", "%3C***#@docomo.ne.jp%3E"},
		{"taro=2Eyamada=40docomo.ne.jp", "t***#@docomo.ne.jp"},
		{"ORCPT=rfc822;taro.yamada+40docomo.ne.jp", "ORCPT=rfc822;t***#@docomo.ne.jp"},
		{`{"to":"taro.yamada\u0040docomo.ne.jp"}`, `{"to":"t***#@docomo.ne.jp"}`},
		{`\u003ctaro.yamada\u0040docomo.ne.jp\u003e`, `\u003c***#@docomo.ne.jp\u003e`},
		{`{"to":"taro@goo.ne.jp","from":"hanako@goo.ne.jp"}`, `{"to":"t***#@goo.ne.jp","from":"h***#@goo.ne.jp"}`},
		{"&lt;taro.yamada&#64;docomo.ne.jp&gt;", "&lt;***#@docomo.ne.jp&gt;"},
		{"taro&#x2e;yamada&commat;docomo.ne.jp", "t***#@docomo.ne.jp"},
		{"ｔａｒｏ．ｙ＠ｄｏｃｏｍｏ．ｎｅ．ｊｐ", "t***#@ｄｏｃｏｍｏ．ｎｅ．ｊｐ"},
		{"taro.yamada (at) docomo.ne.jp", "t***#@ docomo.ne.jp"},
		{"宛先（taro.yamada@docomo.ne.jp）が不明です", "宛先（t***#@docomo.ne.jp）が不明です"},
		{"太郎@例え.jp 不明", "***#@例え.jp 不明"},
		// networks
		{"blocked [203.0.113.9] using 2001:db8:1:2::9, IPv6:2001:db8:1:2::9 at 12:34:56", "blocked [203.0.113.0/24] using 2001:db8:1::/48, IPv6:2001:db8:1::/48 at 12:34:56"},
		{"user@[192.0.2.7]", "u***#@[192.0.2.0/24]"},
		{"host ::ffff:192.0.2.7 and fe80::1", "host 192.0.2.0/24 and fe80::1"},
		{"rip=192.168.10.20 dsn=5.7.1 v=3.10.1", "rip=192.168.10.20 dsn=5.7.1 v=3.10.1"},
		{"dial tcp 10.1.2.3:25: connect: connection refused", "dial tcp 10.1.2.3:25: connect: connection refused"},
		{"[::1]:25 127.0.0.1 fd00::7 0.0.0.0", "[::1]:25 127.0.0.1 fd00::7 0.0.0.0"},
		// URLs
		{"see https://goo.ne.jp/reset?user=taro&at=x@y.jp now", "see https://goo.ne.jp/[masked] now"},
		{"see https://support.google.com/mail/?p=NoSuchUser a1-20 - gsmtp", "see https://support.google.com/[masked] a1-20 - gsmtp"},
		{"redis://taro:secret@10.1.2.3:6379/0", "redis://[masked 11]@10.1.2.3:6379/[masked]"},
		{"https://goo.ne.jp/", "https://goo.ne.jp/"},
		// nothing personal
		{"", ""},
		{"421 4.7.0 Try again later, closing connection. (MAIL)", "421 4.7.0 Try again later, closing connection. (MAIL)"},
		{"MessageRejected: 554 rate=40/s 100%40 a%b c&d", "MessageRejected: 554 rate=40/s 100%40 a%b c&d"},
		{"250 2.0.0 OK 1764000000 0100018c1a2b3c4d-5e6f", "250 2.0.0 OK 1764000000 0100018c1a2b3c4d-5e6f"},
	} {
		if got := hidden(m.Text(c.in)); got != c.want {
			t.Errorf("%q\n got %q\nwant %q", c.in, got, c.want)
		}
	}
}

func TestTextKnown(t *testing.T) {
	t.Parallel()
	m := newTest(t, Masked)
	got := m.Text("550 no user Taro.Yamada here; user unknown", "taro.yamada@docomo.ne.jp", "user@goo.ne.jp")
	if want := "550 no user *** here; user unknown"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := newTest(t, Full).Text("<taro@goo.ne.jp>"); got != "<taro@goo.ne.jp>" {
		t.Errorf("full: %q", got)
	}
	if got := newTest(t, Hashed).Text("550 <taro@goo.ne.jp>: unknown, taro"); hidden(got) != "550 <#>: unknown, ***" {
		t.Errorf("hashed: %q", got)
	}
}

// One mailbox has one pseudonym, wherever and however it stands.
func TestTextAgreesWithAddress(t *testing.T) {
	t.Parallel()
	m := newTest(t, Masked)
	want := m.Address("taro.yamada@docomo.ne.jp")
	for _, in := range []string{
		"<taro.yamada@docomo.ne.jp>", "to=taro.yamada@docomo.ne.jp,", "to=<taro.yamada@docomo.ne.jp>", "'taro.yamada@docomo.ne.jp'",
		"taro.yamada@docomo.ne.jp.", "mailto:taro.yamada%40docomo.ne.jp", `"taro.yamada\u0040docomo.ne.jp"`, "&lt;taro.yamada&#64;docomo.ne.jp&gt;",
		"「taro.yamada@docomo.ne.jp」", `"Yamada" <Taro.Yamada@docomo.ne.jp>`, "taro.yamada@docomo.ne.jp宛",
	} {
		if got := m.Text(in); pseudonyms.FindString(got) != pseudonyms.FindString(want) {
			t.Errorf("%q: %q has not the pseudonym of %q", in, got, want)
		}
	}
}

// What is too deep or too much to be sure of is masked whole.
func TestTextFailsClosed(t *testing.T) {
	t.Parallel()
	m := newTest(t, Masked)
	deep := "taro%" + strings.Repeat("25", 20) + "40docomo.ne.jp"
	if got, want := m.Text(deep), gone(deep); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	var many strings.Builder
	for i := range 200 {
		many.WriteString(" name" + strings.Repeat("x", i) + "@goo.ne.jp")
	}
	if got, want := m.Text(many.String()), gone(many.String()); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Texts made to be slow are not: work grows with the length of a text, not with
// its square (which would take minutes here).
func TestTextLinear(t *testing.T) {
	t.Parallel()
	m := newTest(t, Masked)
	start := time.Now()
	for _, part := range []string{"a@", `"@`, "<", "<a", "=?a?B?", "@", "(", ")@", " @", "a:", "1.", "://", "&#", "%25", `\`, `"`,
		"é", "é<a@b>", "%3C", "\x01", "a=40b.c ", "https://a@", ` "a" <a@b>`, "a@b.c,", "=40", "\u3000@"} {
		m.Text(strings.Repeat(part, 128<<10/len(part)))
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}
