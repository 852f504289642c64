package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sesrelay/internal/simulator"
)

// hopCertificate is the certificate of every Cuenote with TLS.
var hopCertificate = makeCertificate("hop")

// keyCertificates share a key, so that one may stand in for the other.
var keyCertificates = struct{ one, two, other pemPair }{}

type pemPair struct{ cert, key string }

func init() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	keyCertificates.one, keyCertificates.two = pemOf("one", key), pemOf("two", key)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	keyCertificates.other = pemOf("other", other)
}

func pemOf(name string, key *ecdsa.PrivateKey) pemPair {
	der := selfSigned(name, key)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return pemPair{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))}
}

func selfSigned(name string, key *ecdsa.PrivateKey) []byte {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		DNSNames: []string{"localhost", "hop.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return der
}

func makeCertificate(name string) *tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return &tls.Certificate{Certificate: [][]byte{selfSigned(name, key)}, PrivateKey: key}
}

// variables are the files and addresses that values may name.
func (s *keyStage) variables(h *hops) map[string]string {
	dir := s.t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		write(s.t, path, content)
		return path
	}
	return map[string]string{
		"SECOND": freePort(s.t), "DIR": dir, "SES": fmt.Sprintf("%q", h.ses.URL()), "SES2": fmt.Sprintf("%q", s.more.ses.URL()),
		"CUENOTE": fmt.Sprintf("%q", h.cuenote.Addr()), "CUENOTE2": fmt.Sprintf("%q", s.more.cuenote.Addr()),
		"CERT1": file("one.pem", keyCertificates.one.cert), "CERT2": file("two.pem", keyCertificates.two.cert),
		"KEY1": file("one.key", keyCertificates.one.key), "KEY2": file("other.key", keyCertificates.other.key),
		"USERS": users(s.t, "app", "correct horse"), "USERS2": users(s.t, "somebody", "correct horse"),
		"PASSWORD": file("password", "secret\n"), "WRONG": file("wrong", "wrong\n"),
		"CA":     file("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hopCertificate.Certificate[0]}))),
		"MASK":   file("mask", "0123456789abcdef0123\n"),
		"TOKENS": file("tokens", "readonly:test:"+strings.Repeat("0f", 32)+"\n"),
	}
}

// mail sends the n-th mail of the stage and returns the reply.
func (s *keyStage) mail() string { return s.mailFrom("news@goo.ne.jp", "user@example.jp", "") }

func (s *keyStage) mailFrom(from, to, parameters string) string {
	s.n++
	m := letter(fmt.Sprintf("key%d", s.n), from, []string{to}, "Hello.\r\n")
	m.parameters = parameters
	return deliver(s.t, s.relay.smtp, m)
}

// second sends two mails and returns the second reply.
func (s *keyStage) second() string { s.mail(); return s.mail() }

// spread sends 24 mails and says how many ways they took.
func (s *keyStage) spread(helo string) string {
	for i := range 24 {
		c := connect(s.t, s.relay.smtp)
		c.greet("EHLO " + fmt.Sprintf(helo, i))
		s.n++
		m := letter(fmt.Sprintf("spread%d", s.n), "news@goo.ne.jp", []string{"one@example.jp"}, "Hello.\r\n")
		c.want("250", c.send(m, false).final())
		c.conn.Close()
	}
	if len(s.store.Of("ses")) > 0 && len(s.store.Of("cuenote")) > 0 {
		return "both ways"
	}
	return "one way"
}

// status returns the HTTP status of a call of the API without a token.
func (s *keyStage) status(method, path string) string {
	req, _ := http.NewRequest(method, "http://"+s.relay.admin+path, strings.NewReader(`{"ses_percent":5,"reason":"test"}`))
	req.Header.Set("If-Match", `"0"`)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	resp.Body.Close()
	return resp.Status
}

// plan asks whether 100 % can be carried.
func (s *keyStage) plan() string {
	out, _ := s.relay.command("split", "plan", "100").CombinedOutput()
	return string(out)
}

// logLine waits for a line of the log.
func (s *keyStage) logLine(with string) string {
	var found string
	eventually(s.t, 10*time.Second, "a log line with "+with, func() error {
		for line := range strings.Lines(s.relay.out.String()) {
			if strings.Contains(line, with) {
				found = line
				return nil
			}
		}
		return fmt.Errorf("not there")
	})
	return found
}

// hold opens a transaction up to RCPT and returns its last reply.
func (s *keyStage) hold(parameters string) (*client, string) {
	c := dial(s.t, s.relay.smtp)
	c.want("250", c.do("MAIL FROM:<news@goo.ne.jp>%s", parameters))
	return c, c.do("RCPT TO:<held@example.jp>")
}

func seeMail(s *keyStage) string     { return s.mail() }
func seeSecond(s *keyStage) string   { return s.second() }
func seeEHLO(s *keyStage) string     { return connect(s.t, s.relay.smtp).greet("EHLO app.goo.ne.jp") }
func seeGreeting(s *keyStage) string { return connect(s.t, s.relay.smtp).read() }

// seeSecondConnection has one connection open already.
func seeSecondConnection(s *keyStage) string {
	dial(s.t, s.relay.smtp)
	return connect(s.t, s.relay.smtp).read()
}

func seeCertificate(s *keyStage) string {
	c := dial(s.t, s.relay.smtp)
	return c.startTLS().PeerCertificates[0].Subject.CommonName
}

func seeOutage(s *keyStage) string {
	s.ses.SetOutage(simulator.OutageRefuse)
	return s.mail()
}

// failures sends mails of which the given ones fail at SES, then one more.
func (s *keyStage) failures(pattern string) string {
	for _, c := range pattern {
		if c == 'x' {
			s.ses.Faults().Set(simulator.Fault{Name: simulator.FaultInternalError, Times: 1})
		}
		s.mail()
	}
	s.relay.scrape()
	return s.mail()
}

// toSES is a configuration in which mail that SES does not take is deferred.
var toSES = settings{"split.ses_percent": "100", "ses.on_unavailable": "defer", "quota.on_exhausted": "defer", "ses.on_rejected": "reject"}

// rule is a configuration with one rule.
func rule(item string) settings { return settings{"split.rules": "[{" + item + "}]"} }

func ehlo(offer string) string { return `(?s).*` + offer }

var withTLS = settings{"listeners": "[{address: \"{SMTP}\", tls: starttls}]", "tls.certificate_file": "{CERT1}", "tls.key_file": "{KEY1}"}

var hopTLS = simulator.SMTPConfig{STARTTLS: true, Certificate: hopCertificate}
var hopAuth = simulator.SMTPConfig{Username: "app", Password: "secret", AuthRequired: true}

// keyTests has one row for every key.
var keyTests = []keyTest{
	// First: it takes a minute, which the others need not wait for.
	{key: "state.ledger_ttl", a: "1m", b: "6h", wantA: "sent again", wantB: "a duplicate", see: func(s *keyStage) string {
		m := plainMail("ttl")
		first := deliver(s.t, s.relay.smtp, m)
		over := time.After(61 * time.Second)
		like(s.t, "at once", deliver(s.t, s.relay.smtp, m), first[:20])
		<-over // what is awaited is the relay's own clock
		if again := deliver(s.t, s.relay.smtp, m); again == first {
			s.check(s.t, m, 0, 1)
			return "a duplicate"
		}
		s.check(s.t, m, 0, 2)
		return "sent again"
	}},

	{key: "hostname", a: "one.goo.ne.jp", b: "two.goo.ne.jp", wantA: "220 one.goo.ne.jp ", wantB: "220 two.goo.ne.jp ", see: seeGreeting},

	{key: "listeners[].address", a: `"{SMTP}"`, b: `"{SECOND}"`, wantA: "listens", wantB: "refused", base: settings{"listeners": "[{{VALUE}}]"},
		see: func(s *keyStage) string {
			conn, err := net.DialTimeout("tcp", s.relay.smtp, time.Second)
			if err != nil {
				return "refused"
			}
			conn.Close()
			return "listens"
		}},
	{key: "listeners[].protocol", a: "smtp", b: "lmtp", wantA: "220 .* ESMTP ", wantB: "220 .* LMTP ", base: settings{"listeners": "[{address: \"{SMTP}\", {VALUE}}]"}, see: seeGreeting},
	{key: "listeners[].tls", a: "none", b: "starttls", wantA: "not offered", wantB: "offered", base: withTLS.with(settings{"listeners": "[{address: \"{SMTP}\", {VALUE}}]"}),
		see: func(s *keyStage) string {
			if strings.Contains(seeEHLO(s), "STARTTLS") {
				return "offered"
			}
			return "not offered"
		}},
	{key: "listeners[].proxy_protocol_from", a: "[]", b: "[127.0.0.0/8]", wantA: "5", wantB: "250", base: settings{"listeners": "[{address: \"{SMTP}\", {VALUE}}]"},
		see: func(s *keyStage) string {
			c := connect(s.t, s.relay.smtp)
			c.write("PROXY TCP4 127.0.0.9 127.0.0.1 1234 25\r\n")
			if r := c.read(); !strings.HasPrefix(r, "220") {
				return r
			}
			return c.do("EHLO app.goo.ne.jp") // not believed, the header is a command of its own
		}},

	{key: "tls.certificate_file", a: "{CERT1}", b: "{CERT2}", wantA: "one", wantB: "two", base: withTLS, see: seeCertificate},
	{key: "tls.key_file", a: "{KEY1}", b: "{KEY2}", wantA: "passed", wantB: "refused .*", base: withTLS, see: nil},

	{key: "access.networks", a: "[127.0.0.0/8]", b: "[10.0.0.0/8]", wantA: "220 ", wantB: "554 5.7.1 ", see: seeGreeting},
	{key: "access.users_file", a: "{USERS}", b: "{USERS2}", wantA: "235 ", wantB: "535 ", base: withTLS.with(settings{"access.networks": "[]"}),
		see: func(s *keyStage) string {
			c := dial(s.t, s.relay.smtp)
			c.startTLS()
			c.want("250", c.do("EHLO app.goo.ne.jp"))
			return c.do("AUTH PLAIN %s", base64.StdEncoding.EncodeToString([]byte("\x00app\x00correct horse")))
		}},

	{key: "limits.message_size", a: "1MiB", b: "40MiB", wantA: ehlo("SIZE 1048576"), wantB: ehlo("SIZE 41943040"), see: seeEHLO},
	{key: "limits.recipients", a: "1", b: "50", wantA: "452 4.5.3 ", wantB: "250 ", see: func(s *keyStage) string {
		c, _ := s.hold("")
		return c.do("RCPT TO:<second@example.jp>")
	}},
	{key: "limits.connections", a: "1", b: "50", wantA: "421 4.3.2 ", wantB: "220 ", see: seeSecondConnection},
	{key: "limits.connections_per_client", a: "1", b: "50", wantA: "421 4.7.0 ", wantB: "220 ", see: seeSecondConnection},
	{key: "limits.memory", a: "32MiB", b: "512MiB", wantA: "452 4.3.1 ", wantB: "354 ", base: toSES.with(settings{"limits.message_size": "12MiB"}), see: func(s *keyStage) string {
		first, _ := s.hold(" SIZE=11000000")
		first.want("354", first.do("DATA"))
		next, _ := s.hold(" SIZE=11000000")
		s.relay.scrape()
		return next.do("DATA")
	}},

	{key: "split.ses_percent", a: "0", b: "100", wantA: byCuenote, wantB: bySES, see: seeMail},
	{key: "split.by", a: "message", b: "recipient", wantA: "both ways", wantB: "one way", base: settings{"split.ses_percent": "50"}, see: func(s *keyStage) string { return s.spread("app%d.goo.ne.jp") }},
	{key: "split.client_from", a: "address", b: "helo", wantA: "one way", wantB: "both ways", base: settings{"split.ses_percent": "50", "split.by": "client"},
		see: func(s *keyStage) string { return s.spread("app%d.goo.ne.jp") }},
	{key: "split.rehearse", a: "false", b: "true", wantA: "not judged", wantB: "judged", see: func(s *keyStage) string {
		s.mail()
		if strings.Contains(s.logLine(`"msg":"transaction"`), `"rehearsal":"none"`) {
			return "judged"
		}
		return "not judged"
	}},

	{key: "split.rules[].name", a: "alpha", b: "beta", wantA: "alpha", wantB: "beta", base: rule("{VALUE}, recipient_domain: example.jp, route: ses"), see: func(s *keyStage) string {
		s.mail()
		_, name, _ := strings.Cut(s.logLine(`"msg":"transaction"`), `"rule":"`)
		return name
	}},
	{key: "split.rules[].sender", a: "news@goo.ne.jp", b: "other@goo.ne.jp", wantA: bySES, wantB: byCuenote, base: rule("{VALUE}, route: ses"), see: seeMail},
	{key: "split.rules[].sender_domain", a: "goo.ne.jp", b: "example.jp", wantA: bySES, wantB: byCuenote, base: rule("{VALUE}, route: ses"), see: seeMail},
	{key: "split.rules[].recipient", a: "user@", b: "other@", wantA: bySES, wantB: byCuenote, base: rule("{VALUE}, route: ses"), see: seeMail},
	{key: "split.rules[].recipient_domain", a: "example.jp", b: ".example.jp", wantA: bySES, wantB: byCuenote, base: rule("{VALUE}, route: ses"), see: seeMail},
	{key: "split.rules[].client", a: "127.0.0.1", b: "192.0.2.1", wantA: bySES, wantB: byCuenote, base: rule("{VALUE}, route: ses"), see: seeMail},
	// SES has no null sender, so the rule can only keep other mail out of it.
	{key: "split.rules[].null_sender", a: "-", b: "true", wantA: byCuenote, wantB: bySES,
		base: rule("recipient_domain: example.jp, {VALUE}, route: cuenote").with(settings{"split.ses_percent": "100"}), see: seeMail},
	{key: "split.rules[].larger_than", a: "1KiB", b: "1MiB", wantA: bySES, wantB: byCuenote, base: rule("{VALUE}, route: ses"),
		see: func(s *keyStage) string { return s.mailFrom("news@goo.ne.jp", "user@example.jp", " SIZE=5000") }},
	{key: "split.rules[].route", a: "ses", b: "cuenote", wantA: bySES, wantB: byCuenote, base: rule("recipient_domain: example.jp, {VALUE}"), see: seeMail},
	{key: "split.rules[].percent", a: "100", b: "0", wantA: bySES, wantB: byCuenote, base: rule("recipient_domain: example.jp, route: split, {VALUE}"), see: seeMail},

	{key: "ses.region", a: "ap-northeast-1", b: "us-east-1", wantA: bySES, wantB: configTxt, base: toSES, see: seeMail},
	{key: "ses.endpoint", a: "{SES}", b: "{SES2}", wantA: "first 1", wantB: "first 0", base: toSES, see: func(s *keyStage) string {
		s.mail()
		return fmt.Sprintf("first %d, second %d", len(s.store.Of("ses")), len(s.more.store.Of("ses")))
	}},
	{key: "ses.configuration_set", a: configurationSet, b: "other", wantA: bySES, wantB: configTxt, base: toSES, see: seeMail},
	{key: "ses.identities", a: "[goo.ne.jp]", b: "[example.jp]", wantA: bySES, wantB: byCuenote, base: toSES, see: seeMail},
	{key: "ses.keep_message_tags", a: "false", b: "true", wantA: "none", wantB: "spring", base: toSES, see: func(s *keyStage) string {
		m := plainMail("tags")
		m.content = append([]byte("X-SES-MESSAGE-TAGS: campaign=spring\r\n"), m.content...)
		like(s.t, "tags", deliver(s.t, s.relay.smtp, m), bySES)
		if tag := s.store.All()[0].SES.Tags["campaign"]; tag != "" {
			return tag
		}
		return "none"
	}},
	{key: "ses.max_in_flight", a: "1", b: "10", wantA: "451 4.3.2|451 4.4", wantB: bySES, base: toSES.with(settings{"ses.timeout": "20s"}), see: func(s *keyStage) string {
		s.ses.Faults().Set(simulator.Fault{Name: simulator.FaultHang, Address: "hang@example.jp"})
		m := plainMail("hang", "hang@example.jp")
		c := dial(s.t, s.relay.smtp)
		c.want("250", c.do("MAIL FROM:<%s>", m.from))
		c.want("250", c.do("RCPT TO:<%s>", m.to[0]))
		c.want("354", c.do("DATA"))
		c.write(string(m.content) + ".\r\n") // its reply comes when the stage ends
		eventually(s.t, 10*time.Second, "the first call", func() error {
			if s.ses.Faults().Struck()[simulator.FaultHang] == 0 {
				return fmt.Errorf("not there")
			}
			return nil
		})
		defer s.ses.Faults().Clear()
		return s.mail()
	}},
	{key: "ses.message_size", a: "1KiB", b: "28MiB", wantA: byCuenote, wantB: bySES, base: toSES, see: func(s *keyStage) string {
		m := letter("big", "news@goo.ne.jp", []string{"user@example.jp"}, strings.Repeat("x\r\n", 1000))
		return deliver(s.t, s.relay.smtp, m)
	}},
	{key: "ses.timeout", a: "1s", b: "30s", wantA: unknown, wantB: bySES, base: toSES, see: func(s *keyStage) string {
		s.ses.Faults().Set(simulator.Fault{Name: simulator.FaultDelay, Delay: 2500 * time.Millisecond})
		return s.mail()
	}},
	{key: "ses.on_unavailable", a: "cuenote", b: "defer", wantA: byCuenote, wantB: unavail, base: settings{"split.ses_percent": "100"}, see: seeOutage},
	{key: "ses.on_rejected", a: "cuenote", b: "reject", wantA: byCuenote, wantB: refusal, base: settings{"split.ses_percent": "100"}, see: func(s *keyStage) string {
		s.ses.Faults().Set(simulator.Fault{Name: simulator.FaultMessageRejected})
		return s.mail()
	}},

	{key: "cuenote.address", a: "{CUENOTE}", b: "{CUENOTE2}", wantA: "first 1", wantB: "first 0", see: func(s *keyStage) string {
		s.mail()
		return fmt.Sprintf("first %d, second %d", len(s.store.Of("cuenote")), len(s.more.store.Of("cuenote")))
	}},
	{key: "cuenote.tls", a: "none", b: "starttls", wantA: "plain", wantB: "TLS", base: settings{"cuenote.ca_file": "{CA}"}, hop: hopTLS, see: func(s *keyStage) string {
		like(s.t, "mail", s.mail(), byCuenote)
		if s.store.All()[0].SMTP.TLS {
			return "TLS"
		}
		return "plain"
	}},
	{key: "cuenote.username", a: "app", b: "other", wantA: byCuenote, wantB: "451 ", base: settings{"cuenote.password_file": "{PASSWORD}"}, hop: hopAuth, see: seeMail},
	{key: "cuenote.password_file", a: "{PASSWORD}", b: "{WRONG}", wantA: byCuenote, wantB: "451 ", base: settings{"cuenote.username": "app"}, hop: hopAuth, see: seeMail},
	{key: "cuenote.ca_file", a: "{CA}", b: "{CERT1}", wantA: byCuenote, wantB: "451 ", base: settings{"cuenote.tls": "starttls"}, hop: hopTLS, see: seeMail},
	{key: "cuenote.server_name", a: "hop.example", b: "wrong.example", wantA: byCuenote, wantB: "451 ", base: settings{"cuenote.tls": "starttls", "cuenote.ca_file": "{CA}"}, hop: hopTLS, see: seeMail},
	{key: "cuenote.connections", a: "1", b: "10", wantA: "451 ", wantB: byCuenote, see: func(s *keyStage) string {
		_, r := s.hold("")
		like(s.t, "the first", r, "250 ")
		return s.mail()
	}},
	{key: "cuenote.rate", a: "0.05", b: "0", wantA: "451 4.4.5 ", wantB: byCuenote, see: seeSecond},
	{key: "cuenote.timeout", a: "1s", b: "30s", wantA: unknown, wantB: byCuenote, see: func(s *keyStage) string {
		s.cuenote.Faults().Set(simulator.Fault{Name: simulator.FaultDelay, Delay: 2500 * time.Millisecond})
		return s.mail()
	}},
	{key: "cuenote.on_unavailable", a: "defer", b: "ses", wantA: unavail, wantB: bySES, base: settings{"split.by": "recipient", "split.ses_percent": "50"}, see: func(s *keyStage) string {
		to := s.cuenoteRecipient(s.t)
		s.cuenote.CutConnections()
		s.cuenote.SetOutage(simulator.OutageRefuse)
		return s.mailFrom("news@goo.ne.jp", to, "")
	}},

	{key: "quota.rate", a: "1", b: "1000", wantA: throttle, wantB: bySES, base: toSES.with(settings{"quota.max_wait": "0s"}), see: seeSecond},
	{key: "quota.daily", a: "1", b: "1000", wantA: throttle, wantB: bySES, base: toSES, see: seeSecond},
	{key: "quota.headroom", a: "0.01", b: "1", wantA: throttle, wantB: bySES, base: toSES.with(settings{"quota.rate": "100", "quota.max_wait": "0s"}), see: seeSecond},
	{key: "quota.max_wait", a: "0s", b: "20s", wantA: throttle, wantB: bySES, base: toSES.with(settings{"quota.rate": "1"}), see: seeSecond},
	{key: "quota.on_exhausted", a: "cuenote", b: "defer", wantA: byCuenote, wantB: throttle, base: settings{"split.ses_percent": "100", "quota.daily": "1"}, see: seeSecond},

	{key: "state.file", a: `""`, b: "{DIR}/state", wantA: "0$", wantB: "77$", see: func(s *keyStage) string {
		s.relay.split(s.t, "77")
		s.relay.kill()
		s.relay = s.relay.again(s.t)
		var now struct {
			SESPercent float64 `json:"ses_percent"`
		}
		s.relay.get(s.t, "/v1/split", &now)
		return fmt.Sprint(now.SESPercent)
	}},
	{key: "state.redis", a: `""`, b: `"redis://{REDIS}"`, wantA: "alone", wantB: "2 instances, 33 %", see: func(s *keyStage) string {
		if s.redis == nil {
			if s.relay.instances(s.t) != 1 {
				s.t.Error("a fleet without Redis")
			}
			return "alone"
		}
		o := relayOptions{ses: s.ses.URL(), cuenote: s.cuenote.Addr(), smtp: freePort(s.t), admin: freePort(s.t), plain: true,
			set: settings{"state.redis": "redis://" + s.redis.Addr}}
		second := startRelay(s.t, o)
		s.relay.split(s.t, "33")
		eventually(s.t, 10*time.Second, "the second follows", func() error {
			if n := second.instances(s.t); n != 2 || second.percent(s.t) != 33 {
				return fmt.Errorf("%d instances, %v %%", n, second.percent(s.t))
			}
			return nil
		})
		return "2 instances, 33 %"
	}},
	{key: "state.prefix", a: `"relay:"`, b: `"other:"`, wantA: `\{relay:\}split`, wantB: `\{other:\}split`, base: settings{"state.redis": `"redis://{REDIS}"`}, see: func(s *keyStage) string {
		s.relay.split(s.t, "33")
		for _, prefix := range []string{"{relay:}", "{other:}"} {
			if got, err := s.redis.Do("EXISTS " + prefix + "split"); err == nil && strings.HasPrefix(got, ":1") {
				return prefix + "split"
			}
		}
		return "no key"
	}},
	{key: "state.secret_file", a: `""`, b: "{MASK}", wantA: "shared in Redis", wantB: "from the file", base: settings{"state.redis": `"redis://{REDIS}"`}, see: func(s *keyStage) string {
		eventually(s.t, 10*time.Second, "a heartbeat", func() error { return s.redis.Once("EXISTS {relay:}instances", ":1") })
		if s.redis.Until("EXISTS {relay:}secret", ":1") == nil {
			return "shared in Redis"
		}
		return "from the file"
	}},
	{key: "admin.advertise", a: `""`, b: "http://192.0.2.7:8025", wantA: "http://127.0.0.1:", wantB: "http://192.0.2.7:8025", base: settings{"state.redis": `"redis://{REDIS}"`}, see: func(s *keyStage) string {
		var said string
		eventually(s.t, 10*time.Second, "a heartbeat", func() (err error) {
			if said, err = s.redis.Do("HVALS {relay:}instances"); err == nil && !strings.Contains(said, "admin") {
				err = errors.New(said)
			}
			return err
		})
		_, said, _ = strings.Cut(said, `"admin":"`)
		return said
	}},
	{key: "rollout.events", a: "none", b: "cloudwatch", wantA: "none", wantB: "cloudwatch", see: func(s *keyStage) string { return s.rollout().Events.Source }},
	{key: "rollout.steps", a: "[{set_percent: 20}]", b: "[{set_percent: 30}, {pause: 1h}]", wantA: "20$", wantB: "30 1h", see: (*keyStage).steps},
	{key: "rollout.gate.success_min", a: "99", b: "98", wantA: "99$", wantB: "98$", see: limit("gate", "success")},
	{key: "rollout.gate.delay_max", a: "1m", b: "2m", wantA: "60$", wantB: "120$", see: limit("gate", "delay")},
	{key: "rollout.gate.bounce_max", a: "0.5", b: "1", wantA: "0.5$", wantB: "1$", see: limit("gate", "bounce")},
	{key: "rollout.rollback_to", a: "previous", b: "zero", wantA: "previous", wantB: "zero", see: func(s *keyStage) string { return s.rollout().RollbackTo }},
	{key: "rollout.notify.webhook", a: `""`, b: `"http://{HOOK}/"`, wantA: "nobody", wantB: "POST .*start", base: startable, see: (*keyStage).toldOfStart},
	{key: "rollout.notify.sns_topic", a: `""`, b: "arn:aws:sns:ap-northeast-1:123456789012:x", wantA: "nobody", wantB: "POST .*Action=Publish", base: startable, see: (*keyStage).toldOfStart},
	{key: "rollout.notify.grafana", a: `"http://{HOOK}"`, b: `"http://{HOOK}/sub"`, wantA: "POST /api/annotations", wantB: "POST /sub/api/annotations", base: withToken, see: (*keyStage).toldOfStart},
	{key: "rollout.notify.grafana_token_file", a: "{WRONG}", b: "{PASSWORD}", wantA: "(?s)POST .*Authorization: Bearer wrong$", wantB: "(?s)POST .*Authorization: Bearer secret$", base: withGrafana, see: (*keyStage).toldOfStart},
	{key: "rollout.guard.enabled", a: "true", b: "false", wantA: "1$", wantB: "0$", see: func(s *keyStage) string { return s.metric("relay_guard_armed") }},
	{key: "rollout.guard.success_min", a: "90", b: "91", wantA: "90$", wantB: "91$", see: limit("guard", "success")},
	{key: "rollout.guard.delay_max", a: "5m", b: "4m", wantA: "300$", wantB: "240$", see: limit("guard", "delay")},
	{key: "rollout.guard.bounce_max", a: "5", b: "4", wantA: "5$", wantB: "4$", see: limit("guard", "bounce")},
	{key: "rollout.guard.complaint_max", a: "0.5", b: "0.4", wantA: "0.5$", wantB: "0.4$", see: limit("guard", "complaint")},
	{key: "rollout.guard.no_data_max", a: "10m", b: "9m", wantA: "600$", wantB: "540$", see: limit("guard", "no_data")},
	{key: "rollout.guard.min_messages", a: "200", b: "7", wantA: ".* 200 are needed", wantB: ".* 7 are needed", see: func(s *keyStage) string { return strings.Join(s.rollout().Guard.Reasons, "; ") }},
	{key: "rollout.guard.window", a: "5m", b: "10m", wantA: "5m0s", wantB: "10m0s", see: func(s *keyStage) string { return s.rollout().Guard.Window }},
	{key: "cloudwatch_metrics.enabled", a: "false", b: "true", wantA: "nothing", wantB: "ses-migration/production/SES", see: (*keyStage).namespace},
	{key: "cloudwatch_metrics.project", a: "one", b: "two", wantA: "one/production/SES", wantB: "two/production/SES", base: settings{"cloudwatch_metrics.enabled": "true"}, see: (*keyStage).namespace},
	{key: "cloudwatch_metrics.environment", a: "one", b: "two", wantA: "ses-migration/one/SES", wantB: "ses-migration/two/SES", base: settings{"cloudwatch_metrics.enabled": "true"}, see: (*keyStage).namespace},
	{key: "log.info_per_second", a: "0", b: "1", wantA: "all", wantB: "thinned", see: (*keyStage).infoLines},
	{key: "traffic.peak_per_minute", a: "60", b: "10000000", wantA: "(?s).*(YES|PERHAPS)", wantB: "(?s)NO", see: (*keyStage).plan},
	{key: "traffic.per_day", a: "1000", b: "100000000", wantA: "(?s).*(YES|PERHAPS)", wantB: "(?s)NO", see: (*keyStage).plan},
	{key: "traffic.recipients_per_message", a: "1", b: "1000", wantA: "(?s).*(YES|PERHAPS)", wantB: "(?s)NO", base: settings{"traffic.peak_per_minute": "6000"}, see: (*keyStage).plan},

	{key: "breaker.failure_ratio", a: "0.5", b: "1", wantA: pausedTxt, wantB: bySES, base: toSES.with(settings{"breaker.min_requests": "4", "breaker.open_for": "1m"}),
		see: func(s *keyStage) string { return s.failures("..xx") }},
	{key: "breaker.min_requests", a: "2", b: "1000", wantA: pausedTxt, wantB: bySES, base: toSES.with(settings{"breaker.open_for": "1m"}),
		see: func(s *keyStage) string { return s.failures("xx") }},
	{key: "breaker.open_for", a: "100ms", b: "1m", wantA: bySES, wantB: pausedTxt, base: toSES.with(settings{"breaker.min_requests": "2"}), see: func(s *keyStage) string {
		r := s.failures("xx")
		for end := time.Now().Add(3 * time.Second); time.Now().Before(end) && !strings.HasPrefix(r, "250"); {
			time.Sleep(50 * time.Millisecond)
			r = s.mail()
		}
		return r
	}},

	{key: "drain.grace", a: "0s", b: "3s", wantA: "at once", wantB: "later", see: func(s *keyStage) string {
		c := dial(s.t, s.relay.smtp)
		began := time.Now()
		s.relay.signal(syscall.SIGTERM)
		c.want("421", c.read())
		if time.Since(began) < 2*time.Second {
			return "at once"
		}
		return "later"
	}},
	{key: "drain.deadline", a: "1s", b: "8s", wantA: "soon", wantB: "later", see: func(s *keyStage) string {
		c, _ := s.hold("")
		c.want("354", c.do("DATA"))
		began := time.Now()
		s.relay.signal(syscall.SIGTERM)
		<-s.relay.done
		if time.Since(began) < 6*time.Second {
			return "soon"
		}
		return "later"
	}},

	{key: "admin.address", a: "{ADMIN}", b: "{SECOND}", wantA: "nobody", wantB: "200", see: func(s *keyStage) string {
		resp, err := http.Get("http://" + s.vars["SECOND"] + "/readyz")
		if err != nil {
			return "nobody"
		}
		resp.Body.Close()
		return resp.Status
	}},
	{key: "admin.tokens_file", a: `""`, b: "{TOKENS}", wantA: "200", wantB: "401", see: func(s *keyStage) string { return s.status("GET", "/v1/split") }},
	{key: "admin.networks.admin", a: "[127.0.0.0/8]", b: "[10.0.0.0/8]", wantA: "200", wantB: "403", see: func(s *keyStage) string { return s.status("PUT", "/v1/split") }},
	{key: "admin.networks.readonly", a: "[127.0.0.0/8]", b: "[10.0.0.0/8]", wantA: "200", wantB: "403", base: settings{"admin.networks.admin": "[10.0.0.0/8]"},
		see: func(s *keyStage) string { return s.status("GET", "/v1/split") }},
	{key: "admin.networks.monitoring", a: "[127.0.0.0/8]", b: "[10.0.0.0/8]", wantA: "200", wantB: "403",
		base: settings{"admin.networks.admin": "[10.0.0.0/8]", "admin.networks.readonly": "[10.0.0.0/8]"},
		see:  func(s *keyStage) string { return s.status("GET", "/metrics") }},

	{key: "log.format", a: "json", b: "text", wantA: `\{"time"`, wantB: "time=", see: func(s *keyStage) string { return s.logLine("ready") }},
	{key: "log.level", a: "info", b: "error", wantA: "lines", wantB: "silent", see: func(s *keyStage) string {
		s.mail()
		s.relay.stop(s.t, 20*time.Second)
		if strings.Contains(s.relay.out.String(), "transaction") {
			return "lines"
		}
		return "silent"
	}},
	{key: "log.addresses", a: "masked", b: "full", wantA: "hidden", wantB: "shown", see: func(s *keyStage) string {
		s.mail()
		if strings.Contains(s.logLine(`"msg":"transaction"`), "user@example.jp") {
			return "shown"
		}
		return "hidden"
	}},
	{key: "log.key_file", a: "{MASK}", b: `""`, wantA: "the same", wantB: "another", see: func(s *keyStage) string {
		s.mail()
		_, first, _ := strings.Cut(s.logLine(`"msg":"transaction"`), `"to":[`)
		s.relay.stop(s.t, 20*time.Second)
		s.relay = s.relay.again(s.t)
		s.mail()
		_, second, _ := strings.Cut(s.logLine(`"msg":"transaction"`), `"to":[`)
		if first[:30] == second[:30] {
			return "the same"
		}
		return "another"
	}},
}
