package relay

import (
	"strings"
	"testing"
)

// TestReplies: the relay's own replies are generic, have the class of their
// code in the enhanced code (RFC 2034 section 4), and fit into a line.
func TestReplies(t *testing.T) {
	t.Parallel()
	for _, r := range []Reply{ReplyRecipientOK, ReplyLocalError, ReplyUnavailable, ReplyUnknown, ReplyThrottled, ReplyPaused, ReplyConfig,
		ReplyInProgress, ReplyRetryRoute, ReplyMemory, ReplyTooManyRcpts, ReplyOneRoute,
		ReplyLineEnds, ReplyTooLarge, ReplyHeader, ReplyLoop, ReplyMessage, ReplyBadDest, ReplyNeedsUTF8} {
		if r.Enhanced[0] != r.Code/100 {
			t.Errorf("%v: enhanced code of another class", r)
		}
		for _, word := range []string{"ses", "cuenote", "amazon", "redis", "@", "error:", "\n"} {
			if strings.Contains(strings.ToLower(r.Text), word) {
				t.Errorf("%v: says %q", r, word)
			}
		}
		if len(r.String()) > 100 || !isASCII(r.Text) {
			t.Errorf("%v: too long or not ASCII", r)
		}
	}
}

// TestPermanentNeedsRefusal: whatever reply an error brings, an outage and an
// open outcome are never 5xx.
func TestPermanentNeedsRefusal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		outcome Outcome
		kind    Kind
		want    bool
	}{
		{NotAccepted, Rejected, true}, {NotAccepted, ClientFault, true},
		{NotAccepted, Unavailable, false}, {NotAccepted, Exhausted, false},
		{Unknown, Rejected, false}, {Unknown, ClientFault, false},
	} {
		got := ReplyTo(&Error{Outcome: c.outcome, Kind: c.kind, Reply: ReplyMessage})
		if got.Permanent() != c.want {
			t.Errorf("%v, kind %d: %v", c.outcome, c.kind, got)
		}
	}
}
