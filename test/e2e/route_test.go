package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// TestBuiltInRules has mail that SES cannot take, at 100 %: all of it arrives
// at Cuenote with its envelope unchanged, and nothing of it is called a fault
// of the client's.
func TestBuiltInRules(t *testing.T) {
	t.Parallel()
	s := newStage(t, relayOptions{percent: "100", set: settings{"ses.message_size": "64KiB", "cuenote.on_unavailable": "ses"}})
	big := strings.Repeat("0123456789\r\n", 8000)
	for i, c := range []struct {
		name, from string
		to         []string
		header     string // From: when it is not the reverse-path
		body       string
		parameters string
		want       string
	}{
		{"as usual", "news@goo.ne.jp", []string{"user@example.jp"}, "", "", "", bySES},
		{"of a subdomain", "news@mail.goo.ne.jp", []string{"user@example.jp"}, "", "", "", bySES},
		{"null sender", "", []string{"user@example.jp"}, "news@goo.ne.jp", "", "", byCuenote},
		{"docomo's addresses", "news@goo.ne.jp", []string{"a..b.@docomo.ne.jp"}, "", "", "", byCuenote},
		{"ezweb's addresses", "news@goo.ne.jp", []string{".first@ezweb.ne.jp"}, "", "", "", byCuenote},
		{"quoted", "news@goo.ne.jp", []string{`"a b"@example.jp`}, "", "", "", `250 2\.0\.0`},
		{"SMTPUTF8", "news@goo.ne.jp", []string{"利用者@example.jp"}, "", "", " SMTPUTF8", byCuenote},
		{"SMTPUTF8 without need", "news@goo.ne.jp", []string{"user@example.jp"}, "", "", " SMTPUTF8", byCuenote},
		{"unverified sender", "news@other.jp", []string{"user@example.jp"}, "", "", "", byCuenote},
		{"unverified From:", "news@goo.ne.jp", []string{"user@example.jp"}, "someone@other.jp", "", "", byCuenote},
		{"a lookalike domain", "news@notgoo.ne.jp", []string{"user@example.jp"}, "", "", "", byCuenote},
		{"too large, declared", "news@goo.ne.jp", []string{"user@example.jp"}, "", big, " SIZE=100000", byCuenote},
		{"too large, not declared", "news@goo.ne.jp", []string{"user@example.jp"}, "", big, "", byCuenote},
		{"a later recipient", "news@goo.ne.jp", []string{"user@example.jp", "a..b.@docomo.ne.jp", "third@example.jp"}, "", "", "", byCuenote},
	} {
		m := letter(fmt.Sprintf("rule%d", i), c.from, c.to, c.body)
		if c.header != "" {
			m.content = []byte(strings.Replace(string(m.content), "\r\nFrom: <"+c.from+">", "\r\nFrom: <"+c.header+">", 1))
		}
		m.parameters = c.parameters
		like(t, c.name, deliver(t, s.relay.smtp, m), c.want)
		got := s.store.ByHeader("X-Test-Id", m.id)
		if len(got) != 1 || strings.Join(got[0].To, " ") != strings.Join(c.to, " ") {
			t.Errorf("%s: arrived %v, want %v", c.name, got, c.to)
			continue
		}
		if got[0].Upstream == simulator.UpstreamCuenote && got[0].From != c.from {
			t.Errorf("%s: reverse-path %q, want %q", c.name, got[0].From, c.from)
		}
	}
}

// TestLiveSplit changes the split with the command while mail flows: what
// begins a second later goes by the new value, in both directions, and the
// brake and its release do the same.
func TestLiveSplit(t *testing.T) {
	t.Parallel()
	s := newStage(t, relayOptions{})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for worker := range 3 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := sendMail(s.relay.smtp, plainMail(fmt.Sprintf("live%d-%d", worker, i))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for _, step := range []struct {
		args []string
		hop  string // where everything goes
	}{
		{[]string{"split", "set", "100", "--reason", "all", "--force"}, simulator.UpstreamSES},
		{[]string{"split", "set", "0", "--reason", "none"}, simulator.UpstreamCuenote},
		{[]string{"split", "undo", "--reason", "again"}, simulator.UpstreamSES},
		{[]string{"brake", "--reason", "stop"}, simulator.UpstreamCuenote},
		{[]string{"brake", "release", "--reason", "go"}, simulator.UpstreamSES},
	} {
		s.relay.cli(t, step.args...)
		said := time.Now()
		// Wait for mail that arrived well behind the second, then look at all of it.
		if _, err := s.store.WaitFor(within(t, 30*time.Second), func(r simulator.Record) bool { return r.Time.After(said.Add(1500 * time.Millisecond)) }); err != nil {
			t.Fatal(err)
		}
		late, n := 0, 0
		for _, r := range s.store.All() {
			if r.Time.After(said.Add(time.Second)) {
				n++
				if r.Upstream != step.hop {
					late++
				}
			}
		}
		if late > 0 {
			t.Errorf("relay %s: %d of %d mails still went the other way a second later", strings.Join(step.args, " "), late, n)
		}
		s.store.Reset()
	}
	close(stop)
	wg.Wait()
	out := s.relay.cli(t, "split", "history")
	for _, reason := range []string{"all", "none", "again", "stop", "go"} {
		if !strings.Contains(out, reason) {
			t.Errorf("the history does not have %q:\n%s", reason, out)
		}
	}
}

// TestClientLeaves has a client that hears no reply to its dot: its retry is
// answered with the first receipt, and nothing is sent again.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	for _, percent := range []string{"0", "100"} {
		t.Run(percent, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, relayOptions{percent: percent, plain: true})
			s.mayAbort = true // the duplicate on Cuenote's route
			s.slow()
			m := plainMail("leaves")
			c := dial(t, s.relay.smtp)
			c.want("250", c.do("MAIL FROM:<%s>", m.from))
			c.want("250", c.do("RCPT TO:<%s>", m.to[0]))
			c.want("354", c.do("DATA"))
			c.write(string(m.content) + ".\r\n")
			c.conn.Close()
			// At once: the first attempt is still running, and is waited for.
			like(t, "the retry", deliver(t, s.relay.smtp, m), "250 2.0.0")
			like(t, "once more", deliver(t, s.relay.smtp, m), "250 2.0.0")
			if n := s.store.Copies(m.id); n != 1 {
				t.Errorf("it arrived %d times", n)
			}
		})
	}
}

// TestCutInsideData has clients that leave at every part of a message: nothing
// of it arrives, at any hop.
func TestCutInsideData(t *testing.T) {
	t.Parallel()
	for _, percent := range []string{"0", "100"} {
		t.Run(percent, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, relayOptions{percent: percent, plain: true})
			s.mayAbort = true
			m := plainMail("cut")
			whole := string(m.content) + ".\r\n"
			for _, n := range []int{0, 1, 40, len(whole) / 2, len(m.content) - 1, len(m.content), len(m.content) + 1, len(m.content) + 2} {
				c := dial(t, s.relay.smtp)
				c.want("250", c.do("MAIL FROM:<%s>", m.from))
				c.want("250", c.do("RCPT TO:<%s>", m.to[0]))
				c.want("354", c.do("DATA"))
				c.write(whole[:n])
				c.conn.Close()
			}
			like(t, "the whole", deliver(t, s.relay.smtp, m), "250 2.0.0")
			if n := s.store.Count(); n != 1 {
				t.Errorf("%d mails arrived", n)
			}
		})
	}
}

// TestCutInsideLMTP is the same over LMTP.
func TestCutInsideLMTP(t *testing.T) {
	t.Parallel()
	addr := freePort(t)
	s := newStage(t, relayOptions{percent: "50", smtp: addr, plain: true, set: settings{"listeners": "[" + listener(addr, "protocol: lmtp") + "]"}})
	s.mayAbort = true
	m := plainMail("cut", "a@example.jp", "b@example.jp", "c@example.jp", "d@example.jp")
	for _, n := range []int{0, 40, len(m.content) - 1, len(m.content), len(m.content) + 2} {
		c := connect(t, addr)
		c.greet("LHLO app.goo.ne.jp")
		c.want("250", c.do("MAIL FROM:<%s>", m.from))
		for _, to := range m.to {
			c.want("250", c.do("RCPT TO:<%s>", to))
		}
		c.want("354", c.do("DATA"))
		c.write((string(m.content) + ".\r\n")[:n])
		c.conn.Close()
	}
	c := connect(t, addr)
	c.greet("LHLO app.goo.ne.jp")
	if got := c.send(m, true); len(got.dot) != 4 || !strings.HasPrefix(got.final(), "250") {
		t.Errorf("the whole: %+v", got)
	}
	copies := 0
	for _, r := range s.store.All() {
		copies += len(r.To)
	}
	if copies != 4 {
		t.Errorf("%d recipients got mail", copies)
	}
}

// TestCuenoteSaysGoodbye has Cuenote end pooled connections in its own ways:
// the next mail notices, and goes through.
func TestCuenoteSaysGoodbye(t *testing.T) {
	t.Parallel()
	s := newStage(t, relayOptions{plain: true})
	for i, f := range []simulator.Fault{
		{Name: simulator.FaultReply, At: simulator.AtBetween, Code: 421},
		{Name: simulator.FaultCut, At: simulator.AtBetween},
		{Name: simulator.FaultReset, At: simulator.AtBetween},
		{Name: simulator.FaultReply, At: simulator.AtRSET, Code: 421},
		{Name: simulator.FaultCut, At: simulator.AtRSET},
		{Name: simulator.FaultReply, At: simulator.AtNOOP, Code: 421},
	} {
		s.cuenote.Faults().Set(f)
		for j := range 4 {
			what := fmt.Sprintf("%s at %s, mail %d", f.Name, f.At, j)
			c := dial(t, s.relay.smtp)
			// A transaction that is given up leaves a connection to be reset.
			c.want("250", c.do("MAIL FROM:<news@goo.ne.jp>"))
			like(t, what+", given up", c.do("RCPT TO:<user@example.jp>"), "250 ")
			c.want("250", c.do("RSET"))
			m := plainMail(fmt.Sprintf("bye%d-%d", i, j))
			like(t, what, c.send(m, false).final(), byCuenote)
			s.check(t, m, 0, 1)
		}
	}
	s.cuenote.Faults().Clear()
	s.cuenote.SetLimits(simulator.SMTPLimits{MaxMessages: 1})
	for j := range 3 {
		m := plainMail(fmt.Sprintf("one%d", j))
		like(t, "one mail a connection", deliver(t, s.relay.smtp, m), byCuenote)
		s.check(t, m, 0, 1)
	}
}

// TestRelayPostfixCommand applies what `relay postfix` prints to a real
// Postfix, which then delivers through the relay.
func TestRelayPostfixCommand(t *testing.T) {
	t.Parallel()
	s := newStage(t, relayOptions{percent: "50", plain: true})
	p := startPostfix(t, "[127.0.0.1]:1")
	script := filepath.Join(t.TempDir(), "postfix.sh")
	out, err := s.relay.command("postfix", "--config", s.relay.config, "--name", "127.0.0.1", "--postfix-config", p.dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	write(t, script, string(out))
	for range 2 { // it can be repeated
		cmd := exec.Command("sh", script)
		cmd.Env = append(cmd.Environ(), "PATH=/usr/sbin:/usr/bin:/bin")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	run(t, "postfix", "-c", p.dir, "reload")
	mails := numbered("script", 20)
	submit(t, p.addr, mails)
	if err := s.store.Wait(within(t, time.Minute), len(mails)); err != nil {
		t.Fatal(err)
	}
	p.drained(t, time.Minute)
	s.complete(t, mails)
	if log := p.logged(t); regexp.MustCompile(`status=(deferred|bounced)|warning: .*(unused|unknown) parameter`).MatchString(log) {
		t.Errorf("Postfix complains:\n%s", troubles(log))
	}
}
