package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// The peak of the migration: 100,000 mails a minute over twelve servers, and
// how long SES takes for one.
const (
	serverRate = 139 // mails a second
	sesLatency = 200 * time.Millisecond
)

// TestPostfixLines applies what `relay postfix` prints to a real Postfix by a
// shell. Then the server's share of the peak flows at SES's latency, which
// Postfix's own limits (20 connections, so 100 mails/s) would not let through;
// and the one command of the script's head brings the old way back.
func TestPostfixLines(t *testing.T) {
	t.Parallel()
	h := startHopsWith(t, simulator.StoreConfig{}, simulator.SMTPConfig{})
	old, err := simulator.NewSMTP(simulator.SMTPConfig{Store: simulator.NewStore(simulator.StoreConfig{}), SMTPUTF8: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(old.Close)
	h.ses.SetLatency(simulator.Latency{Fixed: sesLatency})
	r := startRelay(t, relayOptions{ses: h.ses.URL(), cuenote: h.cuenote.Addr(), percent: "100", plain: true})
	p := startPostfix(t, bracketed(old.Addr())) // no line given twice: postlogd hangs on warning itself of that (tried)
	before := p.files(t)

	script := run(t, r.binary, "postfix", "--config", r.config, "--postfix-config", p.dir)
	for range 2 { // repeating it changes nothing
		run(t, "sh", "-ec", script)
	}
	run(t, "postfix", "-c", p.dir, "check")
	run(t, "postfix", "-c", p.dir, "reload")
	for try := 1; ; try++ { // a neighbour can take the machine for seconds
		got := p.rate(t, h, 3*serverRate)
		t.Logf("%.0f mails/s at %v a mail", got, sesLatency)
		if got >= serverRate {
			break
		}
		if try == 10 {
			t.Fatalf("%.0f mails/s, want %d", got, serverRate)
		}
	}

	back := backCommand.FindStringSubmatch(script)
	if back == nil {
		t.Fatalf("the script does not say how to go back:\n%s", script)
	}
	run(t, "sh", "-ec", back[1])
	if after := p.files(t); after != before {
		t.Errorf("main.cf and master.cf are not what they were:\n%s", after)
	}
	mails := corpus(3)
	submit(t, p.addr, mails)
	eventually(t, time.Minute, "mail on the old way", func() error {
		if n := old.Store().Count(); n != len(mails) {
			return fmt.Errorf("%d of %d mails", n, len(mails))
		}
		return nil
	})
	p.drained(t, time.Minute)
	if n := p.statuses(t); n["deferred"]+n["bounced"] > 0 {
		t.Errorf("statuses: %v", n)
	}
}

// backCommand is the way back, as the script's head has it.
var backCommand = regexp.MustCompile(`(?m)^#   (cd .* reload)$`)

// files are main.cf and master.cf.
func (p *postfix) files(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, name := range []string{"main.cf", "master.cf"} {
		text, err := os.ReadFile(p.dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(text)
	}
	return b.String()
}

// rate hands Postfix n mails as fast as it takes them and returns how many a
// second SES had, between the first tenth and the last.
func (p *postfix) rate(t *testing.T, h *hops, n int) float64 {
	t.Helper()
	already := h.store.Count()
	source := exec.CommandContext(within(t, 2*time.Minute), "/usr/sbin/smtp-source", "-4", "-s", "10", "-m", fmt.Sprint(n), "-l", "4096",
		"-f", "news@goo.ne.jp", "-t", "taro@example.jp", p.addr)
	if out, err := source.CombinedOutput(); err != nil {
		t.Fatalf("smtp-source: %v\n%s", err, out)
	}
	if err := h.store.Wait(within(t, 2*time.Minute), already+n); err != nil {
		t.Fatalf("%d of %d mails arrived: %v", h.store.Count()-already, n, err)
	}
	records := h.store.Of("ses")[already:]
	if len(records) != n {
		t.Fatalf("%d mails took SES, want %d", len(records), n)
	}
	first, last := n/10, n*9/10
	return float64(last-first) / records[last].Time.Sub(records[first].Time).Seconds()
}
