package simulator_test

import (
	"net/smtp"
	"strings"
	"testing"

	"sesrelay/internal/simulator"
)

func startSMTP(t testing.TB, cfg simulator.SMTPConfig) *simulator.SMTP {
	t.Helper()
	s, err := simulator.NewSMTP(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func noAnomalies(t testing.TB, s *simulator.SMTP) {
	t.Helper()
	for _, a := range s.Anomalies() {
		t.Errorf("anomaly: %v", a)
	}
}

// The standard library's client is the outside witness for plain sessions.
func TestSMTPTakesMailFromNetSMTP(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, simulator.SMTPConfig{})
	body := "Subject: x\r\n\r\n.dot\r\n..\r\nend\r\n"
	if err := smtp.SendMail(s.Addr(), nil, "from@example.jp", []string{"a@example.jp", "b@example.jp"}, []byte(body)); err != nil {
		t.Fatal(err)
	}
	all := s.Store().All()
	if len(all) != 1 {
		t.Fatalf("%d records", len(all))
	}
	r := all[0]
	if string(r.Raw) != body || r.From != "from@example.jp" || strings.Join(r.To, " ") != "a@example.jp b@example.jp" || r.Upstream != simulator.UpstreamCuenote {
		t.Errorf("recorded %+v, raw %q", r, r.Raw)
	}
	noAnomalies(t, s)
}
