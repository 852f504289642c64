package e2e

import (
	"fmt"
	"strings"
	"testing"

	"sesrelay/internal/simulator"
)

// lineEnds are what may stand before and behind a dot on the wire.
var lineEnds = []string{"\r\n", "\n", "\r", "\r\r\n", "\n\r\n", "\r\n\r", "\n\n", "\r\r", "\n\r", "\r\x00\n", "\x00\r\n", "\r\n\x00", ""}

// TestSmuggling sends every pair of line ends around a dot, with a second
// dialogue behind it. What reaches Cuenote is one well-formed mail or none:
// never a second one, and never a byte that some other server could take for
// the end of the first.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	for _, percent := range []string{"0", "100"} {
		t.Run(percent, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, relayOptions{percent: percent})
			s.mayAbort = true // a fault of the line ends is found after Cuenote's 354
			for i, before := range lineEnds {
				for j, after := range lineEnds {
					if before == "\r\n" && after == "\r\n" {
						continue // the true end: what follows is a second dialogue by right
					}
					s.smuggle(t, fmt.Sprintf("sm%d-%d", i, j), before+"."+after)
				}
			}
			for _, r := range s.store.All() {
				if strings.Contains(strings.Join(r.To, ","), "victim") {
					t.Errorf("smuggled: to %v at %s", r.To, r.Upstream)
				}
			}
		})
	}
}

const evilDialogue = "MAIL FROM:<evil@goo.ne.jp>\r\nRCPT TO:<victim@example.jp>\r\nDATA\r\nSubject: smuggled\r\n\r\nevil\r\n"

func (s *stage) smuggle(t *testing.T, id, middle string) {
	t.Helper()
	m := plainMail(id)
	content := string(m.content) + "before" + middle + evilDialogue
	if strings.Contains(content, "\r\n.\r\n") {
		return // holds the true end
	}
	c := dial(t, s.relay.smtp)
	defer c.conn.Close()
	c.want("250", c.do("MAIL FROM:<news@goo.ne.jp>"))
	c.want("250", c.do("RCPT TO:<%s>", m.to[0]))
	c.want("354", c.do("DATA"))
	c.write(content + "\r\n.\r\n")
	reply := c.read()
	got := s.store.ByHeader("X-Test-Id", id)
	if bare(content) {
		like(t, fmt.Sprintf("%q", middle), reply, `554 5\.6\.0 `)
		if len(got) != 0 {
			t.Errorf("%q: refused and arrived", middle)
		}
	} else {
		like(t, fmt.Sprintf("%q", middle), reply, "250 ")
		if len(got) != 1 {
			t.Errorf("%q: %d mails arrived", middle, len(got))
		} else if !strings.HasSuffix(string(got[0].Raw), strings.ReplaceAll(content, "\r\n.", "\r\n")+"\r\n") {
			t.Errorf("%q: the content changed", middle)
		}
	}
	// The whole of it was content: nothing of it was answered as a command.
	like(t, fmt.Sprintf("behind %q", middle), c.do("NOOP"), `250 `)
}

// bare reports a CR or LF that is no CRLF, or a NUL.
func bare(s string) bool {
	return strings.ContainsAny(strings.ReplaceAll(s, "\r\n", ""), "\r\n\x00")
}

// TestSmugglingInPieces cuts the end of data at every byte, so that no reader
// sees it whole.
func TestSmugglingInPieces(t *testing.T) {
	t.Parallel()
	s := newStage(t, relayOptions{plain: true})
	for cut := range 6 {
		m := plainMail(fmt.Sprintf("piece%d", cut))
		c := dial(t, s.relay.smtp)
		c.want("250", c.do("MAIL FROM:<news@goo.ne.jp>"))
		c.want("250", c.do("RCPT TO:<%s>", m.to[0]))
		c.want("354", c.do("DATA"))
		end := "\r\n.\r\n" + "RSET\r\n"
		body := strings.TrimSuffix(string(m.content), "\r\n")
		c.write(body + end[:cut])
		c.write(end[cut:])
		like(t, fmt.Sprintf("cut %d", cut), c.read(), "250 2.0.0")
		like(t, fmt.Sprintf("RSET behind cut %d", cut), c.read(), "250 ")
		s.check(t, m, 0, 1)
	}
}

// TestSESHeaders tries to bring X-SES-* fields past the relay.
func TestSESHeaders(t *testing.T) {
	t.Parallel()
	tricks := map[string]string{
		"plain":      "X-SES-CONFIGURATION-SET: evil\r\n",
		"case":       "x-Ses-configuration-set: evil\r\nX-SES-SOURCE-ARN: evil\r\n",
		"folded":     "X-SES-CONFIGURATION-SET:\r\n evil\r\n\tevil\r\n",
		"blank":      "X-SES-CONFIGURATION-SET : evil\r\nX-SES-CONFIGURATION-SET\t: evil\r\n",
		"twice":      "X-SES-CONFIGURATION-SET: evil\r\nX-SES-CONFIGURATION-SET: evil2\r\n",
		"tags":       "X-SES-MESSAGE-TAGS: a=b, c=d\r\n",
		"list":       "X-SES-LIST-MANAGEMENT-OPTIONS: evil\r\nX-SES-TENANT: evil\r\nX-SES-: evil\r\n",
		"folded-in":  "X-Harmless: a\r\n X-SES-CONFIGURATION-SET: stays\r\n",
		"lookalike":  "X-SESSION: stays\r\nY-X-SES-CONFIGURATION-SET: stays\r\n",
		"long":       "X-SES-CONFIGURATION-SET: " + strings.Repeat("e", 900) + "\r\n",
		"empty-name": "X-SES-CONFIGURATION-SET:\r\n",
	}
	for _, percent := range []string{"0", "100"} {
		t.Run(percent, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, relayOptions{percent: percent, plain: true})
			for name, trick := range tricks {
				m := plainMail("header-" + name)
				body := "X-SES-CONFIGURATION-SET: a body line stays\r\n"
				m.content = []byte(strings.Replace(string(m.content), "Subject: test\r\n\r\n", "", 1))
				head, _, _ := strings.Cut(string(m.content), "\r\n\r\n")
				m.content = []byte(head + "\r\n" + trick + "Subject: end\r\n\r\n" + body)
				like(t, name, deliver(t, s.relay.smtp, m), "250 ")
				got := s.store.ByHeader("X-Test-Id", m.id)
				if len(got) != 1 {
					t.Fatalf("%s: %d mails arrived", name, len(got))
				}
				checkSESHeaders(t, name, &got[0], m, body)
			}
		})
	}
}

func checkSESHeaders(t *testing.T, name string, r *simulator.Record, m *corpusMail, body string) {
	t.Helper()
	head, rest, _ := strings.Cut(string(r.Raw), "\r\n\r\n")
	if rest != body {
		t.Errorf("%s: the body is %q", name, rest)
	}
	if strings.Contains(strings.ToLower(head), "evil") {
		t.Errorf("%s: something came through to %s: %q", name, r.Upstream, head)
	}
	if strings.Count(head, "stays") != strings.Count(string(m.content), "stays")-1 {
		t.Errorf("%s: too much was removed: %q", name, head)
	}
	sets := r.Headers("X-SES-CONFIGURATION-SET")
	if r.Upstream == simulator.UpstreamCuenote {
		if len(sets) != 0 {
			t.Errorf("%s: Cuenote got %q", name, sets)
		}
		return
	}
	if len(sets) != 1 || sets[0] != configurationSet || r.SES.ConfigurationSet != configurationSet || r.SES.FromEmailAddress != "" {
		t.Errorf("%s: SES got %q, parameter %q, FromEmailAddress %q", name, sets, r.SES.ConfigurationSet, r.SES.FromEmailAddress)
	}
	if len(r.Headers("X-SES-MESSAGE-TAGS")) != 0 || r.SES.Tags["a"] != "" {
		t.Errorf("%s: the client's tags came through: %v", name, r.SES.Tags)
	}
}
