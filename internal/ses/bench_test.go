package ses

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"sesrelay/internal/relay"
)

// cheapServer answers every POST with an acceptance and allocates nothing for
// it, so that a benchmark shows the client.
func cheapServer(b *testing.B, secure bool) (url string, roots *x509.CertPool) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	scheme := "http"
	if secure {
		ts := httptest.NewTLSServer(nil)
		b.Cleanup(ts.Close)
		roots = x509.NewCertPool()
		roots.AddCert(ts.Certificate())
		l, scheme = tls.NewListener(l, &tls.Config{Certificates: ts.TLS.Certificates}), "https"
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveCheaply(c)
		}
	}()
	return scheme + "://" + strings.Replace(l.Addr().String(), "127.0.0.1", "127.0.0.1", 1), roots
}

func serveCheaply(c net.Conn) {
	defer c.Close()
	r := bufio.NewReaderSize(c, 64<<10)
	answer := []byte(okAnswer)
	name := []byte("Content-Length: ")
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		if v, ok := bytes.CutPrefix(line, name); ok {
			length, _ = strconv.Atoi(string(bytes.TrimSpace(v)))
		}
		if len(line) > 2 {
			continue
		}
		if _, err := r.Discard(length); err != nil {
			return
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

// benchMail is a relay.Body that can be read again.
type benchMail struct {
	parts
	all [][]byte
}

func newBenchMail(size int) *benchMail {
	head := "Received: from client.example ([192.0.2.1]) by relay.example with ESMTP id 1; Mon, 23 Nov 2026 09:00:00 +0900\r\n"
	m := &benchMail{all: [][]byte{[]byte(head), []byte("X-SES-CONFIGURATION-SET: cs\r\n"), []byte(strings.Repeat("0123456789abcdef0123456789abcdef0123456789abcd\r\n", size/48))}}
	m.rewind()
	return m
}

func (m *benchMail) rewind() {
	m.left, m.size = m.all, 0
	for _, p := range m.all {
		m.size += int64(len(p))
	}
}

func BenchmarkSend(b *testing.B) {
	for _, size := range []int{8 << 10, 1 << 20} {
		for _, secure := range []bool{false, true} {
			for _, sender := range senders {
				b.Run(fmt.Sprintf("%dKiB/tls=%v/%s", size>>10, secure, sender), func(b *testing.B) {
					url, roots := cheapServer(b, secure)
					c := newClient(b, url, sender, func(cfg *Config) {
						cfg.RootCAs = roots
						cfg.Identities = func(string) bool { return true }
					})
					env, to := envelope(b), []relay.Address{address(b, "to@example.com")}
					mail := newBenchMail(size)
					b.SetBytes(int64(size))
					b.ReportAllocs()
					for b.Loop() {
						mail.rewind()
						d, _ := c.Begin(b.Context(), env)
						d.AddRecipients(b.Context(), to)
						d.(*Delivery).SetTags("10", "")
						if _, err := d.Send(b.Context(), mail); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

// BenchmarkPayload compares one buffer for the encoded whole with two passes of
// encoding, one for the hash and one for sending.
func BenchmarkPayload(b *testing.B) {
	for _, size := range []int{8 << 10, 1 << 20, 20 << 20} {
		mail := newBenchMail(size)
		r := &request{configurationSet: "cs", to: []relay.Address{address(b, "to@example.com")}, content: mail}
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				mail.rewind()
				p, err := newPayload(r)
				if err != nil {
					b.Fatal(err)
				}
				_ = p.hash()
				io.Copy(io.Discard, p.body()) //nolint:errcheck // cannot fail
				p.release()
				p.release()
			}
		})
	}
}
