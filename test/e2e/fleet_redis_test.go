package e2e

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/redistest"
	"sesrelay/internal/simulator"
)

// aclRules is what a user of Redis needs: what docs/operations.md has behind
// the password. The Valkey user of infra and docs/on-premises.md have the same.
func aclRules(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(text), "ACL SETUSER relay on >PASSWORD ")
	rules, _, found := strings.Cut(line, "\n")
	if !found {
		t.Fatal("docs/operations.md has no ACL SETUSER")
	}
	return rules
}

// secretWord is the password in the tests; it may appear nowhere.
const secretWord = "hunter2secret"

// TestFleetAddresses reaches Redis in every way that state.redis can name.
func TestFleetAddresses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		start func(t *testing.T) (url string, s *redistest.Server)
	}{
		{"TLS", redisTLS},
		{"password", func(t *testing.T) (string, *redistest.Server) {
			s := startRedis(t)
			do(t, s, "CONFIG SET requirepass "+secretWord)
			return "redis://:" + secretWord + "@" + s.Addr, s
		}},
		{"ACL user", func(t *testing.T) (string, *redistest.Server) {
			s := startRedis(t)
			do(t, s, "ACL SETUSER relay on >"+secretWord+" "+aclRules(t))
			return "redis://relay:" + secretWord + "@" + s.Addr + "/0", s
		}},
		{"cluster", func(t *testing.T) (string, *redistest.Server) {
			s, err := redistest.StartCluster(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Kill)
			return "redis://" + s.Addr + "?cluster=true", s
		}},
		{"Sentinel", func(t *testing.T) (string, *redistest.Server) {
			master, sentinel := startSentinel(t)
			return "redis://" + sentinel.Addr + "?master_name=relay", master
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url, s := c.start(t)
			f := startFleet(t, fleetOptions{size: 2, relayOptions: relayOptions{plain: true}, redis: func(int) string { return url }})
			f.worksTogether(t)
			if c.name == "ACL user" {
				// Whether all of check passes is not the subject: SES is a simulator.
				live, _ := f.all[0].command("check", "--live", "--config", f.all[0].config).CombinedOutput()
				if !strings.Contains(string(live), "noeviction") || strings.Contains(string(live), "NOPERM") {
					t.Errorf("relay check --live does not see the eviction policy:\n%s", live)
				}
				if out, err := s.Do("ACL LOG"); err != nil || !strings.HasPrefix(out, "*0") {
					t.Errorf("Redis has denied something: %q, %v", out, err)
				}
			}
			for _, r := range f.all {
				if out := r.cli(t, "status", "--json") + r.out.String(); strings.Contains(out, secretWord) {
					t.Error("the password of Redis is shown")
				}
			}
		})
	}
}

func do(t *testing.T, s *redistest.Server, command string) {
	t.Helper()
	eventually(t, 20*time.Second, "Redis to do "+command, func() error { return s.Once(command, "OK") })
}

// redisTLS is a Redis whose certificate only ca_file knows.
func redisTLS(t *testing.T) (string, *redistest.Server) {
	t.Helper()
	dir := t.TempDir()
	certificate, _, err := simulator.NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"redis.crt": {Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}, "redis.key": {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := redistest.StartTLS(dir, filepath.Join(dir, "redis.crt"), filepath.Join(dir, "redis.key"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return "rediss://" + s.TLSAddr + "?ca_file=" + filepath.Join(dir, "redis.crt"), s
}

// worksTogether uses everything that two instances share.
func (f *fleet) worksTogether(t *testing.T) {
	t.Helper()
	f.mayAbort = true
	f.eachAnswers(t, "none", byCuenote)
	f.everywhere(t, 0, "split", "set", "100", "--reason", "test", "--force")
	f.eachAnswers(t, "all", bySES)
	m := plainMail("twice")
	first := deliver(t, f.all[0].smtp, m)
	if again := deliver(t, f.all[1].smtp, m); again != first || f.store.Copies("twice") != 1 {
		t.Errorf("a retry elsewhere: %q, the first %q, %d copies", again, first, f.store.Copies("twice"))
	}
	if err := f.ses.Faults().Set(simulator.Fault{Name: simulator.FaultCutBeforeRecord}); err != nil {
		t.Fatal(err)
	}
	like(t, "unknown", deliver(t, f.all[0].smtp, plainMail("unknown")), unknown)
	f.ses.Faults().Clear()
	f.everywhere(t, 1, "brake", "--reason", "test")
	f.eachAnswers(t, "braked", byCuenote)
	f.everywhere(t, 0, "brake", "release", "--reason", "test")
	f.everywhere(t, 1, "split", "undo", "--reason", "test")
	f.oneHistory(t, "undo", "release", "brake", "set")
	for i, r := range f.all {
		if !r.up(t) {
			t.Errorf("instance %d says that Redis is away", i+1)
		}
	}
}
