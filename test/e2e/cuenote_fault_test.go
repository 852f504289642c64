package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// cuenoteFaults says for every way in which Cuenote fails what the client
// reads. An outage is what on_unavailable: ses may send the other way, while
// the split is above 0.
var cuenoteFaults = []struct {
	name     string
	fault    simulator.Fault
	reply    string
	outage   bool
	recorded int // copies that Cuenote has all the same
}{
	{"421 at the greeting", simulator.Fault{Name: simulator.FaultReply, At: simulator.AtGreeting, Code: 421}, unavail, true, 0},
	{"554 at the greeting", simulator.Fault{Name: simulator.FaultReply, At: simulator.AtGreeting, Code: 554}, `451 4\.`, true, 0},
	{"cut at the greeting", simulator.Fault{Name: simulator.FaultCut, At: simulator.AtGreeting}, unavail, true, 0},
	{"reset at the greeting", simulator.Fault{Name: simulator.FaultReset, At: simulator.AtGreeting}, unavail, true, 0},
	{"garbled greeting", simulator.Fault{Name: simulator.FaultGarbledReply, At: simulator.AtGreeting}, unavail, true, 0},
	{"451 at EHLO", simulator.Fault{Name: simulator.FaultReply, At: simulator.AtHELO, Code: 451}, `451 4\.`, true, 0},
	{"550 at EHLO", simulator.Fault{Name: simulator.FaultReply, At: simulator.AtHELO, Code: 550}, `451 4\.`, true, 0},
	{"cut at EHLO", simulator.Fault{Name: simulator.FaultCut, At: simulator.AtHELO}, unavail, true, 0},
	{"reset at EHLO", simulator.Fault{Name: simulator.FaultReset, At: simulator.AtHELO}, unavail, true, 0},

	{"421 at MAIL", simulator.Fault{Name: simulator.FaultReply, At: simulator.AtMAIL, Code: 421}, unavail, true, 0},
	{"450 at MAIL", simulator.Fault{Name: simulator.FaultReply, At: simulator.AtMAIL, Code: 450, Text: "4.7.1 Greylisted"}, `450 4\.7\.1 Greylisted`, false, 0},
	{"451 of the system at MAIL", simulator.Fault{Name: simulator.FaultReply, At: simulator.AtMAIL, Code: 451, Text: "4.3.0 Queue full"}, `451 4\.3\.0 Queue full`, true, 0},
	{"550 at MAIL", simulator.Fault{Name: simulator.FaultReply, At: simulator.AtMAIL, Code: 550, Text: "5.1.8 Bad sender"}, `550 5\.1\.8 Bad sender`, false, 0},
	{"530 at MAIL", simulator.Fault{Name: simulator.FaultReply, At: simulator.AtMAIL, Code: 530, Text: "5.7.0 Authentication required"}, configTxt, true, 0},
	{"cut at MAIL", simulator.Fault{Name: simulator.FaultCut, At: simulator.AtMAIL}, unavail, true, 0},
	{"reset at MAIL", simulator.Fault{Name: simulator.FaultReset, At: simulator.AtMAIL}, unavail, true, 0},
	{"garbled at MAIL", simulator.Fault{Name: simulator.FaultGarbledReply, At: simulator.AtMAIL}, unavail, true, 0},

	{"421 at RCPT", simulator.Fault{Name: simulator.FaultReply, At: simulator.AtRCPT, Code: 421}, unavail, true, 0},
	{"450 at RCPT", simulator.Fault{Name: simulator.FaultReply, At: simulator.AtRCPT, Code: 450, Text: "4.2.0 Greylisted"}, `450 4\.2\.0 Greylisted`, false, 0},
	{"452 at RCPT", simulator.Fault{Name: simulator.FaultReply, At: simulator.AtRCPT, Code: 452, Text: "4.2.2 Mailbox full"}, `452 4\.2\.2 Mailbox full`, false, 0},
	{"550 at RCPT", simulator.Fault{Name: simulator.FaultReply, At: simulator.AtRCPT, Code: 550, Text: "5.1.1 User unknown"}, `550 5\.1\.1 User unknown`, false, 0},
	{"553 at RCPT", simulator.Fault{Name: simulator.FaultReply, At: simulator.AtRCPT, Code: 553, Text: "5.1.3 Bad address"}, `553 5\.1\.3 Bad address`, false, 0},
	{"relay denied at RCPT", simulator.Fault{Name: simulator.FaultReply, At: simulator.AtRCPT, Code: 554, Text: "5.7.1 Relay access denied"}, configTxt, true, 0},
	{"cut at RCPT", simulator.Fault{Name: simulator.FaultCut, At: simulator.AtRCPT}, unavail, true, 0},
	{"reset at RCPT", simulator.Fault{Name: simulator.FaultReset, At: simulator.AtRCPT}, unavail, true, 0},

	{"421 at DATA", simulator.Fault{Name: simulator.FaultReply, At: simulator.AtDATA, Code: 421}, unavail, true, 0},
	{"451 at DATA", simulator.Fault{Name: simulator.FaultReply, At: simulator.AtDATA, Code: 451, Text: "4.7.1 Later"}, `451 4\.7\.1 Later`, false, 0},
	{"554 at DATA", simulator.Fault{Name: simulator.FaultReply, At: simulator.AtDATA, Code: 554, Text: "5.7.1 No"}, `554 5\.7\.1 No`, false, 0},
	{"cut at DATA", simulator.Fault{Name: simulator.FaultCut, At: simulator.AtDATA}, unavail, true, 0},
	{"reset at DATA", simulator.Fault{Name: simulator.FaultReset, At: simulator.AtDATA}, unavail, true, 0},

	// After 354 the content is on its way and is not kept: nothing goes elsewhere.
	{"421 at the dot", simulator.Fault{Name: simulator.FaultReply, Code: 421}, unavail, false, 0},
	{"451 at the dot", simulator.Fault{Name: simulator.FaultReply, Code: 451, Text: "4.3.0 Disk full"}, `451 4\.3\.0 Disk full`, false, 0},
	{"554 at the dot", simulator.Fault{Name: simulator.FaultReply, Code: 554, Text: "5.7.1 Spam"}, `554 5\.7\.1 Spam`, false, 0},
	{"552 at the dot", simulator.Fault{Name: simulator.FaultReply, Code: 552, Text: "5.3.4 Too large"}, `552 5\.3\.4 Too large`, false, 0},
	{"cut at the dot", simulator.Fault{Name: simulator.FaultCut}, unknown, false, 0},
	{"reset at the dot", simulator.Fault{Name: simulator.FaultReset}, unknown, false, 0},
	{"garbled at the dot", simulator.Fault{Name: simulator.FaultGarbledReply}, `451 4\.4\.`, false, 0},
	{"hang at the dot", simulator.Fault{Name: simulator.FaultHang}, unknown, false, 0},
	{"recorded, then cut", simulator.Fault{Name: simulator.FaultRecordThenCut}, unknown, false, 1},
	{"recorded, then hang", simulator.Fault{Name: simulator.FaultRecordThenHang}, unknown, false, 1},
	{"cut behind the reply", simulator.Fault{Name: simulator.FaultCutAfterReply}, byCuenote, false, 1},
	{"slow dot", simulator.Fault{Name: simulator.FaultDelay, Delay: 300 * time.Millisecond}, byCuenote, false, 1},
}

// TestCuenoteFaults has every fault in three configurations.
func TestCuenoteFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		setting, percent string
		over             bool
	}{
		{"defer", "0", false},
		{"ses", "0", false}, // nothing ever overflows to SES at 0 %
		{"ses", "50", true},
	} {
		t.Run(c.setting+" at "+c.percent, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, relayOptions{percent: c.percent, set: settings{
				"split.by": "recipient", "cuenote.on_unavailable": c.setting, "cuenote.timeout": "4s"}})
			s.mayAbort = true
			s.runCuenoteFaults(t, s.cuenoteRecipient(t), c.over)
		})
	}
}

// cuenoteRecipient finds a recipient that the split sends to Cuenote.
func (s *stage) cuenoteRecipient(t *testing.T) string {
	t.Helper()
	for i := range 50 {
		m := plainMail(fmt.Sprintf("find%d", i))
		like(t, "finding a recipient", deliver(t, s.relay.smtp, m), "250 ")
		if _, cuenote := s.arrived(m); cuenote == 1 {
			return m.to[0]
		}
	}
	t.Fatal("no recipient of 50 goes to Cuenote")
	return ""
}

func (s *stage) runCuenoteFaults(t *testing.T, to string, over bool) {
	for i, f := range cuenoteFaults {
		// Once on a pooled connection, where one exists, and once on a new one.
		for _, pooled := range []bool{true, false} {
			if f.fault.At == simulator.AtGreeting || f.fault.At == simulator.AtHELO {
				if pooled {
					continue
				}
			}
			what := fmt.Sprintf("%s, pooled %v", f.name, pooled)
			s.cuenoteWell(t, to)
			if !pooled {
				s.cuenote.CutConnections()
			}
			m := plainMail(fmt.Sprintf("cf%d%v", i, pooled), to)
			if err := s.cuenote.Faults().Set(f.fault); err != nil {
				t.Fatal(err)
			}
			reply := deliver(t, s.relay.smtp, m)
			s.cuenote.Faults().Set() // not Clear: what hangs stays so
			want, ses := f.reply, 0
			if over && f.outage {
				want, ses = bySES, 1
			}
			like(t, what, reply, want)
			s.check(t, m, ses, f.recorded)
			s.retryCuenote(t, what, m, reply, ses, f.recorded)
		}
	}
}

// cuenoteWell waits until mail goes to Cuenote: what opened the breaker is over.
func (s *stage) cuenoteWell(t *testing.T, to string) {
	t.Helper()
	eventually(t, 10*time.Second, "waiting for Cuenote to be used again", func() error {
		s.n++
		if r := deliver(t, s.relay.smtp, plainMail(fmt.Sprintf("well%d", s.n), to)); !strings.Contains(r, "accepted by cuenote") {
			return fmt.Errorf("%s", r)
		}
		return nil
	})
}

// retryCuenote sends the mail again, with Cuenote well.
func (s *stage) retryCuenote(t *testing.T, what string, m *corpusMail, reply string, ses, recorded int) {
	t.Helper()
	s.cuenoteWell(t, m.to[0])
	want, cuenote := byCuenote, 1
	switch {
	case strings.HasPrefix(reply, "250"):
		want, cuenote = reply[:4], recorded
	case strings.HasPrefix(reply, "451 4.4.2"):
		want, cuenote = busy, recorded
	}
	like(t, what+", again", deliver(t, s.relay.smtp, m), want)
	s.check(t, m, ses, cuenote)
}

// TestCuenoteOutage has nobody at Cuenote's address at all.
func TestCuenoteOutage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		setting, percent string
		over             bool
	}{{"defer", "50", false}, {"ses", "0", false}, {"ses", "50", true}} {
		for _, outage := range []simulator.Outage{simulator.OutageRefuse, simulator.OutageUnavailable} {
			t.Run(fmt.Sprintf("%s %s at %s", outage, c.setting, c.percent), func(t *testing.T) {
				t.Parallel()
				s := newStage(t, relayOptions{percent: c.percent, plain: true, set: settings{"split.by": "recipient", "cuenote.on_unavailable": c.setting}})
				to := s.cuenoteRecipient(t)
				s.cuenote.CutConnections()
				s.cuenote.SetOutage(outage)
				m := plainMail("outage", to)
				want, ses := unavail, 0
				if c.over {
					want, ses = bySES, 1
				}
				like(t, "outage", deliver(t, s.relay.smtp, m), want)
				s.check(t, m, ses, 0)

				// What a rule pins to Cuenote waits for it, and so does what SES cannot take.
				null := letter("null", "", []string{to}, "A bounce.\r\n")
				like(t, "null sender", deliver(t, s.relay.smtp, null), unavail)
				s.check(t, null, 0, 0)
				if err := s.cuenote.SetOutage(simulator.NoOutage); err != nil {
					t.Fatal(err)
				}
				like(t, "null sender, again", deliver(t, s.relay.smtp, null), byCuenote)
				s.check(t, null, 0, 1)
				if !c.over {
					like(t, "again", deliver(t, s.relay.smtp, m), byCuenote)
					s.check(t, m, 0, 1)
				}
			})
		}
	}
}

// TestCuenoteBreaker has Cuenote fail until it is left alone.
func TestCuenoteBreaker(t *testing.T) {
	t.Parallel()
	s := newStage(t, relayOptions{plain: true, set: settings{"breaker.min_requests": "3", "breaker.open_for": "1s"}})
	s.cuenote.SetOutage(simulator.OutageUnavailable)
	for i := range 3 {
		like(t, "failure", deliver(t, s.relay.smtp, plainMail(fmt.Sprintf("fail%d", i))), unavail)
	}
	_, before := s.cuenote.Connections()
	like(t, "open", deliver(t, s.relay.smtp, plainMail("open")), pausedTxt)
	s.relay.scrape()
	if _, n := s.cuenote.Connections(); n != before {
		t.Error("Cuenote was called while the breaker was open")
	}
	s.cuenote.SetOutage(simulator.NoOutage)
	s.cuenoteWell(t, "well@example.jp")
}

// TestMixedRecipients has recipients with different replies in one
// transaction: each gets its own.
func TestMixedRecipients(t *testing.T) {
	t.Parallel()
	s := newStage(t, relayOptions{plain: true})
	s.cuenote.Faults().Set(
		simulator.Fault{Name: simulator.FaultReply, At: simulator.AtRCPT, Address: "full@example.jp", Code: 452, Text: "4.2.2 Mailbox full"},
		simulator.Fault{Name: simulator.FaultReply, At: simulator.AtRCPT, Address: "gone@example.jp", Code: 550, Text: "5.1.1 User unknown"},
	)
	m := plainMail("mixed", "full@example.jp", "ok1@example.jp", "gone@example.jp", "ok2@example.jp")
	got := dial(t, s.relay.smtp).send(m, false)
	for i, want := range []string{"452 4.2.2 Mailbox full", "250 ", "550 5.1.1 User unknown", "250 "} {
		if !strings.HasPrefix(got.rcpt[i], want) {
			t.Errorf("RCPT %d: %q, want %s", i, got.rcpt[i], want)
		}
	}
	like(t, "the dot", got.dot[0], byCuenote)
	if r := s.store.ByHeader("X-Test-Id", "mixed"); len(r) != 1 || strings.Join(r[0].To, ",") != "ok1@example.jp,ok2@example.jp" {
		t.Errorf("arrived %v", r)
	}
}

// TestPartialFailover has SES refuse a mail for three recipients of which
// Cuenote takes two: the client comes again, and then each recipient gets its
// own reply.
func TestPartialFailover(t *testing.T) {
	t.Parallel()
	s := newStage(t, relayOptions{percent: "100", plain: true})
	s.mayAbort = true
	s.ses.Faults().Set(simulator.Fault{Name: simulator.FaultMessageRejected})
	s.cuenote.Faults().Set(simulator.Fault{Name: simulator.FaultReply, At: simulator.AtRCPT, Address: "gone@example.jp", Code: 550, Text: "5.1.1 User unknown"})
	m := plainMail("partial", "ok1@example.jp", "gone@example.jp", "ok2@example.jp")
	like(t, "first", deliver(t, s.relay.smtp, m), `451 4\.4\.0 `)
	s.check(t, m, 0, 0)
	got := dial(t, s.relay.smtp).send(m, false)
	like(t, "gone", got.rcpt[1], `550 5\.1\.1 User unknown`)
	like(t, "the dot", got.dot[0], byCuenote)
	if r := s.store.ByHeader("X-Test-Id", "partial"); len(r) != 1 || len(r[0].To) != 2 {
		t.Errorf("arrived %v", r)
	}
}
