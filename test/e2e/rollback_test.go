package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// TestRollbackAndItsChecks walks through the runbook's chapter 5 with two real
// Postfix: a staged rollback of one server while the other goes on, then the
// full one, and every line of "Afterwards" by the command that answers it.
func TestRollbackAndItsChecks(t *testing.T) {
	t.Parallel()
	h := startHops(t)
	h.mayAbort = true
	old, err := simulator.NewSMTP(simulator.SMTPConfig{Store: simulator.NewStore(simulator.StoreConfig{}), Hostname: "old.example", SMTPUTF8: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(old.Close)
	r := startRelay(t, relayOptions{ses: h.ses.URL(), cuenote: h.cuenote.Addr(), plain: true,
		set: settings{"state.file": fmt.Sprintf("%q", t.TempDir()+"/state"), "ses.on_unavailable": "defer"}})
	r.split(t, "100")
	var servers []*postfix
	var back string
	for range 2 {
		p := startPostfix(t, bracketed(old.Addr()))
		script := run(t, r.binary, "postfix", "--config", r.config, "--postfix-config", p.dir)
		run(t, "sh", "-ec", script)
		run(t, "postfix", "-c", p.dir, "reload")
		back = backCommand.FindStringSubmatch(script)[1]
		servers = append(servers, p)
	}
	first, second := servers[0], servers[1]
	undo := map[*postfix]string{second: back, first: strings.ReplaceAll(back, second.dir, first.dir)}

	submit(t, first.addr, numbered("before-a", 20))
	submit(t, second.addr, numbered("before-b", 20))
	h.went(t, "before", simulator.UpstreamSES, 40)

	// One mail whose end nobody knows waits in the first server's queue.
	h.ses.Faults().Set(simulator.Fault{Name: simulator.FaultCutAfterRecord, Times: 1})
	submit(t, first.addr, numbered("unknown", 1))
	eventually(t, time.Minute, "the deferral", func() error {
		if n := first.statuses(t)["deferred"]; n != 1 {
			return fmt.Errorf("%d deferred", n)
		}
		return nil
	})

	// Staged: the first server alone, what waits in its queue with it.
	run(t, "sh", "-ec", undo[first])
	first.flush(t)
	submit(t, first.addr, numbered("staged-a", 20))
	submit(t, second.addr, numbered("staged-b", 20))
	h.went(t, "staged-b", simulator.UpstreamSES, 20)
	eventually(t, time.Minute, "the old way of the first server", func() error {
		if n := old.Store().Count(); n != 21 {
			return fmt.Errorf("%d mails, want 20 and the one that waited", n)
		}
		return nil
	})

	// Full: SES to 0 first, then the other server.
	began := time.Now()
	t.Logf("relay brake\n%s", r.cli(t, "brake", "--reason", "full rollback"))
	t.Logf("%v for the command", time.Since(began).Round(time.Millisecond))
	submit(t, second.addr, numbered("full-b", 20))
	h.went(t, "full-b", simulator.UpstreamCuenote, 20)
	r.checksAfterwards(t, second)
	run(t, "sh", "-ec", undo[second])
	submit(t, second.addr, numbered("after-b", 20))
	eventually(t, time.Minute, "the old way of the second server", func() error {
		if n := old.Store().Count(); n != 41 {
			return fmt.Errorf("%d mails, want 41", n)
		}
		return nil
	})
	for _, p := range servers {
		p.drained(t, time.Minute)
		for _, name := range []string{"main.cf", "master.cf"} {
			run(t, "cmp", p.dir+"/"+name, p.dir+"/"+name+".before-relay")
		}
		if out := run(t, "postqueue", "-c", p.dir, "-p"); !strings.Contains(out, "Mail queue is empty") {
			t.Errorf("postqueue -p: %s", out)
		}
		if n := p.statuses(t)["bounced"]; n > 0 {
			t.Errorf("%d bounced", n)
		}
	}

	// The one unknown is the one mail that arrived twice, and nothing else did.
	if ses, _ := h.arrived(plainMail("unknown0")); ses != 1 || old.Store().Copies("unknown0") != 1 {
		t.Errorf("the unknown mail: %d at SES, %d on the old way", ses, old.Store().Copies("unknown0"))
	}
	all := append(numbered("before-a", 20), numbered("before-b", 20)...)
	all = append(append(append(all, numbered("staged-a", 20)...), numbered("staged-b", 20)...), append(numbered("full-b", 20), numbered("after-b", 20)...)...)
	for _, m := range all {
		if n := h.store.Copies(m.id) + old.Store().Copies(m.id); n != 1 {
			t.Errorf("%s arrived %d times", m.id, n)
		}
	}
}

// went waits for mail whose id begins with prefix, all of it at one hop.
func (h *hops) went(t *testing.T, prefix, upstream string, n int) {
	t.Helper()
	eventually(t, time.Minute, prefix+" at "+upstream, func() error {
		got := 0
		for _, m := range h.of(prefix) {
			if m.Upstream != upstream {
				return fatal{fmt.Errorf("%s took %s", m.TestID, m.Upstream)}
			}
			got++
		}
		if got != n {
			return fmt.Errorf("%d of %d", got, n)
		}
		return nil
	})
}

var loggedID = regexp.MustCompile(`"id":"([0-9a-z]+)"`)

// checksAfterwards answers the lines that are about the relay, with the commands of the runbook.
func (r *relayProcess) checksAfterwards(t *testing.T, p *postfix) {
	t.Helper()
	p.drained(t, time.Minute)
	status := r.cli(t, "status")
	t.Logf("relay status\n%s", status)
	var v struct {
		Split struct {
			Applied float64 `json:"applied"`
		} `json:"split"`
	}
	if err := json.Unmarshal([]byte(r.cli(t, "status", "--json")), &v); err != nil || v.Split.Applied != 0 {
		t.Errorf("applied %v, %v", v.Split.Applied, err)
	}
	if !strings.Contains(status, "the brake is on: SES gets") {
		t.Error("relay status does not say that the brake is on")
	}
	log := t.TempDir() + "/relay.log"
	write(t, log, r.out.String())
	found := run(t, "grep", `"outcome":"unknown"`, log)
	if strings.Count(found, "\n") != 1 {
		t.Fatalf("the log of that hour has these unknown:\n%s", found)
	}
	trace := r.cli(t, "trace", loggedID.FindStringSubmatch(found)[1])
	t.Logf("relay trace\n%s", trace)
	if !strings.Contains(trace, "unknown") {
		t.Error("relay trace does not say that it is unknown")
	}
	history := r.cli(t, "split", "history")
	t.Logf("relay split history\n%s", history)
	if !strings.Contains(history, "full rollback") {
		t.Error("the history does not have the brake's reason")
	}
	if report := r.cli(t, "rollout", "report"); !strings.HasPrefix(report, "#") {
		t.Errorf("relay rollout report: %s", report)
	}
}
