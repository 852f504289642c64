package ses

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
)

// tlsServer is an HTTPS server that would speak HTTP/2, and a pool that trusts it.
func tlsServer(t *testing.T, handle http.HandlerFunc) (url string, roots *x509.CertPool) {
	t.Helper()
	s := httptest.NewUnstartedServer(handle)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = quiet
	roots = startServer(s, true)
	t.Cleanup(s.Close)
	return s.URL, roots
}

// startServer starts s, with TLS where secure, and returns whom to trust then.
func startServer(s *httptest.Server, secure bool) (roots *x509.CertPool) {
	if !secure {
		s.Start()
		return nil
	}
	s.StartTLS()
	roots = x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return roots
}

// TestHTTP1Only: HTTP/2 is not even offered.
func TestHTTP1Only(t *testing.T) {
	t.Parallel()
	for _, sender := range senders {
		var proto, alpn atomic.Value
		url, roots := tlsServer(t, func(w http.ResponseWriter, r *http.Request) {
			proto.Store(r.Proto)
			alpn.Store(r.TLS.NegotiatedProtocol)
			io.WriteString(w, `{"MessageId":"m-1"}`) //nolint:errcheck // shows in the client
		})
		if _, err := send(t, newClient(t, url, sender, func(cfg *Config) { cfg.RootCAs = roots })); err != nil {
			t.Fatal(err)
		}
		if proto.Load() != "HTTP/1.1" || alpn.Load() == "h2" {
			t.Errorf("%s: %v over %q", sender, proto.Load(), alpn.Load())
		}
	}
}

// TestTLSReset: over TLS too it is certain that a request did not leave whole.
func TestTLSReset(t *testing.T) {
	t.Parallel()
	for _, sender := range senders {
		for _, k := range []struct {
			class string
			read  bool
			size  int
		}{{ClassNotSent, false, big}, {ClassConnectionLost, true, 1000}} {
			var posts atomic.Int32
			url, roots := tlsServer(t, func(w http.ResponseWriter, r *http.Request) {
				posts.Add(1)
				if k.read {
					io.Copy(io.Discard, r.Body) //nolint:errcheck // reset either way
				}
				c, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				tcp := c.(*tls.Conn).NetConn().(*net.TCPConn)
				tcp.SetLinger(0) //nolint:errcheck // a plain close is a fault as well
				tcp.Close()
			})
			c := newClient(t, url, sender, func(cfg *Config) { cfg.RootCAs = roots })
			_, err := begin(t, c, "to@example.com").Send(t.Context(), newBody(strings.Repeat("0123456789abcde\n", k.size/16)))
			if e := refusal(t, err); e.Class != k.class || posts.Load() != 1 {
				t.Errorf("%s: got %v, not %q; %d requests", sender, e, k.class, posts.Load())
			}
		}
	}
}

// TestUnsent: what counts is what left since the connection was got, under any
// number of TLS layers.
func TestUnsent(t *testing.T) {
	t.Parallel()
	var left atomic.Int64
	cases := []struct {
		name          string
		before, after int // bytes written before and after the connection was got
		want          bool
	}{
		{"nothing", 0, 0, true},
		{"an earlier mail", 5000, 0, true},
		{"a part, after an earlier mail", 5000, 999, true},
		{"as many bytes as the body has", 0, 1000, false},
		{"more", 5000, 1500, false},
	}
	for _, k := range cases {
		for layers := range 3 {
			c := &conn{Conn: countingConn{left: &left}}
			var outer net.Conn = c
			for range layers {
				outer = tls.Client(outer, &tls.Config{})
			}
			c.Write(bytes.Repeat([]byte("x"), k.before)) //nolint:errcheck // takes all
			a := &attempt{posted: true, length: 1000}
			a.gotConn(httptrace.GotConnInfo{Conn: outer})
			c.Write(bytes.Repeat([]byte("x"), k.after)) //nolint:errcheck // takes all
			if got := a.unsent(); got != k.want {
				t.Errorf("%s, %d layers: %v", k.name, layers, got)
			}
			if _, err := c.Write([]byte("x")); err == nil {
				t.Errorf("%s: bytes can follow what was judged", k.name)
			}
		}
	}
	a := &attempt{posted: true, length: 1000}
	a.gotConn(httptrace.GotConnInfo{Conn: countingConn{left: &left}})
	if a.unsent() {
		t.Error("certain about a connection that nobody counts")
	}
	if !new(attempt).unsent() {
		t.Error("not certain although there was no connection")
	}
}
