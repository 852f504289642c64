package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"sesrelay/internal/simulator"
)

// rotation is a Postfix that sends through two relays all the time, by verified
// TLS and with a password, to hops that know who they talk to. Everything that
// expires or leaks is replaced meanwhile, in the runbook's order.
type rotation struct {
	*hops
	a, b    *relayProcess
	postfix *postfix
	dir     string // of certificates, passwords and tokens
	sent    atomic.Int64
}

const rotatedName = "relay.goo.ne.jp"

// authority makes a certificate authority, and a certificate of it for the relays.
func authority(t *testing.T, name string) (ca, cert, key []byte) {
	t.Helper()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: rotatedName}, DNSNames: []string{rotatedName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	block := func(kind string, der []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, &caKey.PublicKey, caKey)
	ca = block("CERTIFICATE", rootDER, err)
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, &leafKey.PublicKey, caKey)
	cert = block("CERTIFICATE", leafDER, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	return ca, cert, block("PRIVATE KEY", keyDER, err)
}

// file is a path in the rotation's folder; put replaces one as install does, whole.
func (r *rotation) file(name string) string { return filepath.Join(r.dir, name) }

func (r *rotation) put(t *testing.T, name string, content ...string) string {
	t.Helper()
	write(t, r.file(name)+".new", strings.Join(content, ""))
	if err := os.Rename(r.file(name)+".new", r.file(name)); err != nil {
		t.Fatal(err)
	}
	return r.file(name)
}

func userLine(t *testing.T, name, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return name + ":" + string(hash) + "\n"
}

func accessKeys(id, secret string) string {
	return fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", id, secret)
}

func startRotation(t *testing.T) *rotation {
	t.Helper()
	h := startHopsWith(t, simulator.StoreConfig{}, simulator.SMTPConfig{Username: "relay", Password: "cuenote-old", AuthRequired: true})
	h.ses.SetCredentials(map[string]string{"AKIDOLD": "old"})
	r := &rotation{hops: h, dir: t.TempDir()}
	ca, cert, key := authority(t, "old authority")
	r.put(t, "cert.pem", string(cert))
	r.put(t, "key.pem", string(key))
	r.put(t, "ca.pem", string(ca))
	r.put(t, "users", userLine(t, "mx-2026", "smtp-old"))
	r.put(t, "cuenote-password", "cuenote-old\n")
	r.put(t, "aws", accessKeys("AKIDOLD", "old"))
	line, token := r.newToken(t, "alice")
	r.put(t, "tokens", line)

	start := func() *relayProcess {
		smtp := freePort(t)
		one := launchRelay(t, relayOptions{ses: h.ses.URL(), cuenote: h.cuenote.Addr(), percent: "50", smtp: smtp, set: settings{
			"listeners":            "[" + listener(smtp, "tls: required") + "]",
			"tls.certificate_file": r.file("cert.pem"), "tls.key_file": r.file("key.pem"),
			"access.networks": "[]", "access.users_file": r.file("users"),
			"admin.tokens_file": r.file("tokens"),
			"cuenote.username":  "relay", "cuenote.password_file": r.file("cuenote-password"),
			"state.file": fmt.Sprintf("%q", filepath.Join(t.TempDir(), "state")), "drain.grace": "1s",
		}, env: []string{"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_SHARED_CREDENTIALS_FILE=" + r.file("aws")}})
		one.token = token
		one.serving(t)
		return one
	}
	r.a, r.b = start(), start()
	r.postfix = startPostfix(t, bracketed(r.a.smtp)+", "+bracketed(r.b.smtp), "smtp_tls_CAfile = "+r.file("ca.pem"),
		"smtp_tls_secure_cert_match = "+rotatedName, "smtp_sasl_auth_enable = yes", "smtp_sasl_password_maps = hash:"+r.file("sasl_passwd"),
		"smtp_sasl_security_options = noanonymous", "smtp_destination_concurrency_limit = 10")
	r.password(t, "mx-2026", "smtp-old")
	run(t, "postconf", "-c", r.postfix.dir, "-e", "smtp_tls_security_level = secure")
	run(t, "postfix", "-c", r.postfix.dir, "reload")
	return r
}

// newToken is relay token new: its line for tokens_file, and the token.
func (r *rotation) newToken(t *testing.T, name string) (line, token string) {
	t.Helper()
	cmd := exec.Command(binary(t, false), "token", "new", "admin", name, "--json")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var made struct{ Line, Token string }
	if err := json.Unmarshal(out, &made); err != nil || made.Line == "" || made.Token == "" {
		t.Fatalf("relay token new: %v\n%s", err, out)
	}
	return made.Line + "\n", made.Token
}

var smtpProcess = regexp.MustCompile(`postfix/smtp\[(\d+)\]`)

// reloadPostfix returns when every smtp process that had the old files has ended:
// each finishes the mail that it has, which takes as long as it takes.
func (r *rotation) reloadPostfix(t *testing.T) {
	t.Helper()
	old := map[string]bool{}
	for _, m := range smtpProcess.FindAllStringSubmatch(r.postfix.logged(t), -1) {
		old[m[1]] = true
	}
	run(t, "postfix", "-c", r.postfix.dir, "reload")
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) { // a number may be another's by then
		left := 0
		for pid := range old {
			if name, err := os.ReadFile("/proc/" + pid + "/comm"); err == nil && strings.TrimSpace(string(name)) == "smtp" {
				left++
			}
		}
		if left == 0 {
			return
		}
	}
}

// password is what Postfix gives from its next connection on.
func (r *rotation) password(t *testing.T, user, password string) {
	t.Helper()
	table := r.put(t, "sasl_passwd", bracketed(r.a.smtp), " ", user, ":", password, "\n", bracketed(r.b.smtp), " ", user, ":", password, "\n")
	run(t, "postmap", "-c", r.postfix.dir, "hash:"+table)
	r.reloadPostfix(t)
}

// flow sends until the returned function is called; it then waits for the end of it.
func (r *rotation) flow(t *testing.T) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for tick := time.NewTicker(25 * time.Millisecond); ; {
			select {
			case <-done:
				tick.Stop()
				return
			case <-tick.C:
			}
			m := plainMail(fmt.Sprintf("rotate%d", r.sent.Load()))
			err := sendMail(r.postfix.addr, m)
			for try := 0; errors.Is(err, io.EOF) && try < 20; try++ { // a smtpd that ends for the reload
				time.Sleep(100 * time.Millisecond)
				err = sendMail(r.postfix.addr, m)
			}
			if err != nil {
				t.Errorf("Postfix does not take mail: %v", err)
				return
			}
			r.sent.Add(1)
		}
	}()
	return func() { close(done); <-ended }
}

// goesOn waits until both hops have had twenty mails more, on connections that are new since now.
func (r *rotation) goesOn(t *testing.T, what string) {
	t.Helper()
	began := time.Now()
	eventually(t, time.Minute, "mail after "+what, func() error {
		n := map[string]int{}
		for _, m := range r.store.All() {
			if m.Time.After(began) {
				n[m.Upstream]++
			}
		}
		if n[simulator.UpstreamSES] < 20 || n[simulator.UpstreamCuenote] < 20 {
			return fmt.Errorf("%v", n)
		}
		return nil
	})
	t.Logf("%s: mail goes on", what)
}

// reloadBoth is systemctl reload on both machines.
func (r *rotation) reloadBoth(t *testing.T) {
	t.Helper()
	for _, one := range []*relayProcess{r.a, r.b} {
		if said := one.reload(t, one.options.settings().yaml()); strings.Contains(said, "refused") {
			t.Fatal(said)
		}
	}
}

// trusted asks the relay's certificate as the runbook does, by openssl.
func (r *rotation) trusted(t *testing.T, one *relayProcess, ca string) error {
	t.Helper()
	cmd := exec.CommandContext(within(t, 30*time.Second), program(t, "openssl"), "s_client", "-starttls", "smtp", "-connect", one.smtp, "-CAfile", ca,
		"-verify_hostname", rotatedName, "-verify_return_error", "-brief")
	cmd.Stdin = strings.NewReader("QUIT\r\n")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, tail(string(out), 4))
	}
	return nil
}

// authenticates tries a password at a relay.
func authenticates(t *testing.T, addr, user, password string) string {
	t.Helper()
	c := connect(t, addr)
	c.greet("EHLO app.goo.ne.jp")
	c.startTLS()
	c.want("250", c.do("EHLO app.goo.ne.jp"))
	return c.do("AUTH PLAIN %s", base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password)))
}

// TestRotationUnderTraffic replaces, one after the other, the certificate with
// its authority, the password of SMTP AUTH, an API token, Cuenote's password
// and the access key of AWS. No mail fails or waits; afterwards the new ones
// are used, and the old ones refused.
func TestRotationUnderTraffic(t *testing.T) {
	t.Parallel()
	r := startRotation(t)
	stop := r.flow(t)
	r.goesOn(t, "the beginning")

	// The authority is trusted by Postfix before the relays show a certificate of it.
	oldCA := r.file("old-ca.pem")
	old, err := os.ReadFile(r.file("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, oldCA, string(old))
	ca, cert, key := authority(t, "new authority")
	newCA := r.put(t, "new-ca.pem", string(ca))
	r.put(t, "ca.pem", string(old), string(ca))
	r.reloadPostfix(t)
	r.put(t, "key.pem", string(key))
	r.put(t, "cert.pem", string(cert))
	for _, one := range []*relayProcess{r.a, r.b} {
		if err := r.trusted(t, one, newCA); err != nil {
			t.Errorf("the new certificate is not shown: %v", err)
		}
		if r.trusted(t, one, oldCA) == nil {
			t.Error("the old authority still vouches for the relay")
		}
	}
	r.put(t, "ca.pem", string(ca))
	r.reloadPostfix(t)
	r.goesOn(t, "the certificate and its authority")

	// A user beside the old one, then Postfix, then without the old one.
	r.put(t, "users", userLine(t, "mx-2026", "smtp-old"), userLine(t, "mx-2027", "smtp-new"))
	r.reloadBoth(t)
	r.password(t, "mx-2027", "smtp-new")
	r.goesOn(t, "the new user")
	r.put(t, "users", userLine(t, "mx-2027", "smtp-new"))
	r.reloadBoth(t)
	for _, one := range []*relayProcess{r.a, r.b} {
		like(t, "the old password", authenticates(t, one.smtp, "mx-2026", "smtp-old"), `535 5\.7\.8 `)
		like(t, "the new password", authenticates(t, one.smtp, "mx-2027", "smtp-new"), `235 2\.7\.0 `)
	}
	r.goesOn(t, "the old user's end")

	// The same for a token of the API.
	alice, err := os.ReadFile(r.file("tokens"))
	if err != nil {
		t.Fatal(err)
	}
	bob, token := r.newToken(t, "bob")
	r.put(t, "tokens", string(alice), bob)
	r.reloadBoth(t)
	for _, one := range []*relayProcess{r.a, r.b} {
		one.cli(t, "status")
		gone := one.token
		one.token = token
		one.cli(t, "status")
		r.put(t, "tokens", bob)
		if said := one.reload(t, one.options.settings().yaml()); strings.Contains(said, "refused") {
			t.Fatal(said)
		}
		one.cli(t, "status")
		one.token = gone
		if out, err := one.command("status").CombinedOutput(); err == nil || !strings.Contains(string(out), "token") {
			t.Errorf("the old token still works, or its refusal does not say so: %s", out)
		}
		one.token = token
	}

	// Both passwords are valid at Cuenote meanwhile.
	r.cuenote.SetPasswords("cuenote-old", "cuenote-new")
	r.put(t, "cuenote-password", "cuenote-new\n")
	r.reloadBoth(t)
	r.cuenote.SetPasswords("cuenote-new")
	_, before := r.cuenote.Connections()
	eventually(t, time.Minute, "connections to Cuenote with the new password", func() error {
		for _, m := range r.store.Of(simulator.UpstreamCuenote) {
			if int64(m.SMTP.Connection) > before {
				return nil
			}
		}
		return errors.New("none yet")
	})
	r.goesOn(t, "Cuenote's password")

	// The new access key, the relays one after the other, then the old key is deleted.
	r.ses.SetCredentials(map[string]string{"AKIDOLD": "old", "AKIDNEW": "new"})
	r.put(t, "aws", accessKeys("AKIDNEW", "new"))
	for _, one := range []**relayProcess{&r.a, &r.b} {
		(*one).stop(t, 30*time.Second)
		next := (*one).again(t)
		next.token = token
		*one = next
	}
	r.ses.SetCredentials(map[string]string{"AKIDNEW": "new"})
	r.goesOn(t, "the access key")
	for _, one := range []*relayProcess{r.a, r.b} {
		if out := one.cli(t, "check", "--config", one.config, "--live"); strings.Contains(out, "fail") {
			t.Errorf("relay check --live:\n%s", out)
		}
	}

	stop()
	r.postfix.drained(t, time.Minute)
	r.judge(t)
}

// judge is what no rotation may do: bounce, defer, double or lose a mail, or
// make a relay try the other hop.
func (r *rotation) judge(t *testing.T) {
	t.Helper()
	n := int(r.sent.Load())
	for i := range n {
		if c := r.store.Copies(fmt.Sprintf("rotate%d", i)); c != 1 {
			t.Errorf("mail %d arrived %d times", i, c)
		}
	}
	status, explained := r.postfix.statuses(t), len(ownDeferral.FindAllString(r.postfix.logged(t), -1))
	t.Logf("%d mails, Postfix: %v", n, status)
	if status["bounced"] > 0 || status["deferred"] > explained || explained > 5 || status["sent"] != n {
		t.Errorf("%d mails: %v, %d of the deferred are explained:\n%s", n, status, explained, troubles(r.postfix.logged(t)))
	}
	for _, one := range []*relayProcess{r.a, r.b} {
		for line := range strings.Lines(one.out.String()) {
			if strings.Contains(line, `"msg":"transaction"`) && (strings.Contains(line, `"attempts"`) || !strings.Contains(line, `"outcome":"accepted"`)) {
				t.Errorf("not at the first try: %s", line)
			}
		}
	}
}
