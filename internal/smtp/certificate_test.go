package smtp

import (
	"bufio"
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// overTLS speaks TLS on c from here on.
func overTLS(t testing.TB, c *client) *client {
	t.Helper()
	tc := tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true})
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	return &client{Conn: tc, t: t, br: bufio.NewReader(tc)}
}

// TestCertificateReloaded: a changed file is in force at the next handshake; a
// bad one, or half of a new pair, leaves the old certificate and is logged.
func TestCertificateReloaded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	put := func(cert, key []byte) { // as a deployment does: a new file takes the name
		for name, b := range map[string][]byte{certFile: cert, keyFile: key} {
			writeFile(t, name+".new", b)
			if err := os.Rename(name+".new", name); err != nil {
				t.Fatal(err)
			}
		}
	}
	oneCert, oneKey := pair(t, "one.test")
	put(oneCert, oneKey)
	var log strings.Builder
	c, err := LoadCertificate(certFile, keyFile, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	_, address := serve(t, &keeper{}, func(cfg *Config) {
		cfg.Listeners[0].TLS = TLSImplicit
		cfg.Certificate = c.Get
	})
	name := func() string {
		tc := overTLS(t, dial(t, address)).Conn.(*tls.Conn)
		return tc.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	twoCert, twoKey := pair(t, "two.test")
	for _, step := range []struct {
		cert, key []byte
		name, log string
	}{
		{oneCert, oneKey, "one.test", "reloaded"},
		{twoCert, oneKey, "one.test", "not usable"},
		{twoCert, twoKey, "two.test", "reloaded"},
		{[]byte("nonsense"), twoKey, "two.test", "not usable"},
		{oneCert, oneKey, "one.test", "reloaded"},
	} {
		log.Reset()
		put(step.cert, step.key)
		for range 2 {
			if got := name(); got != step.name {
				t.Fatalf("presented %s, want %s", got, step.name)
			}
		}
		if n := strings.Count(log.String(), step.log); n != 1 {
			t.Fatalf("%d times %q in the log: %s", n, step.log, log.String())
		}
	}
	os.Remove(certFile)
	if got := name(); got != "one.test" {
		t.Fatalf("presented %s", got)
	}
	if _, err := LoadCertificate(certFile, keyFile, slog.Default()); err == nil {
		t.Fatal("loaded a missing file")
	}
}
