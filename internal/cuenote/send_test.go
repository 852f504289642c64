package cuenote

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sesrelay/internal/relay"
)

func contains(err error, s string) bool { return err != nil && strings.Contains(err.Error(), s) }

// TestCallersErrorClosesWithoutDot: an error of the content, at any moment, is
// returned as it is, and the smarthost never sees the end of the data.
func TestCallersErrorClosesWithoutDot(t *testing.T) {
	t.Parallel()
	own := &relay.Error{Kind: relay.ClientFault, Class: "client", Reply: relay.ReplyTooLarge, Err: errors.New("too large")}
	plain := errors.New("the ledger says no")
	big := strings.Repeat(strings.Repeat("x", 998)+"\r\n", 300)
	for name, body := range map[string]func(err error) *parts{
		"open":              func(err error) *parts { return &parts{openErr: err} },
		"first part":        func(err error) *parts { return &parts{err: err} },
		"after some":        func(err error) *parts { return &parts{list: []string{message}, err: err} },
		"after much":        func(err error) *parts { return &parts{list: []string{big, big}, err: err} },
		"where a dot would": func(err error) *parts { return &parts{list: []string{message, ".\r\n"}, err: err} },
	} {
		for _, cause := range []error{own, plain} {
			t.Run(name+"/"+cause.Error(), func(t *testing.T) {
				t.Parallel()
				f := newFake()
				c := newClient(t, f.listen(t))
				r := mailBody(t, context.Background(), c, envelope(t), body(cause), "a@example.jp")
				e := relay.AsError(r.err)
				if !errors.Is(r.err, cause) || e.Outcome != relay.NotAccepted || e.Kind != relay.ClientFault || e.Signal != relay.SignalNone {
					t.Errorf("%v", r.err)
				}
				if cause == own && e != own {
					t.Errorf("the caller's own error became %v", e)
				}
				<-f.first().ended
				if f.dots() != 0 || c.pool.live != 0 || len(c.pool.slots) != 0 {
					t.Errorf("%d dots, %d connections live, %d slots", f.dots(), c.pool.live, len(c.pool.slots))
				}
			})
		}
	}
}

// TestBareLineEndIsNotSent: the last look before the wire.
func TestBareLineEndIsNotSent(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"a\r\n.\nMAIL FROM:<evil@example.jp>\r\n", "a\n.\r\n", "a\r.\r\n", "a\r\n\r"} {
		f := newFake()
		c := newClient(t, f.listen(t))
		r := mailBody(t, context.Background(), c, envelope(t), content(bad), "a@example.jp")
		if got, want := describe(r.failure(t)), "not accepted, client, none, caller, 451 4.3.0 Local error, try again later"; got != want {
			t.Errorf("%q: %s", bad, got)
		}
		<-f.first().ended
		if got := f.conn(0).content; f.dots() != 0 || len(got) != 1 || got[0] != "" {
			t.Errorf("%q: %d dots, sent %q", bad, f.dots(), got)
		}
	}
}

// TestLargeContent arrives to the byte, in parts of odd sizes.
func TestLargeContent(t *testing.T) {
	t.Parallel()
	var whole strings.Builder
	for i := range 20000 {
		whole.WriteString(strings.Repeat(".", i%3) + strings.Repeat("y", i%97) + "\r\n")
	}
	var list []string
	for rest := whole.String(); rest != ""; {
		n := min(len(rest), 7+len(list)*37%70001)
		list, rest = append(list, rest[:n]), rest[n:]
	}
	f := newFake()
	c := newClient(t, f.listen(t))
	mailBody(t, context.Background(), c, envelope(t), content(list...), "a@example.jp").ok(t)
	got, err := undot([]byte(f.conn(0).content[0]))
	if err != nil || string(got) != whole.String() {
		t.Errorf("%d bytes of %d, %v", len(got), whole.Len(), err)
	}
}

// TestLastPartWithEOF: a body may return its last bytes together with io.EOF.
func TestLastPartWithEOF(t *testing.T) {
	t.Parallel()
	f := newFake()
	c := newClient(t, f.listen(t))
	d := begin(t, c)
	if _, err := d.Send(context.Background(), eofBody{content()}); err != nil {
		t.Fatal(err)
	}
	if got := f.conn(0).content[0]; got != message+".\r\n" {
		t.Errorf("%q", got)
	}
}

type eofBody struct{ *parts }

func (eofBody) Next() ([]byte, error) { return []byte(message), io.EOF }

// TestErrorThatWrapsEOF: only io.EOF itself is the permission for the final dot.
// A client that leaves inside its content brings an error that wraps it.
func TestErrorThatWrapsEOF(t *testing.T) {
	t.Parallel()
	f := newFake()
	c := newClient(t, f.listen(t))
	d := begin(t, c)
	body := content(message)
	body.err = &relay.Error{Kind: relay.ClientFault, Class: "client_gone", Reply: relay.ReplyLocalError, Err: io.EOF}
	if r, err := d.Send(context.Background(), body); err == nil {
		t.Errorf("half a mail was accepted: %v", r)
	}
	for _, got := range f.conn(0).content {
		if strings.HasSuffix(got, ".\r\n") {
			t.Errorf("half a mail was completed: %q", got)
		}
	}
}

// TestCanceled: the end of ctx aborts before the final dot and not after it.
func TestCanceled(t *testing.T) {
	t.Parallel()
	const gone = "not accepted, client, none, canceled, 451 4.3.0 Local error, try again later"
	for _, c := range []struct {
		name   string
		script script
		want   string // "" is accepted
	}{
		{"greeting", script{"greeting": "hang"}, gone},
		{"MAIL", script{"MAIL": "hang"}, gone},
		{"DATA", script{"DATA": "hang"}, gone},
		{"while the content is read", script{}, gone},
		{"final dot", script{"dot": "hang"}, unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(c.script)
			virtual(t, f, func(*Config) {}, func(t *testing.T, client *Client) {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				time.AfterFunc(time.Second, cancel)
				body := content(message)
				if c.name == "while the content is read" {
					body.onNext = func(int) { time.Sleep(2 * time.Second) }
				}
				start := time.Now()
				r := mailBody(t, ctx, client, envelope(t), body, "a@example.jp")
				if got := describe(r.failure(t)); got != c.want {
					t.Errorf("got  %s\nwant %s", got, c.want)
				}
				took := time.Since(start)
				if c.name == "final dot" && took != 110*time.Second || c.name != "final dot" && took > 4*time.Second {
					t.Errorf("took %v", took)
				}
				synctest.Wait()
				if c.name != "final dot" && f.dots() != 0 || client.pool.live != 0 {
					t.Errorf("%d dots, %d live", f.dots(), client.pool.live)
				}
			})
		})
	}
}

// TestLateAcceptance: the client has left, and the mail was accepted all the
// same: the receipt is not thrown away.
func TestLateAcceptance(t *testing.T) {
	t.Parallel()
	f := newFake()
	virtual(t, f, func(*Config) {}, func(t *testing.T, c *Client) {
		d := begin(t, c)
		ctx, cancel := context.WithCancel(context.Background())
		f.onDot = func() { cancel(); time.Sleep(100 * time.Second) }
		receipt, err := d.Send(ctx, content(message))
		if err != nil || receipt.ID != "4XyZ1k2m3n" {
			t.Errorf("%+v, %v", receipt, err)
		}
	})
}

// TestSlowClient: what has arrived is passed on while the client is slow, so
// that the smarthost sees a mail that is on its way; and when the smarthost
// gives up meanwhile, the mail is not accepted and the reader learns it early.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	t.Run("passed on", func(t *testing.T) {
		t.Parallel()
		f := newFake()
		virtual(t, f, func(*Config) {}, func(t *testing.T, c *Client) {
			body := content("one\r\n", "two\r\n", "three\r\n", "four\r\n")
			body.onNext = func(i int) {
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if got := strings.Count(f.conn(0).content[0], "\n"); got != i {
					t.Errorf("before part %d: %d lines have arrived", i, got)
				}
			}
			mailBody(t, context.Background(), c, envelope(t), body, "a@example.jp").ok(t)
		})
	})
	t.Run("given up", func(t *testing.T) {
		t.Parallel()
		f := newFake(script{"DATA": "354 go|421 4.4.2 timeout"})
		c := newClient(t, f.listen(t))
		body := content(message)
		body.onNext = func(int) { <-f.first().ended }
		r := mailBody(t, context.Background(), c, envelope(t), body, "a@example.jp")
		if got := describe(r.failure(t)); got != shutdown {
			t.Errorf("got %s", got)
		}
	})
}

// TestUnaskedAcceptance: a 250 that comes before the final dot is never taken
// for the acceptance of the mail.
func TestUnaskedAcceptance(t *testing.T) {
	t.Parallel()
	f := newFake(script{"DATA": "354 go|250 2.0.0 Ok: queued as EVIL"})
	c := newClient(t, f.listen(t))
	body := content(message)
	body.onNext = func(int) { <-f.reacted } // it has been written
	r := mailBody(t, context.Background(), c, envelope(t), body, "a@example.jp")
	if got := describe(r.failure(t)); got != nonsense || f.dots() != 0 {
		t.Errorf("%s, %d dots", got, f.dots())
	}
}

// TestPanicInsideDATA: the reader of the content panics, the session recovers
// and aborts: no command may follow on that connection, it would be content.
func TestPanicInsideDATA(t *testing.T) {
	t.Parallel()
	f := newFake()
	c := newClient(t, f.listen(t))
	body := content(message)
	body.onNext = func(int) { panic("reader") }
	func() {
		defer func() { _ = recover() }()
		mailBody(t, context.Background(), c, envelope(t), body, "a@example.jp")
		t.Error("no panic")
	}()
	mail(t, c, envelope(t), "b@example.jp").ok(t)
	<-f.first().ended
	if got := f.conn(0).content; f.count() != 2 || f.dots() != 1 || len(got) != 1 || got[0] != "" {
		t.Errorf("%d connections, %d dots, first content %q", f.count(), f.dots(), got)
	}
}

// TestNoRecipients: DATA without a recipient is not sent.
func TestNoRecipients(t *testing.T) {
	t.Parallel()
	f := newFake(script{"RCPT": "550 5.1.1 no"})
	c := newClient(t, f.listen(t))
	d, _ := c.Begin(context.Background(), envelope(t))
	if errs := d.AddRecipients(context.Background(), nil); len(errs) != 0 || f.count() != 0 {
		t.Errorf("%v, %d connections", errs, f.count())
	}
	d.AddRecipients(context.Background(), addresses(t, "a@example.jp"))
	if _, err := d.Send(context.Background(), content(message)); !errors.Is(err, errNoRecipients) {
		t.Errorf("%v", err)
	}
	if n := len(f.conn(0).commands); n != 3 {
		t.Errorf("commands %q", f.conn(0).commands)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	f := newFake()
	c := newClient(t, f.listen(t))
	report, err := c.Check(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if want := "greeting fake.example ESMTP; TLS none; no AUTH; offers PIPELINING, 8BITMIME, SIZE 1000000, SMTPUTF8, ENHANCEDSTATUSCODES"; report.String() != want {
		t.Errorf("%s", report)
	}
	if got := f.conn(0).commands; got[len(got)-1] != "QUIT" || c.pool.live != 0 {
		t.Errorf("commands %q", got)
	}
	refused := newClient(t, "127.0.0.1:1")
	if _, err := refused.Check(context.Background()); relay.AsError(err).Class != classDial {
		t.Errorf("%v", err)
	}
}

// TestLastWord: a server that refuses and closes in the middle of the content
// is heard, wherever the client just is.
func TestLastWord(t *testing.T) {
	t.Parallel()
	big := strings.Repeat(strings.Repeat("x", 998)+"\r\n", 64)
	for range 10 {
		f := newFake(script{"content": "552 5.3.4 too large|close"})
		c := newClient(t, f.listen(t))
		body := content()
		for range 100 {
			body.list = append(body.list, big)
		}
		r := mailBody(t, context.Background(), c, envelope(t), body, "a@example.jp")
		if got := relay.AsError(r.err); got.Reply.Code != 552 || got.Outcome != relay.NotAccepted || f.dots() != 0 {
			t.Fatalf("%v, %d dots", r.err, f.dots())
		}
	}
}
