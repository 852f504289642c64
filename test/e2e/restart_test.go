package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// slow makes both hops take their time, so that a kill finds mail in flight.
func (h *hops) slow() {
	l := simulator.Latency{Min: 50 * time.Millisecond, Max: 150 * time.Millisecond}
	h.ses.SetLatency(l)
	h.cuenote.SetLatency(l)
}

// numbered makes n small mails.
func numbered(prefix string, n int) []corpusMail {
	mails := make([]corpusMail, n)
	for i := range mails {
		mails[i] = *plainMail(fmt.Sprintf("%s%d", prefix, i))
	}
	return mails
}

// complete fails the test for mail that did not arrive, and returns how many
// copies there are beyond the first.
func (h *hops) complete(t *testing.T, mails []corpusMail) (extra int) {
	t.Helper()
	for _, m := range mails {
		n := h.store.Copies(m.id)
		if n == 0 {
			t.Errorf("%s is lost", m.id)
		}
		extra += max(0, n-1)
	}
	return extra
}

// TestKill kills the relay three times in the middle of deliveries. Postfix
// delivers everything to its successors: nothing is lost, nothing bounces, and
// the duplicates are no more than what was in flight.
func TestKill(t *testing.T) {
	t.Parallel()
	s := newStage(t, relayOptions{set: settings{"state.file": fmt.Sprintf("%q", filepath.Join(t.TempDir(), "state"))}})
	s.mayAbort = true // a killed relay leaves Cuenote inside DATA
	s.relay.split(t, "40.5")
	s.slow()
	const concurrency = 20
	p := startPostfix(t, bracketed(s.relay.smtp), fmt.Sprintf("default_destination_concurrency_limit = %d", concurrency),
		"default_destination_concurrency_failed_cohort_limit = 1000")
	mails := numbered("kill", 600)
	submitted := make(chan struct{})
	go func() {
		defer close(submitted)
		submit(t, p.addr, mails)
	}()
	for _, at := range []int{60, 180, 300} {
		if err := s.store.Wait(within(t, time.Minute), at); err != nil {
			t.Fatal(err)
		}
		s.relay.kill()
		s.relay = s.relay.again(t)
		if out := s.relay.cli(t, "split", "get", "--json"); !strings.Contains(out, "40.5") {
			t.Errorf("after the kill the split is %s", out)
		}
	}
	<-submitted
	eventually(t, time.Minute, "Postfix's queue", func() error {
		p.flush(t)
		if n := p.queued(t); n > 0 {
			return fmt.Errorf("%d messages are still queued", n)
		}
		return nil
	})
	extra := s.complete(t, mails)
	status := p.statuses(t)
	t.Logf("3 kills: %d mails, %d duplicates, Postfix: %v", len(mails), extra, status)
	if status["bounced"] > 0 {
		t.Errorf("%d mails bounced", status["bounced"])
	}
	if extra > 3*concurrency {
		t.Errorf("%d duplicates, more than what was in flight", extra)
	}
	if status["deferred"] == 0 {
		t.Error("no kill met a delivery: the test shows nothing")
	}
}

// TestStateFileSurvivesKill changes the split while mail flows and kills at
// once: the last answered change is in force afterwards.
func TestStateFileSurvivesKill(t *testing.T) {
	t.Parallel()
	s := newStage(t, relayOptions{plain: true, set: settings{"state.file": fmt.Sprintf("%q", filepath.Join(t.TempDir(), "state"))}})
	for _, percent := range []string{"12.34", "0.01", "100"} {
		s.relay.split(t, percent)
		s.relay.kill()
		s.relay = s.relay.again(t)
		var split struct {
			SESPercent float64 `json:"ses_percent"`
			Version    int     `json:"version"`
		}
		s.relay.get(t, "/v1/split", &split)
		if fmt.Sprint(split.SESPercent) != percent {
			t.Errorf("after the kill the split is %v, want %s", split.SESPercent, percent)
		}
	}
	like(t, "at 100 %", deliver(t, s.relay.smtp, plainMail("hundred")), bySES)
}

// TestDrainUnderLoad stops one of two relays while Postfix delivers through
// both: every mail is sent at its first attempt.
func TestDrainUnderLoad(t *testing.T) {
	t.Parallel()
	h := startHops(t)
	h.slow()
	o := relayOptions{ses: h.ses.URL(), cuenote: h.cuenote.Addr(), percent: "50"}
	at := func(i int) relayOptions { // to Postfix two ports of one address are one relay
		one := o
		one.smtp = apart(t, i)
		return one
	}
	a, b := startRelay(t, at(0)), startRelay(t, at(1))
	p := startPostfix(t, bracketed(a.smtp)+", "+bracketed(b.smtp), "default_destination_concurrency_limit = 20",
		"smtp_connection_cache_on_demand = yes", "smtp_connection_cache_destinations = 127.0.0.2, 127.0.0.3", "smtp_connection_reuse_time_limit = 60s")
	mails := numbered("drain", 600)
	submitted := make(chan struct{})
	go func() {
		defer close(submitted)
		submit(t, p.addr, mails)
	}()
	if err := h.store.Wait(within(t, time.Minute), 100); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	a.scrape()
	a.stop(t, 30*time.Second)
	took := time.Since(began)
	if a.err != nil {
		t.Errorf("the drained relay ended with %v", a.err)
	}
	if took > 20*time.Second {
		t.Errorf("the drain took %v", took)
	}
	<-submitted
	p.drained(t, time.Minute)
	if extra := h.complete(t, mails); extra > 0 {
		t.Errorf("%d duplicates", extra)
	}
	status := p.statuses(t)
	t.Logf("drain in %v, Postfix: %v", took.Round(time.Millisecond), status)
	if status["bounced"]+status["deferred"] > 0 {
		t.Errorf("%d bounced, %d deferred:\n%s", status["bounced"], status["deferred"], troubles(p.logged(t)))
	}
}

// TestDrainPhases looks at one client in each state while the relay drains.
func TestDrainPhases(t *testing.T) {
	t.Parallel()
	s := newStage(t, relayOptions{plain: true, percent: "50", set: settings{"drain.grace": "2s", "drain.deadline": "30s"}})
	idle, inData, inMail := dial(t, s.relay.smtp), dial(t, s.relay.smtp), dial(t, s.relay.smtp)
	inData.want("250", inData.do("MAIL FROM:<news@goo.ne.jp>"))
	inData.want("250", inData.do("RCPT TO:<data@example.jp>"))
	inData.want("354", inData.do("DATA"))
	inMail.want("250", inMail.do("MAIL FROM:<news@goo.ne.jp>"))

	began := time.Now()
	s.relay.signal(syscall.SIGTERM)
	eventually(t, 5*time.Second, "readyz during the grace", func() error {
		if code := s.relay.readyz(); code != http.StatusServiceUnavailable {
			return fmt.Errorf("status %d", code)
		}
		return nil
	})
	m := plainMail("grace") // still served
	like(t, "a new client during the grace", deliver(t, s.relay.smtp, m), "250 ")

	// The idle client is told, without having asked, when the grace is over.
	like(t, "idle client", idle.read(), `421 4\.3\.2 `)
	if took := time.Since(began); took < 1500*time.Millisecond {
		t.Errorf("the idle client was told after %v, within the grace", took)
	}
	like(t, "idle client, then", idle.read(), "closed")
	eventually(t, 5*time.Second, "the listener to close", func() error {
		if conn, err := net.DialTimeout("tcp", s.relay.smtp, time.Second); err == nil {
			conn.Close()
			return errors.New("it still accepts")
		}
		return nil
	})

	// The client inside DATA ends with a 250, and then gets 421.
	m = plainMail("data")
	inData.write(string(m.content) + ".\r\n")
	like(t, "client in DATA", inData.read(), "250 ")
	like(t, "client in DATA, then", inData.read(), `421 4\.3\.2 `)
	// So does the one that had begun.
	m2 := plainMail("mail")
	inMail.want("250", inMail.do("RCPT TO:<mail@example.jp>"))
	inMail.want("354", inMail.do("DATA"))
	inMail.write(string(m2.content) + ".\r\n")
	like(t, "client in MAIL", inMail.read(), "250 ")
	like(t, "client in MAIL, then", inMail.read(), `421 4\.3\.2 `)
	select {
	case <-s.relay.done:
	case <-time.After(10 * time.Second):
		t.Fatal("the relay does not end")
	}
	if s.relay.err != nil {
		t.Errorf("it ended with %v", s.relay.err)
	}
	for _, id := range []string{"grace", "data", "mail"} {
		if n := s.store.Copies(id); n != 1 {
			t.Errorf("%s arrived %d times", id, n)
		}
	}
}

// TestDrainDeadline has a client that never finishes: the drain ends all the
// same, and the client keeps its mail.
func TestDrainDeadline(t *testing.T) {
	t.Parallel()
	s := newStage(t, relayOptions{plain: true, set: settings{"drain.deadline": "2s"}})
	s.mayAbort = true
	c := dial(t, s.relay.smtp)
	c.want("250", c.do("MAIL FROM:<news@goo.ne.jp>"))
	c.want("250", c.do("RCPT TO:<never@example.jp>"))
	c.want("354", c.do("DATA"))
	c.write(string(plainMail("never").content))
	began := time.Now()
	s.relay.signal(syscall.SIGTERM)
	select {
	case <-s.relay.done:
	case <-time.After(10 * time.Second):
		t.Fatal("the relay does not end at its deadline")
	}
	if took := time.Since(began); took < 1900*time.Millisecond {
		t.Errorf("the drain gave up after %v, before drain.deadline", took)
	}
	if r := c.read(); strings.HasPrefix(r, "2") {
		t.Errorf("the client in DATA got %q", r)
	}
	if n := s.store.Copies("never"); n != 0 {
		t.Error("half a mail arrived")
	}
}

// TestReload changes everything that a reload may change.
func TestReload(t *testing.T) {
	t.Parallel()
	s := newStage(t, relayOptions{set: settings{"split.rules": "[{name: one, sender_domain: rule.goo.ne.jp, route: ses}]"}})
	ruled := func(id string) *corpusMail {
		return letter(id, "news@rule.goo.ne.jp", []string{id + "@example.jp"}, "Hello.\r\n")
	}
	like(t, "before", deliver(t, s.relay.smtp, ruled("before")), bySES)

	// A transaction under way ends with the rules that it began with.
	open := dial(t, s.relay.smtp)
	open.want("250", open.do("MAIL FROM:<news@rule.goo.ne.jp>"))

	o := s.relay.options
	yaml := o.settings().yaml()
	said := s.relay.reload(t, strings.Replace(yaml, "route: ses", "route: sas", 1)+"nonsense: 1\n")
	for _, word := range []string{"reload refused", "sas", "nonsense", "relay.yaml:"} {
		if !strings.Contains(said, word) {
			t.Errorf("the log does not say %q: %s", word, said)
		}
	}
	like(t, "after the bad file", deliver(t, s.relay.smtp, ruled("kept")), bySES)

	said = s.relay.reload(t, o.settings().with(settings{"hostname": "other.goo.ne.jp"}).yaml())
	if !strings.Contains(said, "reload refused") || !strings.Contains(said, "hostname has changed") {
		t.Errorf("a key that needs a restart: %s", said)
	}

	second := freePort(t)
	good := o.settings().with(settings{
		"split.rules":       "[{name: two, sender_domain: rule.goo.ne.jp, route: cuenote}]",
		"listeners":         "[" + listener(second) + "]",
		"limits.recipients": "1",
	})
	if said = s.relay.reload(t, good.yaml()); strings.Contains(said, "refused") {
		t.Fatal(said)
	}
	if conn, err := net.DialTimeout("tcp", s.relay.smtp, time.Second); err == nil {
		conn.Close()
		t.Error("the old listener still accepts")
	}
	like(t, "new rule, new listener", deliver(t, second, ruled("new")), byCuenote)
	two := plainMail("two", "a@example.jp", "b@example.jp")
	if got := dial(t, second).send(two, false); !strings.HasPrefix(got.rcpt[1], "452 4.5.3") || !strings.HasPrefix(got.rcpt[0], "250") {
		t.Errorf("recipients: %q", got.rcpt)
	}

	// The open one ends as it began: by the old rule, on its old connection.
	open.want("250", open.do("RCPT TO:<open@example.jp>"))
	open.want("354", open.do("DATA"))
	open.write(string(ruled("open").content) + ".\r\n")
	like(t, "the transaction under way", open.read(), "250 ")
	s.relay.options.smtp = second
	if n := s.store.Copies("open"); n != 1 {
		t.Errorf("the transaction under way arrived %d times", n)
	}

	closed := good.with(settings{"access.networks": "[10.0.0.0/8]"})
	if said = s.relay.reload(t, closed.yaml()); strings.Contains(said, "refused") {
		t.Fatal(said)
	}
	like(t, "access taken away", connect(t, second).read(), `554 5\.7\.1 `)
	like(t, "access taken away from an open connection", open.do("MAIL FROM:<news@goo.ne.jp>"), `550 5\.7\.1 `)
}

// TestReloadUnderLoad reloads many times while mail flows: every mail arrives
// once and nobody notices.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	s := newStage(t, relayOptions{percent: "50"})
	s.slow()
	mails := numbered("reload", 300)
	done := make(chan struct{})
	go func() {
		defer close(done)
		submit(t, s.relay.smtp, mails) // fails the test for any reply but 250
	}()
	o := s.relay.options
	for i := 0; ; i++ {
		by := []string{"message", "recipient"}[i%2]
		if said := s.relay.reload(t, o.settings().with(settings{"split.by": by}).yaml()); strings.Contains(said, "refused") {
			t.Error(said)
		}
		select {
		case <-done:
			if extra := s.complete(t, mails); extra > 0 {
				t.Errorf("%d duplicates", extra)
			}
			t.Logf("%d reloads", i+1)
			return
		default:
		}
	}
}
