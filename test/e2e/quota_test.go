package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// TestQuotaOfTheAccount has an account with small quotas, which the relay has
// to ask for: SES never sees more than them, and the rest takes Cuenote.
func TestQuotaOfTheAccount(t *testing.T) {
	t.Parallel()
	const rate, day = 20, 60
	h := startHops(t)
	h.ses.SetAccount(simulator.Account{MaxSendRate: rate, Max24HourSend: day})
	r := startRelay(t, relayOptions{ses: h.ses.URL(), cuenote: h.cuenote.Addr(), percent: "100", plain: true, set: settings{
		"quota.rate": "auto", "quota.daily": "auto", "quota.headroom": "0.9", "quota.max_wait": "200ms"}})
	mails := numbered("quota", 30)
	for i := range mails { // 3 recipients a mail: quotas count recipients
		for j := range 2 {
			mails[i].to = append(mails[i].to, fmt.Sprintf("more%d-%d@example.jp", i, j))
		}
	}
	submit(t, r.smtp, mails)
	eventually(t, 90*time.Second, "the day to be spent", func() error {
		more := plainMail(fmt.Sprintf("more%d", time.Now().UnixNano()))
		if err := sendMail(r.smtp, more); err != nil {
			return fatal{err}
		}
		if n := h.ses.SentLast24Hours(); n < day-3 {
			return fmt.Errorf("%d recipients were sent", n)
		}
		return nil
	})
	submit(t, r.smtp, numbered("after", 20))
	if n := h.ses.SentLast24Hours(); n > day {
		t.Errorf("SES got %d recipients in a day of %d", n, day)
	}
	h.complete(t, mails)
	// What SES got in any second: the rate, and a burst of one second's worth.
	perSecond := map[int64]int{}
	for _, rec := range h.store.Of(simulator.UpstreamSES) {
		perSecond[rec.Time.Unix()] += len(rec.To)
	}
	for second, n := range perSecond {
		if n > 2*rate {
			t.Errorf("SES got %d recipients in second %d at %d a second", n, second, rate)
		}
	}
	for _, m := range mails {
		if ses, cuenote := h.arrived(&m); ses+cuenote != 1 {
			t.Errorf("%s arrived %d and %d times", m.id, ses, cuenote)
		}
	}
}

// TestQuotaDefers has Postfix wait for the rate by its queue: everything
// arrives at SES, at the rate, and nothing bounces.
func TestQuotaDefers(t *testing.T) {
	t.Parallel()
	s := newStage(t, relayOptions{percent: "100", plain: true, set: settings{"quota.rate": "3", "quota.max_wait": "100ms", "quota.on_exhausted": "defer"}})
	p := startPostfix(t, bracketed(s.relay.smtp))
	mails := numbered("wait", 40)
	submit(t, p.addr, mails)
	eventually(t, time.Minute, "Postfix's queue", func() error {
		p.flush(t)
		if n := p.queued(t); n > 0 {
			return fmt.Errorf("%d messages are still queued", n)
		}
		return nil
	})
	if extra := s.complete(t, mails); extra > 0 || len(s.store.Of("ses")) != len(mails) {
		t.Errorf("%d duplicates, %d at SES", extra, len(s.store.Of("ses")))
	}
	status := p.statuses(t)
	all := s.store.Of("ses")
	took := all[len(all)-1].Time.Sub(all[0].Time)
	hurried := took < 20*time.Second // else the machine is too slow to exceed the rate
	if status["bounced"] > 0 || status["deferred"] == 0 && hurried || strings.Contains(p.logged(t), "delivery temporarily suspended") {
		t.Errorf("Postfix: %v\n%s", status, tail(troubles(p.logged(t)), 5))
	}
	if took < 10500*time.Millisecond {
		t.Errorf("40 mails at 3 a second, with a burst of 3, took %v", took)
	}
}

// TestIdentitiesOfTheAccount has no identities in the configuration: SES is asked.
func TestIdentitiesOfTheAccount(t *testing.T) {
	t.Parallel()
	s := newStage(t, relayOptions{percent: "100", plain: true, set: settings{"ses.identities": "[]"}})
	for from, want := range map[string]string{"news@goo.ne.jp": bySES, "news@mail.goo.ne.jp": bySES, "news@other.jp": byCuenote} {
		m := letter("from-"+strings.ReplaceAll(from, "@", "-"), from, []string{"user@example.jp"}, "Hello.\r\n")
		like(t, from, deliver(t, s.relay.smtp, m), want)
	}
}

// TestCommands asks a running relay what its operators ask.
func TestCommands(t *testing.T) {
	t.Parallel()
	s := newStage(t, relayOptions{percent: "100", plain: true})
	m := plainMail("traced")
	reply := deliver(t, s.relay.smtp, m)
	like(t, "mail", reply, bySES)
	words := strings.Fields(reply)
	relayID, sesID := words[2], words[len(words)-1]
	if got := s.store.ByHeader("X-Test-Id", "traced"); len(got) != 1 || got[0].ID != sesID || !strings.Contains(got[0].Header("Received"), relayID) {
		t.Errorf("the reply %q does not name what arrived", reply)
	}
	for _, id := range []string{relayID, sesID} {
		if out := s.relay.cli(t, "trace", id); !strings.Contains(out, relayID) || !strings.Contains(out, sesID) || strings.Contains(out, "traced@") {
			t.Errorf("relay trace %s:\n%s", id, out)
		}
	}
	if out := s.relay.cli(t, "status"); !strings.Contains(out, "100") || !strings.Contains(strings.ToLower(out), "cuenote") {
		t.Errorf("relay status:\n%s", out)
	}
	s.relay.cli(t, "route", "test", "--from", "news@goo.ne.jp", "--to", "user@example.jp", "--want", "ses")
	if out, err := s.relay.command("route", "test", "--from", "news@other.jp", "--to", "user@example.jp", "--want", "ses").CombinedOutput(); err == nil {
		t.Errorf("an unverified sender would go to SES:\n%s", out)
	}
	if n := s.store.Count(); n != 1 {
		t.Errorf("%d mails arrived: a question sent mail", n)
	}
	if out, err := s.relay.command("check", "--config", s.relay.config).CombinedOutput(); err != nil {
		t.Errorf("relay check: %v\n%s", err, out)
	}
}

// TestDotWithQuit pipelines QUIT behind the final dot, as Postfix does at times.
func TestDotWithQuit(t *testing.T) {
	t.Parallel()
	for _, percent := range []string{"0", "100"} {
		s := newStage(t, relayOptions{percent: percent, plain: true})
		c := dial(t, s.relay.smtp)
		m := plainMail("quit")
		c.want("250", c.do("MAIL FROM:<%s>", m.from))
		c.want("250", c.do("RCPT TO:<%s>", m.to[0]))
		c.want("354", c.do("DATA"))
		c.write(string(m.content) + ".\r\nQUIT\r\n")
		like(t, "the dot", c.read(), "250 2.0.0")
		like(t, "QUIT", c.read(), "221 ")
		like(t, "then", c.read(), "closed")
		if n := s.store.Copies("quit"); n != 1 {
			t.Errorf("it arrived %d times", n)
		}
	}
}
