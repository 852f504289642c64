package relay

import (
	"context"
	"testing"
)

// each submits over LMTP.
func (w *world) each(content string, to ...string) (replies []Reply) {
	w.t.Helper()
	t := w.begin()
	t.env.LMTP = true
	for _, a := range to {
		if r := t.Recipient(context.Background(), addr(a)); !r.Positive() {
			w.t.Fatalf("RCPT %s: %v", a, r)
		}
	}
	replies = t.DataEach(context.Background(), &fakeSource{content: content})
	if used := w.memory.Used(); used != 0 {
		w.t.Errorf("%d bytes of memory are still reserved", used)
	}
	return replies
}

func TestLMTPSplitsRecipients(t *testing.T) {
	w := newWorld(t)
	w.router.by = map[string]Route{"c@example.jp": Cuenote}
	got := w.each(testMail, "a@example.jp", "c@example.jp", "b@example.jp")
	if got[0].Text != "id1 accepted by ses ses-1" || got[1].Text != "id1 accepted by cuenote: 2.0.0 Ok" || got[2] != got[0] {
		t.Errorf("replies %v", got)
	}
	if len(w.ses.mails()[0].to) != 2 || len(w.cuenote.mails()[0].to) != 1 || len(w.records) != 2 {
		t.Errorf("SES %v, Cuenote %v, %d records", w.ses.mails(), w.cuenote.mails(), len(w.records))
	}
}

// TestLMTPPartialFailover: each recipient gets the other upstream's own reply.
func TestLMTPPartialFailover(t *testing.T) {
	w := newWorld(t)
	w.ses.send = answer(errRejected)
	w.cuenote.rcpt = func(to Address) error {
		if to.Local == "gone" {
			return errNoUser
		}
		return nil
	}
	got := w.each(testMail, "here@example.jp", "gone@example.jp")
	if got[0].Code != 250 || got[1] != errNoUser.Reply {
		t.Errorf("replies %v", got)
	}
}

// TestLMTPRetry: after a lost reply the client brings all recipients again, or
// only some of them; none gets the mail twice.
func TestLMTPRetry(t *testing.T) {
	w := newWorld(t)
	w.router.by = map[string]Route{"c@example.jp": Cuenote}
	first := w.each(testMail, "a@example.jp", "c@example.jp")
	w.router.by = map[string]Route{"a@example.jp": Cuenote} // the draw falls otherwise
	w.records = nil
	again := w.each(testMail, "a@example.jp", "c@example.jp", "new@example.jp")
	if len(w.records) != 3 { // duplicate of SES's, duplicate of Cuenote's, new
		t.Errorf("%d records", len(w.records))
	}
	w.records = nil
	if w.each(testMail, "a@example.jp", "new@example.jp", "b@example.jp"); len(w.records) > 3 {
		t.Errorf("%d records", len(w.records))
	}
	if again[0] != first[0] || again[1] != first[1] || again[2].Code != 250 {
		t.Errorf("first %v, again %v", first, again)
	}
	total := 0
	for _, m := range append(w.ses.mails(), w.cuenote.mails()...) {
		total += len(m.to)
	}
	if total != 4 {
		t.Errorf("%d recipients delivered, want 4", total)
	}
}

// TestLMTPOneLegFails: the other leg's recipients keep their 250.
func TestLMTPOneLegFails(t *testing.T) {
	w := newWorld(t)
	w.router.by = map[string]Route{"c@example.jp": Cuenote}
	w.ses.send = answer(errSilent)
	got := w.each(testMail, "a@example.jp", "c@example.jp")
	if got[0] != ReplyUnknown || got[1].Code != 250 {
		t.Errorf("replies %v", got)
	}
}

func TestLMTPClientFault(t *testing.T) {
	w := newWorld(t)
	tx := w.begin()
	tx.env.LMTP = true
	tx.Recipient(context.Background(), addr("a@example.jp"))
	tx.Recipient(context.Background(), addr("b@example.jp"))
	got := tx.DataEach(context.Background(), &fakeSource{content: testMail, err: &Error{Kind: ClientFault, Reply: ReplyTooLarge}})
	if len(got) != 2 || got[0] != ReplyTooLarge || got[1] != ReplyTooLarge {
		t.Errorf("replies %v", got)
	}
}
