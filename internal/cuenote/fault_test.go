package cuenote

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sesrelay/internal/relay"
)

var kinds = map[relay.Kind]string{relay.Unavailable: "unavailable", relay.Rejected: "rejected", relay.Exhausted: "exhausted", relay.ClientFault: "client"}
var signals = map[relay.Signal]string{relay.SignalNone: "none", relay.SignalCount: "count", relay.SignalTrip: "trip", relay.SignalBusy: "busy"}

// describe writes an error as "outcome kind signal class reply".
func describe(e *relay.Error) string {
	return fmt.Sprintf("%s, %s, %s, %s, %s", e.Outcome, kinds[e.Kind], signals[e.Signal], e.Class, e.Reply)
}

const (
	unavailableReply = "451 4.4.1 Next hop unavailable, try again later"
	unknownReply     = "451 4.4.2 No answer from the next hop, try again later"
	configReply      = "451 4.3.5 Next hop is not configured for this mail, try again later"

	notNow   = "not accepted, unavailable, count, "
	passed4  = "not accepted, unavailable, none, deferred, 450 4.2.0 later"
	passed5  = "not accepted, rejected, none, rejected, 550 5.1.1 no such user"
	shutdown = notNow + "shutdown, " + unavailableReply
	broken   = notNow + "connection, " + unavailableReply
	timedOut = notNow + "timeout, " + unavailableReply
	nonsense = notNow + "protocol, " + unavailableReply
	greeting = notNow + "greeting, " + unavailableReply
	unknown  = "unknown, unavailable, count, unanswered, " + unknownReply
)

// faults is every place of the dialogue with everything that can go wrong
// there, on a new connection. An empty want means that nothing is wrong: the
// reply came first.
var faults = []struct {
	place string
	want  map[string]string
	open  bool // whether the content may have been asked for
}{
	{place: "greeting", want: map[string]string{
		"450 4.2.0 later": greeting, "550 5.1.1 no such user": "not accepted, unavailable, trip, greeting, " + unavailableReply,
		"421 4.3.2 bye": greeting, "reset": greeting, "close": greeting, "hang": greeting, "hello there": greeting, "354 go": greeting,
	}},
	{place: "EHLO", want: map[string]string{
		"450 4.2.0 later": greeting, "550 5.1.1 no such user": "not accepted, unavailable, trip, greeting, " + unavailableReply,
		"421 4.3.2 bye": greeting, "reset": greeting, "close": greeting, "hang": greeting, "hello there": greeting, "354 go": greeting,
		"250-a\n251 b": greeting, "250-PIPELINING|reset": greeting, "250 PIPELINING|close": broken,
	}},
	{place: "MAIL", want: map[string]string{
		"450 4.2.0 later": passed4, "550 5.1.1 no such user": passed5, "421 4.3.2 bye": shutdown, "reset": broken, "close": broken,
		"hang": timedOut, "hello there": nonsense, "354 go": nonsense, "250 ok|close": broken, "250-ok|close": broken, "199 low": nonsense, "600 high": nonsense,
	}},
	{place: "RCPT", want: map[string]string{
		"450 4.2.0 later": passed4, "550 5.1.1 no such user": passed5, "421 4.3.2 bye": shutdown, "reset": broken, "close": broken,
		"hang": timedOut, "hello there": nonsense, "354 go": nonsense, "250 ok|close": broken, "25": nonsense,
	}},
	{place: "DATA", want: map[string]string{
		"450 4.2.0 later": passed4, "550 5.1.1 no such user": passed5, "421 4.3.2 bye": shutdown, "reset": broken, "close": broken,
		"hang": timedOut, "hello there": nonsense, "250 ok": nonsense,
	}},
	{place: "DATA", open: true, want: map[string]string{"354 go|close": broken}},
	{place: "content", open: true, want: map[string]string{ // the content is longer than the buffers on the way
		"reset": broken, "close": broken, "stall": timedOut, "421 4.3.2 bye": shutdown, "552 5.3.4 too large": "not accepted, rejected, none, rejected, 552 5.3.4 too large",
		"552 5.3.4 too large|close": "not accepted, rejected, none, rejected, 552 5.3.4 too large", "554 5.7.1 spam|hang": nonsense, "250 2.0.0 queued as early|hang": nonsense, "452 4.3.1 full|hang": "not accepted, unavailable, count, deferred, 452 4.3.1 full",
	}},
	{place: "dot", open: true, want: map[string]string{
		"450 4.2.0 later": passed4, "550 5.1.1 no such user": passed5, "421 4.3.2 bye": shutdown, "reset": unknown, "close": unknown,
		"hang": unknown, "hello there": unknown, "354 go": unknown, "250-ok|close": unknown, "250 2.0.0 ok|reset": "", "250 2.0.0 ok|close": "",
	}},
}

// TestFaults runs over pipes in virtual time, where a reset is an end, and
// over TCP where no waiting is needed.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, f := range faults {
		for action, want := range f.want {
			name := f.place + "/" + strings.ReplaceAll(action, "\n", "_")
			if f.place != "content" || action == "stall" { // a pipe has no buffers: a reply would wait for the content
				t.Run("virtual/"+name, func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { checkFault(t, f.place, action, want, f.open, true) })
				})
			}
			// A reset in place of the greeting may reach the dialer itself.
			if action != "hang" && action != "stall" && name != "greeting/reset" {
				t.Run("tcp/"+name, func(t *testing.T) {
					t.Parallel()
					checkFault(t, f.place, action, want, f.open, false)
				})
			}
		}
	}
}

func checkFault(t *testing.T, place, action, want string, open, virtual bool) {
	f := newFake(script{place: action})
	t.Cleanup(f.wait)
	var c *Client
	if virtual {
		c = newClient(t, "fake.example:25")
		c.dial = f.dial
	} else {
		c = newClient(t, f.listen(t))
	}
	body := content(message)
	if place == "content" {
		body = endless(f, virtual)
	}
	start := time.Now()
	r := mailBody(t, context.Background(), c, envelope(t), body, "a@example.jp")
	if want == "" {
		r.ok(t)
	} else if got := describe(r.failure(t)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if place != "dot" && f.dots() != 0 {
		t.Errorf("%d final dots were sent", f.dots())
	}
	if place == "dot" && f.dots() != 1 {
		t.Errorf("%d final dots were sent, want 1", f.dots())
	}
	if (body.opened > 0) != open {
		t.Errorf("content asked for %d times, want %v", body.opened, open)
	}
	if virtual && time.Since(start) > 110*time.Second {
		t.Errorf("took %v", time.Since(start))
	}
	if c.pool.live > len(c.pool.idle) && want != "" {
		t.Errorf("%d connections live, %d idle", c.pool.live, len(c.pool.idle))
	}
	if len(c.pool.slots) != 0 {
		t.Errorf("%d slots still taken", len(c.pool.slots))
	}
}

// endless is content that goes on until the server has reacted to it.
func endless(f *fake, virtual bool) *parts {
	line := strings.Repeat("x", 998) + "\r\n"
	p := content()
	for range 40 {
		p.list = append(p.list, strings.Repeat(line, 70))
	}
	p.onNext = func(i int) {
		if i == 3 && !virtual { // two buffers are out
			<-f.reacted
		}
	}
	return p
}

// TestEveryStepHasItsTime: a step that begins long after the one before does not
// live on what is left of its time.
func TestEveryStepHasItsTime(t *testing.T) {
	t.Parallel()
	for _, think := range []time.Duration{0, time.Second, 15 * time.Second, 29 * time.Second, time.Hour} {
		virtual(t, newFake(script{"DATA": "hang"}), func(cfg *Config) { cfg.CommandTimeout = 30 * time.Second }, func(t *testing.T, c *Client) {
			d := begin(t, c)
			time.Sleep(think)
			start := time.Now()
			_, err := d.Send(context.Background(), content(message))
			if took := time.Since(start); err == nil || took > 30*time.Second || took < 28*time.Second {
				t.Errorf("after %v: DATA without an answer ended after %v: %v", think, took, err)
			}
		})
	}
}
