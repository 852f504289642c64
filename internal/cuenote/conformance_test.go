package cuenote

import (
	"context"
	"net"
	"syscall"
	"testing"

	"sesrelay/internal/relay"
)

// conformance is the list of what can happen to a mail at any upstream, in the
// upstream-neutral words of the relay: every upstream must turn the same event
// into the same outcome and kind. How each upstream brings the event about is
// its own affair; here it is a script.
var conformance = []struct {
	event   string
	script  script
	down    bool // nobody listens
	outcome relay.Outcome
	kind    relay.Kind
	code    int // of the reply for the client
}{
	{event: "accepted", outcome: relay.Accepted, code: 250},
	{event: "cannot connect", down: true, kind: relay.Unavailable, code: 451},
	{event: "refuses all service", script: script{"greeting": "554 5.3.2 no service"}, kind: relay.Unavailable, code: 451},
	{event: "our credentials are refused", script: script{"MAIL": "530 5.7.0 Authentication required"}, kind: relay.Unavailable, code: 451},
	{event: "our configuration is refused", script: script{"MAIL": "501 5.5.4 Unsupported option"}, kind: relay.Unavailable, code: 451},
	{event: "too fast", script: script{"MAIL": "451 4.7.1 Rate exceeded"}, kind: relay.Unavailable, code: 451},
	{event: "temporary fault of the upstream", script: script{"dot": "451 4.3.0 queue file write error"}, kind: relay.Unavailable, code: 451},
	{event: "sender refused for good", script: script{"MAIL": "550 5.1.8 no such sender"}, kind: relay.Rejected, code: 550},
	{event: "recipient refused for good", script: script{"RCPT": "550 5.1.1 no such user"}, kind: relay.Rejected, code: 550},
	{event: "content refused for good", script: script{"dot": "554 5.6.0 refused"}, kind: relay.Rejected, code: 554},
	{event: "reset before the request was written", script: script{"DATA": "354 go|reset"}, kind: relay.Unavailable, code: 451},
	{event: "closed after the request was written", script: script{"dot": "close"}, outcome: relay.Unknown, code: 451},
	{event: "reset after the request was written", script: script{"dot": "reset"}, outcome: relay.Unknown, code: 451},
	{event: "no answer", script: script{"dot": "hang"}, outcome: relay.Unknown, code: 451},
	{event: "an answer that cannot be read", script: script{"dot": "ok whatever"}, outcome: relay.Unknown, code: 451},
	{event: "half an answer", script: script{"dot": "250-2.0.0 Ok|close"}, outcome: relay.Unknown, code: 451},
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, c := range conformance {
		t.Run(c.event, func(t *testing.T) {
			t.Parallel()
			f := newFake(c.script)
			virtual(t, f, func(*Config) {}, func(t *testing.T, client *Client) {
				if c.down {
					client.dial = func(context.Context, string, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED }
				}
				r := mail(t, client, envelope(t), "a@example.jp")
				if c.outcome == relay.Accepted {
					r.ok(t)
					if got := r.receipt.Reply().Code; got != c.code {
						t.Errorf("reply %d", got)
					}
					return
				}
				e := r.failure(t)
				if e.Outcome != c.outcome || e.Kind != c.kind || relay.ReplyTo(e).Code != c.code {
					t.Errorf("got %s, want outcome %s, kind %s, code %d", describe(e), c.outcome, kinds[c.kind], c.code)
				}
			})
		})
	}
}
