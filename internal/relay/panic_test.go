package relay

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// crash runs a step as the session does, and reports whether it panicked.
func crash(step func()) (crashed bool) {
	defer func() { crashed = recover() != nil }()
	step()
	return false
}

// TestPanic: an upstream that panics, at whatever step, leaves nothing behind:
// no memory, no claim, no probe, no delivery. The mail counts as unknown.
func TestPanic(t *testing.T) {
	boom := func(string) error { panic("boom") }
	for name, set := range map[string]func(*fakeUpstream){
		"Begin":         func(u *fakeUpstream) { u.begin = func() error { return boom("") } },
		"AddRecipients": func(u *fakeUpstream) { u.rcpt = func(Address) error { return boom("") } },
		"before Open":   func(u *fakeUpstream) { u.ready = func() error { return boom("") } },
		"after the end": func(u *fakeUpstream) { u.send = boom },
	} {
		for _, route := range []Route{SES, Cuenote} {
			for _, lmtp := range []bool{false, true} {
				t.Run(name+" "+string(route), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { checkPanic(t, set, route, lmtp) })
				})
			}
		}
	}
}

func checkPanic(t *testing.T, set func(*fakeUpstream), route Route, lmtp bool) {
	w := newWorld(t)
	w.router.route = route
	up := w.ses
	if route == Cuenote {
		up = w.cuenote
	}
	set(up)
	breaker := w.cfg.hop(route).Breaker
	breaker.trip(time.Now(), "test")
	time.Sleep(time.Minute) // the mail is the probe
	tx := w.begin()
	tx.env.LMTP = lmtp
	var asked bool
	if !crash(func() {
		tx.Recipient(context.Background(), addr("to@example.jp"))
		asked = true
		if lmtp {
			tx.DataEach(context.Background(), &fakeSource{content: testMail})
		} else {
			tx.Data(context.Background(), &fakeSource{content: testMail})
		}
	}) {
		t.Fatal("the panic was swallowed")
	}
	tx.Abort()
	if w.memory.Used() != 0 || len(w.ledger.flights) != 0 || w.relay.Hop(route).InFlight != 0 {
		t.Errorf("memory %d, claims %d, under way %d", w.memory.Used(), len(w.ledger.flights), w.relay.Hop(route).InFlight)
	}
	if n := len(w.records); n != boolInt(asked) || asked && (w.last().Result != ResultUnknown || w.last().Reply != ReplyLocalError) {
		t.Errorf("%d records: %+v", n, w.records)
	}
	if _, ok := breaker.Allow(); !ok {
		t.Error("nobody may probe any more")
	}
}

// TestSlowProbe: a client that leaves the probing mail lying keeps the breaker
// open no longer than open_for; its mail then takes the other way.
func TestSlowProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.cfg.SES.Breaker.trip(time.Now(), "paused")
		time.Sleep(11 * time.Second)
		slow := w.begin()
		slow.Recipient(context.Background(), addr("slow@example.jp"))
		time.Sleep(11 * time.Second)
		w.cuenote.begin = func() error { return errDown }
		if _, data := w.submit(testMail, "b@example.jp"); data.Code != 250 || len(w.ses.mails()) != 1 {
			t.Fatalf("no second probe: %v", data)
		}
		if r := slow.Data(context.Background(), &fakeSource{content: testMail}); r.Code != 250 || len(w.ses.mails()) != 2 {
			t.Errorf("the breaker is closed, but the slow mail got %v", r)
		}
	})
}

// TestLateFailover: an answer that comes too late for another upstream's whole
// patience within the ledger's claim is not failed over.
func TestLateFailover(t *testing.T) {
	if longest := 118 * time.Second; claimWait+lastCall+longest > claimLife { // of cuenote.timeout
		t.Errorf("an attempt may outlast its claim: %v", claimWait+lastCall+longest)
	}
	for _, c := range []struct {
		took time.Duration
		want int
	}{{lastCall - time.Second, 1}, {lastCall + time.Second, 0}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.ses.send = func(string) error { time.Sleep(c.took); return errDown }
			_, data := w.submit(testMail, "to@example.jp")
			if w.cuenote.completed != c.want || c.want == 0 && data != ReplyUnavailable {
				t.Errorf("after %v: the end of data was permitted %d times, reply %v", c.took, w.cuenote.completed, data)
			}
		})
	}
}

// TestQuotaThatComesTooLate: the wait for tokens has taken all the time of the
// delivery. Nobody is asked any more, and a probe that asked nobody closes no breaker.
func TestQuotaThatComesTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.cfg.SES.Breaker.trip(time.Now(), "paused")
		time.Sleep(11 * time.Second)
		w.quota.wait = lastCall + time.Second
		w.ses.ready = func() error { t.Error("SES is asked"); return nil }
		_, data := w.submit(testMail, "a@example.jp")
		if open, _ := w.cfg.SES.Breaker.Open(); !open || w.ses.completed != 0 || data != ReplyUnavailable {
			t.Errorf("open %v, SES asked %d times, reply %v", open, w.ses.completed, data)
		}
		if n := len(w.cuenote.mails()) + w.cuenote.aborted; n != 0 || w.quota.refunded != 1 {
			t.Errorf("Cuenote was asked, or %d recipients refunded", w.quota.refunded)
		}
		w.quota.wait, w.ses.ready = 0, nil
		if _, data := w.submit(testMail, "b@example.jp"); !data.Positive() || len(w.ses.mails()) != 1 {
			t.Errorf("no second probe: %v", data)
		}
	})
}

// TestLateProbe: SES's credentials took all the time, so that nothing was sent:
// that closes no breaker.
func TestLateProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.cfg.SES.Breaker.trip(time.Now(), "paused")
		time.Sleep(11 * time.Second)
		w.ses.ready = func() error { time.Sleep(lastCall + time.Second); return nil }
		_, data := w.submit(testMail, "a@example.jp")
		if open, _ := w.cfg.SES.Breaker.Open(); !open || data != ReplyUnavailable || len(w.cuenote.mails()) != 0 {
			t.Errorf("open %v, reply %v, %d at Cuenote", open, data, len(w.cuenote.mails()))
		}
	})
}

// TestUnaskedProbe: SES refuses a recipient without a call; that closes no breaker.
func TestUnaskedProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.cfg.SES.Breaker.trip(time.Now(), "paused")
		time.Sleep(11 * time.Second)
		w.ses.rcpt = func(Address) error { return errNoUser }
		w.submit(testMail, "a@example.jp")
		if open, _ := w.cfg.SES.Breaker.Open(); !open || w.ses.completed != 0 || len(w.cuenote.mails()) != 1 {
			t.Errorf("open %v, SES asked %d times, %d at Cuenote", open, w.ses.completed, len(w.cuenote.mails()))
		}
	})
}

// TestUseAfterEnd: what the session never does opens nothing that nobody ends.
func TestUseAfterEnd(t *testing.T) {
	w := newWorld(t)
	for _, end := range []func(*Transaction){
		(*Transaction).Abort,
		func(tx *Transaction) { tx.Data(context.Background(), &fakeSource{content: testMail}) },
		func(tx *Transaction) { tx.DataEach(context.Background(), &fakeSource{content: testMail}) },
	} {
		tx := w.begin()
		tx.Recipient(context.Background(), addr("to@example.jp"))
		end(tx)
		n := len(w.records)
		if r := tx.Recipient(context.Background(), addr("b@example.jp")); r != ReplyLocalError {
			t.Errorf("RCPT: %v", r)
		}
		if r := tx.Data(context.Background(), &fakeSource{content: testMail}); r != ReplyLocalError {
			t.Errorf("DATA: %v", r)
		}
		if r := tx.DataEach(context.Background(), &fakeSource{content: testMail}); len(r) != 1 || r[0] != ReplyLocalError {
			t.Errorf("DATA over LMTP: %v", r)
		}
		tx.Abort()
		if len(w.records) != n {
			t.Error("a record after the end")
		}
	}
}
