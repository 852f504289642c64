package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// TestLMTP has a real Postfix deliver over LMTP: one mail for many recipients
// is split recipient by recipient, and a refusal concerns its recipient only.
func TestLMTP(t *testing.T) {
	t.Parallel()
	addr := freePort(t)
	s := newStage(t, relayOptions{percent: "50", smtp: addr, set: settings{
		"listeners":   "[" + listener(addr, "protocol: lmtp") + "]",
		"split.rules": "[{name: refused, recipient: gone@example.jp, route: cuenote}, {name: full, recipient: full@example.jp, route: cuenote}]",
	}})
	s.cuenote.Faults().Set(
		simulator.Fault{Name: simulator.FaultReply, At: simulator.AtRCPT, Address: "gone@example.jp", Code: 550, Text: "5.1.1 User unknown"},
		simulator.Fault{Name: simulator.FaultReply, At: simulator.AtRCPT, Address: "full@example.jp", Code: 452, Text: "4.2.2 Mailbox full", Times: 1},
	)
	p := startPostfix(t, "", "default_transport = lmtp:inet:"+bracketed(addr), "lmtp_destination_recipient_limit = 50")
	m := letter("lmtp", "news@goo.ne.jp", []string{"gone@example.jp", "full@example.jp"}, "Hello.\r\n")
	for i := range 30 {
		m.to = append(m.to, fmt.Sprintf("user%d@example.jp", i))
	}
	submit(t, p.addr, []corpusMail{*m})
	// 31 recipients and the bounce for gone@, whose null sender goes to Cuenote.
	eventually(t, time.Minute, "delivery", func() error {
		if n := p.queued(t); n > 0 {
			return fmt.Errorf("%d messages are still queued", n)
		}
		return nil
	})
	copies := map[string]int{}
	hops := map[string]int{}
	bounces := 0
	for _, r := range s.store.All() {
		if r.Header("X-Test-Id") != "lmtp" {
			bounces++
			if r.Upstream != simulator.UpstreamCuenote || r.From != "" || !strings.Contains(string(r.Raw), "gone@example.jp") {
				t.Errorf("an odd mail at %s from %q to %v", r.Upstream, r.From, r.To)
			}
			continue
		}
		hops[r.Upstream] += len(r.To)
		for _, to := range r.To {
			copies[to]++
		}
	}
	for _, to := range m.to {
		want := 1
		if to == "gone@example.jp" {
			want = 0
		}
		if copies[to] != want {
			t.Errorf("%s has %d copies, want %d", to, copies[to], want)
		}
	}
	if hops["ses"] < 3 || hops["cuenote"] < 3 {
		t.Errorf("recipients per hop: %v, not split one by one", hops)
	}
	log := p.logged(t)
	if n := strings.Count(log, "status=bounced"); n != 1 || bounces != 1 ||
		!regexp.MustCompile(`to=<gone@example.jp>.*status=bounced.*550 5.1.1 .*User unknown`).MatchString(log) {
		t.Errorf("%d bounces in the log, %d sent, want one for gone@", n, bounces)
	}
	if n := strings.Count(log, "status=deferred"); n != 1 || !regexp.MustCompile(`to=<full@example.jp>.*status=deferred.*452 4.2.2`).MatchString(log) {
		t.Errorf("%d deferrals, want one for full@", n)
	}
}

// TestLMTPFaults has one upstream fail for its recipients only.
func TestLMTPFaults(t *testing.T) {
	t.Parallel()
	addr := freePort(t)
	s := newStage(t, relayOptions{smtp: addr, plain: true, percent: "100", set: settings{
		"listeners":          "[" + listener(addr, "protocol: lmtp") + "]",
		"split.rules":        "[{name: pinned, recipient: \"*@cuenote.example\", route: cuenote}]",
		"ses.on_unavailable": "defer", "ses.on_rejected": "reject", "cuenote.timeout": "4s", "ses.timeout": "4s",
	}})
	for i, f := range []struct {
		ses, cuenote *simulator.Fault
		want         []string // of ses1, pinned1, ses2
	}{
		{nil, nil, []string{bySES, byCuenote, bySES}},
		{&simulator.Fault{Name: simulator.FaultInternalError}, nil, []string{unknown, byCuenote, unknown}},
		{&simulator.Fault{Name: simulator.FaultMessageRejected}, nil, []string{refusal, byCuenote, refusal}},
		{nil, &simulator.Fault{Name: simulator.FaultReply, Code: 554, Text: "5.7.1 Spam"}, []string{bySES, `554 5\.7\.1 Spam`, bySES}},
		{nil, &simulator.Fault{Name: simulator.FaultRecordThenCut}, []string{bySES, unknown, bySES}},
		{&simulator.Fault{Name: simulator.FaultCutAfterRecord}, &simulator.Fault{Name: simulator.FaultReply, Code: 451}, []string{unknown, `451 `, unknown}},
	} {
		m := plainMail(fmt.Sprintf("each%d", i), "ses1@example.jp", "pinned1@cuenote.example", "ses2@example.jp")
		if f.ses != nil {
			s.ses.Faults().Set(*f.ses)
		}
		if f.cuenote != nil {
			s.cuenote.Faults().Set(*f.cuenote)
		}
		c := connect(t, addr)
		c.greet("LHLO app.goo.ne.jp")
		got := c.send(m, true)
		s.ses.Faults().Clear()
		s.cuenote.Faults().Clear()
		if len(got.dot) != 3 {
			t.Fatalf("case %d: %d replies for 3 recipients: %q", i, len(got.dot), got)
		}
		for j, want := range f.want {
			like(t, fmt.Sprintf("case %d, recipient %d", i, j), got.dot[j], want)
		}
		copies := map[string]int{}
		for _, r := range s.store.ByHeader("X-Test-Id", m.id) {
			for _, to := range r.To {
				copies[to]++
			}
		}
		for j, want := range f.want {
			if strings.HasPrefix(want, "250") && copies[m.to[j]] != 1 {
				t.Errorf("case %d: %s has %d copies", i, m.to[j], copies[m.to[j]])
			}
		}
	}
}
