package cuenote

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"sesrelay/internal/relay"
)

func newReader(s string) *bufio.Reader { return bufio.NewReader(strings.NewReader(s)) }

func TestReadReply(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("250-x\r\n", maxReplyLines) + "250 x\r\n"
	for _, c := range []struct {
		in   string
		code int
		text string
		err  error
	}{
		{in: "250 ok\r\n", code: 250, text: "ok"},
		{in: "250-a\r\n250-b\r\n250 c\r\n", code: 250, text: "a\nb\nc"},
		{in: "250\r\n", code: 250},
		{in: "250-\r\n250\r\n", code: 250, text: "\n"},
		{in: "250 bare newline\n", code: 250, text: "bare newline"}, // lenient: the reply is not relayed as it stands
		{in: "250-a\r\n251 b\r\n", err: errGarbage},
		{in: "", err: io.EOF},
		{in: "250 cut", err: io.EOF},
		{in: "250-cut\r\n", err: io.EOF},
		{in: "25\r\n", err: errGarbage},
		{in: "\r\n", err: errGarbage},
		{in: "2500 ok\r\n", err: errGarbage},
		{in: "250_ok\r\n", err: errGarbage},
		{in: "+OK\r\n", err: errGarbage},
		{in: "199 a\r\n", err: errGarbage},
		{in: "600 a\r\n", err: errGarbage},
		{in: "HTTP/1.1 400 Bad Request\r\n", err: errGarbage},
		{in: "\x16\x03\x01\x00\n", err: errGarbage},
		{in: "250 " + strings.Repeat("x", 5000) + "\r\n", err: errGarbage},
		{in: strings.Repeat("250-"+strings.Repeat("x", 1000)+"\r\n", 9) + "250 x\r\n", err: errGarbage},
		{in: long, err: errGarbage},
	} {
		var r reply
		err := r.read(newReader(c.in))
		if !errors.Is(err, c.err) || err == nil && (r.code != c.code || string(r.text) != c.text) {
			t.Errorf("%.40q: %d %q %v, want %d %q %v", c.in, r.code, r.text, err, c.code, c.text, c.err)
		}
	}
}

func TestPassedReply(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want relay.Reply
	}{
		{"550 5.1.1 User unknown", relay.Reply{Code: 550, Enhanced: [3]int{5, 1, 1}, Text: "User unknown"}},
		{"550 User unknown", relay.Reply{Code: 550, Text: "User unknown"}},
		{"550-5.1.1 one\n550-5.1.1 two\n550 5.1.1 three", relay.Reply{Code: 550, Enhanced: [3]int{5, 1, 1}, Text: "one\ntwo\nthree"}},
		{"550-5.1.1 one\n550 5.7.1 two", relay.Reply{Code: 550, Enhanced: [3]int{5, 1, 1}, Text: "one\n5.7.1 two"}},
		{"550-1\n550-2\n550-3\n550 4", relay.Reply{Code: 550, Text: "1\n2\n3"}},
		{"450 5.1.1 another class", relay.Reply{Code: 450, Text: "5.1.1 another class"}},
		{"550 5.1.1", relay.Reply{Code: 550, Enhanced: [3]int{5, 1, 1}, Text: "Refused by the next hop"}},
		{"550", relay.Reply{Code: 550, Text: "Refused by the next hop"}},
		{"550 5.1.1000 no code", relay.Reply{Code: 550, Text: "5.1.1000 no code"}},
		{"550 5.1.1x", relay.Reply{Code: 550, Text: "5.1.1x"}},
		{"550 a\x00b\x1bc\xe3d\te\x7f", relay.Reply{Code: 550, Text: "a?b?c?d e?"}},
		{"550 a\rb", relay.Reply{Code: 550, Text: "a b"}},
		{"550 " + strings.Repeat("x", 300), relay.Reply{Code: 550, Text: strings.Repeat("x", 197) + "..."}},
	} {
		if got := parse(t, c.in).passed(); got != c.want {
			t.Errorf("%.60q: %+v, want %+v", c.in, got, c.want)
		}
	}
}

func TestQueueID(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2.0.0 Ok: queued as 4XyZ1k2m3n":                                        "4XyZ1k2m3n",
		"2.0.0 Ok: queued as 4XyZ1k2m3n.":                                       "4XyZ1k2m3n",
		"OK id=1tEGzN-000000001Ab-2xYz":                                         "1tEGzN-000000001Ab-2xYz",
		"2.0.0 4AN9gXkL012345 Message accepted for delivery":                    "4AN9gXkL012345",
		"Message accepted for delivery":                                         "",
		"2.6.0 <a.b@host> [InternalId=42, Hostname=h] Queued mail for delivery": "42",
		"Ok: 4XyZ1k2m3n":                                                        "4XyZ1k2m3n",
		"Ok 0101019a-1b2c-3d4e-000000":                                          "0101019a-1b2c-3d4e-000000",
		"2.0.0 OK  1700000000 d9443c01a7336-1f2 - gsmtp":                        "1700000000",
		"ok 1700000000 qp 4711":                                                 "1700000000",
		"2.0.0 Ok":                                                              "",
		"Ok: queued":                                                            "",
		"Thank you":                                                             "",
		"":                                                                      "",
		"2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 4F2": "4F2",
		"queued as " + strings.Repeat("x", 200):                               "",
		"grid=7 valid":                                                        "",
		"2.0.0 Ok: queued as <script>":                                        "script",
		"Message queued with ID 99":                                           "99",
		"2.0.0 queued, id: 5ab":                                               "5ab",
	} {
		if got := queueID(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// FuzzReply: whatever a server sends, what is handed on is bounded, printable,
// and one reply.
func FuzzReply(f *testing.F) {
	for _, s := range []string{"250 ok\r\n", "250-a\r\n250 b\r\n", "550 5.1.1 x\r\n", "550-5.1.1 x\r\n550 5.1.1 \xff\x00\r\n", "421\r\n", "2.0.0", "354\n250 x\n", "250-AUTH=LOGIN PLAIN\r\n250 SIZE 99999999999999999999\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var r reply
		br := newReader(s)
		for r.read(br) == nil {
			checkReply(t, &r)
		}
	})
}

func checkReply(t *testing.T, r *reply) {
	parseExtensions(r.text)
	text := r.oneLine()
	if id := queueID(text); len(id) > maxQueueID || !printable(id) {
		t.Errorf("queue id %q", id)
	}
	p := r.passed()
	lines := strings.Split(p.Text, "\n")
	if p.Code < 200 || p.Code > 599 || len(lines) > maxTextLines || strings.TrimSpace(p.Text) == "" || !printable(text) || len(text) > maxTextLine {
		t.Errorf("reply %+v, one line %q", p, text)
	}
	for _, line := range lines {
		if !printable(line) || len(line) > maxTextLine {
			t.Errorf("line %q", line)
		}
	}
	for _, cmd := range []command{cmdMail, cmdRcpt, cmdData, cmdDot} {
		if e := refusal(cmd, r); e.Outcome != relay.NotAccepted || e.Reply.Code < 400 {
			t.Errorf("%s: %s", cmd, e)
		}
	}
	if e := early(r); e.Outcome != relay.NotAccepted || e.Reply.Code < 400 {
		t.Errorf("early: %s", e)
	}
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e })
}
