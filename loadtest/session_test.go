package main

import (
	"crypto/tls"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// hop starts a simulated SMTP server, and a pool of clients for it.
func hop(t *testing.T, cfg simulator.SMTPConfig, change func(*target)) (*simulator.SMTP, *pool) {
	t.Helper()
	s, err := simulator.NewSMTP(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	tg := &target{Addresses: []string{s.Addr()}, TLS: "none", Hello: "client.example", Probe: true, Timeout: 5 * time.Second}
	if change != nil {
		change(tg)
	}
	p := &pool{target: tg, reuse: reuse{For: time.Hour}}
	t.Cleanup(func() {
		p.quit(time.Now().Add(time.Hour))
		if list := s.Anomalies(); len(list) > 0 {
			t.Errorf("the server saw %v", list)
		}
	})
	return s, p
}

func threeRecipients() *mail {
	m := testBag(distribution{{2000, 1}}).mail(1, time.Unix(0, 0))
	m.To = []string{"a@example.jp", "b@example.jp", "c@example.jp"}
	return m
}

func TestDeliver(t *testing.T) {
	t.Parallel()
	s, p := hop(t, simulator.SMTPConfig{}, nil)
	m := threeRecipients()
	for range 3 {
		if o := p.deliver(m, 0b101); o.Accepted != 0b101 || o.Err != nil {
			t.Fatalf("%+v", o)
		}
	}
	rec := s.Store().All()[2]
	if len(rec.To) != 2 || rec.To[1] != "c@example.jp" || rec.Size != m.Size || rec.From != m.From {
		t.Errorf("arrived: to %v, %d of %d bytes, from %q", rec.To, rec.Size, m.Size, rec.From)
	}
	if c := s.Commands(); c["RSET"] != 2 || p.opened.Load() != 1 {
		t.Errorf("%d probes, %d connections for 3 mails", c["RSET"], p.opened.Load())
	}
}

func TestDeliverTLSAndAuth(t *testing.T) {
	t.Parallel()
	certificate, roots, err := simulator.NewCertificate("relay.loadtest.example")
	if err != nil {
		t.Fatal(err)
	}
	own := &tls.Config{RootCAs: roots, ServerName: "relay.loadtest.example"}
	for _, mode := range []string{"starttls", "implicit"} {
		cfg := simulator.SMTPConfig{STARTTLS: mode == "starttls", ImplicitTLS: mode == "implicit", Certificate: &certificate,
			Username: "user", Password: "secret", AuthRequired: true}
		s, p := hop(t, cfg, func(tg *target) { tg.TLS, tg.TLSOwn, tg.User, tg.Password = mode, own, "user", "secret" })
		if o := p.deliver(threeRecipients(), 1); o.Accepted != 1 {
			t.Fatalf("%s: %+v", mode, o)
		}
		if info := s.Store().All()[0].SMTP; !info.TLS || info.User != "user" {
			t.Errorf("%s: %+v", mode, info)
		}
	}
}

// TestRefusals: each fault gives the outcome that Postfix would draw from it,
// and the next mail is delivered, over the same connection or a new one.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault simulator.Fault
		want  outcome
		kind  string
		fresh bool // the next mail needs a new connection
	}{
		"mail":  {simulator.Fault{Name: simulator.FaultReply, At: simulator.AtMAIL, Code: 451, Text: "4.3.0 Later"}, outcome{}, "MAIL: 451 4.3.0", false},
		"rcpt":  {simulator.Fault{Name: simulator.FaultReply, At: simulator.AtRCPT, Address: "b@", Code: 550, Text: "5.1.1 No"}, outcome{Accepted: 0b101, Rejected: 0b010}, "RCPT: 550 5.1.1", false},
		"rcpts": {simulator.Fault{Name: simulator.FaultReply, At: simulator.AtRCPT, Times: 3, Code: 452, Text: "4.2.2 Full"}, outcome{}, "RCPT: 452 4.2.2", false},
		"data":  {simulator.Fault{Name: simulator.FaultReply, At: simulator.AtDATA, Code: 554, Text: "5.5.0 No"}, outcome{Rejected: 0b111}, "DATA: 554 5.5.0", false},
		"dot":   {simulator.Fault{Name: simulator.FaultReply, At: simulator.AtDot, Code: 451, Text: "4.4.2 Later"}, outcome{}, "final dot: 451 4.4.2", false},
		"421":   {simulator.Fault{Name: simulator.FaultReply, At: simulator.AtDot, Code: 421, Text: "4.3.2 Closing"}, outcome{}, "final dot: 421 4.3.2", true},
		"cut":   {simulator.Fault{Name: simulator.FaultRecordThenCut, At: simulator.AtDot}, outcome{Unknown: true}, "connection lost (after the final dot)", true},
		"away":  {simulator.Fault{Name: simulator.FaultCut, At: simulator.AtMAIL}, outcome{}, "connection lost (MAIL)", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, p := hop(t, simulator.SMTPConfig{}, nil)
			if c.fault.Times == 0 {
				c.fault.Times = 1
			}
			if err := s.Faults().Set(c.fault); err != nil {
				t.Fatal(err)
			}
			got := p.deliver(threeRecipients(), 0b111)
			if got.Err == nil || kind(got.Err) != c.kind {
				t.Errorf("error %v, want kind %q", got.Err, c.kind)
			}
			if got.Err = nil; got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if next := p.deliver(threeRecipients(), 0b111); next.Accepted != 0b111 {
				t.Errorf("the next mail: %+v", next)
			}
			if opened := p.opened.Load(); (opened == 2) != c.fresh {
				t.Errorf("%d connections", opened)
			}
		})
	}
}

func TestReuseEnds(t *testing.T) {
	t.Parallel()
	_, p := hop(t, simulator.SMTPConfig{}, nil)
	p.reuse.Count = 2
	for range 4 {
		p.deliver(threeRecipients(), 1)
	}
	if got := p.opened.Load(); got != 2 {
		t.Errorf("%d connections for 4 mails, 2 each", got)
	}
}

// TestStaleConnection: what the probe finds closed is replaced, and no failure.
func TestStaleConnection(t *testing.T) {
	t.Parallel()
	s, p := hop(t, simulator.SMTPConfig{}, nil)
	p.deliver(threeRecipients(), 1)
	s.CutConnections()
	if o := p.deliver(threeRecipients(), 1); o.Accepted != 1 || p.stale.Load() != 1 {
		t.Errorf("%+v, %d stale", o, p.stale.Load())
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	s, p := hop(t, simulator.SMTPConfig{}, nil)
	s.Close()
	o := p.deliver(threeRecipients(), 1)
	if o.Accepted != 0 || o.Err == nil || kind(o.Err) != "connection refused" {
		t.Errorf("%+v", o)
	}
}

func TestRouteOf(t *testing.T) {
	for text, want := range map[string]string{
		"2.0.0 AbC accepted by ses 0106019a-x":          "ses",
		"2.0.0 AbC accepted by cuenote: 2.0.0 Ok":       "cuenote",
		"2.0.0 Ok: queued as 4F":                        "",
		"2.0.0 x accepted by ses":                       "ses",
		"2.0.0 AbC accepted by Cuenote, or something":   "",
		"2.0.0 accepted by nobody that one could trust": "nobody",
	} {
		if got := routeOf(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
