package e2e

import (
	"fmt"
	"strings"
	"testing"

	"sesrelay/internal/simulator"
)

// edges are mails at the edge of what SMTP allows.
var edges = []struct {
	name, from string // behind "MAIL FROM:"
	to         []string
	body       string
	refused    string   // a reply to MAIL or RCPT that ends it; "": the mail arrives
	arrives    []string // the recipients; nil: as they are given
	ses        bool     // it is for SES where all mail is
}{
	{name: "no byte", to: []string{"<zero@example.jp>"}},
	{name: "an empty line", to: []string{"<line@example.jp>"}, body: "\r\n"},
	{name: "a header section without end", to: []string{"<open@example.jp>"}, body: "From: <news@goo.ne.jp>\r\nSubject: x\r\n", ses: true},
	{name: "a header section and its end", to: []string{"<head@example.jp>"}, body: "From: <news@goo.ne.jp>\r\nSubject: x\r\n\r\n", ses: true},
	{name: "no header section", to: []string{"<none@example.jp>"}, body: "hello\r\n"},
	{name: "a body that begins folded", to: []string{"<fold@example.jp>"}, body: " x\r\nFrom: <news@goo.ne.jp>\r\n\r\nhello\r\n", ses: true},
	{name: "a recipient twice", to: []string{"<a@example.jp>", "<b@example.jp>", "<a@example.jp>"}, ses: true},
	{name: "the null sender", from: "<>", to: []string{"<a@example.jp>", "<b@example.jp>", "<c@example.jp>"}},
	{name: "more than SIZE says", from: "<news@goo.ne.jp> SIZE=1", to: []string{"<a@example.jp>"}, ses: true},
	{name: lie, from: "<news@goo.ne.jp> SIZE=1", to: []string{"<a@example.jp>"}, body: "From: <news@goo.ne.jp>\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 3000), ses: true},
	{name: "less than SIZE says", from: "<news@goo.ne.jp> SIZE=20000000", to: []string{"<a@example.jp>"}, ses: true},
	{name: "SIZE with zeros", from: "<news@goo.ne.jp> SIZE=00000000000000000005", to: []string{"<a@example.jp>"}, ses: true},
	{name: "SIZE with a sign", from: "<news@goo.ne.jp> SIZE=+5", refused: "501 "},
	{name: "SIZE in hexadecimal", from: "<news@goo.ne.jp> SIZE=0x5", refused: "501 "},
	{name: "SIZE of 2^63", from: "<news@goo.ne.jp> SIZE=9223372036854775808", refused: "552 "},
	{name: "BINARYMIME", from: "<news@goo.ne.jp> BODY=BINARYMIME", refused: "504 "},
	{name: "SMTPUTF8 for nothing", from: "<news@goo.ne.jp> SMTPUTF8", to: []string{"<a@example.jp>"}},
	{name: "a sender without SMTPUTF8", from: "<山@goo.ne.jp>", refused: "553 5.6.7 "},
	{name: "a recipient without SMTPUTF8", to: []string{"<山@example.jp>"}, refused: "553 5.6.7 "},
	{name: "a U-label without SMTPUTF8", to: []string{"<a@例.jp>"}, refused: "553 5.6.7 "},
	{name: "a U-label", from: "<news@goo.ne.jp> SMTPUTF8", to: []string{"<a@例.jp>"}},
	{name: "an A-label", to: []string{"<a@xn--fsq.jp>"}, ses: true},
	{name: "a blank in quotes", to: []string{`<"a b"@example.jp>`}},
	{name: "a bracket in quotes", to: []string{`<"a>b"@example.jp>`}},
	{name: "a backslash and a quote in quotes", to: []string{`<"a\\\"b"@example.jp>`}},
	{name: "a source route", to: []string{"<@a.jp,@b.jp:a@example.jp>"}, arrives: []string{"<a@example.jp>"}, ses: true},
	{name: "an address literal", to: []string{"<a@[192.0.2.1]>"}},
	{name: "a dot behind the domain", to: []string{"<a@example.jp.>"}},
	{name: "dots that no Dot-string has", to: []string{"<a..b.@example.jp>"}},
	{name: "one recipient more than SES takes", to: manyRecipients(51)},
	{name: "as many recipients as are taken", to: manyRecipients(1000)},
}

// lie is told to SES only: Cuenote hears the client's SIZE, and our own one notes what does not keep to it.
const lie = "much more than SIZE says"

func manyRecipients(n int) []string {
	to := make([]string, n)
	for i := range to {
		to[i] = fmt.Sprintf("<r%d@example.jp>", i)
	}
	return to
}

// TestEdgesOfSMTP sends each mail to a relay with all mail at Cuenote and to one
// with all mail at SES: what is answered 250 arrived once, for exactly these
// recipients and to the byte, and what is refused did not.
func TestEdgesOfSMTP(t *testing.T) {
	t.Parallel()
	for _, percent := range []string{"0", "100"} {
		t.Run(percent, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, relayOptions{plain: true, percent: percent, set: settings{"limits.recipients": "1000"}})
			for _, k := range edges {
				if k.name == lie && percent == "0" {
					continue
				}
				if k.from == "" {
					k.from = "<news@goo.ne.jp>"
				}
				if k.body == "" && k.name != "no byte" {
					k.body = "From: <news@goo.ne.jp>\r\nSubject: " + k.name + "\r\n\r\nhello\r\n"
				}
				if k.arrives == nil {
					k.arrives = k.to
				}
				before := s.store.Count()
				c := dial(t, s.relay.smtp)
				last := c.do("MAIL FROM:%s", k.from)
				for _, to := range k.to {
					if strings.HasPrefix(last, "250") {
						last = c.do("RCPT TO:%s", to)
					}
				}
				if k.refused != "" {
					like(t, k.name, last, k.refused)
					if n := s.store.Count(); n != before {
						t.Errorf("%s: %d mails arrived", k.name, n-before)
					}
					c.conn.Close()
					continue
				}
				like(t, k.name, last, "250 ")
				if len(k.to) == 1000 {
					like(t, "one more", c.do("RCPT TO:<more@example.jp>"), `452 4\.5\.3 `)
				}
				like(t, k.name+": DATA", c.do("DATA"), "354")
				c.write(k.body + ".\r\n")
				like(t, k.name+": the dot", c.read(), "250 ")
				c.conn.Close()
				if n := s.store.Count(); n != before+1 {
					t.Errorf("%s: %d mails arrived", k.name, n-before)
					continue
				}
				r := s.store.All()[before]
				want := strings.Join(k.arrives, ",")
				if atSES := r.Upstream == simulator.UpstreamSES; atSES != (k.ses && percent == "100") {
					t.Errorf("%s: at %s", k.name, r.Upstream)
				} else if atSES && k.name == "a recipient twice" {
					want = "<a@example.jp>,<b@example.jp>"
				}
				if got := "<" + strings.Join(r.To, ">,<") + ">"; got != want {
					t.Errorf("%s: it arrived for %.200s", k.name, got)
				}
				if !strings.HasSuffix(string(r.Raw), "\r\n"+k.body) {
					t.Errorf("%s: it arrived as %.300q", k.name, r.Raw)
				}
			}
			s.chunks(t)
		})
	}
}

// chunks are BDAT in odd forms: each ends the connection, and nothing arrives.
func (s *stage) chunks(t *testing.T) {
	t.Helper()
	before := s.store.Count()
	for _, chunk := range []string{
		"BDAT +5 LAST\r\nabcde", "BDAT 007 LAST\r\nabcdefg", "BDAT 9223372036854775808\r\n", "BDAT -9223372036854775808 LAST\r\n", "BDAT 10\r\nabcRSET\r\nQUIT\r\n",
		"BDAT 4294967296\r\n", "BDAT 5 LAST LAST\r\nabcde", "BDAT LAST\r\n", "BDAT 0\r\n",
	} {
		c := dial(t, s.relay.smtp)
		c.write("MAIL FROM:<news@goo.ne.jp>\r\nRCPT TO:<a@example.jp>\r\n" + chunk)
		for _, want := range []string{"250 ", "250 ", `502 5\.5\.1 `, "closed|lost"} {
			like(t, chunk, c.read(), want)
		}
	}
	if n := s.store.Count(); n != before {
		t.Errorf("%d mails arrived by BDAT", n-before)
	}
}
