package ses

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sesrelay/internal/relay"
)

// rawServer is a TCP server that counts connections and the POSTs whose header
// section arrived.
type rawServer struct {
	url      string
	posts    atomic.Int32
	accepted atomic.Int32
	over     chan struct{} // closed at the end of the test
}

// newRawServer serves each connection with handle, and closes it afterwards.
func newRawServer(t testing.TB, handle func(s *rawServer, c *rawConn)) *rawServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rawServer{url: "http://" + l.Addr().String(), over: make(chan struct{})}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.accepted.Add(1)
			running.Go(func() {
				defer c.Close()
				handle(s, &rawConn{c.(*net.TCPConn), s, bufio.NewReader(c)})
			})
		}
	})
	t.Cleanup(func() { close(s.over); l.Close(); running.Wait() })
	return s
}

type rawConn struct {
	*net.TCPConn
	s *rawServer
	r *bufio.Reader
}

// header reads the header section of a request.
func (c *rawConn) header() (*http.Request, bool) {
	r, err := http.ReadRequest(c.r)
	if err != nil {
		return nil, false
	}
	c.s.posts.Add(1)
	return r, true
}

// request reads a whole request.
func (c *rawConn) request() bool {
	r, ok := c.header()
	if !ok {
		return false
	}
	_, err := io.Copy(io.Discard, r.Body)
	return err == nil
}

// reset makes the coming close an RST.
func (c *rawConn) reset() { c.SetLinger(0) } //nolint:errcheck // a plain close is a fault as well

func (c *rawConn) write(s string) { io.WriteString(c, s) } //nolint:errcheck // the client may be gone

// untilGone waits until the client has closed.
func (c *rawConn) untilGone() { io.Copy(io.Discard, c.r) } //nolint:errcheck // any end will do

const okAnswer = "HTTP/1.1 200 OK\r\nX-Amzn-Requestid: rq-1\r\nContent-Length: 19\r\n\r\n{\"MessageId\":\"m-1\"}"

// faults are what a server or the net can do to one POST. big is the size of
// content that no socket buffer takes whole.
var faults = []struct {
	name    string
	size    int
	timeout time.Duration
	handle  func(*rawServer, *rawConn)
	outcome relay.Outcome
	class   string // "" for accepted
	id      string // of the receipt
}{
	{name: "closed after the request", outcome: unknown, class: ClassConnectionLost,
		handle: func(_ *rawServer, c *rawConn) { c.request() }},
	{name: "reset after the request", outcome: unknown, class: ClassConnectionLost,
		handle: func(_ *rawServer, c *rawConn) { c.request(); c.reset() }},
	{name: "closed in the status line", outcome: unknown, class: ClassConnectionLost,
		handle: func(_ *rawServer, c *rawConn) { c.request(); c.write("HTTP/1.1 20") }},
	{name: "closed in the header section", outcome: unknown, class: ClassConnectionLost,
		handle: func(_ *rawServer, c *rawConn) { c.request(); c.write("HTTP/1.1 200 OK\r\nContent-Le") }},
	{name: "garbage for an answer", outcome: unknown, class: ClassConnectionLost,
		handle: func(_ *rawServer, c *rawConn) { c.request(); c.write("220 mail.example ESMTP\r\n\r\n") }},
	{name: "no answer", outcome: unknown, class: ClassTimeout, timeout: 500 * time.Millisecond,
		handle: func(_ *rawServer, c *rawConn) { c.request(); c.untilGone() }},
	{name: "header section without end", outcome: unknown, class: ClassTimeout, timeout: 500 * time.Millisecond,
		handle: func(_ *rawServer, c *rawConn) { c.request(); c.write("HTTP/1.1 200 OK\r\nX: y\r\n"); c.untilGone() }},

	{name: "closed in the body of a 200", outcome: relay.Accepted, id: "rq-1",
		handle: func(_ *rawServer, c *rawConn) { c.request(); c.write(okAnswer[:len(okAnswer)-5]) }},
	{name: "reset in the body of a 200", outcome: relay.Accepted, id: "rq-1",
		handle: func(_ *rawServer, c *rawConn) { c.request(); c.write(okAnswer[:len(okAnswer)-5]); c.reset() }},
	{name: "body of a 200 never ends", outcome: relay.Accepted, id: "rq-1", timeout: 500 * time.Millisecond,
		handle: func(_ *rawServer, c *rawConn) { c.request(); c.write(okAnswer[:len(okAnswer)-5]); c.untilGone() }},
	{name: "closed in the body of a 400", outcome: unknown, class: ClassUnexpected,
		handle: func(_ *rawServer, c *rawConn) {
			c.request()
			c.write("HTTP/1.1 400 Bad Request\r\nContent-Length: 100\r\n\r\n{\"message\":")
		}},
	{name: "100 Continue first", outcome: relay.Accepted, id: "m-1",
		handle: func(_ *rawServer, c *rawConn) { c.request(); c.write("HTTP/1.1 100 Continue\r\n\r\n" + okAnswer) }},

	{name: "reset while the request is written", size: big, outcome: na, class: ClassNotSent,
		handle: func(_ *rawServer, c *rawConn) { c.header(); c.reset() }},
	{name: "200 before the request was read", size: big, outcome: na, class: ClassNotSent,
		handle: func(_ *rawServer, c *rawConn) { c.header(); c.write(okAnswer); c.CloseWrite(); time.Sleep(time.Second) }}, //nolint:errcheck // the client may be gone
	{name: "200 before the request was read, and a reset", size: big, outcome: na, class: ClassNotSent,
		handle: func(_ *rawServer, c *rawConn) { c.header(); c.write(okAnswer); c.r.Peek(1 << 10); c.reset() }}, //nolint:errcheck // either way it closes
	{name: "request is never read", size: big, outcome: na, class: ClassNotSent, timeout: 8 * time.Second,
		handle: func(s *rawServer, c *rawConn) { c.header(); <-s.over }},
}

const big = 8 << 20

// A 200 that comes before the request has left accepts nothing, also when all
// of the request is taken afterwards.
func TestEarlyAnswerOfAPatientServer(t *testing.T) {
	t.Parallel()
	s := newRawServer(t, func(_ *rawServer, c *rawConn) {
		for {
			if _, ok := c.header(); !ok {
				return
			}
			c.write(okAnswer)
			io.CopyN(io.Discard, c.r, big) //nolint:errcheck // the client may be gone
		}
	})
	c := newClient(t, s.url, SenderDirect)
	for range 3 {
		d := begin(t, c, "to@example.com")
		receipt, err := d.Send(t.Context(), newBody("Subject: x\r\n\r\n"+strings.Repeat("0123456789abcde\r\n", big/17)))
		if e := relay.AsError(err); err == nil || e.Outcome == relay.Accepted {
			t.Errorf("accepted: %+v", receipt)
		}
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, f := range faults {
		for _, sender := range senders {
			t.Run(sender+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				s := newRawServer(t, f.handle)
				c := newClient(t, s.url, sender)
				if f.timeout > 0 { // in all, whatever the size
					c.cfg.Timeout = f.timeout - time.Duration(f.size)*time.Second/(1<<20)
				}
				body := newBody(testMail, strings.Repeat("0123456789abcde\n", f.size/16))
				r, err := begin(t, c, "to@example.com").Send(t.Context(), body)
				if n := s.posts.Load(); n > 1 {
					t.Errorf("%d requests for one mail", n)
				}
				if f.outcome == relay.Accepted {
					if err != nil || r.ID != f.id {
						t.Errorf("receipt %+v, error %v; want id %q", r, err, f.id)
					}
					return
				}
				e := refusal(t, err)
				if e.Outcome != f.outcome || e.Class != f.class || e.Signal != relay.SignalCount && f.class != ClassUnexpected {
					t.Errorf("got %v %q signal %d, not %v %q: %v", e.Outcome, e.Class, e.Signal, f.outcome, f.class, e)
				}
				wantReply := map[relay.Outcome]relay.Reply{na: relay.ReplyUnavailable, unknown: relay.ReplyUnknown}[f.outcome]
				if f.class != ClassUnexpected && e.Reply != wantReply {
					t.Errorf("reply %q, not %q", e.Reply, wantReply)
				}
				noLeak(t, e.Reply)
			})
		}
	}
}

// TestNoConnection: whatever keeps the connection from coming up is surely not
// an acceptance.
func TestNoConnection(t *testing.T) {
	t.Parallel()
	refused := func(t *testing.T) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		return "http://" + l.Addr().String()
	}
	cases := map[string]struct {
		url   func(t *testing.T) string
		class string
	}{
		"refused":      {refused, ClassDial},
		"no such host": {func(*testing.T) string { return "http://ses.invalid" }, ClassDial},
		"certificate of nobody": {func(t *testing.T) string {
			s := httptest.NewUnstartedServer(http.NotFoundHandler())
			s.Config.ErrorLog = quiet
			s.StartTLS()
			t.Cleanup(s.Close)
			return s.URL
		}, ClassTLS},
		"plain text for TLS": {func(t *testing.T) string {
			s := newRawServer(t, func(_ *rawServer, c *rawConn) { c.write("HTTP/1.1 400 Bad Request\r\n\r\n") })
			return strings.Replace(s.url, "http", "https", 1)
		}, ClassTLS},
		"closed for TLS": {func(t *testing.T) string {
			s := newRawServer(t, func(_ *rawServer, c *rawConn) { c.r.Peek(1) }) //nolint:errcheck // either way it closes
			return strings.Replace(s.url, "http", "https", 1)
		}, ClassTLS},
		"hangs for TLS": {func(t *testing.T) string {
			s := newRawServer(t, func(_ *rawServer, c *rawConn) { c.untilGone() })
			return strings.Replace(s.url, "http", "https", 1)
		}, ClassDial},
		"TLS 1.1": {func(t *testing.T) string {
			s := httptest.NewUnstartedServer(http.NotFoundHandler())
			s.Config.ErrorLog = quiet
			s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
			s.StartTLS()
			t.Cleanup(s.Close)
			return s.URL
		}, ClassTLS},
	}
	for name, k := range cases {
		for _, sender := range senders {
			t.Run(sender+"/"+name, func(t *testing.T) {
				t.Parallel()
				c := newClient(t, k.url(t), sender, func(cfg *Config) { cfg.Timeout = time.Second })
				_, err := send(t, c)
				e := refusal(t, err)
				if e.Outcome != na || e.Kind != relay.Unavailable || e.Signal != relay.SignalCount || e.Class != k.class || e.Reply != relay.ReplyUnavailable {
					t.Errorf("got %v kind %d signal %d class %q: %v", e.Outcome, e.Kind, e.Signal, e.Class, e)
				}
				noLeak(t, e.Reply)
			})
		}
	}
}

// TestDeadConnectionIsNotReplayed: the server answers one mail and dies on the
// next one on the same connection. net/http repeats idempotent requests there;
// a mail must be posted once.
func TestDeadConnectionIsNotReplayed(t *testing.T) {
	t.Parallel()
	deaths := map[string]func(c *rawConn){
		"after the request":               func(c *rawConn) { c.request() },
		"after the request, with a reset": func(c *rawConn) { c.request(); c.reset() },
		"after the header":                func(c *rawConn) { c.header() },
		"at the first byte":               func(c *rawConn) { c.r.Peek(1); c.s.posts.Add(1) }, //nolint:errcheck // counted either way
	}
	for name, die := range deaths {
		for _, sender := range senders {
			t.Run(sender+"/"+name, func(t *testing.T) {
				t.Parallel()
				s := newRawServer(t, func(s *rawServer, c *rawConn) {
					if !c.request() {
						return
					}
					c.write(okAnswer)
					die(c)
				})
				c := newClient(t, s.url, sender)
				if _, err := send(t, c); err != nil {
					t.Fatal(err)
				}
				_, err := send(t, c)
				if e := refusal(t, err); e.Outcome != unknown {
					t.Errorf("second mail: %v", e)
				}
				if posts, conns := s.posts.Load(), s.accepted.Load(); posts != 2 || conns != 1 {
					t.Errorf("%d requests on %d connections, not 2 on 1", posts, conns)
				}
			})
		}
	}
}

// TestClosedIdleConnection: the server closes after its answer without saying
// so. Whether the client has noticed or not, there is no second POST, and a
// mail that was surely not sent is not called unknown.
func TestClosedIdleConnection(t *testing.T) {
	t.Parallel()
	for _, sender := range senders {
		t.Run(sender, func(t *testing.T) {
			t.Parallel()
			s := newRawServer(t, func(_ *rawServer, c *rawConn) {
				if c.request() {
					c.write(okAnswer)
				}
			})
			c := newClient(t, s.url, sender)
			for i := range 50 {
				before := s.posts.Load()
				if _, err := send(t, c); err != nil {
					t.Logf("mail %d: %v", i, err)
				}
				if n := s.posts.Load() - before; n > 1 {
					t.Fatalf("mail %d was posted %d times", i, n)
				}
			}
		})
	}
}

// TestSealCountsEveryByte: what seal reports is never less than what left.
func TestSealCountsEveryByte(t *testing.T) {
	t.Parallel()
	for range 50 {
		var left atomic.Int64
		c := &conn{Conn: countingConn{left: &left}}
		start, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			close(start)
			for {
				if _, err := c.Write([]byte("abc")); err != nil {
					return
				}
			}
		}()
		<-start
		n := c.seal()
		<-done
		if left.Load() > n {
			t.Fatalf("%d bytes left, seal said %d", left.Load(), n)
		}
	}
}

// countingConn takes all that is written.
type countingConn struct {
	net.Conn
	left *atomic.Int64
}

func (c countingConn) Write(p []byte) (int, error) { c.left.Add(int64(len(p))); return len(p), nil }
func (c countingConn) Close() error                { return nil }

// TestWriteThatFailsDoesNotCount: a write that the kernel refused has not left.
func TestWriteThatFailsDoesNotCount(t *testing.T) {
	t.Parallel()
	a, b := net.Pipe()
	b.Close()
	c := &conn{Conn: a}
	if _, err := c.Write(make([]byte, 100)); err == nil {
		t.Fatal("write to a closed pipe succeeded")
	}
	if n := c.seal(); n != 0 {
		t.Errorf("seal says %d bytes left", n)
	}
}

// TestClientGone: a client that leaves before the call gets nothing sent; one
// that leaves during the call does not end it.
func TestClientGone(t *testing.T) {
	t.Parallel()
	for _, sender := range senders {
		t.Run(sender+"/before", func(t *testing.T) {
			t.Parallel()
			url, posts := answering(t, 200, "", `{"MessageId":"m-1"}`)
			ctx, cancel := context.WithCancel(t.Context())
			d := begin(t, newClient(t, url, sender), "to@example.com")
			cancel()
			_, err := d.Send(ctx, newBody(testMail))
			if e := refusal(t, err); e.Outcome != na || e.Kind != relay.ClientFault || e.Class != ClassClientGone || posts.Load() != 0 {
				t.Errorf("%v, %d requests", e, posts.Load())
			}
		})
		t.Run(sender+"/during", func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			s := newRawServer(t, func(_ *rawServer, c *rawConn) { c.request(); cancel(); c.write(okAnswer) })
			r, err := begin(t, newClient(t, s.url, sender), "to@example.com").Send(ctx, newBody(testMail))
			if err != nil || r.ID != "m-1" {
				t.Errorf("receipt %+v, error %v", r, err)
			}
		})
	}
}

// TestInFlight: a mail waits for a place, not forever, and is not sent then.
func TestInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, "http://127.0.0.1:9", SenderDirect, func(cfg *Config) { cfg.MaxInFlight = 1; cfg.InFlightWait = 3 * time.Second })
		leave, e := c.enter(t.Context())
		if e != nil {
			t.Fatal(e)
		}
		start := time.Now()
		_, err := send(t, c)
		if e := refusal(t, err); e.Outcome != na || e.Kind != relay.Unavailable || e.Signal != relay.SignalBusy || e.Class != ClassInFlight || e.Reply != relay.ReplyThrottled {
			t.Errorf("got %v kind %d signal %d", e, e.Kind, e.Signal)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("waited %s", took)
		}
		time.AfterFunc(time.Second, leave)
		leave, e = c.enter(t.Context())
		if e != nil {
			t.Fatalf("no place after one was free: %v", e)
		}
		leave()
	})
}

// TestContentFails: a content that breaks off is never sent, and its error is
// the answer.
func TestContentFails(t *testing.T) {
	t.Parallel()
	broken := &relay.Error{Kind: relay.ClientFault, Class: "client", Reply: relay.ReplyLocalError, Err: errors.New("client left")}
	for _, sender := range senders {
		for name, body := range map[string]*parts{
			"error": {left: [][]byte{[]byte("abc")}, size: 10, fail: broken},
			"short": {left: [][]byte{[]byte("abc")}, size: 10},
			"long":  {left: [][]byte{[]byte("abcdefghijklmn")}, size: 10},
		} {
			t.Run(sender+"/"+name, func(t *testing.T) {
				t.Parallel()
				url, posts := answering(t, 200, "", `{"MessageId":"m-1"}`)
				_, err := begin(t, newClient(t, url, sender), "to@example.com").Send(t.Context(), body)
				e := refusal(t, err)
				if e.Outcome != na || posts.Load() != 0 {
					t.Errorf("%v, %d requests", e, posts.Load())
				}
				if name == "error" && e != broken {
					t.Errorf("got %v, not the content's own error", e)
				}
			})
		}
	}
}
