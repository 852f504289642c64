package relay

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestAttemptsAreCountedPerUpstream: a mail that failed over counts as a failure
// of the first upstream and a success of the second, though it ended well for
// the client; the client's own faults count nowhere.
func TestAttemptsAreCountedPerUpstream(t *testing.T) {
	for _, c := range []struct {
		err  *Error
		want string
	}{
		{nil, "accepted"},
		{&Error{Kind: Rejected, Class: "rejected", Reply: ReplyUnavailable}, "rejected"},
		{&Error{Kind: Exhausted, Class: "throttled", Reply: ReplyThrottled}, "exhausted"},
		{&Error{Kind: Unavailable, Class: "http_5xx", Signal: SignalCount, Reply: ReplyUnavailable}, "unavailable"},
		{&Error{Outcome: Unknown, Class: "timeout", Signal: SignalCount, Reply: ReplyLocalError}, "unknown"},
		{&Error{Kind: ClientFault, Class: "client", Reply: ReplyLocalError}, ""},
	} {
		w := newWorld(t)
		if c.err != nil {
			w.ses.send = func(string) error { return c.err }
		}
		w.submit(testMail, "a@example.jp")
		moved := c.want == "rejected" || c.want == "exhausted" || c.want == "unavailable"
		for key, counter := range w.relay.metrics.attempts {
			want := 0.0
			if key == (attemptKey{SES, c.want}) || moved && key == (attemptKey{Cuenote, "accepted"}) {
				want = 1
			}
			if n := testutil.ToFloat64(counter); n != want {
				t.Errorf("SES says %q: %s %s counts %v, want %v", c.want, key.route, key.answer, n, want)
			}
		}
	}
}
