package e2e

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/redistest"
	"sesrelay/internal/simulator"
)

// TestFleetRetryElsewhere has a client that never read its 250 try another
// instance: it gets the receipt of the first, and nothing is sent.
func TestFleetRetryElsewhere(t *testing.T) {
	t.Parallel()
	f := startFleet(t, fleetOptions{size: 3, relayOptions: relayOptions{plain: true}, redis: at(startRedis(t))})
	f.mayAbort = true // Cuenote's DATA of a duplicate
	for _, way := range []struct{ percent, id, accepted string }{{"0", "cuenote", byCuenote}, {"100", "ses", bySES}} {
		f.everywhere(t, 0, "split", "set", way.percent, "--reason", "test", "--force")
		m := plainMail(way.id)
		first := deliver(t, f.all[0].smtp, m)
		like(t, "first", first, way.accepted)
		receipt := strings.Fields(first)
		for _, r := range f.all[1:] {
			again := deliver(t, r.smtp, m)
			if !strings.HasPrefix(again, "250 ") || !strings.Contains(again, receipt[2]) || !strings.HasSuffix(again, receipt[len(receipt)-1]) {
				t.Errorf("another instance answers %q, the first %q", again, first)
			}
		}
		if n := f.store.Copies(way.id); n != 1 {
			t.Errorf("%s arrived %d times", way.id, n)
		}
	}
}

// TestFleetKilledMidSend kills an instance while SES has its mail: until the
// claim is over nobody sends it, then the retry does.
func TestFleetKilledMidSend(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	f := startFleet(t, fleetOptions{size: 2, relayOptions: relayOptions{plain: true, percent: "100"}, redis: at(s)})
	for try := range 15 {
		if f.killMidSend(t, s, plainMail(fmt.Sprintf("killed%d", try))) {
			return
		}
		// Redis has not answered one of the two in 100 ms, and that one has
		// decided alone, as it should: nothing is seen of the claim.
		f.all[0] = f.all[0].again(t)
	}
	t.Error("Redis never answered in time")
}

// killMidSend reports whether both instances had Redis's answer.
func (f *fleet) killMidSend(t *testing.T, s *redistest.Server, m *corpusMail) bool {
	t.Helper()
	alone := func(i int) float64 { return max(0, f.all[i].metric(t, "relay_ledger_alone_total")) }
	if err := f.ses.Faults().Set(simulator.Fault{Name: simulator.FaultHang, Address: m.to[0]}); err != nil {
		t.Fatal(err)
	}
	before := [2]float64{alone(0), alone(1)}
	struck := f.ses.Faults().Struck()[simulator.FaultHang]
	reply := make(chan string, 1)
	go func() { reply <- sendOnce(f.all[0].smtp, m) }()
	eventually(t, 20*time.Second, "SES to have the mail", func() error {
		if f.ses.Faults().Struck()[simulator.FaultHang] == struck {
			return errors.New("it has not")
		}
		return nil
	})
	decided := alone(0)
	f.all[0].kill()
	if r := <-reply; strings.HasPrefix(r, "250") {
		t.Fatalf("the killed instance answered %q", r)
	}
	f.ses.Faults().Clear()
	f.ses.Faults().Release() // its client is gone: SES takes nothing
	again := deliver(t, f.all[1].smtp, m)
	if decided != before[0] || alone(1) != before[1] {
		return false
	}
	like(t, "while the claim lives", again, busy)
	if n := f.store.Copies(m.id); n != 0 {
		t.Fatalf("it was sent %d times beside the claim", n)
	}
	f.afterTheClaim(t, s, m)
	return true
}

// afterTheClaim lets the claim's 150 s pass: the retry is sent, once.
func (f *fleet) afterTheClaim(t *testing.T, s *redistest.Server, m *corpusMail) {
	t.Helper()
	claim := claimOf(t, s)
	if left := pttl(t, s, claim); left < 30*time.Second || left > 150*time.Second {
		t.Errorf("the claim has %v left, of 150 s", left)
	}
	if err := s.Once("PEXPIRE "+claim+" 1", ":1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the retry", func() error {
		if r := deliver(t, f.all[1].smtp, m); !strings.HasPrefix(r, "250 ") {
			return fmt.Errorf("reply %q", r)
		}
		return nil
	})
	like(t, "once more", deliver(t, f.all[1].smtp, m), bySES)
	if n := f.store.Copies(m.id); n != 1 {
		t.Errorf("it arrived %d times", n)
	}
}

// sendOnce returns the reply that decides, or the error.
func sendOnce(addr string, m *corpusMail) string {
	c, err := newWire(addr)
	if err != nil {
		return err.Error()
	}
	defer c.conn.Close()
	r, err := c.send(m)
	if err != nil {
		return err.Error()
	}
	return r
}

// claimOf finds the only attempt that runs, as the name that an inline command takes.
func claimOf(t *testing.T, s *redistest.Server) string {
	t.Helper()
	out, err := s.Do(`EVAL "local k = redis.call('KEYS', '*ledger:f:*') if #k == 1 then local hex = '' for i = 1, #k[1] do hex = hex .. '\\\\x' .. string.format('%02x', string.byte(k[1], i)) end return hex end return 'none'" 0`)
	if err != nil {
		t.Fatal(err)
	}
	_, name, _ := strings.Cut(out, "\r\n")
	name, _, _ = strings.Cut(name, "\r\n")
	if !strings.HasPrefix(name, `\x`) {
		t.Fatalf("not one claim in Redis: %q", out)
	}
	return `"` + name + `"`
}

func pttl(t *testing.T, s *redistest.Server, key string) time.Duration {
	t.Helper()
	out, err := s.Do("PTTL " + key)
	ms, bad := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(out, ":")))
	if err != nil || bad != nil {
		t.Fatal(out, err, bad)
	}
	return time.Duration(ms) * time.Millisecond
}

// TestFleetFailoverMemory: what SES refuses and Cuenote takes for a part of the
// recipients is answered 451 once. The retry, on whichever instance, takes
// Cuenote from the first recipient, and each has its own reply.
func TestFleetFailoverMemory(t *testing.T) {
	t.Parallel()
	f := startFleet(t, fleetOptions{size: 2, relayOptions: relayOptions{plain: true, percent: "100"}, redis: at(startRedis(t))})
	if err := f.ses.Faults().Set(simulator.Fault{Name: simulator.FaultMessageRejected}); err != nil {
		t.Fatal(err)
	}
	if err := f.cuenote.Faults().Set(simulator.Fault{Name: simulator.FaultReply, At: simulator.AtRCPT, Address: "bad@example.jp", Code: 550, Text: "no such user"}); err != nil {
		t.Fatal(err)
	}
	m := plainMail("partly", "good@example.jp", "bad@example.jp")
	if first := dial(t, f.all[0].smtp).send(m, false); !strings.HasPrefix(first.final(), "451") || !strings.HasPrefix(first.rcpt[1], "250") {
		t.Fatalf("first attempt: %+v", first)
	}
	eventually(t, 10*time.Second, "the other instance to know", func() error {
		again := dial(t, f.all[1].smtp).send(m, false)
		if !strings.HasPrefix(again.rcpt[1], "550") || !strings.HasPrefix(again.dot[0], "250") {
			return fmt.Errorf("%+v", again)
		}
		return nil
	})
	if ses, cuenote := f.arrived(m); ses != 0 || cuenote != 1 {
		t.Errorf("it arrived %d times at SES and %d at Cuenote", ses, cuenote)
	}
}
