package ses

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sesrelay/internal/relay"
)

// TestErrorCodeForms: the name of an exception comes in several shapes.
func TestErrorCodeForms(t *testing.T) {
	t.Parallel()
	forms := []struct{ header, body string }{
		{"SendingPausedException", `{"message":"x"}`},
		{"SendingPausedException:http://internal.amazon.com/coral/com.amazonaws.ses/", `{"message":"x"}`},
		{"com.amazonaws.sesv2#SendingPausedException", `{"Message":"x"}`},
		{"", `{"__type":"SendingPausedException","message":"x"}`},
		{"", `{"__type":"com.amazonaws.sesv2#SendingPausedException:http://x/"}`},
		{"", `{"code":"SendingPausedException","Message":"x"}`},
		{"SendingPausedException", ``},
	}
	for _, f := range forms {
		for _, sender := range senders {
			url, _ := answering(t, 400, f.header, f.body)
			_, err := send(t, newClient(t, url, sender))
			if e := refusal(t, err); e.Class != ClassPaused || !strings.Contains(e.Error(), "SendingPausedException") {
				t.Errorf("%s %q %q: %v", sender, f.header, f.body, e)
			}
		}
	}
}

// TestAcceptances: a 200 is an acceptance whatever its body is, and no byte of
// it can break the reply.
func TestAcceptances(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"MessageId":"0102018f-abc-000000"}`:              "0102018f-abc-000000",
		`{"MessageId":"a\r\nb c\u0000\u0007é\u2028d"}`:     "abcd",
		`{"MessageId":"` + strings.Repeat("x", 500) + `"}`: strings.Repeat("x", 200),
		`{"MessageId":""}`:                                 "rq-1",
		`{"MessageId":null}`:                               "rq-1",
		`{"MessageId":17}`:                                 "rq-1",
		`{}`:                                               "rq-1",
		``:                                                 "rq-1",
		`null`:                                             "rq-1",
		`[]`:                                               "rq-1",
		`{"MessageId":"x"`:                                 "rq-1",
		"<html>welcome</html>":                             "rq-1",
		`{"MessageId":"x","y":"` + strings.Repeat("y", 2*maxAnswer) + `"}`: "rq-1",
	} {
		for _, sender := range senders {
			url, posts := answering(t, 200, "", body)
			r, err := send(t, newClient(t, url, sender))
			if err != nil || r.ID != want || r.Route != relay.SES || posts.Load() != 1 {
				t.Errorf("%s %.60q: receipt %+v, error %v", sender, body, r, err)
			}
		}
	}
}

// TestHeaderSectionTooLarge: an endless header section does not fill the memory.
func TestHeaderSectionTooLarge(t *testing.T) {
	t.Parallel()
	for _, sender := range senders {
		s := newRawServer(t, func(_ *rawServer, c *rawConn) {
			c.request()
			c.write("HTTP/1.1 200 OK\r\n")
			for range 4 * maxAnswer / 1000 {
				c.write("X-Filler: " + strings.Repeat("x", 1000) + "\r\n")
			}
			c.untilGone()
		})
		_, err := send(t, newClient(t, s.url, sender))
		if e := refusal(t, err); e.Outcome != unknown || s.posts.Load() != 1 {
			t.Errorf("%s: %v", sender, e)
		}
	}
}

// TestSlowBodyOfAnswer: the status has decided; nobody waits long for the rest.
func TestSlowBodyOfAnswer(t *testing.T) {
	t.Parallel()
	for _, sender := range senders {
		s := newRawServer(t, func(s *rawServer, c *rawConn) {
			c.request()
			c.write(okAnswer[:len(okAnswer)-5])
			c.untilGone()
		})
		c := newClient(t, s.url, sender, func(cfg *Config) { cfg.Timeout = time.Minute })
		c.wire.answerWait = 20 * time.Millisecond
		if d, ok := c.sender.(*direct); ok {
			d.poster.(*pool).answerWait = c.wire.answerWait
		}
		start := time.Now()
		r, err := send(t, c)
		if err != nil || r.ID != "rq-1" || time.Since(start) > 10*time.Second {
			t.Errorf("%s: receipt %+v, error %v after %s", sender, r, err, time.Since(start))
		}
	}
}

// TestEarlyAnswer: SES may refuse before it has read the request. The content
// of the next mail must not get into what is still being written.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	const body = `{"message":"Message length is more than 1 bytes long"}`
	s := newRawServer(t, func(_ *rawServer, c *rawConn) {
		c.header()
		c.write(fmt.Sprintf("HTTP/1.1 400 X\r\nX-Amzn-Errortype: BadRequestException\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
		c.CloseWrite() //nolint:errcheck // the client may be gone
		c.untilGone()
	})
	c := newClient(t, s.url, SenderDirect, func(cfg *Config) { cfg.MaxInFlight = 20 })
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 10 {
				_, err := begin(t, c, "to@example.com").Send(t.Context(), newBody(strings.Repeat("0123456789abcdef", 10000)))
				if e := refusal(t, err); e.Class != ClassBadRequest || e.Reply != relay.ReplyTooLarge {
					t.Errorf("got %v", e)
				}
			}
		})
	}
	wg.Wait()
	if n := s.posts.Load(); n != 200 {
		t.Errorf("%d requests for 200 mails", n)
	}
}

// TestDeadline: 30 seconds and a second for each MiB, whatever the client's
// context says.
func TestDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, "http://127.0.0.1:9", SenderDirect, func(cfg *Config) { cfg.Timeout = 0 })
		for size, want := range map[int64]time.Duration{0: 30 * time.Second, 1 << 20: 31 * time.Second, 28 << 20: 58 * time.Second, 512 << 10: 30500 * time.Millisecond} {
			ctx, cancel := c.callContext(t.Context(), size)
			d, _ := ctx.Deadline()
			if got := time.Until(d); got != want {
				t.Errorf("%d bytes: %s, not %s", size, got, want)
			}
			cancel()
		}
	})
}

// TestOver: a transaction sends once, and never without a recipient.
func TestOver(t *testing.T) {
	t.Parallel()
	url, posts := answering(t, http.StatusOK, "", `{"MessageId":"m-1"}`)
	c := newClient(t, url, SenderDirect)
	sent := begin(t, c, "to@example.com")
	if _, err := sent.Send(t.Context(), newBody(testMail)); err != nil {
		t.Fatal(err)
	}
	sent.Abort()
	aborted := begin(t, c, "to@example.com")
	aborted.Abort()
	aborted.Abort()
	for name, d := range map[string]*Delivery{"sent": sent, "aborted": aborted, "no recipient": begin(t, c)} {
		_, err := d.Send(t.Context(), newBody(testMail))
		if e := refusal(t, err); e.Outcome != na || e.Class != ClassRequest {
			t.Errorf("%s: %v", name, e)
		}
	}
	large := begin(t, newClient(t, url, SenderDirect, func(cfg *Config) { cfg.MessageSize = 10 }), "to@example.com")
	_, err := large.Send(t.Context(), newBody(strings.Repeat("x", 10+maxAdded+1)))
	if e := refusal(t, err); e.Kind != relay.Rejected || e.Reply != relay.ReplyTooLarge || e.Signal != relay.SignalNone {
		t.Errorf("too large: %v", e)
	}
	streamed := newBody(testMail)
	streamed.size = -1
	_, err = begin(t, c, "to@example.com").Send(t.Context(), streamed)
	if e := refusal(t, err); e.Outcome != na || e.Class != ClassRequest {
		t.Errorf("streamed: %v", e)
	}
	if n := posts.Load(); n != 1 {
		t.Errorf("%d requests for one mail", n)
	}
}

// TestFeedback: bounces go to the reverse-path only where SES lets them.
func TestFeedback(t *testing.T) {
	t.Parallel()
	c := newClient(t, "http://127.0.0.1:9", SenderDirect, func(cfg *Config) { cfg.Identities = NewIdentitySet("example.jp").Verified })
	for from, want := range map[string]string{
		"a@example.jp": "a@example.jp", "a@mail.example.jp": "a@mail.example.jp", "b+x=y.example@Example.JP": "b+x=y.example@Example.JP",
		"a@example.org": "", "a..b@example.jp": "", `"a b"@example.jp`: "", "é@example.jp": "", "a@notexample.jp": "",
	} {
		if got := c.feedback(&relay.Envelope{ReversePath: address(t, from)}); got != want {
			t.Errorf("%s: %q, not %q", from, got, want)
		}
	}
	if got := c.feedback(&relay.Envelope{}); got != "" {
		t.Errorf("null reverse-path: %q", got)
	}
	c.cfg.Identities = nil
	if got := c.feedback(envelope(t)); got != "" {
		t.Errorf("no identities known: %q", got)
	}
}
