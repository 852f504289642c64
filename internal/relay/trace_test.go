package relay

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestTraceHeader: the field of RFC 5321 section 4.4 is one field, whatever the
// client calls itself, and the relay reads its own name and id back from it.
func TestTraceHeader(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.FixedZone("JST", 9*3600))
	for _, c := range []struct{ helo, addr, from string }{
		{"mail.goo.ne.jp", "192.0.2.1", "mail.goo.ne.jp ([192.0.2.1])"},
		{"[192.0.2.1]", "::ffff:192.0.2.1", "[192.0.2.1] ([192.0.2.1])"},
		{"[IPv6:2001:db8::1]", "2001:db8::1", "[IPv6:2001:db8::1] ([IPv6:2001:db8::1])"},
		{"host", "fe80::1%eth0", "host ([IPv6:fe80::1])"},
		{"", "", "unknown (unknown)"},
		{"a\r\nX-SES-TENANT: evil", "192.0.2.1", "a??X-SES-TENANT:?evil ([192.0.2.1])"},
		{"a) by evil (b; (", "192.0.2.1", "a??by?evil??b??? ([192.0.2.1])"},
		{"\x00\x7f\"\\あ<>", "192.0.2.1", "????????? ([192.0.2.1])"},
		{strings.Repeat("x", 5000), "192.0.2.1", strings.Repeat("x", 255) + " ([192.0.2.1])"},
	} {
		env := &Envelope{ID: "01abc", Client: Client{HELO: c.helo, Extended: true, TLS: true, User: "u"}}
		if c.addr != "" {
			env.Client.Addr = netip.MustParseAddr(c.addr)
		}
		got := traceHeader(env, "relay.example.jp", now)
		want := "Received: from " + c.from + "\r\n\tby relay.example.jp (sesrelay) with ESMTPSA id 01abc;\r\n\tMon, 23 Nov 2026 10:00:00 +0900\r\n"
		if string(got) != want {
			t.Errorf("%q: got %q, want %q", c.helo, got, want)
		}
		for line := range bytes.Lines(got) {
			if len(line) > 1000 { // RFC 5321 section 4.5.3.1.6
				t.Errorf("a line of %d bytes", len(line))
			}
		}
		h, err := ScanHeader(append(got, "\r\n"...), false, "RELAY.example.jp")
		if err != nil || h.Received != 1 || h.OwnReceived != 1 || h.QueueID != "01abc" || !h.HopTime.Equal(now) || len(h.Kept) != 1 {
			t.Errorf("%q: read back as %+v, %v", c.helo, h, err)
		}
	}
}

// TestHopTime reads the dates of trace fields as hosts write them.
func TestHopTime(t *testing.T) {
	t.Parallel()
	want := time.Date(2026, 12, 2, 1, 0, 0, 0, time.UTC)
	for _, date := range []string{
		"Wed, 02 Dec 2026 10:00:00 +0900", "Wed,  2 Dec 2026 10:00:00 +0900 (JST)", "Wed, 2 Dec 2026 10:00:00 +0900 (with (nested) words)",
		"2 Dec 2026 01:00:00 GMT", "Wed, 02 Dec 26 10:00:00 +0900", "Wed, 2 Dec 2026 01:00 +0000",
	} {
		if got := parseDate(date); !got.Equal(want) {
			t.Errorf("%q: %v", date, got)
		}
	}
	for _, date := range []string{"", "now", "Wed, 32 Dec 2026 10:00:00 +0900", "()", "Wed, 2 Dec 2026 25:00:00 +0900"} {
		if got := parseDate(date); !got.IsZero() {
			t.Errorf("%q: %v", date, got)
		}
	}
}

func TestProtocol(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env  Envelope
		want string
	}{
		{Envelope{}, "SMTP"},
		{Envelope{Client: Client{Extended: true}}, "ESMTP"},
		{Envelope{Client: Client{Extended: true, TLS: true}}, "ESMTPS"},
		{Envelope{Client: Client{Extended: true, User: "u"}}, "ESMTPA"},
		{Envelope{LMTP: true, Client: Client{TLS: true}}, "LMTPS"},
		{Envelope{SMTPUTF8: true, Client: Client{Extended: true, TLS: true, User: "u"}}, "UTF8SMTPSA"},
		{Envelope{SMTPUTF8: true, LMTP: true}, "UTF8LMTP"},
	} {
		if got := c.env.Protocol(); got != c.want {
			t.Errorf("%+v: %s, want %s", c.env, got, c.want)
		}
	}
}
