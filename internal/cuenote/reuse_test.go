package cuenote

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sesrelay/internal/relay"
)

// TestDeadConnectionIsReplaced lets the pooled connection die at every moment
// between the reply to one mail and the 354 of the next: the client must not
// notice, and the next mail must be complete on the second connection.
func TestDeadConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]script{
		"closed while idle": {"dot": "250 2.0.0 ok|close"},
		"reset while idle":  {"dot": "250 2.0.0 ok|reset"},
		"421 while idle":    {"dot": "250 2.0.0 ok|421 4.4.2 idle too long"},
		"MAIL closed":       {"MAIL#2": "close"},
		"MAIL reset":        {"MAIL#2": "reset"},
		"MAIL 421":          {"MAIL#2": "421 4.7.0 too many messages"},
		"RCPT closed":       {"RCPT#3": "close"},
		"RCPT 421":          {"RCPT#3": "421 4.3.2 bye"},
		"second RCPT reset": {"RCPT#4": "reset"},
		"DATA closed":       {"DATA#2": "close"},
		"DATA reset":        {"DATA#2": "reset"},
		"DATA 421":          {"DATA#2": "421 4.3.2 bye"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(first, script{})
			c := newClient(t, f.listen(t))
			mail(t, c, envelope(t), "a@example.jp", "b@example.jp").ok(t)
			if strings.Contains(name, "idle") {
				<-f.first().ended
			}
			r := mail(t, c, envelope(t), "a@example.jp", "b@example.jp")
			r.ok(t)
			second := f.conn(1)
			want := []string{"EHLO relay-1.example", "MAIL FROM:<from@goo.ne.jp>", "RCPT TO:<a@example.jp>", "RCPT TO:<b@example.jp>", "DATA"}
			if !slices.Equal(second.commands, want) || !slices.Equal(second.content, []string{message + ".\r\n"}) {
				t.Errorf("second connection: %q %q", second.commands, second.content)
			}
			if f.dots() != 2 || f.count() != 2 || r.body.opened != 1 {
				t.Errorf("%d dots, %d connections, content asked for %d times", f.dots(), f.count(), r.body.opened)
			}
		})
	}
}

// TestIdleDeathNeedsNoRoundTrip: a connection that was closed while idle gets
// no command any more.
func TestIdleDeathNeedsNoRoundTrip(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"close", "reset", "421 4.4.2 idle too long"} {
		f := newFake(script{"dot": "250 2.0.0 ok|wait|" + end}, script{})
		c := newClient(t, f.listen(t))
		writes := countWrites(c)
		mail(t, c, envelope(t), "a@example.jp").ok(t)
		close(f.waiting) // the connection is in the pool now
		<-f.first().ended
		mail(t, c, envelope(t), "a@example.jp").ok(t)
		if got := writes(); len(got) != 8 { // EHLO, envelope, DATA, content, twice
			t.Errorf("%s: writes %q", end, got)
		}
	}
}

// TestSpoiledConnectionIsNotKept: after 421, and after a reply that says that
// the connection itself is not what it should be.
func TestSpoiledConnectionIsNotKept(t *testing.T) {
	t.Parallel()
	for _, s := range []script{{"dot": "421 4.3.2 bye"}, {"MAIL": "530 5.7.0 Authentication required"}, {"DATA": "535 5.7.8 no"}} {
		f := newFake(s)
		c := newClient(t, f.listen(t))
		mail(t, c, envelope(t), "a@example.jp").failure(t)
		if len(c.pool.idle) != 0 || c.pool.live != 0 {
			t.Errorf("%v: %d idle, %d live", s, len(c.pool.idle), c.pool.live)
		}
	}
}

// TestAnswersOfTheDeadAreForgotten: what the old connection said about a
// recipient before it died does not stand beside what the new one says.
func TestAnswersOfTheDeadAreForgotten(t *testing.T) {
	t.Parallel()
	f := newFake(script{"RCPT TO:<a@example.jp>": "450 4.2.0 later", "RCPT TO:<b@example.jp>": "421 4.3.2 bye"}, script{})
	c := newClient(t, f.listen(t))
	mail(t, c, envelope(t), "warm@example.jp").ok(t)
	mail(t, c, envelope(t), "a@example.jp", "b@example.jp").ok(t)
	if got := f.conn(1).commands; !slices.Equal(got[2:4], []string{"RCPT TO:<a@example.jp>", "RCPT TO:<b@example.jp>"}) {
		t.Errorf("second connection %q", got)
	}
}

// TestReplacedOnce: the connection that replaced a dead one is not replaced.
func TestReplacedOnce(t *testing.T) {
	t.Parallel()
	f := newFake(script{"MAIL#2": "reset"}, script{"DATA": "close"}, script{})
	c := newClient(t, f.listen(t))
	mail(t, c, envelope(t), "a@example.jp").ok(t)
	if got := describe(mail(t, c, envelope(t), "a@example.jp").failure(t)); got != broken || f.count() != 2 {
		t.Errorf("%s, %d connections", got, f.count())
	}
}

// TestReplay breaks the connection after recipients were accepted one by one.
func TestReplay(t *testing.T) {
	t.Parallel()
	warm := func(t *testing.T, scripts ...script) (*fake, *Client, relay.Delivery) {
		f := newFake(scripts...)
		c := newClient(t, f.listen(t))
		mail(t, c, envelope(t), "warm@example.jp").ok(t)
		d, err := c.Begin(context.Background(), envelope(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.Abort)
		return f, c, d
	}
	add := func(t *testing.T, d relay.Delivery, to string) error {
		return d.AddRecipients(context.Background(), addresses(t, to))[0]
	}
	t.Run("accepted ones are told again, refused ones are not", func(t *testing.T) {
		t.Parallel()
		f, _, d := warm(t, script{"RCPT TO:<no@example.jp>": "550 5.1.1 no such user", "RCPT TO:<c@example.jp>": "close"}, script{})
		if err := errors.Join(add(t, d, "a@example.jp"), add(t, d, "c@example.jp")); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Send(context.Background(), content(message)); err != nil {
			t.Fatal(err)
		}
		want := []string{"EHLO relay-1.example", "MAIL FROM:<from@goo.ne.jp>", "RCPT TO:<a@example.jp>", "RCPT TO:<c@example.jp>", "DATA"}
		if got := f.conn(1).commands; !slices.Equal(got, want) {
			t.Errorf("second connection: %q", got)
		}
	})
	t.Run("at DATA, without the refused one", func(t *testing.T) {
		t.Parallel()
		f, _, d := warm(t, script{"RCPT TO:<no@example.jp>": "550 5.1.1 no such user", "DATA#2": "421 4.3.2 bye"}, script{})
		if err := add(t, d, "a@example.jp"); err != nil {
			t.Fatal(err)
		}
		if err := add(t, d, "no@example.jp"); relay.AsError(err).Reply.Code != 550 {
			t.Fatal(err)
		}
		if _, err := d.Send(context.Background(), content(message)); err != nil {
			t.Fatal(err)
		}
		want := []string{"EHLO relay-1.example", "MAIL FROM:<from@goo.ne.jp>", "RCPT TO:<a@example.jp>", "DATA"}
		if got := f.conn(1).commands; !slices.Equal(got, want) {
			t.Errorf("second connection: %q", got)
		}
	})
	t.Run("a recipient accepted before is refused now", func(t *testing.T) {
		t.Parallel()
		f, c, d := warm(t, script{"DATA#2": "reset"}, script{"RCPT": "550 5.1.1 no such user"})
		if err := add(t, d, "a@example.jp"); err != nil {
			t.Fatal(err)
		}
		body := content(message)
		_, err := d.Send(context.Background(), body)
		if got, want := describe(relay.AsError(err)), "not accepted, unavailable, none, replay, "+unavailableReply; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if body.opened != 0 || f.dots() != 1 || len(c.pool.slots) != 0 {
			t.Errorf("content asked for %d times, %d dots, %d slots", body.opened, f.dots(), len(c.pool.slots))
		}
	})
	t.Run("the new connection fails too", func(t *testing.T) {
		t.Parallel()
		f, c, d := warm(t, script{"MAIL#2": "reset"}, script{"MAIL": "close"})
		err := add(t, d, "a@example.jp")
		if got := describe(relay.AsError(err)); got != broken {
			t.Errorf("got %s", got)
		}
		if again := add(t, d, "b@example.jp"); again != err {
			t.Errorf("a later recipient: %v", again)
		}
		if f.count() != 2 || len(c.pool.slots) != 0 {
			t.Errorf("%d connections, %d slots", f.count(), len(c.pool.slots))
		}
	})
	t.Run("the new connection cannot be had", func(t *testing.T) {
		t.Parallel()
		_, c, d := warm(t, script{"MAIL#2": "reset"}, script{"greeting": "554 5.3.2 no service"})
		err := add(t, d, "a@example.jp")
		if got, want := describe(relay.AsError(err)), "not accepted, unavailable, trip, greeting, "+unavailableReply; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if len(c.pool.slots) != 0 || c.pool.live != 0 {
			t.Errorf("%d slots, %d live", len(c.pool.slots), c.pool.live)
		}
	})
}

// TestNoSecondTry: what may not be repeated is not.
func TestNoSecondTry(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]script{
		"a new connection is reset":    {"MAIL": "reset"},
		"an old one talks nonsense":    {"MAIL#2": "hello"},
		"an old one dies after 354":    {"DATA#2": "354 go|close"},
		"an old one dies at the dot":   {"dot#2": "close"},
		"an old one refuses for good":  {"MAIL#2": "550 5.1.8 no such sender"},
		"an old one refuses this time": {"RCPT#2": "450 4.2.0 later"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(first, script{})
			c := newClient(t, f.listen(t))
			if strings.Contains(name, "an old one") {
				mail(t, c, envelope(t), "a@example.jp").ok(t)
			}
			mail(t, c, envelope(t), "a@example.jp").failure(t)
			if f.count() != 1 {
				t.Errorf("%d connections", f.count())
			}
		})
	}
}

// TestAbort: RSET goes out ahead of the next MAIL, in the same write.
func TestAbort(t *testing.T) {
	t.Parallel()
	f := newFake()
	c := newClient(t, f.listen(t))
	d, _ := c.Begin(context.Background(), envelope(t))
	if err := d.AddRecipients(context.Background(), addresses(t, "a@example.jp"))[0]; err != nil {
		t.Fatal(err)
	}
	d.Abort()
	d.Abort()
	if err := d.AddRecipients(context.Background(), addresses(t, "a@example.jp"))[0]; !errors.Is(err, errOver) {
		t.Errorf("after Abort: %v", err)
	}
	if _, err := d.Send(context.Background(), content(message)); err == nil {
		t.Error("Send after Abort did not fail")
	}
	mail(t, c, envelope(t), "b@example.jp").ok(t)
	mail(t, c, envelope(t), "c@example.jp").ok(t)
	want := []string{"EHLO relay-1.example", "MAIL FROM:<from@goo.ne.jp>", "RCPT TO:<a@example.jp>",
		"RSET", "MAIL FROM:<from@goo.ne.jp>", "RCPT TO:<b@example.jp>", "DATA", "MAIL FROM:<from@goo.ne.jp>", "RCPT TO:<c@example.jp>", "DATA"}
	if got := f.conn(0).commands; !slices.Equal(got, want) {
		t.Errorf("commands %q", got)
	}
}

// TestRSETRefused: a connection that cannot forget is left for a new one.
func TestRSETRefused(t *testing.T) {
	t.Parallel()
	f := newFake(script{"RSET": "502 5.5.1 what?", "RCPT": "550 5.1.1 no such user"}, script{})
	c := newClient(t, f.listen(t))
	mail(t, c, envelope(t), "a@example.jp").failure(t)
	mail(t, c, envelope(t), "b@example.jp").ok(t)
	if f.count() != 2 {
		t.Errorf("%d connections", f.count())
	}
}

// TestAgeing retires connections by age, by use, and by a timer when idle.
func TestAgeing(t *testing.T) {
	t.Parallel()
	run := func(name string, change func(*Config), body func(t *testing.T, f *fake, c *Client)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				t.Cleanup(f.wait)
				c := newClient(t, "fake.example:25", change)
				c.dial = f.dial
				body(t, f, c)
			})
		})
	}
	send := func(t *testing.T, c *Client) { mail(t, c, envelope(t), "a@example.jp").ok(t) }
	run("mails", func(cfg *Config) { cfg.MaxMails = 2 }, func(t *testing.T, f *fake, c *Client) {
		for range 5 {
			send(t, c)
		}
		synctest.Wait()
		if f.count() != 3 || f.conn(0).commands[len(f.conn(0).commands)-1] != "QUIT" {
			t.Errorf("%d connections, first: %q", f.count(), f.conn(0).commands)
		}
	})
	run("lifetime", func(cfg *Config) { cfg.MaxLifetime = time.Minute }, func(t *testing.T, f *fake, c *Client) {
		for range 7 {
			send(t, c)
			time.Sleep(15 * time.Second)
		}
		if f.count() != 2 {
			t.Errorf("%d connections", f.count())
		}
	})
	run("idle", func(*Config) {}, func(t *testing.T, f *fake, c *Client) {
		send(t, c)
		time.Sleep(19 * time.Second)
		send(t, c)
		time.Sleep(21 * time.Second)
		synctest.Wait()
		if got := f.conn(0).commands; f.count() != 1 || got[len(got)-1] != "QUIT" || c.pool.live != 0 {
			t.Errorf("%d connections, %q, %d live", f.count(), got, c.pool.live)
		}
	})
}
