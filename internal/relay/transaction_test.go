package relay

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// sesError makes the upstream answer with this error.
func answer(e *Error) func(string) error { return func(string) error { return e } }

var (
	errDown      = &Error{Outcome: NotAccepted, Kind: Unavailable, Signal: SignalCount, Class: "dial", Reply: ReplyUnavailable, Err: errors.New("dial tcp: refused")}
	errRejected  = &Error{Outcome: NotAccepted, Kind: Rejected, Class: "rejected", Reply: ReplyMessage}
	errThrottled = &Error{Outcome: NotAccepted, Kind: Exhausted, Class: "throttled", Reply: ReplyThrottled}
	errSilent    = &Error{Outcome: Unknown, Kind: Unavailable, Signal: SignalCount, Class: "unanswered", Reply: ReplyUnknown}
	errNoUser    = &Error{Outcome: NotAccepted, Kind: Rejected, Class: "reply", Reply: Reply{550, [3]int{5, 1, 1}, "User unknown"}}
	errGreylist  = &Error{Outcome: NotAccepted, Kind: Unavailable, Class: "reply", Reply: Reply{450, [3]int{4, 7, 1}, "Greylisted"}}
)

// TestOutcomes walks every answer of SES through every policy: which reply the
// client gets, and what arrived where.
func TestOutcomes(t *testing.T) {
	all := Policy{SESUnavailable: true, SESRejected: true, SESExhausted: true}
	for _, c := range []struct {
		name         string
		ses          error
		cuenote      error // at the end of data
		begin        error // cuenote cannot take mail at all
		policy       Policy
		want         Reply
		atSES, atCue int
		result       Result
		reason       Reason
	}{
		{"accepted", nil, nil, nil, all, Receipt{SES, "id1", "ses-1", ""}.Reply(), 1, 0, ResultAccepted, ReasonSplit},
		{"down, other way", errDown, nil, nil, all, Receipt{Cuenote, "id1", "", "2.0.0 Ok"}.Reply(), 0, 1, ResultAccepted, ReasonUnavailable},
		{"down, defer", errDown, nil, nil, Policy{}, ReplyUnavailable, 0, 0, ResultDeferred, ReasonSplit},
		{"rejected, other way", errRejected, nil, nil, all, Receipt{Cuenote, "id1", "", "2.0.0 Ok"}.Reply(), 0, 1, ResultAccepted, ReasonRejected},
		{"rejected, reject", errRejected, nil, nil, Policy{SESUnavailable: true}, ReplyMessage, 0, 0, ResultRejected, ReasonSplit},
		{"throttled, other way", errThrottled, nil, nil, all, Receipt{Cuenote, "id1", "", "2.0.0 Ok"}.Reply(), 0, 1, ResultAccepted, ReasonQuota},
		{"throttled, defer", errThrottled, nil, nil, Policy{SESUnavailable: true}, ReplyThrottled, 0, 0, ResultDeferred, ReasonSplit},
		{"unknown is never failed over", errSilent, nil, nil, all, ReplyUnknown, 0, 0, ResultUnknown, ReasonSplit},
		{"unclassified is unknown", errors.New("surprise"), nil, nil, all, ReplyLocalError, 0, 0, ResultUnknown, ReasonSplit},
		{"both down", errDown, nil, errDown, all, ReplyUnavailable, 0, 0, ResultDeferred, ReasonSplit},
		{"rejected, the other down: the other may take it later", errRejected, nil, errDown, all, ReplyUnavailable, 0, 0, ResultDeferred, ReasonSplit},
		{"rejected, the other silent", errRejected, errSilent, nil, all, ReplyUnknown, 0, 0, ResultUnknown, ReasonRejected},
		{"rejected by both", errRejected, errRejected, nil, all, ReplyMessage, 0, 0, ResultRejected, ReasonRejected},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.set(func(cfg *Config) { cfg.Policy = c.policy })
			if c.ses != nil {
				w.ses.send = func(string) error { return c.ses }
			}
			if c.cuenote != nil {
				w.cuenote.send = func(string) error { return c.cuenote }
			}
			if c.begin != nil {
				w.cuenote.begin = func() error { return c.begin }
			}
			_, got := w.submit(testMail, "to@example.jp")
			if got != c.want {
				t.Errorf("reply %v, want %v", got, c.want)
			}
			if n, m := len(w.ses.mails()), len(w.cuenote.mails()); n != c.atSES || m != c.atCue {
				t.Errorf("%d at SES and %d at Cuenote, want %d and %d", n, m, c.atSES, c.atCue)
			}
			if r := w.last(); r.Result != c.result || r.Reason != c.reason || r.Reply != got {
				t.Errorf("record says %s, %s, %v; want %s, %s, %v", r.Result, r.Reason, r.Reply, c.result, c.reason, got)
			}
			if w.quota.taken-w.quota.refunded != len(w.ses.mails())+boolInt(errors.Is(c.ses, errSilent) || c.name == "unclassified is unknown") {
				t.Errorf("quota: %d taken, %d refunded", w.quota.taken, w.quota.refunded)
			}
		})
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestCuenoteIsProxied: each recipient gets Cuenote's own reply, and the
// content goes to those that were accepted.
func TestCuenoteIsProxied(t *testing.T) {
	w := newWorld(t)
	w.router.route = Cuenote
	w.cuenote.rcpt = func(to Address) error {
		if to.Local == "gone" {
			return errNoUser
		}
		return nil
	}
	rcpt, data := w.submit(testMail, "gone@example.jp", "here@example.jp")
	if rcpt[0] != errNoUser.Reply || rcpt[1] != ReplyRecipientOK || data.Code != 250 {
		t.Fatalf("replies %v, %v", rcpt, data)
	}
	if got := w.cuenote.mails()[0].to; len(got) != 1 || got[0].Local != "here" {
		t.Errorf("delivered to %v", got)
	}
	if !strings.Contains(data.Text, "id1 accepted by cuenote: 2.0.0 Ok") {
		t.Errorf("the reply does not name both ends: %v", data)
	}
}

// TestRefusalIsNoOutage: a recipient that Cuenote refuses or greylists does not
// go to SES, even where an outage of Cuenote would.
func TestRefusalIsNoOutage(t *testing.T) {
	for _, e := range []*Error{errNoUser, errGreylist} {
		w := newWorld(t)
		w.router.route = Cuenote
		w.set(func(c *Config) { c.Policy.CuenoteUnavailable = true })
		w.cuenote.rcpt = func(Address) error { return e }
		rcpt, _ := w.submit(testMail, "to@example.jp")
		if rcpt[0] != e.Reply || len(w.ses.mails()) != 0 {
			t.Errorf("reply %v and %d at SES, want %v and none", rcpt[0], len(w.ses.mails()), e.Reply)
		}
	}
}

// TestCuenoteOutage: the mail goes to SES where on_unavailable says so, but
// nothing ever overflows to SES while its applied percentage is 0.
func TestCuenoteOutage(t *testing.T) {
	for _, c := range []struct {
		name   string
		move   bool
		closed bool
		unfit  bool
		atDATA bool
		want   int
	}{
		{"defer", false, false, false, false, 0},
		{"other way", true, false, false, false, 1},
		{"other way at DATA", true, false, false, true, 1},
		{"SES closed", true, true, false, false, 0},
		{"SES closed at DATA", true, true, false, true, 0},
		{"SES cannot take it", true, false, true, false, 0},
		{"defer at DATA", false, false, false, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.router.route, w.router.closed = Cuenote, c.closed
			w.set(func(cfg *Config) { cfg.Policy.CuenoteUnavailable = c.move })
			if c.unfit {
				w.router.unfit = map[string]Reason{"to@example.jp": ReasonLocalPart}
			}
			if c.atDATA {
				w.cuenote.ready = func() error { return errDown }
			} else {
				w.cuenote.begin = func() error { return errDown }
			}
			rcpt, data := w.submit(testMail, "to@example.jp")
			if got := len(w.ses.mails()); got != c.want {
				t.Errorf("%d at SES, want %d (replies %v, %v)", got, c.want, rcpt, data)
			}
			if c.want == 0 && rcpt[0].Code != 451 && data.Code != 451 {
				t.Errorf("replies %v, %v; want a 451", rcpt, data)
			}
		})
	}
}

// TestLaterRecipient: a later recipient that SES cannot take moves the whole
// transaction; when Cuenote refuses an earlier one, it stays.
func TestLaterRecipient(t *testing.T) {
	w := newWorld(t)
	w.router.unfit = map[string]Reason{"a..b.@docomo.ne.jp": ReasonLocalPart}
	rcpt, data := w.submit(testMail, "one@example.jp", "two@example.jp", "a..b.@docomo.ne.jp", "three@example.jp")
	for i, r := range rcpt {
		if r != ReplyRecipientOK {
			t.Errorf("recipient %d: %v", i, r)
		}
	}
	if data.Code != 250 || len(w.ses.mails()) != 0 || len(w.cuenote.mails()) != 1 || len(w.cuenote.mails()[0].to) != 4 {
		t.Errorf("reply %v, %d at SES, Cuenote %+v", data, len(w.ses.mails()), w.cuenote.mails())
	}
	if r := w.last(); r.Reason != ReasonLocalPart || r.Eligible {
		t.Errorf("reason %s, eligible %v", r.Reason, r.Eligible)
	}

	w.cuenote.rcpt = func(to Address) error {
		if to.Local == "two" {
			return errNoUser
		}
		return nil
	}
	rcpt, data = w.submit(strings.Replace(testMail, "<1@", "<2@", 1), "one@example.jp", "two@example.jp", "a..b.@docomo.ne.jp")
	if rcpt[2] != ReplyOneRoute || data.Code != 250 || len(w.ses.mails()) != 1 || len(w.ses.mails()[0].to) != 2 {
		t.Errorf("replies %v, %v; SES %+v", rcpt, data, w.ses.mails())
	}
}

// TestContentDecides: what SES cannot take is found in the content, and the
// transaction goes to Cuenote before anything was sent.
func TestContentDecides(t *testing.T) {
	w := newWorld(t)
	w.router.content = func(c *Content) Reason {
		if c.From[0] == "evil@other.example" {
			return ReasonIdentity
		}
		return ""
	}
	_, data := w.submit(strings.Replace(testMail, "a@goo.ne.jp", "evil@other.example", 1), "to@example.jp")
	if data.Code != 250 || w.ses.completed != 0 || len(w.cuenote.mails()) != 1 {
		t.Fatalf("reply %v, SES asked %d times, Cuenote has %d", data, w.ses.completed, len(w.cuenote.mails()))
	}
	if strings.Contains(w.cuenote.mails()[0].content, "X-SES-") {
		t.Error("an X-SES header left towards Cuenote")
	}
}

// TestPartlyElsewhere: Cuenote takes only some recipients of failed-over mail:
// nothing is sent, the client comes again and then gets Cuenote's replies.
func TestPartlyElsewhere(t *testing.T) {
	w := newWorld(t)
	w.ses.send = answer(errRejected)
	w.cuenote.rcpt = func(to Address) error {
		if to.Local == "gone" {
			return errNoUser
		}
		return nil
	}
	_, data := w.submit(testMail, "here@example.jp", "gone@example.jp")
	if data != ReplyRetryRoute || len(w.cuenote.mails()) != 0 {
		t.Fatalf("reply %v, %d at Cuenote", data, len(w.cuenote.mails()))
	}
	rcpt, data := w.submit(testMail, "here@example.jp", "gone@example.jp")
	if rcpt[1] != errNoUser.Reply || data.Code != 250 || len(w.cuenote.mails()) != 1 || w.ses.completed != 1 {
		t.Errorf("the retry got %v, %v; SES asked %d times", rcpt, data, w.ses.completed)
	}
	if r := w.last(); r.Reason != ReasonRemembered || !r.Eligible {
		t.Errorf("reason %s, eligible %v", r.Reason, r.Eligible)
	}
}

// What the brake alone keeps away from SES is marked so: not a mail with a later
// recipient that SES cannot take, nor, with rehearsal, one that it would refuse.
func TestHeldByTheBrake(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		to       []string
		rehearse bool
		unfit    Reason // of the content
		want     bool
	}{
		{to: []string{"a@example.jp"}, want: true},
		{to: []string{"a@example.jp", "b..c@example.jp"}},
		{to: []string{"a@example.jp"}, rehearse: true, want: true},
		{to: []string{"a@example.jp"}, rehearse: true, unfit: ReasonSize},
	} {
		w := newWorld(t)
		w.set(func(c *Config) { c.Rehearse = row.rehearse })
		w.router.route, w.router.closed, w.router.held = Cuenote, true, true
		w.router.unfit = map[string]Reason{"b..c@example.jp": ReasonLocalPart}
		w.router.content = func(*Content) Reason { return row.unfit }
		if _, data := w.submit(testMail, row.to...); data.Code != 250 {
			t.Fatal(data)
		}
		if r := w.last(); r.Held != row.want || r.Eligible {
			t.Errorf("%+v: held %v, eligible %v", row, r.Held, r.Eligible)
		}
	}
}

// TestAllRefusedElsewhere: every recipient refused for good is an answer.
func TestAllRefusedElsewhere(t *testing.T) {
	w := newWorld(t)
	w.ses.send = answer(errRejected)
	w.cuenote.rcpt = func(Address) error { return errNoUser }
	if _, data := w.submit(testMail, "gone@example.jp"); data != errNoUser.Reply {
		t.Errorf("reply %v", data)
	}
	w.cuenote.rcpt = func(Address) error { return errGreylist }
	if _, data := w.submit(strings.Replace(testMail, "<1@", "<3@", 1), "gone@example.jp"); data != ReplyRetryRoute {
		t.Errorf("reply %v", data)
	}
}

// TestOutageAmongRefusals: Cuenote goes away between two recipients of mail that
// fails over: an outage, not its last word about them.
func TestOutageAmongRefusals(t *testing.T) {
	w := newWorld(t)
	w.ses.send = answer(errRejected)
	w.cuenote.rcpt = func(to Address) error {
		if to.Local == "gone" {
			return errNoUser
		}
		return errDown
	}
	if _, data := w.submit(testMail, "gone@example.jp", "b@example.jp"); data != ReplyUnavailable {
		t.Errorf("reply %v", data)
	}
}

// TestLedger: a retry of accepted mail gets the first receipt, on both routes,
// and nothing is sent again.
func TestLedger(t *testing.T) {
	for _, route := range []Route{SES, Cuenote} {
		t.Run(string(route), func(t *testing.T) {
			w := newWorld(t)
			w.router.route = route
			_, first := w.submit(testMail, "b@example.jp", "a@example.jp")
			_, second := w.submit(testMail, "a@example.jp", "b@example.jp")
			if first.Code != 250 || second != first {
				t.Errorf("first %v, second %v", first, second)
			}
			if n := len(w.ses.mails()) + len(w.cuenote.mails()); n != 1 {
				t.Errorf("%d delivered", n)
			}
			if w.ses.completed+w.cuenote.completed != 1 {
				t.Errorf("the end of data was permitted %d times", w.ses.completed+w.cuenote.completed)
			}
			if w.last().Result != ResultDuplicate {
				t.Errorf("record %s", w.last().Result)
			}
			if _, other := w.submit(testMail, "c@example.jp"); other.Code != 250 || other == first {
				t.Errorf("another recipient is another mail: %v", other)
			}
			plain := "From: a@goo.ne.jp\r\n\r\nHello\r\n"
			w.submit(plain, "to@example.jp")
			w.submit(plain, "to@example.jp")
			if n := len(w.ses.mails()) + len(w.cuenote.mails()); n != 4 {
				t.Errorf("identical mails without ids are meant: %d delivered in all, want 4", n)
			}
		})
	}
}

// TestUnknownTwice: testMail that SES left unanswered twice takes Cuenote.
func TestUnknownTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.ses.send = answer(errSilent)
		for i, want := range []Reply{ReplyUnknown, ReplyInProgress} {
			if _, got := w.submit(testMail, "to@example.jp"); got != want {
				t.Fatalf("attempt %d: %v, want %v", i, got, want)
			}
		}
		time.Sleep(claimLife + time.Second)
		if _, got := w.submit(testMail, "to@example.jp"); got != ReplyUnknown {
			t.Fatalf("after the claim's life: %v", got)
		}
		time.Sleep(claimLife + time.Second)
		if _, got := w.submit(testMail, "to@example.jp"); got.Code != 250 || len(w.cuenote.mails()) != 1 {
			t.Fatalf("third attempt: %v", got)
		}
		if w.last().Reason != ReasonUnknownTwice {
			t.Errorf("reason %s", w.last().Reason)
		}
	})
}

// TestRetryWaits: a retry while the first attempt runs waits for its answer.
func TestRetryWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		release := make(chan struct{})
		w.ses.send = func(string) error { <-release; return nil }
		got := make(chan Reply, 2)
		for range 2 {
			tx := w.begin()
			go func() {
				tx.Recipient(context.Background(), addr("to@example.jp"))
				got <- tx.Data(context.Background(), &fakeSource{content: testMail})
			}()
		}
		synctest.Wait()
		close(release)
		if a, b := <-got, <-got; a != b || a.Code != 250 || len(w.ses.mails()) != 1 {
			t.Errorf("replies %v and %v, %d delivered", a, b, len(w.ses.mails()))
		}
	})
}

// TestClientFaults: what the client does wrong is refused, nothing is sent and
// nothing is tried elsewhere.
func TestClientFaults(t *testing.T) {
	lineEnds := &Error{Kind: ClientFault, Class: "line_ends", Reply: ReplyLineEnds}
	loop := strings.Repeat("Received: from a by b; Mon, 23 Nov 2026 10:00:00 +0900\r\n", maxReceived+1) + testMail
	own := strings.Repeat("Received: from a\r\n\tby relay.EXAMPLE.jp (x) with SMTP; now\r\n", maxOwnReceived+1) + testMail
	for _, route := range []Route{SES, Cuenote} {
		for _, c := range []struct {
			name    string
			content string
			err     error
			want    Reply
		}{
			{"bare line ends", testMail, lineEnds, ReplyLineEnds},
			{"client gone", testMail, errors.New("connection reset"), ReplyLocalError},
			{"loop", loop, nil, ReplyLoop},
			{"own name too often", own, nil, ReplyLoop},
			{"header too large", "X-Long: " + strings.Repeat("x\r\n ", maxHeader/4) + "\r\n\r\n", nil, ReplyHeader},
		} {
			t.Run(string(route)+" "+c.name, func(t *testing.T) {
				w := newWorld(t)
				w.router.route = route
				tx := w.begin()
				tx.Recipient(context.Background(), addr("to@example.jp"))
				got := tx.Data(context.Background(), &fakeSource{content: c.content, err: c.err, chunk: 1000})
				if got != c.want {
					t.Errorf("reply %v, want %v", got, c.want)
				}
				if w.ses.completed+w.cuenote.completed != 0 || w.memory.Used() != 0 {
					t.Errorf("completed %d+%d, memory %d", w.ses.completed, w.cuenote.completed, w.memory.Used())
				}
			})
		}
	}
}

// TestMemoryBudget: without memory the reply to DATA is 452 and no 354 is sent.
func TestMemoryBudget(t *testing.T) {
	for _, route := range []Route{SES, Cuenote} {
		w := newWorld(t)
		w.router.route = route
		w.memory.Reserve(60 << 20)
		for w.memory.Reserve(smallRequest) {
		}
		tx := w.begin()
		tx.Recipient(context.Background(), addr("to@example.jp"))
		src := &fakeSource{content: testMail}
		if got := tx.Data(context.Background(), src); got != ReplyMemory || src.opened != 0 {
			t.Errorf("%s: reply %v, opened %d times", route, got, src.opened)
		}
	}
}

// TestStreamMemory: a small mail on its way to Cuenote takes one small buffer,
// a large one a larger, however large it is.
func TestStreamMemory(t *testing.T) {
	for _, c := range []struct {
		size int
		want int64
	}{{8 << 10, firstBuffer}, {5 << 20, streamChunk}} {
		w := newWorld(t)
		w.router.route = Cuenote
		var used int64
		w.cuenote.send = func(string) error { used = w.memory.Used(); return nil }
		if _, data := w.submit(testMail+strings.Repeat("0123456789abcd\r\n", c.size/16), "a@example.jp"); data.Code != 250 || used != c.want {
			t.Errorf("%d bytes: %v, %d bytes of memory, want %d", c.size, data, used, c.want)
		}
	}
}

// TestQuota: recipients are counted, spent quota overflows or defers.
func TestQuota(t *testing.T) {
	w := newWorld(t)
	w.quota.left = 3
	w.submit(testMail, "a@example.jp", "b@example.jp", "c@example.jp")
	if w.quota.taken != 3 {
		t.Errorf("%d taken", w.quota.taken)
	}
	if _, data := w.submit(testMail, "d@example.jp"); data.Code != 250 || len(w.cuenote.mails()) != 1 || w.last().Reason != ReasonQuota || !w.last().Eligible {
		t.Errorf("spent quota: %v, record %+v", data, w.last())
	}
	w.set(func(c *Config) { c.Policy.SESExhausted = false })
	if rcpt, _ := w.submit(testMail, "e@example.jp", "f@example.jp"); rcpt[0] != ReplyThrottled || rcpt[1] != ReplyThrottled {
		t.Errorf("spent quota, defer: %v", rcpt)
	}
	if n := testutil.ToFloat64(w.relay.metrics.exhausted.WithLabelValues("defer")); n != 1 {
		t.Errorf("one mail was counted %v times", n)
	}
}

// TestBreakerOpens: an answer about the whole account sends everything the
// other way, and one mail probes after the open time.
func TestBreakerOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		paused := &Error{Kind: Unavailable, Signal: SignalTrip, Class: "paused", Reply: ReplyPaused}
		w.ses.send = answer(paused)
		w.submit(testMail, "a@example.jp")
		w.submit(testMail, "b@example.jp")
		if w.ses.completed != 1 || len(w.cuenote.mails()) != 2 || w.last().Reason != ReasonBreaker {
			t.Fatalf("SES asked %d times, %d at Cuenote, reason %s", w.ses.completed, len(w.cuenote.mails()), w.last().Reason)
		}
		time.Sleep(11 * time.Second)
		probe := w.begin()
		probe.Recipient(context.Background(), addr("p@example.jp"))
		w.submit(testMail, "c@example.jp") // while the probe is under way
		if w.ses.completed != 1 {
			t.Fatal("two mails probed at once")
		}
		w.ses.send = nil
		if r := probe.Data(context.Background(), &fakeSource{content: testMail}); r.Code != 250 {
			t.Fatalf("probe: %v", r)
		}
		w.submit(testMail, "d@example.jp")
		if len(w.ses.mails()) != 2 {
			t.Errorf("after the probe %d at SES, want 2", len(w.ses.mails()))
		}
	})
}

// TestAbortedProbe: a probe that is given up lets the next mail probe.
func TestAbortedProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.ses.send = answer(&Error{Kind: Unavailable, Signal: SignalTrip, Class: "paused", Reply: ReplyPaused})
		w.submit(testMail, "a@example.jp")
		w.ses.send = nil
		time.Sleep(11 * time.Second)
		tx := w.begin()
		tx.Recipient(context.Background(), addr("b@example.jp"))
		tx.Abort()
		w.submit(testMail, "c@example.jp")
		if len(w.ses.mails()) != 1 {
			t.Errorf("%d at SES, want the second probe", len(w.ses.mails()))
		}
	})
}

// TestRehearse judges mail that goes elsewhere, and sends nothing to SES.
func TestRehearse(t *testing.T) {
	w := newWorld(t)
	w.router.route = Cuenote
	w.set(func(c *Config) { c.Rehearse = true })
	w.submit(testMail, "a@example.jp")
	if r := w.last().Rehearsal; !r.Judged || r.Reason != "" {
		t.Errorf("fit mail: %+v", r)
	}
	w.router.content = func(c *Content) Reason {
		if c.LongestLine > 998 {
			return ReasonContent
		}
		return ""
	}
	w.submit(strings.Replace(testMail, "Hello", strings.Repeat("x", 999), 1), "b@example.jp")
	if r := w.last().Rehearsal; !r.Judged || r.Reason != ReasonContent {
		t.Errorf("long line: %+v", r)
	}
	if w.ses.completed != 0 {
		t.Error("a rehearsal was sent")
	}
}

// TestTags: the step tag goes along, the client's tags only where configured.
func TestTags(t *testing.T) {
	w := newWorld(t)
	tagged := "X-SES-MESSAGE-TAGS: a=b\r\n" + testMail
	w.submit(tagged, "a@example.jp")
	w.set(func(c *Config) { c.KeepTags = true })
	w.submit(tagged, "b@example.jp")
	if m := w.ses.mails(); m[0].step != "p10" || m[0].tags != "" || m[1].tags != "a=b" {
		t.Errorf("tags %+v", m)
	}
}

// TestRecipientLimit: more recipients are 452 and may come again.
func TestRecipientLimit(t *testing.T) {
	w := newWorld(t)
	w.set(func(c *Config) { c.MaxRecipients = 2 })
	rcpt, data := w.submit(testMail, "a@example.jp", "b@example.jp", "c@example.jp")
	if rcpt[2] != ReplyTooManyRcpts || data.Code != 250 || len(w.ses.mails()[0].to) != 2 {
		t.Errorf("replies %v, %v", rcpt, data)
	}
}

// TestRefusedOnly: a transaction without an accepted recipient leaves a record.
func TestRefusedOnly(t *testing.T) {
	w := newWorld(t)
	w.router.route = Cuenote
	w.cuenote.rcpt = func(Address) error { return errNoUser }
	w.submit(testMail, "gone@example.jp")
	if r := w.last(); r.Result != ResultRejected || len(r.Refused) != 1 || r.Route != Cuenote {
		t.Errorf("record %+v", r)
	}
	tx := w.begin()
	tx.Abort()
	if len(w.records) != 1 {
		t.Error("a transaction in which nothing happened left a record")
	}
}
