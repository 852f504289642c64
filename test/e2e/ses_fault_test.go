package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// stage is one relay between a client and both simulated hops.
type stage struct {
	*hops
	relay *relayProcess
	n     int // mails made
}

func newStage(t *testing.T, o relayOptions) *stage {
	t.Helper()
	h := startHops(t)
	o.ses, o.cuenote = h.ses.URL(), h.cuenote.Addr()
	return &stage{hops: h, relay: startRelay(t, o)}
}

// arrived returns how many copies of a mail each hop has.
func (h *hops) arrived(m *corpusMail) (ses, cuenote int) {
	for _, r := range h.store.ByHeader("X-Test-Id", m.id) {
		if r.Upstream == simulator.UpstreamSES {
			ses++
		} else {
			cuenote++
		}
	}
	return ses, cuenote
}

// check fails the test when a mail is not exactly there.
func (h *hops) check(t *testing.T, m *corpusMail, wantSES, wantCuenote int) {
	t.Helper()
	if ses, cuenote := h.arrived(m); ses != wantSES || cuenote != wantCuenote {
		t.Errorf("%s: SES has %d copies and Cuenote %d, want %d and %d", m.id, ses, cuenote, wantSES, wantCuenote)
	}
}

// like fails the test when a reply does not match.
func like(t *testing.T, what, reply, pattern string) {
	t.Helper()
	if !regexp.MustCompile("^(?:" + pattern + ")").MatchString(reply) {
		t.Errorf("%s: reply %q, want %s", what, reply, pattern)
	}
}

// Replies of the fault tables.
const (
	bySES     = `250 2\.0\.0 [0-9A-Za-z]+ accepted by ses `
	byCuenote = `250 2\.0\.0 [0-9A-Za-z]+ accepted by cuenote: `
	unknown   = `451 4\.4\.2 No answer`
	busy      = `451 4\.4\.5 An earlier attempt`
	throttle  = `451 4\.4\.5 Sending rate`
	unavail   = `451 4\.4\.1 `
	pausedTxt = `451 4\.3\.2 `
	configTxt = `451 4\.3\.5 `
	refusal   = `554 5\.6\.0 Message refused`
)

// sesFaults says for every fault of SES what the client reads when no other
// way is open, and which setting opens one.
var sesFaults = []struct {
	fault    simulator.Fault
	deferred string // reply with defer and reject
	over     bool   // with cuenote the mail goes there
	recorded int    // copies that SES has all the same
}{
	{simulator.Fault{Name: simulator.FaultThrottled}, throttle, true, 0},
	{simulator.Fault{Name: simulator.FaultThrottling}, throttle, true, 0},
	{simulator.Fault{Name: simulator.FaultSendingPaused}, pausedTxt, true, 0},
	{simulator.Fault{Name: simulator.FaultSendingPausedText}, pausedTxt, true, 0},
	{simulator.Fault{Name: simulator.FaultAccountSuspended}, pausedTxt, true, 0},
	{simulator.Fault{Name: simulator.FaultMailFromNotVerified}, configTxt, true, 0},
	{simulator.Fault{Name: simulator.FaultNoConfigurationSet}, configTxt, true, 0},
	{simulator.Fault{Name: simulator.FaultAccessDenied}, configTxt, true, 0},
	{simulator.Fault{Name: simulator.FaultExpiredToken}, configTxt, true, 0},
	{simulator.Fault{Name: simulator.FaultRequestExpired}, configTxt, true, 0},
	{simulator.Fault{Name: simulator.FaultInvalidToken}, configTxt, true, 0},
	{simulator.Fault{Name: simulator.FaultUnrecognizedClient}, configTxt, true, 0},
	{simulator.Fault{Name: simulator.FaultSignatureMismatch}, configTxt, true, 0},
	{simulator.Fault{Name: simulator.FaultMessageRejected}, refusal, true, 0},
	{simulator.Fault{Name: simulator.FaultBadRequest}, refusal, true, 0},
	{simulator.Fault{Name: simulator.FaultIdentityNotVerified, Text: "Email address is not verified. The following identities failed the check in region AP-NORTHEAST-1: news@unverified.goo.ne.jp"}, configTxt, true, 0},
	{simulator.Fault{Name: simulator.FaultUnknownError}, `451 4\.3\.0 `, false, 0},
	{simulator.Fault{Name: simulator.FaultInternalError}, unknown, false, 0},
	{simulator.Fault{Name: simulator.FaultUnavailable}, unknown, false, 0},
	{simulator.Fault{Name: simulator.FaultBadGateway}, unknown, false, 0},
	{simulator.Fault{Name: simulator.FaultCutBeforeRead}, unknown, false, 0},
	{simulator.Fault{Name: simulator.FaultCutBeforeRecord}, unknown, false, 0},
	{simulator.Fault{Name: simulator.FaultCutAfterRecord}, unknown, false, 1},
	{simulator.Fault{Name: simulator.FaultResetAfterRecord}, unknown, false, 1},
	{simulator.Fault{Name: simulator.FaultErrorAfterRecord}, unknown, false, 1},
	{simulator.Fault{Name: simulator.FaultHang}, unknown, false, 0},
	{simulator.Fault{Name: simulator.FaultHangAfterRecord}, unknown, false, 1},
	{simulator.Fault{Name: simulator.FaultGarbledAnswer}, bySES, false, 1},
	{simulator.Fault{Name: simulator.FaultTruncatedAnswer}, bySES, false, 1},
	{simulator.Fault{Name: simulator.FaultDelay, Delay: 300 * time.Millisecond}, bySES, false, 1},
	{simulator.Fault{Name: simulator.FaultSlowRead, Delay: 300 * time.Millisecond}, bySES, false, 1},
	{simulator.Fault{Name: simulator.FaultDailyQuota}, throttle, true, 0},
	{simulator.Fault{Name: simulator.FaultLimitExceeded}, throttle, true, 0},
}

// TestSESFaults has every fault of SES in two configurations, from the
// client's side: the reply, what arrived where, and what its retry does.
func TestSESFaults(t *testing.T) {
	t.Parallel()
	t.Run("every fault is in the table", func(t *testing.T) {
		for _, name := range simulator.SESFaults() {
			found := false
			for _, f := range sesFaults {
				found = found || f.fault.Name == name
			}
			if !found {
				t.Errorf("%s has no row", name)
			}
		}
	})
	base := settings{"ses.timeout": "4s"}
	t.Run("over to Cuenote", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, relayOptions{percent: "100", set: base.with(settings{
			"ses.on_unavailable": "cuenote", "ses.on_rejected": "cuenote", "quota.on_exhausted": "cuenote"})})
		s.mayAbort = true // a duplicate is found after Cuenote's 354
		s.runSESFaults(t, true)
	})
	t.Run("nowhere else", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, relayOptions{percent: "100", set: base.with(settings{
			"ses.on_unavailable": "defer", "ses.on_rejected": "reject", "quota.on_exhausted": "defer"})})
		s.runSESFaults(t, false)
	})
}

func (s *stage) runSESFaults(t *testing.T, over bool) {
	for i, f := range sesFaults {
		name := f.fault.Name
		if name == simulator.FaultDailyQuota || name == simulator.FaultLimitExceeded {
			continue // they end the day: see TestDailyQuota
		}
		m := plainMail(fmt.Sprintf("sf%d", i))
		if f.fault.Name == simulator.FaultIdentityNotVerified { // it takes the domain off SES for a while
			m = letter(m.id, "news@unverified.goo.ne.jp", m.to, "Hello.\r\n")
		}
		s.healthy(t)
		if err := s.ses.Faults().Set(f.fault); err != nil {
			t.Fatal(err)
		}
		reply := deliver(t, s.relay.smtp, m)
		want, cuenote := f.deferred, 0
		if over && f.over {
			want, cuenote = byCuenote, 1
		}
		like(t, name, reply, want)
		s.check(t, m, f.recorded, cuenote)
		s.ses.Faults().Set() // not Clear: what hangs stays so

		// The client's retry, with SES well again. What was accepted stays one
		// copy; what was left open is not sent again; the rest goes through.
		retry := deliver(t, s.relay.smtp, m)
		ses := f.recorded
		switch {
		case strings.HasPrefix(reply, "250"):
			like(t, name+", again", retry, want)
			if retry != reply {
				t.Errorf("%s: the duplicate was answered %q, the first %q", name, retry, reply)
			}
		case want == unknown || f.fault.Name == simulator.FaultUnknownError:
			like(t, name+", again", retry, busy)
		case f.fault.Name == simulator.FaultIdentityNotVerified:
			like(t, name+", again", retry, byCuenote) // learned: the domain takes Cuenote for a while
			cuenote = 1
		case strings.HasPrefix(want, "451"):
			if !strings.HasPrefix(retry, "250") { // the breaker may still be open for 100 ms
				eventually(t, 5*time.Second, name+", again", func() error {
					if retry = deliver(t, s.relay.smtp, m); !strings.HasPrefix(retry, "250") {
						return fmt.Errorf("%s", retry)
					}
					return nil
				})
			}
			like(t, name+", again", retry, bySES)
			ses = 1
		case strings.HasPrefix(want, "554"):
			like(t, name+", again", retry, bySES)
			ses = 1
		}
		s.check(t, m, ses, cuenote)
	}
}

// healthy waits until mail goes to SES: what opened the breaker is over.
func (s *stage) healthy(t *testing.T) {
	t.Helper()
	eventually(t, 10*time.Second, "waiting for SES to be used again", func() error {
		s.n++
		m := plainMail(fmt.Sprintf("healthy%d", s.n))
		reply := deliver(t, s.relay.smtp, m)
		if !strings.Contains(reply, "accepted by ses") {
			return fmt.Errorf("%s", reply)
		}
		return nil
	})
}

// TestDailyQuota has SES say that the day is spent: nothing more is sent to it,
// though it would take mail again.
func TestDailyQuota(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{simulator.FaultDailyQuota, simulator.FaultLimitExceeded} {
		for setting, want := range map[string]string{"cuenote": byCuenote, "defer": throttle} {
			t.Run(fault+" "+setting, func(t *testing.T) {
				t.Parallel()
				s := newStage(t, relayOptions{percent: "100", plain: true, set: settings{"quota.on_exhausted": setting}})
				s.healthy(t)
				s.ses.Faults().Set(simulator.Fault{Name: fault, Times: 1})
				cuenote := strings.Count(setting, "cuenote")
				for _, id := range []string{"first", "second"} {
					m := plainMail(id)
					like(t, id, deliver(t, s.relay.smtp, m), want)
					s.check(t, m, 0, cuenote)
				}
			})
		}
	}
}

// TestSESOutage has the endpoint refuse connections, which is the one fault
// before anything was sent.
func TestSESOutage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ setting, want string }{{"cuenote", byCuenote}, {"defer", unavail}} {
		t.Run(c.setting, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, relayOptions{percent: "100", set: settings{"ses.on_unavailable": c.setting}})
			s.healthy(t)
			s.ses.SetOutage(simulator.OutageRefuse)
			m := plainMail("refused")
			like(t, "refusing", deliver(t, s.relay.smtp, m), c.want)
			cuenote := 0
			if c.setting == "cuenote" {
				cuenote = 1
			}
			s.check(t, m, 0, cuenote)
			if err := s.ses.SetOutage(simulator.NoOutage); err != nil {
				t.Fatal(err)
			}
			if cuenote == 0 {
				like(t, "again", deliver(t, s.relay.smtp, m), bySES)
				s.check(t, m, 1, 0)
			}
		})
	}
}

// TestBreakerOpens sends failures until the breaker opens, and success until it
// closes. While it is open nobody waits for SES.
func TestBreakerOpens(t *testing.T) {
	t.Parallel()
	s := newStage(t, relayOptions{percent: "100", set: settings{
		"breaker.min_requests": "3", "breaker.open_for": "1s", "ses.on_unavailable": "defer", "cuenote.on_unavailable": "defer"}})
	s.ses.Faults().Set(simulator.Fault{Name: simulator.FaultInternalError})
	for i := range 3 {
		like(t, "failure", deliver(t, s.relay.smtp, plainMail(fmt.Sprintf("fail%d", i))), unknown)
	}
	calls := s.ses.Requests()
	like(t, "open", deliver(t, s.relay.smtp, plainMail("open")), pausedTxt)
	s.relay.scrape()
	if n := s.ses.Requests(); n != calls {
		t.Errorf("SES was called %d times while the breaker was open", n-calls)
	}
	s.ses.Faults().Clear()
	s.healthy(t)
}

// TestPostfixRetriesSES has a real Postfix in front: what SES did not take
// arrives by its retries, once; what SES left open stays in the queue and is
// sent by nobody meanwhile.
func TestPostfixRetriesSES(t *testing.T) {
	t.Parallel()
	s := newStage(t, relayOptions{percent: "100", set: settings{
		"ses.timeout": "4s", "ses.on_unavailable": "defer", "ses.on_rejected": "reject", "quota.on_exhausted": "defer"}})
	p := startPostfix(t, bracketed(s.relay.smtp))
	s.ses.Faults().Set(
		simulator.Fault{Name: simulator.FaultThrottled, Address: "throttled@example.jp", Times: 2},
		simulator.Fault{Name: simulator.FaultAccessDenied, Address: "denied@example.jp", Times: 1},
		simulator.Fault{Name: simulator.FaultCutAfterRecord, Address: "lost@example.jp", Times: 1},
		simulator.Fault{Name: simulator.FaultCutBeforeRecord, Address: "cut@example.jp", Times: 1},
		simulator.Fault{Name: simulator.FaultHangAfterRecord, Address: "hang@example.jp", Times: 1},
		simulator.Fault{Name: simulator.FaultMessageRejected, Address: "rejected@example.jp"},
	)
	var mails []corpusMail
	for _, name := range []string{"throttled", "denied", "lost", "cut", "hang", "rejected", "fine"} {
		mails = append(mails, *plainMail(name))
	}
	submit(t, p.addr, mails)
	// Each open one was tried again, and answered without a second send.
	eventually(t, 60*time.Second, "Postfix's retries", func() error {
		log := p.logged(t)
		for _, name := range []string{"lost", "cut", "hang"} {
			if !regexp.MustCompile(`to=<` + name + `@example.jp>.*An earlier attempt`).MatchString(log) {
				return fmt.Errorf("%s was not tried again", name)
			}
		}
		for _, name := range []string{"throttled", "denied", "fine"} {
			if !regexp.MustCompile(`to=<` + name + `@example.jp>.*status=sent .*accepted by ses`).MatchString(log) {
				return fmt.Errorf("%s has not arrived", name)
			}
		}
		return nil
	})
	want := map[string]int{"throttled": 1, "denied": 1, "fine": 1, "lost": 1, "hang": 1}
	for i := range mails {
		s.check(t, &mails[i], want[mails[i].id], 0)
	}
	log := p.logged(t)
	if n := strings.Count(log, "status=bounced"); n != 1 || !regexp.MustCompile(`to=<rejected@example.jp>.*status=bounced.*554 5.6.0 .*Message refused`).MatchString(log) {
		t.Errorf("%d bounces, want the one of rejected@", n)
	}
	// The notification of the bounce is on its way to Cuenote for a moment.
	eventually(t, 30*time.Second, "Postfix's queue", func() error {
		if n := p.queued(t); n != 3 {
			return fmt.Errorf("%d messages are queued, want the 3 whose outcome is open", n)
		}
		return nil
	})
}
