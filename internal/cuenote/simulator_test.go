package cuenote

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"sesrelay/internal/relay"
	"sesrelay/internal/simulator"
)

func newSimulator(t testing.TB, cfg simulator.SMTPConfig) *simulator.SMTP {
	t.Helper()
	s, err := simulator.NewSMTP(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// TestNothingLostNothingDoubled sends from many goroutines to a smarthost that
// fails at random at every stage, and compares what each was told with what
// arrived: accepted is there once, not accepted is not there, and only of
// unknown nothing is known.
func TestNothingLostNothingDoubled(t *testing.T) {
	t.Parallel()
	for _, mode := range []TLSMode{TLSNone, TLSOpportunistic} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			chaos(t, mode)
		})
	}
}

func chaos(t *testing.T, mode TLSMode) {
	s := newSimulator(t, simulator.SMTPConfig{SMTPUTF8: true, STARTTLS: mode != TLSNone, Limits: simulator.SMTPLimits{MaxConnections: 16, MaxMessages: 7}, Latency: simulator.Latency{Max: 2 * time.Millisecond}, Seed: 1})
	var faults []simulator.Fault
	for _, at := range []string{simulator.AtGreeting, simulator.AtHELO, simulator.AtMAIL, simulator.AtRCPT, simulator.AtDATA, simulator.AtDot, simulator.AtRSET} {
		for _, name := range []string{simulator.FaultReply, simulator.FaultCut, simulator.FaultReset, simulator.FaultCutAfterReply, simulator.FaultGarbledReply} {
			if at == simulator.AtRSET && (name == simulator.FaultReply || name == simulator.FaultGarbledReply) {
				continue // the MAIL behind a refused RSET stands inside the old transaction: an anomaly, and an answer that counts for nothing
			}
			faults = append(faults, simulator.Fault{Name: name, At: at, Probability: 0.01})
		}
	}
	for _, at := range []string{simulator.AtMAIL, simulator.AtRCPT, simulator.AtDATA, simulator.AtDot} {
		faults = append(faults, simulator.Fault{Name: simulator.FaultReply, At: at, Code: 550, Probability: 0.01}, simulator.Fault{Name: simulator.FaultReply, At: at, Code: 421, Probability: 0.02})
	}
	faults = append(faults, simulator.Fault{Name: simulator.FaultRecordThenCut, Probability: 0.02},
		simulator.Fault{Name: simulator.FaultReply, At: simulator.AtBetween, Probability: 0.02}, simulator.Fault{Name: simulator.FaultCut, At: simulator.AtBetween, Probability: 0.02})
	if err := s.Faults().Set(faults...); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, s.Addr(), func(cfg *Config) { cfg.Connections, cfg.TLS = 8, mode })
	var mu sync.Mutex
	outcomes := map[string]relay.Outcome{}
	var wg sync.WaitGroup
	for g := range 12 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 2))
			for i := range 40 {
				id := fmt.Sprintf("%d-%d", g, i)
				outcome := chaotic(t, c, s, rng, id)
				mu.Lock()
				outcomes[id] = outcome
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	tally := map[relay.Outcome]int{}
	for id, outcome := range outcomes {
		tally[outcome]++
		n := len(s.Store().ByHeader("X-Test-Id", id))
		if outcome == relay.Accepted && n != 1 || outcome == relay.NotAccepted && n != 0 || n > 1 {
			t.Errorf("%s: %s, and arrived %d times", id, outcome, n)
		}
	}
	if tally[relay.Accepted] < 100 || tally[relay.Unknown] == 0 || tally[relay.NotAccepted] == 0 {
		t.Errorf("the test has lost its point: %v", tally)
	}
	for _, a := range s.Anomalies() {
		if a.Kind != "truncated" { // that is how mail is given up
			t.Error(a)
		}
	}
	if len(c.pool.slots) != 0 {
		t.Errorf("%d slots still taken", len(c.pool.slots))
	}
}

// chaotic sends one mail the way a client might: recipients together or one by
// one, content in parts, sometimes given up.
func chaotic(t *testing.T, c *Client, s *simulator.SMTP, rng *rand.Rand, id string) relay.Outcome {
	ctx := context.Background()
	d, err := c.Begin(ctx, envelope(t))
	if err != nil {
		t.Error(err)
	}
	defer d.Abort()
	to := addresses(t, "a@example.jp", "b@example.jp", "c@example.jp")[:1+rng.IntN(3)]
	accepted := 0
	for len(to) > 0 {
		n := 1 + rng.IntN(len(to))
		for _, err := range d.AddRecipients(ctx, to[:n]) {
			if err == nil {
				accepted++
			} else if relay.AsError(err).Outcome != relay.NotAccepted {
				t.Errorf("%s: %v", id, err)
			}
		}
		to = to[n:]
	}
	if accepted == 0 || rng.IntN(20) == 0 {
		return relay.NotAccepted
	}
	body := content("X-Test-Id: "+id+"\r\nSubject: x\r\n\r\n", ".\r\n..\r\n", strings.Repeat("line\r\n", rng.IntN(200)*rng.IntN(100)), "end")
	if rng.IntN(20) == 0 {
		body.err = relay.ErrNoDomain // any error
	}
	receipt, err := d.Send(ctx, body)
	if err != nil {
		return relay.AsError(err).Outcome
	}
	if records := s.Store().ByHeader("X-Test-Id", id); len(records) != 1 || records[0].ID != receipt.ID {
		t.Errorf("%s: the receipt %+v is another mail's", id, receipt)
	}
	return relay.Accepted
}

// TestSimulatorIsContent: nothing that a strict server would note, with every
// extension and with none.
func TestSimulatorIsContent(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]simulator.SMTPConfig{
		"all":  {SMTPUTF8: true, STARTTLS: true, Username: "user", Password: "pass", AuthRequired: true},
		"none": {NoPIPELINING: true, No8BITMIME: true, NoSIZE: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSimulator(t, cfg)
			c := newClient(t, s.Addr(), func(c *Config) {
				if cfg.STARTTLS {
					c.TLS, c.Username, c.Password = TLSOpportunistic, "user", func() (string, error) { return "pass", nil }
				}
			})
			env := &relay.Envelope{ReversePath: addresses(t, "from@goo.ne.jp")[0], EightBit: true, Size: 100}
			if cfg.SMTPUTF8 {
				env.SMTPUTF8, env.ReversePath = true, addresses(t, "差出人@goo.ne.jp")[0]
			}
			for range 3 {
				d, _ := c.Begin(context.Background(), env)
				d.AddRecipients(context.Background(), addresses(t, "a@example.jp"))
				d.Abort()
				r := mailBody(t, context.Background(), c, env, content("Subject: 件名\r\n\r\n.\r\nbody"), "a@example.jp", "b@example.jp")
				r.ok(t)
				if record, ok := s.Store().Find(r.receipt.ID); !ok || string(record.Raw) != "Subject: 件名\r\n\r\n.\r\nbody\r\n" || len(record.To) != 2 {
					t.Errorf("receipt %+v: record %+v", r.receipt, record)
				}
			}
			for _, a := range s.Anomalies() {
				if !cfg.No8BITMIME { // 8-bit content is sent unchanged all the same
					t.Error(a)
				}
			}
			if open, total := s.Connections(); total != 1 {
				t.Errorf("%d connections, %d open", total, open)
			}
		})
	}
}

// TestOutage: nobody listens, then somebody does.
func TestOutage(t *testing.T) {
	t.Parallel()
	s := newSimulator(t, simulator.SMTPConfig{})
	c := newClient(t, s.Addr())
	mail(t, c, envelope(t), "a@example.jp").ok(t)
	for outage, class := range map[simulator.Outage]string{simulator.OutageRefuse: classDial, simulator.OutageUnavailable: classGreeting} {
		if err := s.SetOutage(outage); err != nil {
			t.Fatal(err)
		}
		s.CutConnections()
		for range 3 {
			if e := mail(t, c, envelope(t), "a@example.jp").failure(t); e.Class != class || e.Signal != relay.SignalCount || e.Reply != relay.ReplyUnavailable {
				t.Errorf("%v: %v", outage, e)
			}
		}
		if err := s.SetOutage(simulator.NoOutage); err != nil {
			t.Fatal(err)
		}
		mail(t, c, envelope(t), "a@example.jp").ok(t)
	}
}
