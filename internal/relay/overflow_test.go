package relay

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// outage is a world whose Cuenote is down and whose mail may go to SES.
func outage(t *testing.T, atDATA bool) *world {
	w := newWorld(t)
	w.router.route = Cuenote
	w.set(func(c *Config) { c.Policy.CuenoteUnavailable = true })
	if atDATA {
		w.cuenote.ready = func() error { return errDown }
	} else {
		w.cuenote.begin = func() error { return errDown }
	}
	return w
}

// TestPartialOverflow: SES takes 50 recipients of 60. Mail that it cannot take
// whole does not overflow: else ten recipients were told 250 and got nothing.
func TestPartialOverflow(t *testing.T) {
	w := outage(t, true)
	n := 0
	w.ses.rcpt = func(Address) error {
		if n++; n > 2 {
			return &Error{Kind: ClientFault, Class: "request", Reply: ReplyTooManyRcpts}
		}
		return nil
	}
	if _, data := w.submit(testMail, "a@example.jp", "b@example.jp", "c@example.jp"); data != ReplyUnavailable || len(w.ses.mails()) != 0 {
		t.Errorf("reply %v, at SES %+v", data, w.ses.mails())
	}
}

// TestBrakeStopsOverflow: the brake is pulled after the route was decided, and
// nothing that was not meant for SES goes there any more.
func TestBrakeStopsOverflow(t *testing.T) {
	for _, atDATA := range []bool{false, true} {
		w := outage(t, atDATA)
		tx := w.begin()
		if r := tx.Recipient(context.Background(), addr("a@example.jp")); r != ReplyRecipientOK {
			t.Fatal(r)
		}
		w.router.closed = true
		if r := tx.Data(context.Background(), &fakeSource{content: testMail}); !r.Temporary() || len(w.ses.mails()) != 0 || w.ses.completed != 0 {
			t.Errorf("at DATA %v: reply %v, %d at SES", atDATA, r, len(w.ses.mails()))
		}
	}
}

// TestOverflowIsNoVerdict: what SES refuses of mail that was meant for Cuenote
// comes again; Cuenote may take it.
func TestOverflowIsNoVerdict(t *testing.T) {
	for _, atDATA := range []bool{false, true} {
		for _, lmtp := range []bool{false, true} {
			w := outage(t, atDATA)
			w.set(func(c *Config) { c.Policy.SESRejected = false })
			w.ses.send = answer(errRejected)
			var data Reply
			if lmtp {
				data = w.each(testMail, "a@example.jp")[0]
			} else {
				_, data = w.submit(testMail, "a@example.jp")
			}
			if data != ReplyUnavailable || w.ses.completed != 1 {
				t.Errorf("at DATA %v, LMTP %v: reply %v, SES asked %d times", atDATA, lmtp, data, w.ses.completed)
			}
		}
	}
}

// TestOverflowContent: content that SES cannot take does not overflow.
func TestOverflowContent(t *testing.T) {
	for _, lmtp := range []bool{false, true} {
		w := outage(t, true)
		w.router.content = func(*Content) Reason { return ReasonIdentity }
		var data Reply
		if lmtp {
			data = w.each(testMail, "a@example.jp")[0]
		} else {
			_, data = w.submit(testMail, "a@example.jp")
		}
		if !data.Temporary() || w.ses.completed != 0 {
			t.Errorf("LMTP %v: reply %v, SES asked %d times", lmtp, data, w.ses.completed)
		}
	}
}

// TestSESRefusesRecipient: the 51st recipient, or one that only SES finds
// unfit, takes the whole transaction to Cuenote; over LMTP it goes there alone.
func TestSESRefusesRecipient(t *testing.T) {
	for _, refusal := range []*Error{
		{Kind: ClientFault, Class: "request", Reply: ReplyTooManyRcpts},
		{Kind: Rejected, Class: "request", Reply: ReplyBadDest},
	} {
		refuse := func(to Address) error {
			if to.Local == "odd" {
				return refusal
			}
			return nil
		}
		for _, to := range [][]string{{"odd@example.jp"}, {"a@example.jp", "odd@example.jp"}} {
			w := newWorld(t)
			w.set(func(c *Config) { c.Policy = Policy{} })
			w.ses.rcpt = refuse
			if _, data := w.submit(testMail, to...); data.Code != 250 || len(w.cuenote.mails()) != 1 || len(w.cuenote.mails()[0].to) != len(to) || w.last().Reason != ReasonRecipient {
				t.Errorf("%v: reply %v, Cuenote %+v, reason %s", to, data, w.cuenote.mails(), w.last().Reason)
			}
			w = newWorld(t)
			w.ses.rcpt = refuse
			w.each(testMail, to...)
			if len(w.cuenote.mails()) != 1 || len(w.cuenote.mails()[0].to) != 1 || len(w.ses.mails()) != len(to)-1 {
				t.Errorf("LMTP %v: SES %+v, Cuenote %+v", to, w.ses.mails(), w.cuenote.mails())
			}
		}
	}
}

// TestUnfitAfterRefused: the first recipient was deferred, so that the mail has
// no route yet; the next cannot go to SES (a pin to Cuenote), and does not.
func TestUnfitAfterRefused(t *testing.T) {
	w := newWorld(t)
	w.set(func(c *Config) { c.Policy = Policy{} })
	w.router.unfit = map[string]Reason{"pinned@example.jp": ReasonRule}
	tx := w.begin()
	w.quota.left = 0
	if r := tx.Recipient(context.Background(), addr("a@example.jp")); r != ReplyThrottled {
		t.Fatal(r)
	}
	w.quota.left = 10
	tx.Recipient(context.Background(), addr("pinned@example.jp"))
	if r := tx.Data(context.Background(), &fakeSource{content: testMail}); r.Code != 250 || len(w.ses.mails()) != 0 || w.last().Reason != ReasonRule {
		t.Errorf("%v, %d at SES, reason %s", r, len(w.ses.mails()), w.last().Reason)
	}
}

// TestLMTPNoneTaken: over LMTP each recipient that the other upstream refuses
// has its own reply, also when it refuses all.
func TestLMTPNoneTaken(t *testing.T) {
	w := newWorld(t)
	w.ses.send = answer(errRejected)
	w.cuenote.rcpt = func(to Address) error {
		if to.Local == "gone" {
			return errNoUser
		}
		return errGreylist
	}
	got := w.each(testMail, "gone@example.jp", "grey@example.jp")
	if got[0] != errNoUser.Reply || got[1] != errGreylist.Reply {
		t.Errorf("replies %v", got)
	}
	if r := w.last(); len(r.Refused) != 2 || len(r.Recipients) != 0 || len(w.ledger.flights) != 0 {
		t.Errorf("record %+v", r)
	}
}

// TestLMTPSameRecipient: named twice, a recipient gets one copy, whichever way
// each of the two would have been drawn.
func TestLMTPSameRecipient(t *testing.T) {
	w := newWorld(t)
	tx := w.begin()
	tx.env.LMTP = true
	for _, route := range []Route{SES, Cuenote} {
		w.router.route = route
		tx.Recipient(context.Background(), addr("a@example.jp"))
	}
	got := tx.DataEach(context.Background(), &fakeSource{content: "Subject: no ids\r\n\r\n"})
	if len(got) != 2 || got[0].Code != 250 || got[0] != got[1] || len(w.ses.mails())+len(w.cuenote.mails()) != 1 {
		t.Errorf("replies %v, SES %+v, Cuenote %+v", got, w.ses.mails(), w.cuenote.mails())
	}
}

// TestLMTPOverflowLegs: recipients that overflow share one delivery, and the
// upstream that is out is not asked again for each of them.
func TestLMTPOverflowLegs(t *testing.T) {
	w := outage(t, false)
	asked := 0
	w.cuenote.begin = func() error { asked++; return errDown }
	w.router.by = map[string]Route{"s@example.jp": SES}
	got := w.each(testMail, "a@example.jp", "s@example.jp", "b@example.jp", "c@example.jp")
	for _, r := range got {
		if r.Code != 250 {
			t.Errorf("replies %v", got)
		}
	}
	if asked != 1 || len(w.ses.mails()) != 2 {
		t.Errorf("Cuenote asked %d times, %d mails at SES", asked, len(w.ses.mails()))
	}
}

// TestLMTPClaimsWaitTogether: many recipients whose first attempt still runs
// are waited for no longer than one.
func TestLMTPClaimsWaitTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		release := make(chan struct{})
		w.ses.send = func(string) error { <-release; return nil }
		to := []string{"a@example.jp", "b@example.jp", "c@example.jp", "d@example.jp"}
		done := make(chan []Reply)
		go func() { done <- w.sideBySide(to...) }()
		synctest.Wait()
		start := time.Now()
		again := w.sideBySide(to...)
		if took := time.Since(start); took != claimWait {
			t.Errorf("waited %v", took)
		}
		for _, r := range again {
			if r != ReplyInProgress {
				t.Errorf("replies %v", again)
			}
		}
		close(release)
		if first := <-done; first[0].Code != 250 {
			t.Errorf("first attempt: %v", first)
		}
	})
}

// sideBySide is each without its checks, for transactions side by side.
func (w *world) sideBySide(to ...string) []Reply {
	tx := w.begin()
	tx.env.LMTP = true
	for _, a := range to {
		tx.Recipient(context.Background(), addr(a))
	}
	return tx.DataEach(context.Background(), &fakeSource{content: testMail})
}

// TestBrakeStopsMailOnItsWayBack: mail for SES went to Cuenote, which fails at
// DATA; the brake is pulled while the client sends the content.
func TestBrakeStopsMailOnItsWayBack(t *testing.T) {
	for _, braked := range []bool{false, true} {
		w := outage(t, true)
		w.router.route = SES
		w.set(func(c *Config) { c.Policy.SESExhausted = true })
		w.quota.left = 0
		tx := w.begin()
		if r := tx.Recipient(context.Background(), addr("a@example.jp")); r != ReplyRecipientOK {
			t.Fatal(r)
		}
		w.quota.left = 10
		src := &brakingSource{fakeSource{content: testMail}, func() { w.router.closed = braked }}
		r := tx.Data(context.Background(), src)
		if at := len(w.ses.mails()); braked && (!r.Temporary() || at != 0) || !braked && (!r.Positive() || at != 1) {
			t.Errorf("brake %v: reply %v, %d at SES", braked, r, at)
		}
	}
}

// brakingSource does something when the content is asked for.
type brakingSource struct {
	fakeSource
	opening func()
}

func (s *brakingSource) Open() error { s.opening(); return s.fakeSource.Open() }
