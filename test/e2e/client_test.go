package e2e

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"
)

// client is a strict SMTP and LMTP client on a raw socket. It pipelines as
// Postfix does (MAIL, every RCPT and DATA in one packet), reads every reply,
// and fails the test for a reply that is not in the form of RFC 5321 4.2.
type client struct {
	t    *testing.T
	conn net.Conn
	br   *bufio.Reader
}

// patience bounds the wait for one reply.
const patience = 60 * time.Second

// dial connects and greets.
func dial(t *testing.T, addr string) *client {
	t.Helper()
	c := connect(t, addr)
	c.greet("EHLO app.goo.ne.jp")
	return c
}

// connect opens the connection only.
func connect(t *testing.T, addr string) *client {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return speak(t, conn)
}

// speak makes a client of a connection.
func speak(t *testing.T, conn net.Conn) *client {
	t.Cleanup(func() { conn.Close() })
	return &client{t: t, conn: conn, br: bufio.NewReader(conn)}
}

// greet reads the greeting and says hello; it returns the reply to hello.
func (c *client) greet(hello string) string {
	c.t.Helper()
	c.want("220", c.read())
	r := c.do("%s", hello)
	c.want("250", r)
	return r
}

// startTLS upgrades the connection. The certificate is not verified.
func (c *client) startTLS() tls.ConnectionState {
	c.t.Helper()
	c.want("220", c.do("STARTTLS"))
	tc := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
	if err := tc.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	c.conn, c.br = tc, bufio.NewReader(tc)
	return tc.ConnectionState()
}

// write sends bytes as they are.
func (c *client) write(s string) error {
	c.conn.SetWriteDeadline(time.Now().Add(patience))
	_, err := c.conn.Write([]byte(s))
	return err
}

// do sends one command and returns the reply.
func (c *client) do(format string, args ...any) string {
	c.t.Helper()
	if err := c.write(fmt.Sprintf(format, args...) + "\r\n"); err != nil {
		return "write: " + err.Error()
	}
	return c.read()
}

var replyLine = regexp.MustCompile(`^([245][0-9][0-9]|354|334)([ -])(([245])\.[0-9]{1,3}\.[0-9]{1,3} )?[\x20-\x7e]*\r\n$`)

// read returns the next reply, lines joined by "\n", without CRLF. When the
// connection ended instead it returns "closed"; with another error "lost: ...".
func (c *client) read() string {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(patience))
	var lines []string
	for {
		line, err := c.br.ReadString('\n')
		if err != nil {
			if line == "" && len(lines) == 0 && (errors.Is(err, net.ErrClosed) || err.Error() == "EOF") {
				return "closed"
			}
			return "lost: " + err.Error() + " after " + strings.Join(append(lines, line), "\n")
		}
		m := replyLine.FindStringSubmatch(line)
		switch {
		case m == nil || len(line) > 512:
			c.t.Errorf("no SMTP reply: %q", line)
			return line
		case m[4] != "" && m[4] != m[1][:1]:
			c.t.Errorf("the enhanced code contradicts the reply code: %q", line)
		case len(lines) > 0 && lines[0][:3] != m[1]:
			c.t.Errorf("one reply with two codes: %q and %q", lines[0], line)
		}
		lines = append(lines, strings.TrimRight(line, "\r\n"))
		if m[2] == " " {
			return strings.Join(lines, "\n")
		}
	}
}

// want fails the test when a reply does not begin with prefix.
func (c *client) want(prefix, reply string) {
	c.t.Helper()
	if !strings.HasPrefix(reply, prefix) {
		c.t.Fatalf("reply %q, want %s", reply, prefix)
	}
}

// sent is what a client was told about one mail.
type sent struct {
	mail string
	rcpt []string
	data string
	dot  []string // one; over LMTP one per accepted recipient
}

// final is the reply that decides about the mail: the first refusal, or the
// one to the final dot.
func (s *sent) final() string {
	for _, r := range append([]string{s.mail}, s.rcpt...) {
		if !strings.HasPrefix(r, "2") {
			return r
		}
	}
	if len(s.dot) == 0 {
		return s.data
	}
	return s.dot[0]
}

// send hands over one mail in a pipelined group. lmtp: one reply per recipient
// follows the dot.
func (c *client) send(m *corpusMail, lmtp bool) *sent {
	c.t.Helper()
	var group strings.Builder
	fmt.Fprintf(&group, "MAIL FROM:<%s> BODY=8BITMIME%s\r\n", m.from, m.parameters)
	for _, to := range m.to {
		fmt.Fprintf(&group, "RCPT TO:<%s>\r\n", to)
	}
	group.WriteString("DATA\r\n")
	s := &sent{}
	if err := c.write(group.String()); err != nil {
		s.mail = "write: " + err.Error()
		return s
	}
	s.mail = c.read()
	accepted := 0
	for range m.to {
		r := c.read()
		s.rcpt = append(s.rcpt, r)
		if strings.HasPrefix(r, "250") {
			accepted++
		}
	}
	if s.data = c.read(); !strings.HasPrefix(s.data, "354") {
		return s
	}
	if err := c.write(stuffed(m.content) + ".\r\n"); err != nil {
		s.dot = append(s.dot, "write: "+err.Error())
		return s
	}
	if !lmtp {
		accepted = 1
	}
	for range accepted {
		s.dot = append(s.dot, c.read())
	}
	return s
}

// stuffed doubles the dots (RFC 5321 section 4.5.2).
func stuffed(content []byte) string {
	s := string(content)
	if strings.HasPrefix(s, ".") {
		s = "." + s
	}
	return strings.ReplaceAll(s, "\r\n.", "\r\n..")
}

// deliver sends one mail on a connection of its own and returns the deciding reply.
func deliver(t *testing.T, addr string, m *corpusMail) string {
	t.Helper()
	c := dial(t, addr)
	defer c.conn.Close()
	r := c.send(m, false).final()
	if !strings.HasPrefix(r, "421") && !strings.HasPrefix(r, "closed") {
		c.want("2", c.do("QUIT"))
	}
	return r
}

// plainMail is a small mail with the headers that Postfix would have added.
func plainMail(id string, to ...string) *corpusMail {
	if len(to) == 0 {
		to = []string{id + "@example.jp"}
	}
	return letter(id, "news@goo.ne.jp", to, "Hello.\r\n")
}

// letter is a mail with the headers that Postfix would have added.
func letter(id, from string, to []string, body string) *corpusMail {
	return &corpusMail{id: id, from: from, to: to, content: fmt.Appendf(nil,
		"Received: from app.goo.ne.jp (app.goo.ne.jp [192.0.2.1])\r\n\tby mx1.goo.ne.jp (Postfix) with ESMTP id 4F%s\r\n\tfor <x@example.jp>; %s\r\n"+
			"From: <%s>\r\nTo: <%s>\r\nSubject: test\r\nMessage-ID: <%s@goo.ne.jp>\r\nX-Test-Id: %s\r\n\r\n%s",
		id, time.Now().Format(time.RFC1123Z), from, to[0], id, id, body)}
}
