package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"sesrelay/internal/simulator"
)

// certificate writes a new self-signed certificate and its key as PEM.
func certificate(t *testing.T, certFile, keyFile string) *x509.Certificate {
	t.Helper()
	pair, _, err := simulator.NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	// Written beside and renamed: a reader sees the old file or the new one.
	for path, block := range map[string]*pem.Block{
		keyFile: {Type: "PRIVATE KEY", Bytes: key}, certFile: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
	} {
		write(t, path+".new", string(pem.EncodeToMemory(block)))
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	return pair.Leaf
}

// users writes a users_file with one user.
func users(t *testing.T, name, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "users")
	write(t, path, name+":"+string(hash)+"\n")
	return path
}

// tlsStage has one listener for each TLS mode, and AUTH; nobody relays by network.
type tlsStage struct {
	*stage
	none, starttls, required, implicit string
	certFile, keyFile                  string
	first                              *x509.Certificate
}

func newTLSStage(t *testing.T) *tlsStage {
	t.Helper()
	dir := t.TempDir()
	s := &tlsStage{none: freePort(t), starttls: freePort(t), required: freePort(t), implicit: freePort(t),
		certFile: dir + "/cert.pem", keyFile: dir + "/key.pem"}
	s.first = certificate(t, s.certFile, s.keyFile)
	s.stage = newStage(t, relayOptions{smtp: s.none, set: settings{
		"listeners": "[" + strings.Join([]string{listener(s.none), listener(s.starttls, "tls: starttls"),
			listener(s.required, "tls: required"), listener(s.implicit, "tls: implicit")}, ", ") + "]",
		"tls.certificate_file": s.certFile, "tls.key_file": s.keyFile,
		"access.networks": "[]", "access.users_file": users(t, "app", "correct horse"),
	}})
	return s
}

// TestTLSWithSwaks has a client that is not ours.
func TestTLSWithSwaks(t *testing.T) {
	t.Parallel()
	swaks := program(t, "swaks")
	if err := exec.Command("perl", "-MNet::SSLeay", "-e", "1").Run(); err != nil {
		t.Skip("swaks has no TLS: install libnet-ssleay-perl")
	}
	s := newTLSStage(t)
	ok, wrong := []string{"--auth-user", "app", "--auth-password", "correct horse"}, []string{"--auth-user", "app", "--auth-password", "wrong"}
	for i, c := range []struct {
		name, addr string
		args       []string
		want       string // in what swaks prints; "" = the mail arrives
	}{
		{"STARTTLS, PLAIN", s.starttls, append([]string{"--tls", "--auth", "PLAIN"}, ok...), ""},
		{"STARTTLS, LOGIN", s.starttls, append([]string{"--tls", "--auth", "LOGIN"}, ok...), ""},
		{"required, PLAIN", s.required, append([]string{"--tls", "--auth", "PLAIN"}, ok...), ""},
		{"implicit, PLAIN", s.implicit, append([]string{"--tls-on-connect", "--auth", "PLAIN"}, ok...), ""},
		{"implicit, LOGIN", s.implicit, append([]string{"--tls-on-connect", "--auth", "LOGIN"}, ok...), ""},
		{"wrong password", s.starttls, append([]string{"--tls", "--auth", "PLAIN"}, wrong...), "535 5.7.8 "},
		{"wrong password, LOGIN", s.starttls, append([]string{"--tls", "--auth", "LOGIN"}, wrong...), "535 5.7.8 "},
		{"no AUTH", s.starttls, []string{"--tls"}, "530 5.7.0 "},
		{"no TLS where it is required", s.required, nil, "530 5.7.0 "},
		{"no TLS anywhere", s.none, nil, "530 5.7.0 "},
		{"AUTH before TLS is not offered", s.starttls, append([]string{"--auth", "PLAIN"}, ok...), "Host did not advertise authentication"},
	} {
		id := fmt.Sprintf("swaks%d", i)
		args := append([]string{"--server", s.host(c.addr), "--port", s.port(c.addr), "--from", "news@goo.ne.jp", "--to", id + "@example.jp",
			"--header", "X-Test-Id: " + id, "--helo", "app.goo.ne.jp", "--timeout", "30"}, c.args...)
		out, err := exec.Command(swaks, args...).CombinedOutput()
		n := len(s.store.ByRecipient(id + "@example.jp"))
		switch {
		case c.want == "" && (err != nil || n != 1):
			t.Errorf("%s: %v, %d arrived\n%s", c.name, err, n, tail(string(out), 15))
		case c.want != "" && (!strings.Contains(string(out), c.want) || n != 0):
			t.Errorf("%s: want %q and nothing to arrive, %d arrived\n%s", c.name, c.want, n, tail(string(out), 15))
		}
	}
}

func (s *tlsStage) host(addr string) string { h, _, _ := net.SplitHostPort(addr); return h }
func (s *tlsStage) port(addr string) string { _, p, _ := net.SplitHostPort(addr); return p }

// TestCertificateIsReplaced puts new files in place: the next handshake has
// them, and a connection that is open goes on. Broken files change nothing.
func TestCertificateIsReplaced(t *testing.T) {
	t.Parallel()
	s := newTLSStage(t)
	shown := func() *x509.Certificate {
		t.Helper()
		conn, err := tls.Dial("tcp", s.implicit, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0]
	}
	if !shown().Equal(s.first) {
		t.Fatal("the first certificate is not shown")
	}
	open := dial(t, s.starttls)
	open.startTLS()
	second := certificate(t, s.certFile, s.keyFile)
	if !shown().Equal(second) {
		t.Error("the new certificate is not shown to the next connection")
	}
	open.want("250", open.do("EHLO app.goo.ne.jp"))
	c := dial(t, s.starttls)
	if !c.startTLS().PeerCertificates[0].Equal(second) {
		t.Error("STARTTLS does not show the new certificate")
	}
	write(t, s.certFile, "broken")
	if !shown().Equal(second) {
		t.Error("a broken file took the old certificate away")
	}
}

// proxyV2 is a PROXY v2 header (binary) for a TCP connection over IPv4.
func proxyV2(src, dst string) string {
	a, b := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	h := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x21, 0x11, 0, 12)
	h = append(h, a.Addr().AsSlice()...)
	h = append(h, b.Addr().AsSlice()...)
	return string(append(h, byte(a.Port()>>8), byte(a.Port()), byte(b.Port()>>8), byte(b.Port())))
}

// TestProxyProtocol has a load balancer name the client: access and split go
// by that address.
func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	direct, behind := freePort(t), freePort(t)
	newStage(t, relayOptions{smtp: direct, plain: true, set: settings{
		"listeners":       "[" + listener(direct) + ", " + listener(behind, "proxy_protocol_from: [127.0.0.0/8]") + "]",
		"access.networks": "[192.0.2.0/24]",
		"split.rules":     "[{name: one, client: 192.0.2.1, route: ses}]",
	}})
	for i, c := range []struct{ name, header, want string }{
		{"v1, ruled to SES", "PROXY TCP4 192.0.2.1 192.0.2.200 1234 25\r\n", bySES},
		{"v1", "PROXY TCP4 192.0.2.2 192.0.2.200 1234 25\r\n", byCuenote},
		{"v2, ruled to SES", proxyV2("192.0.2.1:1234", "192.0.2.200:25"), bySES},
		{"v2", proxyV2("192.0.2.2:1234", "192.0.2.200:25"), byCuenote},
		{"v1 from elsewhere", "PROXY TCP4 198.51.100.1 192.0.2.200 1234 25\r\n", `554 5\.7\.1 `},
		{"v2 from elsewhere", proxyV2("198.51.100.1:1234", "192.0.2.200:25"), `554 5\.7\.1 `},
		{"no header", "EHLO app.goo.ne.jp\r\n", "closed|lost"},
		{"a broken header", "PROXY nonsense\r\n", "closed|lost"},
	} {
		client := connect(t, behind)
		client.write(c.header)
		reply := client.read()
		if strings.HasPrefix(reply, "220") {
			client.want("250", client.do("EHLO app.goo.ne.jp"))
			reply = client.send(plainMail(fmt.Sprintf("proxy%d", i)), false).final()
		}
		like(t, c.name, reply, c.want)
	}
	// Where no proxy is named the header is a bad command, and the client is who it is.
	like(t, "not believed", connect(t, direct).read(), `554 5\.7\.1 `)
}

// TestNoTLSByAccident: a failed handshake ends the connection, without a word
// in plaintext, and what was sent ahead of it is never a command.
func TestNoTLSByAccident(t *testing.T) {
	t.Parallel()
	s := newTLSStage(t)
	c := dial(t, s.starttls)
	c.write("STARTTLS\r\nMAIL FROM:<evil@goo.ne.jp>\r\n")
	like(t, "input behind STARTTLS", c.read(), `554 5\.5\.0 `)
	like(t, "then", c.read(), "closed|lost")

	c = dial(t, s.starttls)
	c.want("220", c.do("STARTTLS"))
	c.write("MAIL FROM:<evil@goo.ne.jp>\r\n")
	c.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	rest := make([]byte, 512)
	n, err := c.conn.Read(rest)
	if bytes.HasPrefix(rest[:n], []byte("250")) || bytes.HasPrefix(rest[:n], []byte("5")) {
		t.Errorf("an answer in plaintext behind a failed handshake: %q", rest[:n])
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		t.Error("the connection stays open behind a failed handshake")
	}
}
