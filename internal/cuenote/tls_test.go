package cuenote

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/relay"
)

// certificate makes a self-signed certificate for name and the PEM file that trusts it.
func certificate(t testing.TB, name string, notAfter time.Time) (*tls.Config, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: notAfter.AddDate(-1, 0, 0), NotAfter: notAfter, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, file
}

const (
	tlsConfig = "not accepted, unavailable, trip, tls, " + configReply
	tlsBroken = "not accepted, unavailable, count, tls, " + unavailableReply
	offersTLS = "250-fake.example\n250-PIPELINING\n250 STARTTLS"
)

func TestTLS(t *testing.T) {
	t.Parallel()
	good, ca := certificate(t, "smtp.example", time.Now().AddDate(0, 1, 0))
	_, otherCA := certificate(t, "smtp.example", time.Now().AddDate(0, 1, 0))
	expired, expiredCA := certificate(t, "smtp.example", time.Now().AddDate(0, 0, -1))
	notTLS := &tls.Config{MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS12} // every handshake fails
	for _, c := range []struct {
		name   string
		mode   TLSMode
		script script
		server *tls.Config
		ca     string
		named  string // name expected; "" is smtp.example
		want   string // "": the mail is sent; else the error
		secure bool   // the mail went through TLS
		conns  int    // 0: one
	}{
		{name: "none, offered", mode: TLSNone, script: script{"EHLO": offersTLS}},
		{name: "starttls", mode: TLSStartTLS, script: script{"EHLO": offersTLS}, server: good, ca: ca, secure: true},
		{name: "starttls, system roots", mode: TLSStartTLS, script: script{"EHLO": offersTLS}, server: good, want: tlsConfig},
		{name: "starttls, another certificate", mode: TLSStartTLS, script: script{"EHLO": offersTLS}, server: good, ca: otherCA, want: tlsConfig},
		{name: "starttls, another name", mode: TLSStartTLS, script: script{"EHLO": offersTLS}, server: good, ca: ca, named: "mx.example", want: tlsConfig},
		{name: "starttls, expired", mode: TLSStartTLS, script: script{"EHLO": offersTLS}, server: expired, ca: expiredCA, want: tlsConfig},
		{name: "starttls, stripped", mode: TLSStartTLS, want: tlsConfig},
		{name: "starttls, refused for now", mode: TLSStartTLS, script: script{"EHLO": offersTLS, "STARTTLS": "454 4.7.0 not now"}, want: tlsBroken},
		{name: "starttls, refused", mode: TLSStartTLS, script: script{"EHLO": offersTLS, "STARTTLS": "502 5.5.1 what?"}, want: tlsConfig},
		{name: "starttls, broken", mode: TLSStartTLS, script: script{"EHLO": offersTLS, "STARTTLS": "220 go|close"}, want: tlsBroken},
		{name: "starttls, handshake fails", mode: TLSStartTLS, script: script{"EHLO": offersTLS}, server: notTLS, ca: ca, want: tlsBroken},
		{name: "starttls, injected", mode: TLSStartTLS, script: script{"EHLO": offersTLS, "STARTTLS": "220 go\n250-evil\n250 AUTH PLAIN"}, ca: ca, want: "not accepted, unavailable, count, tls, " + configReply},
		{name: "implicit", mode: TLSImplicit, script: script{"TLS": "implicit"}, server: good, ca: ca, secure: true},
		{name: "implicit, another certificate", mode: TLSImplicit, script: script{"TLS": "implicit"}, server: good, ca: otherCA, want: tlsConfig},
		{name: "implicit, expired", mode: TLSImplicit, script: script{"TLS": "implicit"}, server: expired, ca: expiredCA, want: tlsConfig},
		{name: "implicit, plaintext server", mode: TLSImplicit, ca: ca, want: tlsBroken},
		{name: "opportunistic", mode: TLSOpportunistic, script: script{"EHLO": offersTLS}, server: good, secure: true},
		{name: "opportunistic, expired", mode: TLSOpportunistic, script: script{"EHLO": offersTLS}, server: expired, secure: true},
		{name: "opportunistic, not offered", mode: TLSOpportunistic},
		{name: "opportunistic, refused", mode: TLSOpportunistic, script: script{"EHLO": offersTLS, "STARTTLS": "454 4.7.0 not now"}},
		{name: "opportunistic, handshake fails", mode: TLSOpportunistic, script: script{"EHLO": offersTLS}, server: notTLS, conns: 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(c.script)
			f.tls = c.server
			client := newClient(t, f.listen(t), func(cfg *Config) {
				cfg.TLS, cfg.CAFile, cfg.ServerName = c.mode, c.ca, "smtp.example"
				if c.named != "" {
					cfg.ServerName = c.named
				}
			})
			for range 2 { // the second finds what the first left
				r := mail(t, client, envelope(t), "a@example.jp")
				if c.want != "" {
					if got := describe(r.failure(t)); got != c.want {
						t.Errorf("got  %s\nwant %s\n%v", got, c.want, r.failure(t).Err)
					}
					continue
				}
				r.ok(t)
			}
			if c.want != "" {
				if f.dots() != 0 {
					t.Error("a mail was sent")
				}
				return
			}
			if want := max(1, c.conns); f.count() != want {
				t.Errorf("%d connections, want %d", f.count(), want)
			}
			if k := client.pool.idle[0]; (k.tls != nil) != c.secure || k.verified != (c.secure && c.mode.verified()) {
				t.Errorf("transport %s, verified %v", k.transport(), k.verified)
			}
		})
	}
}

// TestEHLOIsForgottenAfterSTARTTLS (RFC 3207 section 4.2).
func TestEHLOIsForgottenAfterSTARTTLS(t *testing.T) {
	t.Parallel()
	server, ca := certificate(t, "smtp.example", time.Now().AddDate(0, 1, 0))
	f := newFake(script{"EHLO": "250-fake.example\n250-STARTTLS\n250-8BITMIME\n250 SIZE 1000", "EHLO#2": "250-fake.example\n250 PIPELINING"})
	f.tls = server
	c := newClient(t, f.listen(t), func(cfg *Config) { cfg.TLS, cfg.CAFile, cfg.ServerName = TLSStartTLS, ca, "smtp.example" })
	mail(t, c, &relay.Envelope{Size: 10, EightBit: true}, "a@example.jp").ok(t)
	want := []string{"EHLO relay-1.example", "STARTTLS", "EHLO relay-1.example", "MAIL FROM:<>", "RCPT TO:<a@example.jp>", "DATA"}
	if got := f.conn(0).commands; !slices.Equal(got, want) {
		t.Errorf("commands %q", got)
	}
}

// TestDeadTLSConnection: the look at an idle connection works below TLS too.
func TestDeadTLSConnection(t *testing.T) {
	t.Parallel()
	server, ca := certificate(t, "smtp.example", time.Now().AddDate(0, 1, 0))
	for _, end := range []string{"close", "421 4.4.2 idle"} {
		f := newFake(script{"TLS": "implicit", "dot": "250 2.0.0 ok|" + end}, script{"TLS": "implicit"})
		f.tls = server
		c := newClient(t, f.listen(t), func(cfg *Config) { cfg.TLS, cfg.CAFile, cfg.ServerName = TLSImplicit, ca, "smtp.example" })
		mail(t, c, envelope(t), "a@example.jp").ok(t)
		<-f.first().ended
		mail(t, c, envelope(t), "a@example.jp").ok(t)
		if got := f.conn(0).commands; f.count() != 2 || len(got) != 4 {
			t.Errorf("%d connections, first %q", f.count(), got)
		}
	}
}

const secret = "hunter2-pässword\"\\"

// TestAuth counts what AUTH did, and looks for the secret in every error.
func TestAuth(t *testing.T) {
	t.Parallel()
	server, ca := certificate(t, "smtp.example", time.Now().AddDate(0, 1, 0))
	plain := "AUTH PLAIN " + b64("\x00user\x00"+secret)
	refused := "not accepted, unavailable, trip, auth, " + configReply
	ehlo := func(auth string) string { return "250-fake.example\n250-PIPELINING\n250 " + auth }
	for _, c := range []struct {
		name    string
		script  script
		want    string
		command string // of AUTH, when it was sent
	}{
		{"plain", script{"EHLO": ehlo("AUTH LOGIN PLAIN CRAM-MD5")}, "", plain},
		{"old form", script{"EHLO": ehlo("AUTH=PLAIN")}, "", plain},
		{"login", script{"EHLO": ehlo("auth login"), "AUTH": "334 VXNlcm5hbWU6", "response#1": "334 UGFzc3dvcmQ6"}, "", "AUTH LOGIN"},
		{"login with other words", script{"EHLO": ehlo("AUTH LOGIN"), "AUTH": "334 dXNlcg==", "response#1": "334 "}, "", "AUTH LOGIN"},
		{"login that never ends", script{"EHLO": ehlo("AUTH LOGIN"), "AUTH": "334 VXNlcm5hbWU6", "response": "334 UGFzc3dvcmQ6"}, refused, "AUTH LOGIN"},
		{"not base64", script{"EHLO": ehlo("AUTH LOGIN"), "AUTH": "334 !!!"}, refused, "AUTH LOGIN"},
		{"not offered", script{}, refused, ""},
		{"only others", script{"EHLO": ehlo("AUTH CRAM-MD5 XOAUTH2")}, refused, ""},
		{"wrong", script{"EHLO": ehlo("AUTH PLAIN"), "AUTH": "535 5.7.8 " + plain + " " + secret}, refused, plain},
		{"later", script{"EHLO": ehlo("AUTH PLAIN"), "AUTH": "454 4.7.0 " + plain}, "not accepted, unavailable, count, auth, " + unavailableReply, plain},
		{"421", script{"EHLO": ehlo("AUTH PLAIN"), "AUTH": "421 4.7.0 " + plain}, "not accepted, unavailable, count, auth, " + unavailableReply, plain},
		{"echo", script{"EHLO": ehlo("AUTH PLAIN"), "AUTH": plain}, "not accepted, unavailable, count, auth, " + unavailableReply, plain},
		{"reset", script{"EHLO": ehlo("AUTH PLAIN"), "AUTH": "close"}, "not accepted, unavailable, count, auth, " + unavailableReply, plain},
		{"250 is no 235", script{"EHLO": ehlo("AUTH PLAIN"), "AUTH": "250 ok"}, refused, plain},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.script["TLS"] = "implicit"
			f := newFake(c.script)
			f.tls = server
			client := newClient(t, f.listen(t), func(cfg *Config) {
				cfg.TLS, cfg.CAFile, cfg.ServerName = TLSImplicit, ca, "smtp.example"
				cfg.Username, cfg.Password = "user", func() (string, error) { return secret, nil }
			})
			r := mail(t, client, envelope(t), "a@example.jp")
			if c.want == "" {
				r.ok(t)
			} else if e := r.failure(t); describe(e) != c.want {
				t.Errorf("got  %s\nwant %s", describe(e), c.want)
			} else if leaks(e.Error()) || leaks(e.Reply.String()) {
				t.Errorf("the secret is in %q", e)
			}
			if _, err := client.Check(context.Background()); (err == nil) != (c.want == "") || err != nil && leaks(err.Error()) {
				t.Errorf("check: %v", err)
			}
			commands := f.conn(0).commands
			i := slices.IndexFunc(commands, func(s string) bool { return strings.HasPrefix(s, "AUTH") })
			if i < 0 && c.command != "" || i >= 0 && commands[i] != c.command {
				t.Errorf("commands %q", commands)
			}
			if c.name == "login" && !slices.Equal(commands[i+1:i+3], []string{b64("user"), b64(secret)}) {
				t.Errorf("commands %q", commands)
			}
		})
	}
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func leaks(s string) bool {
	return strings.Contains(s, "hunter2") || strings.Contains(s, b64(secret)) || strings.Contains(s, b64("\x00user\x00" + secret)[8:20])
}

// TestNoPasswordInTheClear: refused by New for a name that is not loopback, and
// before AUTH for a connection that turned out not to be.
func TestNoPasswordInTheClear(t *testing.T) {
	t.Parallel()
	password := func() (string, error) { return secret, nil }
	for _, mode := range []TLSMode{TLSNone, TLSOpportunistic} {
		for host, allowed := range map[string]bool{"127.0.0.1": true, "[::1]": true, "localhost": true, "192.0.2.1": false, "smtp.example": false, "localhost.example": false} {
			_, err := New(Config{Address: host + ":25", Hostname: "h", TLS: mode, Username: "user", Password: password})
			if (err == nil) != allowed || err != nil && leaks(err.Error()) {
				t.Errorf("%s, %s: %v", host, mode, err)
			}
		}
	}
	f := newFake(script{"EHLO": "250-fake.example\n250 AUTH PLAIN"})
	c := newClient(t, "localhost:25", func(cfg *Config) { cfg.Username, cfg.Password = "user", password })
	c.dial = f.dial // leads to something that is no loopback address
	e := mail(t, c, envelope(t), "a@example.jp").failure(t)
	if e.Class != classAuth || e.Reply != relay.ReplyConfig || len(f.conn(0).commands) != 1 {
		t.Errorf("%v, commands %q", e, f.conn(0).commands)
	}
}

// TestPasswordIsReadForEveryConnection, so that a rotated file counts at once.
func TestPasswordIsReadForEveryConnection(t *testing.T) {
	t.Parallel()
	f := newFake(script{"EHLO": "250-fake.example\n250 AUTH PLAIN", "dot": "250 ok|close"})
	passwords := []string{"one", "two"}
	c := newClient(t, f.listen(t), func(cfg *Config) {
		cfg.Username = "user"
		cfg.Password = func() (string, error) {
			if len(passwords) == 0 {
				return "", os.ErrNotExist
			}
			p := passwords[0]
			passwords = passwords[1:]
			return p, nil
		}
	})
	for i, p := range []string{"one", "two"} {
		mail(t, c, envelope(t), "a@example.jp").ok(t)
		if got := f.conn(i).commands[1]; got != "AUTH PLAIN "+b64("\x00user\x00"+p) {
			t.Errorf("connection %d: %q", i, got)
		}
		<-f.last().ended
	}
	if e := mail(t, c, envelope(t), "a@example.jp").failure(t); e.Class != classAuth || !strings.Contains(e.Error(), "read the password") {
		t.Errorf("%v", e)
	}
}

// TestUnaskedAcceptanceInTLS: the look before the final dot sees through TLS.
func TestUnaskedAcceptanceInTLS(t *testing.T) {
	t.Parallel()
	server, ca := certificate(t, "smtp.example", time.Now().AddDate(0, 1, 0))
	f := newFake(script{"TLS": "implicit", "DATA": "354 go|250 2.0.0 Ok: queued as EVIL"})
	f.tls = server
	c := newClient(t, f.listen(t), func(cfg *Config) { cfg.TLS, cfg.CAFile, cfg.ServerName = TLSImplicit, ca, "smtp.example" })
	body := content(message)
	body.onNext = func(int) { <-f.reacted }
	r := mailBody(t, context.Background(), c, envelope(t), body, "a@example.jp")
	if got := describe(r.failure(t)); got != nonsense || f.dots() != 0 {
		t.Errorf("%s, %d dots", got, f.dots())
	}
}
