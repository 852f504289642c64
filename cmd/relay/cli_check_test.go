package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/cmd/relay/internal/finding"
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

// Mistakes in the file do not hide those of the files that it names, and each has
// its line.
func TestCheckFindsFilesBesideMistakes(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"limits: {recipients: many}", "limits: {recipients: 50}"} {
		file := writeConfig(t, first+"\naccess: {users_file: /absent/users}\nadmin:\n  tokens_file: /absent/tokens\ntls: {certificate_file: /absent/cert.pem, key_file: /absent/key.pem}\n"+
			"cuenote: {username: u, password_file: /absent/password}\nstate: {file: /absent/folder/split.json}\n")
		code, out, _ := run(t, nil, "check", "--config", file)
		want := []string{file + ":2:10: ", file + ":4:3: ", file + ":5:7: ", file + ":6:24: ", file + ":7:9: "}
		if strings.Contains(first, "many") {
			want = append(want, file+":1:22")
		}
		for _, w := range want {
			if code != exitFailed || !strings.Contains(out, w) {
				t.Errorf("%s: exit %d, no %q in\n%s", first, code, w, out)
			}
		}
	}
}

// Mistakes end in the command that opens the file at their line.
func TestCheckEndsInACommand(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, "hostname: relay-1.goo.ne.jp\nlimits: {recipients: many}\n")
	for path, want := range map[string]string{file: "vi +2 " + file, filepath.Join(t.TempDir(), "it's absent"): "ls -l '"} {
		found := checkAll(t.Context(), path, false, time.Now())
		if found[0].Level() != finding.LevelFail || !strings.HasPrefix(found[0].Command(), want) {
			t.Errorf("%s -> %s", found[0].Detail(), found[0].Fix())
		}
		expect(t, found[:1], "fail "+found[0].Name())
	}
	cfg := config.Default()
	cfg.Limits.Connections = 1 << 40
	expect(t, checkOpenFiles(cfg), "warning open files")
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
	found := checkState(filepath.Join(dir, "bad.json"))
	if want := "mv " + filepath.Join(dir, "bad.json") + " " + filepath.Join(dir, "bad.json.bad"); found[0].Command() != want {
		t.Errorf("%s, want %s", found[0].Command(), want)
	}
	if err := os.MkdirAll(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	expect(t, checkState(filepath.Join(dir, "folder")), "fail state.file")
	s := serveFile(t)
	expect(t, checkState(s.cfg.Load().State.File), "ok state.file") // in use
	if _, err := os.Stat(filepath.Join(dir, "state.json.lock")); err == nil {
		t.Error("the check left a lock file behind")
	}
}

// mends are the beginnings of commands, and the pages of the AWS console. What
// package ses says has them within a sentence.
var mends = regexp.MustCompile(`^(vi|ls|openssl|htpasswd|install|chgrp|chown|chmod|mv|findmnt|ss|ip|curl|nc|swaks|redis-cli|systemctl|relay) |^(ip address|timedatectl)$|\b(aws [a-z0-9]+ [a-z-]+|curl -sv |relay check)|https://[a-z0-9-.]*console\.aws\.amazon\.com/`)

// expect compares "level name" of each finding, and demands a remedy for what is not ok.
func expect(t *testing.T, found []finding.Finding, want ...string) {
	t.Helper()
	var got []string
	for _, f := range found {
		got = append(got, string(f.Level())+" "+f.Name())
		if f.Level() == finding.LevelFail && !mends.MatchString(f.Command()) {
			t.Errorf("%s: %s: no command and no page that mends it: %s", f.Name(), f.Detail(), f.Fix())
		}
		if f.Level() == finding.LevelWarning && f.Fix() == "" {
			t.Errorf("%s: no word of what to do: %s", f.Name(), f.Detail())
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
		if !strings.Contains(found[0].Detail(), row.say) {
			t.Errorf("%s does not say %q", found[0].Detail(), row.say)
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
