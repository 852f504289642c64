package console

import (
	"fmt"
	"net"
	"net/textproto"
	"sync/atomic"
	"testing"
	"time"
)

// sent counts the mails of all tests: no two are the same, or the second would
// be taken for a retry.
var sent atomic.Int64

// send keeps mail coming, as Postfix does it, until the test ends: about rate a
// second over one connection. What the relay defers is not sent again.
func (r *instance) send(t *testing.T, rate int) {
	t.Helper()
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := newClient(r.smtp)
			for err == nil {
				select {
				case <-done:
					c.Close()
					return
				case <-time.After(time.Second / time.Duration(rate)):
				}
				err = c.mail(int(sent.Add(1)))
			}
			select {
			case <-done:
				return
			case <-time.After(200 * time.Millisecond): // the relay is away
			}
		}
	}()
	t.Cleanup(func() { close(done); <-ended })
}

// client speaks SMTP and ASCII. The standard library's asks for SMTPUTF8
// wherever it is offered, and such mail never goes to SES.
type client struct{ *textproto.Conn }

func newClient(address string) (*client, error) {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	c := &client{textproto.NewConn(conn)}
	if _, _, err = c.ReadResponse(220); err == nil {
		err = c.say(250, "EHLO mx-3.goo.ne.jp")
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// say gives one command. code is what has to be answered; 0: anything.
func (c *client) say(code int, format string, args ...any) error {
	if err := c.PrintfLine(format, args...); err != nil {
		return err
	}
	_, _, err := c.ReadResponse(code)
	return err
}

// mail sends one, of which the error is that of the connection alone.
func (c *client) mail(n int) error {
	if err := c.say(250, "MAIL FROM:<news-%d@goo.ne.jp>", n%40); err != nil {
		return err
	}
	if c.say(250, "RCPT TO:<user%d@example.jp>", n) != nil || c.say(354, "DATA") != nil {
		return c.say(250, "RSET")
	}
	text := fmt.Sprintf("Received: from web-1.goo.ne.jp (web-1.goo.ne.jp [192.0.2.1])\r\n\tby mx-3.goo.ne.jp (Postfix) with ESMTP id 4fWk%05[1]X;\r\n\t%[2]s\r\n"+
		"From: news-%[3]d@goo.ne.jp\r\nTo: user%[1]d@example.jp\r\nSubject: Hello\r\nDate: %[2]s\r\nMessage-ID: <%[1]d@mx-3.goo.ne.jp>\r\n\r\nHello.\r\n", n, time.Now().Format(time.RFC1123Z), n%40)
	return c.say(0, "%s.", text)
}
