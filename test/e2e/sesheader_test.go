package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"sesrelay/internal/simulator"
)

// sesField is a line that some parser may take for an X-SES-* field: names in
// any case, with anything invisible before them.
func sesField(line string) bool {
	name := strings.ToLower(strings.TrimLeftFunc(strings.ToValidUTF8(line, ""), func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }))
	return strings.HasPrefix(name, "x-ses-")
}

// headTricks are whole header sections around X-SES-* fields. "evil" must not
// come through, every "stays" must.
var headTricks = map[string]string{
	"first of all":                   "X-SES-CONFIGURATION-SET: evil\r\nHEAD\r\n\r\nbody\r\n",
	"last of all":                    "HEAD\r\nX-SES-CONFIGURATION-SET: evil\r\n\r\nbody\r\n",
	"nothing but":                    "HEAD\r\nX-SES-CONFIGURATION-SET: evil\r\n",
	"every case":                     "HEAD\r\nx-ses-configuration-set: evil\r\nX-Ses-Configuration-Set: evil\r\nX-sEs-CONFIGURATION-SET: evil\r\n\r\nbody\r\n",
	"blanks, then colon":             "HEAD\r\nX-SES-CONFIGURATION-SET \t \t : evil\r\nX-SES-TENANT\t: evil\r\n\r\nbody\r\n",
	"no blank behind":                "HEAD\r\nX-SES-CONFIGURATION-SET:evil\r\n\r\nbody\r\n",
	"name folded":                    "HEAD\r\nX-SES-CONFIGURATION-SET\r\n : evil\r\nX-SES-TENANT\r\n\t\r\n :evil\r\n\r\nbody\r\n",
	"value folded":                   "HEAD\r\nX-SES-CONFIGURATION-SET:\r\n evil\r\n\t\r\n evil\r\nX-Kept: stays\r\n\r\nbody\r\n",
	"obs-fold of blanks":             "HEAD\r\nX-SES-CONFIGURATION-SET: evil\r\n \r\n\t \r\n evil\r\nX-Kept: stays\r\n\r\nbody\r\n",
	"behind a blank line that folds": "HEAD\r\nX-Kept: stays\r\n \r\nX-SES-CONFIGURATION-SET: evil\r\n\r\nbody\r\n",
	"behind no field":                "HEAD\r\nthis is no field and stays\r\nX-SES-CONFIGURATION-SET: evil\r\n\r\nbody\r\n",
	"behind From line":               "From evil-free stays\r\nHEAD\r\nX-SES-CONFIGURATION-SET: evil\r\n\r\nbody\r\n",
	"behind empty name":              "HEAD\r\n: stays\r\nX-SES-CONFIGURATION-SET: evil\r\n\r\nbody\r\n",
	"folded into another":            "HEAD\r\nX-Kept: stays\r\n X-SES-CONFIGURATION-SET: stays\r\n\tX-SES-TENANT: stays\r\n\r\nbody\r\n",
	"a thousand":                     "HEAD\r\n" + strings.Repeat("X-SES-CONFIGURATION-SET: evil\r\nX-Kept: stays\r\n", 1000) + "\r\nbody\r\n",
	"every name":                     "HEAD\r\nX-SES-SOURCE-ARN: evil\r\nX-SES-FROM-ARN: evil\r\nX-SES-RETURN-PATH-ARN: evil\r\nX-SES-LIST-MANAGEMENT-OPTIONS: evil\r\nX-SES-TENANT: evil\r\nX-SES-MESSAGE-TAGS: evil=evil\r\nX-SES-: evil\r\nX-SES-\t: evil\r\n\r\nbody\r\n",
	"control bytes":                  "HEAD\r\n\vX-SES-CONFIGURATION-SET: evil\r\n\x01\x7fX-SES-TENANT: evil\r\n\fX-SES-A: evil\r\n\r\nbody\r\n",
	"8-bit name":                     "HEAD\r\nX-SES-\xe5\xb1\xb1: evil\r\n\r\nbody\r\n",
	"lookalikes":                     "HEAD\r\nX-SESSION: stays\r\nXX-SES-A: stays\r\nX_SES_A: stays\r\nX-SE: stays\r\nX-SES: stays\r\nSubject: X-SES-CONFIGURATION-SET: stays\r\n\r\nbody\r\n",
	"behind the end":                 "HEAD\r\n\r\nX-SES-CONFIGURATION-SET: stays\r\n\r\nX-SES-TENANT: stays\r\n",
	"MIME part": "HEAD\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX-SES-CONFIGURATION-SET: stays\r\nContent-Type: message/rfc822\r\n\r\n" +
		"X-SES-TENANT: stays\r\nSubject: inner\r\n\r\nX-SES-A: stays\r\n--b--\r\n",
	"long value":    "HEAD\r\nX-SES-CONFIGURATION-SET: " + strings.Repeat("evil", 25_000) + "\r\nX-Kept: stays\r\n\r\nbody\r\n",
	"many folds":    "HEAD\r\nX-SES-CONFIGURATION-SET: evil\r\n" + strings.Repeat(" evil\r\n", 20_000) + "X-Kept: stays\r\n\r\nbody\r\n",
	"around 16 KiB": filled(16<<10) + "X-SES-CONFIGURATION-SET: evil\r\nX-Kept: stays\r\n\r\nbody\r\n",
	"around 32 KiB": filled(32<<10) + "X-SES-CONFIGURATION-SET: evil\r\nX-Kept: stays\r\n\r\nbody\r\n",
	"around 64 KiB": filled(64<<10) + "X-SES-CONFIGURATION-SET: evil\r\nX-Kept: stays\r\n\r\nbody\r\n",
}

// filled is a header that ends 60 bytes before n, but for the trace line that
// stands above it: the field behind it lies across the border of a buffer.
func filled(n int) string {
	s := "HEAD\r\n"
	for n-len(s) > 300 {
		s += "X-Filler: " + strings.Repeat("f", 88) + "\r\n"
	}
	return s
}

// TestSESHeaderTricks: see TestSESHeaders for the short list. What leaves is
// judged by a second opinion that knows nothing of the relay's parser.
func TestSESHeaderTricks(t *testing.T) {
	t.Parallel()
	for _, percent := range []string{"0", "100"} {
		t.Run(percent, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, relayOptions{percent: percent, plain: true})
			c := dial(t, s.relay.smtp)
			for name, trick := range headTricks {
				for _, piece := range []int{0, 1000, 17} {
					if piece == 17 && len(trick) > 5000 {
						continue
					}
					s.headTrick(t, c, name, trick, piece)
				}
			}
		})
	}
}

func (s *stage) headTrick(t *testing.T, c *client, name, trick string, piece int) {
	t.Helper()
	s.n++
	id := fmt.Sprintf("ht%d", s.n)
	content := strings.Replace(trick, "HEAD", "From: <news@goo.ne.jp>\r\nMessage-ID: <"+id+"@goo.ne.jp>\r\nX-Test-Id: "+id, 1)
	c.want("250", c.do("MAIL FROM:<news@goo.ne.jp> BODY=8BITMIME"))
	c.want("250", c.do("RCPT TO:<%s@example.jp>", id))
	c.want("354", c.do("DATA"))
	wire := stuffed([]byte(content)) + ".\r\n"
	for piece > 0 && len(wire) > piece {
		c.write(wire[:piece])
		wire = wire[piece:]
		time.Sleep(50 * time.Microsecond)
	}
	c.write(wire)
	like(t, name, c.read(), "250 ")
	got := s.store.ByHeader("X-Test-Id", id)
	if len(got) != 1 {
		t.Errorf("%s: %d mails arrived", name, len(got))
		return
	}
	raw := string(got[0].Raw)
	if strings.Contains(raw, "evil\r\n") || strings.Contains(raw, ": evil") {
		t.Errorf("%s, in pieces of %d: something came through to %s: %.600q", name, piece, got[0].Upstream, raw)
	}
	if n, want := strings.Count(raw, "stays"), strings.Count(content, "stays"); n != want {
		t.Errorf("%s: %d of %d harmless lines are there: %.600q", name, n, want, raw)
	}
	head, _, _ := strings.Cut(raw, "\r\n\r\n")
	fields := 0
	for line := range strings.SplitSeq(head, "\r\n") {
		if line != "" && sesField(line) && line[0] != ' ' && line[0] != '\t' {
			fields++
			if line != "X-SES-CONFIGURATION-SET: "+configurationSet {
				t.Errorf("%s: %q left towards %s", name, line, got[0].Upstream)
			}
		}
	}
	if want := map[string]int{simulator.UpstreamSES: 1}[got[0].Upstream]; fields != want {
		t.Errorf("%s: %d X-SES-* fields towards %s, want %d", name, fields, got[0].Upstream, want)
	}
}

// TestLoops: a mail that has been around too long, or here too often, is
// refused with 5.4.6 on both routes, at the limit and not before (RFC 5321
// section 6.3), and over LMTP for each recipient.
func TestLoops(t *testing.T) {
	t.Parallel()
	lmtp := freePort(t)
	for _, percent := range []string{"0", "100"} {
		smtp := freePort(t)
		s := newStage(t, relayOptions{percent: percent, plain: true, smtp: smtp, set: settings{
			"listeners": "[" + listener(smtp) + ", " + listener(lmtp, "protocol: lmtp") + "]"}})
		s.mayAbort = true // on Cuenote's route the header comes behind its 354
		for i, row := range []struct {
			by    string
			lines int
			want  string
		}{
			{"elsewhere.example", 48, "250 "}, {"elsewhere.example", 49, "250 "}, {"elsewhere.example", 51, `554 5\.4\.6 `}, {"elsewhere.example", 300, `554 5\.4\.6 `},
			{"relay-1.goo.ne.jp", 4, "250 "}, {"relay-1.goo.ne.jp", 5, "250 "}, {"relay-1.goo.ne.jp", 6, `554 5\.4\.6 `}, {"RELAY-1.goo.NE.jp", 6, `554 5\.4\.6 `},
			{"relay-1.goo.ne.jp.example", 20, "250 "},
		} {
			m := plainMail(fmt.Sprintf("loop%s-%d", percent, i))
			head, body, _ := strings.Cut(string(m.content), "X-Test-Id")
			m.content = []byte(strings.Repeat("received:\r\n from a.example (by relay-1.goo.ne.jp) by "+row.by+"\r\n\twith SMTP id x; Mon, 2 Nov 2026 00:00:00 +0900\r\n", row.lines-1) + head + "X-Test-Id" + body)
			if row.by != "elsewhere.example" { // plainMail has one line of its own, by Postfix
				m.content = append([]byte("Received: by "+row.by+"; Mon, 2 Nov 2026 00:00:00 +0900\r\n"), m.content...)
			}
			what := fmt.Sprintf("%d lines by %s at %s %%", row.lines, row.by, percent)
			like(t, what, deliver(t, smtp, m), row.want)
			if want := map[bool]int{true: 1}[row.want == "250 "]; s.store.Copies(m.id) != want {
				t.Errorf("%s: %d copies", what, s.store.Copies(m.id))
			}
		}
		m := plainMail("loop-lmtp"+percent, "a@example.jp", "b@example.jp")
		m.content = append([]byte(strings.Repeat("Received: by x.example; Mon, 2 Nov 2026 00:00:00 +0900\r\n", 60)), m.content...)
		c := connect(t, lmtp)
		c.greet("LHLO app.goo.ne.jp")
		got := c.send(m, true)
		if len(got.dot) != 2 {
			t.Fatalf("over LMTP: %+v", got)
		}
		for _, r := range got.dot {
			like(t, "over LMTP", r, `554 5\.4\.6 `)
		}
		s.relay.stop(t, 20*time.Second) // the port of LMTP is used again
	}
}
