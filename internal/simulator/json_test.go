package simulator_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

func TestFaultJSON(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, simulator.SMTPConfig{})
	fault := simulator.Fault{Name: simulator.FaultReply, At: simulator.AtRCPT, Address: "@d.jp", Probability: 0.5, Times: 3,
		Delay: 1500 * time.Millisecond, Code: 452, Text: "4.2.2 Mailbox full"}
	if err := s.Faults().Set(fault); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(s.Faults().Active())
	const want = `[{"name":"reply","at":"rcpt","address":"@d.jp","probability":0.5,"times":3,"code":452,"text":"4.2.2 Mailbox full","delay":"1.5s"}]`
	if err != nil || string(b) != want {
		t.Errorf("got %s, %v, want %s", b, err, want)
	}
	var back []simulator.Fault
	if err := json.Unmarshal(b, &back); err != nil || len(back) != 1 || !reflect.DeepEqual(back[0], fault) {
		t.Errorf("back: %+v, %v", back, err)
	}
	for _, bad := range []string{`{"delay":5}`, `{"delay":"5"}`, `{"name":1}`} {
		if err := json.Unmarshal([]byte(bad), new(simulator.Fault)); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
	var l simulator.Latency
	if err := json.Unmarshal([]byte(`{"p50":"120ms","p99":"1s"}`), &l); err != nil || l.P50 != 120*time.Millisecond || l.P99 != time.Second {
		t.Errorf("latency %+v, %v", l, err)
	}
	if b, err := json.Marshal(l); err != nil || string(b) != `{"p50":"120ms","p99":"1s"}` {
		t.Errorf("latency %s, %v", b, err)
	}
	limits := simulator.SMTPLimits{MaxConnections: 2, IdleTimeout: time.Minute}
	b, err = json.Marshal(limits)
	var again simulator.SMTPLimits
	if err != nil || !strings.Contains(string(b), `"idle_timeout":"1m0s"`) || json.Unmarshal(b, &again) != nil || again != limits {
		t.Errorf("limits %s, %v, back %+v", b, err, again)
	}
}

// The caller's certificate, so that several hops can share one.
func TestSMTPCertificate(t *testing.T) {
	t.Parallel()
	certificate, pool, err := simulator.NewCertificate("mx.example.jp")
	if err != nil {
		t.Fatal(err)
	}
	s := startSMTP(t, simulator.SMTPConfig{ImplicitTLS: true, Certificate: &certificate})
	for name, good := range map[string]bool{"mx.example.jp": true, "localhost": true, "other.example.jp": false} {
		conn, err := tls.Dial("tcp", s.Addr(), &tls.Config{RootCAs: pool, ServerName: name})
		if (err == nil) != good {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			conn.Close()
		}
	}
	if conn, err := tls.Dial("tcp", s.Addr(), &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}); err == nil {
		conn.Close()
		t.Error("an unknown certificate was trusted")
	}
}

func TestWhatTestsAskOften(t *testing.T) {
	t.Parallel()
	ses := startSES(t, simulator.SESConfig{Account: simulator.Account{MaxSendRate: 14}})
	if _, err := send(ses, "From: a@b.jp\r\nReceived: one\r\nReceived: two\r\n\r\nx\r\n", "c@d.jp"); err != nil {
		t.Fatal(err)
	}
	if ses.Account().MaxSendRate != 14 || ses.Requests() != 1 {
		t.Errorf("account %+v, %d requests", ses.Account(), ses.Requests())
	}
	if got := strings.Join(ses.Store().All()[0].Headers("received"), " "); got != "one two" {
		t.Errorf("Received: %s", got)
	}
	cuenote := startSMTP(t, simulator.SMTPConfig{})
	cuenote.SetLimits(simulator.SMTPLimits{MaxRecipients: 1})
	c := dial(t, cuenote).hello()
	c.say("MAIL FROM:<>\r\nRCPT TO:<a@b.jp>\r\nRCPT TO:<c@b.jp>\r\n", "452")
	c.say("RCPT TO:a@b.jp\r\n", "501")
	if got := cuenote.Anomalies()[0].String(); !strings.HasPrefix(got, "connection 1: syntax: ") {
		t.Errorf("anomaly %s", got)
	}
}
