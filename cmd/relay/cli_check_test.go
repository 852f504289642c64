package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/internal/simulator"
)

func TestCheckShowsEveryMistakeWithItsLine(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, "limits: {recipients: many}\nlog: {level: loud}\nlimts: {}\n")
	code, out, _ := run(t, nil, "check", "--config", file)
	for _, want := range []string{":1:22", ":2:14", ":3:1", "did you mean limits?", "3 checks failed"} {
		if code != exitFailed || !strings.Contains(out, want) {
			t.Errorf("exit %d, no %q in\n%s", code, want, out)
		}
	}
}

func TestCheckFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	hash, err := bcrypt.GenerateFromPassword([]byte("x"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Access.UsersFile = write("users", "goo:"+string(hash)+"\n", 0o600)
	cfg.Admin.TokensFile = write("tokens", "admin:alice:"+strings.Repeat("a", 64)+"\n", 0o644)
	cfg.Cuenote.PasswordFile = write("password", "a\nb\n", 0o600)
	cfg.Cuenote.CAFile = write("ca", "no certificate", 0o644)
	expect(t, checkSecrets(cfg), "ok users_file", "warning tokens_file", "fail cuenote.password_file", "fail cuenote.ca_file")
	cfg.Access.UsersFile, cfg.Admin.TokensFile = write("users2", "goo\n", 0o600), filepath.Join(dir, "absent")
	expect(t, checkSecrets(cfg), "fail users_file", "fail tokens_file", "fail cuenote.password_file", "fail cuenote.ca_file")

	cfg = config.Default()
	cfg.Log.KeyFile = write("key", "0123456789abcdef\n", 0o600)
	expect(t, checkSecrets(cfg), "ok log.key_file")
	cfg.Log.KeyFile = write("short", "0123\n", 0o600)
	expect(t, checkSecrets(cfg), "fail log.key_file")

	expect(t, checkState(""), "warning state.file")
	expect(t, checkState(filepath.Join(dir, "state.json")), "ok state.file")
	expect(t, checkState(filepath.Join(dir, "absent", "state.json")), "fail state.file")
	write("bad.json", "{", 0o600)
	write("bad.json.lock", "", 0o600)
	expect(t, checkState(filepath.Join(dir, "bad.json")), "fail state.file")
	if _, err := os.Stat(filepath.Join(dir, "state.json.lock")); err == nil {
		t.Error("the check left a lock file behind")
	}
}

// expect compares "level name" of each finding, and demands a remedy for what is not ok.
func expect(t *testing.T, found []finding, want ...string) {
	t.Helper()
	var got []string
	for _, f := range found {
		got = append(got, f.Level+" "+f.Name)
		if f.Level != levelOK && f.Fix == "" {
			t.Errorf("%s: no word of what to do: %s", f.Name, f.Detail)
		}
	}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Errorf("found %v\nwant  %v", found, want)
	}
}

func TestCheckCertificate(t *testing.T) {
	t.Parallel()
	now := time.Now()
	cfg := config.Default()
	cfg.Hostname = "relay-1.goo.ne.jp"
	for _, row := range []struct {
		name      string
		from, to  time.Duration
		want, say string
	}{
		{"relay-1.goo.ne.jp", -time.Hour, 90 * 24 * time.Hour, "ok certificate", "relay-1.goo.ne.jp"},
		{"relay-1.goo.ne.jp", -time.Hour, 5 * 24 * time.Hour, "warning certificate", "days left"},
		{"relay-1.goo.ne.jp", -2 * time.Hour, -time.Hour, "fail certificate", "expired"},
		{"relay-1.goo.ne.jp", time.Hour, 90 * 24 * time.Hour, "fail certificate", "valid only from"},
		{"other.example.jp", -time.Hour, 90 * 24 * time.Hour, "warning certificate", "does not name relay-1.goo.ne.jp"},
	} {
		cfg.TLS.CertificateFile, cfg.TLS.KeyFile = writeCertificate(t, row.name, now.Add(row.from), now.Add(row.to))
		found := checkCertificate(cfg, now)
		expect(t, found, row.want)
		if !strings.Contains(found[0].Detail, row.say) {
			t.Errorf("%s does not say %q", found[0].Detail, row.say)
		}
	}
	_, cfg.TLS.KeyFile = writeCertificate(t, "x.example.jp", now, now.Add(time.Hour))
	expect(t, checkCertificate(cfg, now), "fail certificate")
}

func writeCertificate(t *testing.T, name string, from, to time.Time) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// TestCheckLive asks simulated next hops; credentials come from the environment.
func TestCheckLive(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDTEST")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	store := simulator.NewStore(simulator.StoreConfig{})
	hop, err := simulator.NewSES(simulator.SESConfig{Store: store, ConfigurationSets: []string{"set-1"},
		Credentials: map[string]string{"AKIDTEST": "secret"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hop.Close() })
	smtpHop, err := simulator.NewSMTP(simulator.SMTPConfig{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { smtpHop.Close() })
	text := "hostname: relay-1.goo.ne.jp\nlisteners: [{address: \"127.0.0.1:0\"}]\nadmin: {address: \"127.0.0.1:0\"}\n" +
		"ses: {endpoint: \"%s\", configuration_set: %s}\ncuenote: {address: \"%s\"}\n"
	good := writeConfig(t, fmt.Sprintf(text, hop.URL(), "set-1", smtpHop.Addr()))
	code, out, _ := run(t, nil, "check", "--live", "--config", good)
	if code != exitDone || !strings.Contains(out, "all pass") || !strings.Contains(out, "cuenote") {
		t.Errorf("exit %d\n%s", code, out)
	}
	bad := writeConfig(t, fmt.Sprintf(text, hop.URL(), "set-2", "127.0.0.1:1"))
	code, out, _ = run(t, nil, "check", "--live", "--json", "--config", bad)
	var report struct {
		OK     bool
		Checks []finding
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.OK || code != exitFailed {
		t.Fatalf("exit %d, %v\n%s", code, err, out)
	}
	var failed []string
	for _, f := range report.Checks {
		if f.Level == levelFail {
			failed = append(failed, f.Name)
		}
	}
	if got := strings.Join(failed, ", "); got != "ses configuration set set-2, cuenote" {
		t.Errorf("failed: %s", got)
	}

	// Without identities in the file SES is asked for the list, as at the start.
	file := fmt.Sprintf(strings.Replace(text, "ses: {", "ses: {identities: [], ", 1), "%s", "set-1", smtpHop.Addr())
	for identities, want := range map[string]string{"goo.ne.jp": "1 verified: goo.ne.jp", "": "none of this account and region is verified"} {
		list := []string{}
		if identities != "" {
			list = []string{identities}
		}
		some, err := simulator.NewSES(simulator.SESConfig{Store: store, Identities: list})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(some.Close)
		if _, out, _ := run(t, nil, "check", "--live", "--config", writeConfig(t, fmt.Sprintf(file, some.URL()))); !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestCheckAddresses(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { busy.Close() })
	go func() {
		for {
			conn, err := busy.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, "220 relay-1 ESMTP\r\n")
			conn.Close()
		}
	}()
	l := config.Listener{Address: busy.Addr().String(), TLS: "none"}
	expect(t, []finding{checkListener(t.Context(), l, false)}, "fail listener")
	if f := checkListener(t.Context(), l, true); f.Level != levelOK || !strings.Contains(f.Detail, "220 relay-1") {
		t.Errorf("found %v", f)
	}
	l.Address = "192.0.2.1:2525"
	expect(t, []finding{checkListener(t.Context(), l, false)}, "fail listener")

	ready := http.StatusOK
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(ready) }))
	t.Cleanup(api.Close)
	address := strings.TrimPrefix(api.URL, "http://")
	expect(t, checkAdmin(t.Context(), address), "ok admin.address")
	ready = http.StatusServiceUnavailable
	expect(t, checkAdmin(t.Context(), address), "warning admin.address")
	ready = http.StatusNotFound
	expect(t, checkAdmin(t.Context(), address), "fail admin.address")
	expect(t, checkAdmin(t.Context(), busy.Addr().String()), "fail admin.address")
}
