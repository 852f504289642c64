package ses

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"sesrelay/internal/relay"
)

// pooled returns the pool of a client that sends by SenderDirect.
func pooled(c *Client) *pool { return c.sender.(*direct).poster.(*pool) }

func (p *pool) idleCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle)
}

// TestOneConnection: mail after mail takes the same connection, over TLS too,
// where the server sends session tickets that nobody has asked for.
func TestOneConnection(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		var connections atomic.Int32
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)            //nolint:errcheck // shows in the client
			io.WriteString(w, `{"MessageId":"m"}`) //nolint:errcheck // shows in the client
		}))
		s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				connections.Add(1)
			}
		}
		roots := startServer(s, secure)
		t.Cleanup(s.Close)
		c := newClient(t, s.URL, SenderDirect, func(cfg *Config) { cfg.RootCAs = roots })
		for _, size := range []int{100, 8 << 10, 1 << 20, 100} {
			for range 5 {
				if _, err := begin(t, c, "to@example.com").Send(t.Context(), newBody(testMail, strings.Repeat("0123456789abcde\n", size/16))); err != nil {
					t.Fatal(err)
				}
			}
		}
		if n := connections.Load(); n != 1 || pooled(c).idleCount() != 1 {
			t.Errorf("TLS %v: %d connections, %d idle", secure, n, pooled(c).idleCount())
		}
		c.Close()
		if n := pooled(c).idleCount(); n != 0 {
			t.Errorf("TLS %v: %d idle after Close", secure, n)
		}
	}
}

// scripted is a TLS server whose first connection answers one mail and then
// does what more says; later ones serve as usual.
func scripted(t *testing.T, secure bool, more func(net.Conn)) (c *Client, accepted *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	scheme, roots := "http", (*x509.CertPool)(nil)
	if secure {
		s := httptest.NewTLSServer(nil)
		t.Cleanup(s.Close)
		roots = x509.NewCertPool()
		roots.AddCert(s.Certificate())
		scheme, l = "https", tls.NewListener(l, &tls.Config{Certificates: s.TLS.Certificates})
	}
	accepted = new(atomic.Int32)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			first := accepted.Add(1) == 1
			running.Go(func() {
				defer nc.Close()
				in := bufio.NewReader(nc)
				for {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					io.Copy(io.Discard, r.Body) //nolint:errcheck // shows in the client
					if first {
						more(nc)
						io.Copy(io.Discard, in) //nolint:errcheck // until the client is gone
						return
					}
					io.WriteString(nc, okAnswer) //nolint:errcheck // the client may be gone
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); running.Wait() })
	c = newClient(t, scheme+"://"+l.Addr().String(), SenderDirect, func(cfg *Config) { cfg.RootCAs = roots })
	t.Cleanup(c.Close)
	return c, accepted
}

// TestSpoiledConnection: what comes behind an answer, or right after it, keeps
// the connection from being used again. The next mail is accepted on another
// one, and its answer is its own.
func TestSpoiledConnection(t *testing.T) {
	t.Parallel()
	other := strings.Replace(okAnswer, "m-1", "m-2", 1)
	for name, more := range map[string]func(net.Conn){
		"two answers":         func(c net.Conn) { io.WriteString(c, okAnswer+other) },
		"an answer too late":  func(c net.Conn) { io.WriteString(c, okAnswer); io.WriteString(c, other) },
		"closed":              func(c net.Conn) { io.WriteString(c, okAnswer); c.Close() },
		"closed for writing":  func(c net.Conn) { io.WriteString(c, okAnswer); c.(interface{ CloseWrite() error }).CloseWrite() },
		"half an answer more": func(c net.Conn) { io.WriteString(c, okAnswer+"HTTP/1.1 408 Re") },
		"Connection: close": func(c net.Conn) {
			io.WriteString(c, strings.Replace(okAnswer, "\r\n", "\r\nConnection: close\r\n", 1))
		},
		"HTTP/1.0": func(c net.Conn) { io.WriteString(c, strings.Replace(okAnswer, "HTTP/1.1", "HTTP/1.0", 1)) },
		"a body as long as the connection": func(c net.Conn) {
			io.WriteString(c, strings.Replace(okAnswer, "Content-Length: 19\r\n", "", 1))
			c.(interface{ CloseWrite() error }).CloseWrite()
		},
	} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/tls=%v", name, secure), func(t *testing.T) {
				t.Parallel()
				c, accepted := scripted(t, secure, more)
				for i := range 3 {
					if r, err := send(t, c); err != nil || r.ID != "m-1" {
						t.Fatalf("mail %d: receipt %+v, error %v", i, r, err)
					}
					time.Sleep(20 * time.Millisecond) // lets what comes late come
				}
				if n := accepted.Load(); n != 2 {
					t.Errorf("%d connections, not 2", n)
				}
			})
		}
	}
}

// TestAnswersThatKeepTheConnection: forms of an answer behind which the next
// mail follows on the same connection.
func TestAnswersThatKeepTheConnection(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]struct{ answer, id string }{
		"chunked":       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"Mes\r\ne\r\nsageId\":\"m-1\"}\r\n0\r\n\r\n", "m-1"},
		"interim ones":  {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + okAnswer, "m-1"},
		"an empty body": {"HTTP/1.1 200 OK\r\nX-Amzn-Requestid: rq-1\r\nContent-Length: 0\r\n\r\n", "rq-1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newRawServer(t, func(_ *rawServer, c *rawConn) {
				for c.request() {
					c.write(k.answer)
				}
			})
			c := newClient(t, s.url, SenderDirect)
			t.Cleanup(c.Close)
			for range 3 {
				if r, err := send(t, c); err != nil || r.ID != k.id {
					t.Fatalf("receipt %+v, error %v", r, err)
				}
			}
			if n := s.accepted.Load(); n != 1 {
				t.Errorf("%d connections, not 1", n)
			}
		})
	}
}

// TestInterimWithoutEnd: a server that never comes to an answer does not keep
// the mail for ever; whether it was accepted nobody knows.
func TestInterimWithoutEnd(t *testing.T) {
	t.Parallel()
	s := newRawServer(t, func(_ *rawServer, c *rawConn) {
		c.request()
		c.write(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100))
		c.untilGone()
	})
	_, err := send(t, newClient(t, s.url, SenderDirect))
	if e := refusal(t, err); e.Outcome != unknown || e.Class != ClassConnectionLost {
		t.Errorf("got %v", e)
	}
}

// TestIdleConnectionsExpire: whatever is idle for too long is closed, also when
// no mail comes any more; what is used stays.
func TestIdleConnectionsExpire(t *testing.T) {
	t.Parallel()
	var gone atomic.Int32
	s := newRawServer(t, func(_ *rawServer, c *rawConn) {
		for c.request() {
			c.write(okAnswer)
		}
		gone.Add(1)
	})
	c := newClient(t, s.url, SenderDirect)
	p := pooled(c)
	p.idleTimeout = 200 * time.Millisecond
	var together sync.WaitGroup
	for range 5 {
		together.Go(func() {
			if _, err := send(t, c); err != nil {
				t.Error(err)
			}
		})
	}
	together.Wait()
	for end := time.Now().Add(10 * time.Second); p.idleCount() > 0 || gone.Load() != s.accepted.Load(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d idle, %d of %d closed", p.idleCount(), gone.Load(), s.accepted.Load())
		}
	}
	before := s.accepted.Load()
	if _, err := send(t, c); err != nil || s.accepted.Load() != before+1 {
		t.Errorf("error %v, %d new connections", err, s.accepted.Load()-before)
	}
}

// TestLongToken: a token that leaves no room before the body takes two writes
// and arrives whole.
func TestLongToken(t *testing.T) {
	t.Parallel()
	for _, n := range []int{100, headroom - 700, headroom, 3 * headroom} {
		token := strings.Repeat("t", n)
		var got atomic.Value
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			got.Store(r.Header.Get("X-Amz-Security-Token") + " " + idOf(b))
			io.WriteString(w, `{"MessageId":"m-1"}`) //nolint:errcheck // shows in the client
		}))
		t.Cleanup(s.Close)
		c := newClient(t, s.URL, SenderDirect, func(cfg *Config) { cfg.Credentials = credentials.NewStaticCredentialsProvider("ASIA", "s", token) })
		for range 2 {
			if _, err := begin(t, c, "to@example.com").Send(t.Context(), newBody("X-Test-Id: 7\r\n\r\n", strings.Repeat("x", 5000))); err != nil {
				t.Fatal(err)
			}
			if want := token + " 7"; got.Load() != want {
				t.Errorf("%d bytes of token: %.40q", n, got.Load())
			}
		}
	}
}

// TestCredentialsThatBreakTheHeader: no byte of a credential gets to be a field
// of its own. Nothing is sent, and the breaker learns of it at once.
func TestCredentialsThatBreakTheHeader(t *testing.T) {
	t.Parallel()
	url, posts := answering(t, http.StatusOK, "", `{"MessageId":"m-1"}`)
	for _, k := range []struct{ id, token string }{{"AKID\r\nX-Evil: 1", ""}, {"AKID", "to\nken"}, {"AKID", "to\x00ken"}} {
		c := newClient(t, url, SenderDirect, func(cfg *Config) { cfg.Credentials = credentials.NewStaticCredentialsProvider(k.id, "s", k.token) })
		_, err := send(t, c)
		if e := refusal(t, err); e.Outcome != na || e.Class != ClassCredentials || e.Signal != relay.SignalTrip {
			t.Errorf("%q: %v", k, e)
		}
	}
	if n := posts.Load(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// TestProxy: with a proxy mail goes by way of net/http, and through the proxy.
func TestProxy(t *testing.T) {
	t.Parallel()
	var asked atomic.Value
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) //nolint:errcheck // shows in the client
		asked.Store(r.RequestURI)
		io.WriteString(w, `{"MessageId":"m-1"}`) //nolint:errcheck // shows in the client
	}))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, "http://ses.example", SenderDirect, func(cfg *Config) { cfg.Proxy = http.ProxyURL(u) })
	for range 2 {
		if r, err := send(t, c); err != nil || r.ID != "m-1" || asked.Load() != "http://ses.example"+sendPath {
			t.Errorf("receipt %+v, error %v, asked for %v", r, err, asked.Load())
		}
	}
}

// closedForWriting is a connection that takes nothing more and has said something before.
type closedForWriting struct {
	net.Conn
	said io.Reader
}

func (c *closedForWriting) Read(p []byte) (int, error)      { return c.said.Read(p) }
func (c *closedForWriting) Write([]byte) (int, error)       { return 0, syscall.EPIPE }
func (c *closedForWriting) SetDeadline(time.Time) error     { return nil }
func (c *closedForWriting) SetReadDeadline(time.Time) error { return nil }
func (c *closedForWriting) Close() error                    { return nil }

// TestLastWords: where writing fails, a refusal that had come before decides;
// without one, and behind a success, the error is that of writing. Small requests and large ones.
func TestLastWords(t *testing.T) {
	t.Parallel()
	const refused = "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}"
	for _, size := range []int{1000, 2 * oneWay} {
		for said, status := range map[string]int{refused: 413, "": 0, refused[:20]: 0, okAnswer: 0} {
			c := newConn(&closedForWriting{said: strings.NewReader(said)})
			r, again, err := newLink(c, c).exchange(t.Context(), pieces{make([]byte, size)}, time.Second)
			switch {
			case again:
				t.Errorf("%d bytes, %q: to be used again", size, said)
			case status > 0 && (err != nil || r == nil || r.status != status):
				t.Errorf("%d bytes, %q: %+v, %v", size, said, r, err)
			case status == 0 && (r != nil || !errors.Is(err, syscall.EPIPE)):
				t.Errorf("%d bytes, %q: %+v, %v", size, said, r, err)
			}
			if left := c.given.Load(); left != 0 {
				t.Errorf("%d bytes are said to have left", left)
			}
		}
	}
}

// TestPanicInHandshake: what panics in the goroutine that dials panics in that
// of the mail, which knows what to do, and the process lives.
func TestPanicInHandshake(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(nil)
	roots := startServer(s, true)
	t.Cleanup(s.Close)
	c := newClient(t, s.URL, SenderDirect, func(cfg *Config) { cfg.RootCAs = roots })
	pooled(c).tls.VerifyConnection = func(tls.ConnectionState) error { panic("certificate") }
	defer func() {
		if v := recover(); v != "certificate" {
			t.Errorf("recovered %v", v)
		}
	}()
	_, err := begin(t, c, "to@example.com").Send(t.Context(), newBody(testMail))
	t.Errorf("no panic, %v", err)
}
