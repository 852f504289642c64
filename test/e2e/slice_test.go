package e2e

import (
	"fmt"
	"net/smtp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// submit hands mails to an SMTP server, a few at a time.
func submit(t *testing.T, addr string, mails []corpusMail) {
	t.Helper()
	var wg sync.WaitGroup
	next := make(chan corpusMail)
	for range 8 {
		wg.Go(func() {
			for m := range next {
				if err := sendMail(addr, &m); err != nil {
					t.Errorf("%s: %v", m.id, err)
				}
			}
		})
	}
	for _, m := range mails {
		next <- m
	}
	close(next)
	wg.Wait()
}

// sendMail is one SMTP dialogue. net/smtp's own MAIL always asks for SMTPUTF8,
// and such mail is never SES's.
func sendMail(addr string, m *corpusMail) error {
	c, err := smtp.Dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Hello("app.goo.ne.jp"); err != nil {
		return err
	}
	lines := []string{"MAIL FROM:<" + m.from + "> BODY=8BITMIME" + m.parameters}
	for _, to := range m.to {
		lines = append(lines, "RCPT TO:<"+to+">")
	}
	for _, line := range lines {
		if err := c.Text.PrintfLine("%s", line); err != nil {
			return err
		}
		if _, _, err := c.Text.ReadResponse(250); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(m.content); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}

// hops are a simulated SES and Cuenote that share a store.
type hops struct {
	store   *simulator.Store
	ses     *simulator.SES
	cuenote *simulator.SMTP

	// mayAbort is set where the relay has to end Cuenote's DATA with nothing
	// sent: closing the connection is the only way (RFC 5321).
	mayAbort bool
}

func startHops(t *testing.T) *hops {
	t.Helper()
	return startHopsWith(t, simulator.StoreConfig{}, simulator.SMTPConfig{})
}

// startHopsWith is startHops with a store and a Cuenote of one's own.
func startHopsWith(t *testing.T, keep simulator.StoreConfig, cuenote simulator.SMTPConfig) *hops {
	t.Helper()
	h := &hops{store: simulator.NewStore(keep)}
	var err error
	h.ses, err = simulator.NewSES(simulator.SESConfig{
		Store: h.store, Identities: []string{"goo.ne.jp"}, ConfigurationSets: []string{configurationSet},
		Credentials: map[string]string{"AKIDEXAMPLE": "secret"}, NoCallLimit: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.ses.Close)
	cuenote.Store, cuenote.SMTPUTF8 = h.store, true
	h.cuenote, err = simulator.NewSMTP(cuenote)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.cuenote.Close()
		anomalies := slices.DeleteFunc(h.cuenote.Anomalies(), func(a simulator.Anomaly) bool {
			return h.mayAbort && a.Kind == simulator.AnomalyTruncated
		})
		for _, a := range anomalies[:min(len(anomalies), 5)] {
			t.Errorf("Cuenote saw %s (%d in all)", a, len(anomalies))
		}
	})
	return h
}

const configurationSet = "ses-migration-production-config-set"

// TestPostfixToBothHops is the main path: a real Postfix delivers a corpus of
// 1,000 mails through the relay, half to SES and half to Cuenote, and every
// mail arrives once, byte for byte but for the documented headers.
func TestPostfixToBothHops(t *testing.T) {
	t.Parallel()
	h := startHops(t)
	r := startRelay(t, relayOptions{ses: h.ses.URL(), cuenote: h.cuenote.Addr(), percent: "50"})
	p := startPostfix(t, bracketed(r.smtp))
	mails := append(corpus(1000), large(40<<20-4096))
	submit(t, p.addr, mails)
	if err := h.store.Wait(within(t, 3*time.Minute), len(mails)); err != nil {
		t.Fatalf("%d of %d mails arrived: %v", h.store.Count(), len(mails), err)
	}
	p.drained(t, time.Minute)
	for _, m := range mails {
		checkArrival(t, &m, h.store.ByHeader("X-Test-Id", m.id))
	}
	n := len(h.store.Of("ses"))
	if n < 430 || n > 570 {
		t.Errorf("%d of 1,000 mails went to SES at 50 %%", n)
	}
	if log := p.logged(t); strings.Contains(log, "status=bounced") || strings.Contains(log, "status=deferred") {
		t.Errorf("Postfix bounced or deferred mail:\n%s", tail(log, 20))
	}
	if log := p.logged(t); !strings.Contains(log, "accepted by ses 0") || !strings.Contains(log, "accepted by cuenote: ") {
		t.Error("Postfix's log does not name both ends")
	}
}

// checkArrival compares one mail with what its next hop received.
func checkArrival(t *testing.T, m *corpusMail, got []simulator.Record) {
	t.Helper()
	if len(got) != 1 {
		t.Errorf("%s arrived %d times", m.id, len(got))
		return
	}
	raw := string(got[0].Raw)
	if !strings.HasSuffix(raw, m.own()) {
		t.Errorf("%s: the content changed on the way to %s", m.id, got[0].Upstream)
	}
	added := strings.TrimSuffix(raw, m.own())
	if n := strings.Count(added, "by relay-1.goo.ne.jp (sesrelay) with ESMTP id "); n != 1 || !strings.HasPrefix(added, "Received: ") {
		t.Errorf("%s: %d trace headers in %q", m.id, n, added)
	}
	want := 0
	if got[0].Upstream == "ses" {
		want = 1
	}
	if n := strings.Count(strings.ToUpper(added), "X-SES-"); n != want || want == 1 && !strings.Contains(added, "\r\nX-SES-CONFIGURATION-SET: "+configurationSet+"\r\n") {
		t.Errorf("%s: %d X-SES headers towards %s in %q", m.id, n, got[0].Upstream, added)
	}
	if len(got[0].To) != len(m.to) {
		t.Errorf("%s: recipients %v, want %v", m.id, got[0].To, m.to)
	}
}

// TestMotoAcceptsWhatWeSend has an SES that is not ours.
func TestMotoAcceptsWhatWeSend(t *testing.T) {
	t.Parallel()
	m := startMoto(t)
	h := startHops(t)
	r := startRelay(t, relayOptions{ses: m.url, cuenote: h.cuenote.Addr(), percent: "100"})
	var mails []corpusMail
	for _, c := range corpus(48) {
		if strings.Contains(string(c.content), "Shift_JIS") || strings.Contains(string(c.content), "EUC-JP") {
			continue // moto answers 500 to 8-bit content that is not UTF-8
		}
		mails = append(mails, c)
	}
	submit(t, r.smtp, mails)
	got := m.mails(t)
	if len(got) != len(mails) {
		t.Fatalf("moto has %d mails, want %d", len(got), len(mails))
	}
	for _, c := range mails {
		found := 0
		for _, g := range got {
			if strings.HasSuffix(g.Raw, c.own()) {
				found++
				if strings.Count(g.Raw, "X-SES-CONFIGURATION-SET: "+configurationSet+"\r\n") != 1 {
					t.Errorf("%s: the configuration set is not there exactly once", c.id)
				}
			}
		}
		if found != 1 {
			t.Errorf("%s: %d copies at moto", c.id, found)
		}
	}
}

func bracketed(addr string) string {
	host, port, _ := strings.Cut(addr, ":")
	return fmt.Sprintf("[%s]:%s", host, port)
}
