package e2e

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"
)

// exchangeAll sends bytes on a new connection, says goodbye, and returns every
// byte of the answer.
func exchangeAll(t *testing.T, addr, wire string) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	conn.Write([]byte(wire))
	conn.(*net.TCPConn).CloseWrite()
	var answer bytes.Buffer
	answer.ReadFrom(conn) // a reset behind the last reply ends it, too
	return answer.String()
}

// cleanCommand is what may leave towards Cuenote as a command.
var cleanCommand = regexp.MustCompile(`^(EHLO|HELO) [\x21-\x7e]+$|^MAIL FROM:<[^\r\n\x00-\x1f\x7f]*>( SIZE=[0-9]+| BODY=8BITMIME| SMTPUTF8)*$|^RCPT TO:<[^\r\n\x00-\x1f\x7f]+>$|^(DATA|RSET|QUIT|NOOP)$`)

func (p *tap) checkCommands(t *testing.T) {
	t.Helper()
	for _, wire := range p.sent() {
		for _, c := range commandsOf(wire, false) {
			if !cleanCommand.MatchString(c) {
				t.Errorf("left towards Cuenote: %q", c)
			}
		}
	}
}

// TestControlBytes puts every byte that is no printable ASCII, and some that
// are, into every argument. None becomes a command at Cuenote, none comes back
// in a reply, and the relay goes on.
func TestControlBytes(t *testing.T) {
	t.Parallel()
	s, p := newTappedStage(t, relayOptions{plain: true})
	for b := range 256 {
		x := string([]byte{byte(b)})
		for i, commands := range []string{
			"EHLO a" + x + "b\r\nMAIL FROM:<news@goo.ne.jp>\r\n",
			"EHLO app\r\nMAIL FROM:<ne" + x + "ws@goo.ne.jp>\r\nRCPT TO:<a@example.jp>\r\n",
			"EHLO app\r\nMAIL FROM:<news@goo" + x + "ne.jp>\r\nRCPT TO:<a@example.jp>\r\n",
			"EHLO app\r\nMAIL FROM:<news@goo.ne.jp>" + x + "\r\nRCPT TO:<a@example.jp>\r\n",
			"EHLO app\r\nMAIL FROM:<news@goo.ne.jp>\r\nRCPT TO:<a" + x + "@example.jp>\r\n",
			"EHLO app\r\nMAIL FROM:<news@goo.ne.jp>\r\nRCPT TO:<a@example" + x + ".jp>\r\n",
			"EHLO app\r\nMAIL FROM:<news@goo.ne.jp>\r\nRCPT TO:<\"a" + x + "\"@example.jp>\r\n",
			"EHLO app\r\nMAIL FROM:<news@goo.ne.jp>\r\nRCPT TO:<a@example.jp> " + x + "\r\n",
			"EHLO app\r\nNO" + x + "OP\r\n", x + "EHLO app\r\n",
		} {
			answer := exchangeAll(t, s.relay.smtp, commands+"NOOP\r\nQUIT\r\n")
			for line := range strings.SplitAfterSeq(answer, "\r\n") {
				if line != "" && !replyLine.MatchString(line) {
					t.Errorf("byte %#x, place %d: no SMTP reply: %q", b, i, line)
				}
			}
		}
	}
	like(t, "mail afterwards", deliver(t, s.relay.smtp, plainMail("after-control")), "250 ")
	p.checkWire(t)
	p.checkCommands(t)
}

// TestAddressTricks has addresses that are commands when somebody takes their
// quoting off, and parameters that are other than they seem.
func TestAddressTricks(t *testing.T) {
	t.Parallel()
	s, p := newTappedStage(t, relayOptions{plain: true})
	for i, path := range []string{
		`<"v@evil> NOTIFY=NEVER "@example.jp>`, `<"a\r\nRCPT TO:<victim@example.jp>"@example.jp>`, `<"x> SIZE=1 "@example.jp>`, `<"a b"@example.jp>`,
		`<"\""@example.jp>`, `<"\\"@example.jp>`, `<@evil.jp,@b.jp:a@example.jp>`, `<a@b@example.jp>`, `<a@example.jp>>`, `<<a@example.jp>`, `<a@example.jp> RCPT TO:<victim@example.jp>`,
		`<a@example.jp,victim@example.jp>`, `<a@example.jp><victim@example.jp>`, `<a%victim@example.jp>`, `<a!b@example.jp>`, `<a@[127.0.0.1]>`, `<a@[IPv6:::1]>`, `<a@[x> y]>`,
		`<>`, `< >`, `<a@example.jp `, `a@example.jp`, `<"a"@example.jp>x`, `<a@example.jp>` + "\t" + `X=Y`, `<a@example.jp>  NOTIFY=NEVER`, `<a@xn--.jp>`,
	} {
		c := dial(t, s.relay.smtp)
		c.want("250", c.do("MAIL FROM:<news@goo.ne.jp>"))
		if r := c.do("RCPT TO:%s", path); strings.HasPrefix(r, "250") {
			c.want("354", c.do("DATA"))
			c.write(string(plainMail(fmt.Sprintf("trick%d", i)).content) + ".\r\n")
			like(t, path, c.read(), "250 ")
		} else {
			like(t, path, r, "5(01|53|55|04|50) ")
		}
		c.conn.Close()
	}
	for _, r := range s.store.All() {
		if len(r.To) != 1 {
			t.Errorf("one recipient became %q", r.To)
		}
	}
	p.checkCommands(t)
	for _, wire := range p.sent() {
		for _, c := range commandsOf(wire, true) {
			if strings.HasPrefix(c, "RCPT TO:<victim") {
				t.Errorf("an address became a command: %q", c)
			}
		}
	}
}

// TestParameters: what was not offered is refused, what was offered is taken,
// in any case and order, and nothing is passed on that Cuenote does not offer.
func TestParameters(t *testing.T) {
	t.Parallel()
	s, p := newTappedStage(t, relayOptions{plain: true})
	for _, row := range []struct{ command, want string }{
		{"MAIL FROM:<news@goo.ne.jp> SIZE=0", "250"}, {"MAIL FROM:<news@goo.ne.jp> size=100 body=8bitmime", "250"}, {"mail from: <news@goo.ne.jp>", "250"},
		{"MAIL FROM:<news@goo.ne.jp> BODY=7BIT SMTPUTF8", "250"}, {"MAIL FROM:<> SIZE=10", "250"},
		{"MAIL FROM:<news@goo.ne.jp> SIZE=-1", "501"}, {"MAIL FROM:<news@goo.ne.jp> SIZE=", "501"}, {"MAIL FROM:<news@goo.ne.jp> SIZE", "501"},
		{"MAIL FROM:<news@goo.ne.jp> SIZE=99999999999999999999", "552"}, {"MAIL FROM:<news@goo.ne.jp> SIZE=41943041", "552"},
		{"MAIL FROM:<news@goo.ne.jp> BODY=BINARYMIME", "5"}, {"MAIL FROM:<news@goo.ne.jp> BODY=", "5"}, {"MAIL FROM:<news@goo.ne.jp> REQUIRETLS", "5"},
		{"MAIL FROM:<news@goo.ne.jp> RET=HDRS ENVID=x", "5"}, {"MAIL FROM:<news@goo.ne.jp> AUTH=<>", "250"}, {"MAIL FROM:<news@goo.ne.jp> XYZZY", "555"}, {"MAIL FROM:<news@goo.ne.jp> =", "5"},
		{"MAIL FROM:<news@goo.ne.jp> MT-PRIORITY=9", "555"}, {"MAIL FROM:<news@goo.ne.jp> HOLDFOR=99", "555"}, {"MAIL FROM:<news@goo.ne.jp> BY=1;R", "5"},
		{"MAIL FROM <news@goo.ne.jp>", "5"}, {"MAIL TO:<news@goo.ne.jp>", "5"}, {"MAIL", "5"}, {"MAIL FROM:", "5"}, {"SEND FROM:<news@goo.ne.jp>", "500"}, {"SAML FROM:<news@goo.ne.jp>", "500"},
		{"XCLIENT ADDR=127.0.0.1", "500"}, {"XFORWARD ADDR=127.0.0.1", "500"}, {"PROXY TCP4 127.0.0.1 127.0.0.1 1 2", "500"}, {"ETRN goo.ne.jp", "500"}, {"TURN", "500"}, {"DEBUG", "500"}, {"WIZ", "500"},
		{"MAIL FROM:<news@goo.ne.jp>" + strings.Repeat(" SIZE=1", 200), "5|250"},
	} {
		c := dial(t, s.relay.smtp)
		r := c.do("%s", row.command)
		like(t, row.command, r, row.want)
		if strings.HasPrefix(r, "250") {
			like(t, "nested: "+row.command, c.do("MAIL FROM:<evil@goo.ne.jp>"), `503 5\.5\.1 `)
			like(t, "RCPT behind it", c.do("RCPT TO:<p@example.jp> NOTIFY=NEVER"), `5`)
			like(t, "RCPT behind it", c.do("RCPT TO:<p@example.jp> ORCPT=rfc822;victim@example.jp"), `5`)
			like(t, "RCPT behind it", c.do("RCPT TO:<p@example.jp>"), `250 `)
			like(t, "nested behind RCPT", c.do("MAIL FROM:<evil@goo.ne.jp>"), `503 5\.5\.1 `)
		}
		c.conn.Close()
	}
	p.checkCommands(t)
	for _, wire := range p.sent() {
		if strings.Contains(wire, "evil") {
			t.Errorf("a nested MAIL reached Cuenote: %q", wire)
		}
	}
}

// TestNestedMAIL: the recipients of one transaction never reach the next.
func TestNestedMAIL(t *testing.T) {
	t.Parallel()
	s := newStage(t, relayOptions{plain: true})
	m := plainMail("nested", "second@example.jp")
	c := dial(t, s.relay.smtp)
	c.write("MAIL FROM:<a@goo.ne.jp>\r\nRCPT TO:<first@example.jp>\r\nMAIL FROM:<b@goo.ne.jp>\r\nRSET\r\nMAIL FROM:<news@goo.ne.jp>\r\nRCPT TO:<second@example.jp>\r\nEHLO again\r\n" +
		"MAIL FROM:<news@goo.ne.jp>\r\nRCPT TO:<second@example.jp>\r\nDATA\r\n")
	for _, want := range []string{"250", "250", "503", "250", "250", "250", "250", "250", "250", "354"} {
		c.want(want, c.read())
	}
	c.write(string(m.content) + ".\r\n")
	c.want("250", c.read())
	if got := s.store.All(); len(got) != 1 || strings.Join(got[0].To, ",") != "second@example.jp" || got[0].From != "news@goo.ne.jp" {
		t.Errorf("arrived: %+v", got)
	}
}

// TestLongLines: whatever is too long is refused or hung up on, never cut into
// commands, and costs nobody else anything.
func TestLongLines(t *testing.T) {
	t.Parallel()
	s, p := newTappedStage(t, relayOptions{plain: true})
	s.mayAbort = true // the header without end is found after Cuenote's 354
	long := func(n int) string { return strings.Repeat("a", n) }
	for _, wire := range []string{
		long(1 << 20), long(1<<20) + "\r\n" + evilDialogue, "EHLO " + long(2040) + "\r\n", "EHLO " + long(5000) + "\r\nMAIL FROM:<evil@goo.ne.jp>\r\n",
		"EHLO app\r\nMAIL FROM:<" + long(3000) + "@goo.ne.jp>\r\nMAIL FROM:<evil@goo.ne.jp>\r\n", "EHLO app\r\nAUTH PLAIN " + long(20000) + "\r\nMAIL FROM:<evil@goo.ne.jp>\r\n",
		"EHLO app\r\nMAIL FROM:<news@goo.ne.jp>\r\nRCPT TO:<" + long(257) + "@example.jp>\r\n", "EHLO app\r\nMAIL FROM:<news@goo.ne.jp>\r\nRCPT TO:<a@" + long(256) + ">\r\n",
		"EHLO app\r\nNOOP " + long(2041) + "\r\n", "EHLO app\r\n" + strings.Repeat("NOOP\r\n", 3000), long(2047) + "\r" + "\nMAIL FROM:<evil@goo.ne.jp>\r\n",
	} {
		answer := exchangeAll(t, s.relay.smtp, wire)
		for line := range strings.SplitAfterSeq(answer, "\r\n") {
			if line != "" && !replyLine.MatchString(line) {
				t.Errorf("%.60q: no SMTP reply: %q", wire, line)
			}
		}
	}
	// Lines of a message may be long: they pass unchanged.
	for i, n := range []int{998, 999, 2047, 2048, 2049, 12288, 70_000, 1 << 20} {
		m := plainMail(fmt.Sprintf("longline%d", i))
		m.content = append(m.content, long(n)+"\r\n"...)
		like(t, fmt.Sprintf("a line of %d", n), deliver(t, s.relay.smtp, m), "250 ")
		if got := s.store.ByHeader("X-Test-Id", m.id); len(got) != 1 || !strings.HasSuffix(string(got[0].Raw), m.own()) {
			t.Errorf("a line of %d: %d copies, or changed", n, len(got))
		}
	}
	// A header section without end is refused, and not kept in memory.
	m := plainMail("header")
	head, _, _ := strings.Cut(string(m.content), "\r\n\r\n")
	m.content = []byte(head + "\r\n" + strings.Repeat("X-Filler: "+long(900)+"\r\n", 3000) + "\r\nbody\r\n")
	like(t, "a header of 2.7 MB", deliver(t, s.relay.smtp, m), "55[0-9] ")
	p.checkCommands(t)
}

// TestEarlyTalkers: commands before the greeting are never carried out, in
// plaintext behind a PROXY header nor inside implicit TLS.
func TestEarlyTalkers(t *testing.T) {
	t.Parallel()
	direct, behind, implicit := freePort(t), freePort(t), freePort(t)
	dir := t.TempDir()
	certificate(t, dir+"/cert.pem", dir+"/key.pem")
	s := newStage(t, relayOptions{smtp: direct, plain: true, set: settings{
		"listeners":            "[" + strings.Join([]string{listener(direct), listener(behind, "proxy_protocol_from: [127.0.0.0/8]"), listener(implicit, "tls: implicit")}, ", ") + "]",
		"tls.certificate_file": dir + "/cert.pem", "tls.key_file": dir + "/key.pem", "access.networks": "[127.0.0.0/8, 192.0.2.0/24]",
	}})
	early := "EHLO app\r\nMAIL FROM:<evil@goo.ne.jp>\r\nRCPT TO:<victim@example.jp>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n"
	for range 20 {
		like(t, "behind a PROXY header", exchangeAll(t, behind, "PROXY TCP4 192.0.2.1 192.0.2.200 1234 25\r\n"+early), `554 5\.5\.0 Commands before the greeting\r\n$`)
	}
	for range 20 {
		conn, err := tls.Dial("tcp", implicit, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(patience))
		if _, err := conn.Write([]byte(early)); err != nil {
			t.Fatal(err)
		}
		var answer bytes.Buffer
		answer.ReadFrom(conn)
		conn.Close()
		if a := answer.String(); !strings.HasPrefix(a, "554 5.5.0 ") && !strings.HasPrefix(a, "220 ") { // the greeting may overtake
			t.Errorf("inside TLS: %q", a)
		}
	}
	// In plaintext it is a race with the greeting: refused, or an orderly session.
	for i := range 20 {
		answer := exchangeAll(t, direct, strings.ReplaceAll(early, "victim", fmt.Sprint("race", i)))
		if !strings.HasPrefix(answer, "554 5.5.0 ") && !strings.HasPrefix(answer, "220 ") {
			t.Errorf("early: %q", answer)
		}
	}
	for _, r := range s.store.All() {
		if strings.HasPrefix(r.To[0], "victim") && r.Header("Received") == "" {
			t.Errorf("carried out: %+v", r)
		}
	}
}

// TestSTARTTLSInjection: plaintext that comes with STARTTLS, before or behind
// our 220, is never part of what was said inside TLS; and what was said before
// is forgotten.
func TestSTARTTLSInjection(t *testing.T) {
	t.Parallel()
	s := newTLSStage(t)
	for _, injected := range []string{"MAIL FROM:<evil@goo.ne.jp>\r\n", "RSET\r\n", "N", "\r\n", "AUTH PLAIN AGEAYg==\r\n"} {
		c := dial(t, s.starttls)
		c.write("STARTTLS\r\n" + injected)
		like(t, fmt.Sprintf("one packet with %q", injected), c.read(), `554 5\.5\.0 `)
		like(t, "then", c.read(), "closed|lost")

		c = dial(t, s.starttls)
		c.want("220", c.do("STARTTLS"))
		c.write(injected) // an attacker on the way puts it before the ClientHello
		tc := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
		c.conn.SetDeadline(time.Now().Add(patience))
		if err := tc.Handshake(); err == nil {
			t.Errorf("the handshake went through behind %q", injected)
		}
	}
	// EHLO, MAIL and AUTH of the time before do not count inside TLS.
	c := dial(t, s.starttls)
	like(t, "AUTH in the clear", c.do("AUTH PLAIN AGFwcABjb3JyZWN0IGhvcnNl"), `5(23|38) `)
	c.startTLS()
	like(t, "MAIL without a new EHLO", c.do("MAIL FROM:<news@goo.ne.jp>"), `503 `)
	c.want("250", c.do("EHLO app"))
	like(t, "MAIL without AUTH", c.do("MAIL FROM:<news@goo.ne.jp>"), `530 5\.7\.0 `)
	like(t, "STARTTLS again", c.do("STARTTLS"), `503 `)
	// Inside a transaction STARTTLS is refused and changes nothing.
	if n := s.store.Count(); n != 0 {
		t.Errorf("%d mails arrived", n)
	}
}
