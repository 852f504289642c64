package smtp

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"sesrelay/internal/relay"
)

// logBuffer is a log that several goroutines write.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestPanics is go-smtp 5: a panic anywhere costs its connection 421, is
// logged, and leaves the process and the connection's place.
func TestPanics(t *testing.T) {
	t.Parallel()
	boom := func() { panic("boom") }
	for _, protocol := range []Protocol{SMTP, LMTP} {
		for where, k := range map[string]*keeper{
			"begin":     {begin: boom},
			"recipient": {recipient: func(relay.Address) relay.Reply { panic("boom") }},
			"abort":     {abort: boom},
			"data": {data: func(context.Context, *mail, relay.Source) []relay.Reply {
				panic("boom")
			}},
			"data with the body open": {data: func(_ context.Context, _ *mail, src relay.Source) []relay.Reply {
				src.Open()
				src.Read(make([]byte, 1))
				panic("boom")
			}},
		} {
			var log logBuffer
			s, address := serve(t, k, func(c *Config) {
				c.Listeners[0].Protocol = protocol
				c.Logger = slog.New(slog.NewTextHandler(&log, nil))
			})
			c := dial(t, address)
			c.want("220")
			hello := "EHLO"
			if protocol == LMTP {
				hello = "LHLO"
			}
			c.do(hello+" client.test", "250")
			c.send("MAIL FROM:<a@goo.ne.jp>\r\nRCPT TO:<b@docomo.ne.jp>\r\nRCPT TO:<c@docomo.ne.jp>\r\nDATA\r\n")
			last := ""
			for !strings.HasPrefix(last, "421") {
				if last = c.reply(); strings.HasPrefix(last, "354") {
					c.send("Hi\r\n.\r\nNOOP\r\n")
				}
			}
			if last != "421 4.3.0 Internal error, try again later" {
				t.Errorf("%s: %s", where, last)
			}
			c.ended()
			waitFor(t, func() bool { return len(s.connections()) == 0 })
			if !strings.Contains(log.String(), "boom") {
				t.Errorf("%s: not logged", where)
			}
		}
	}
}

// TestReaderThatOutlivesAPanic cannot take the next bytes of the client either.
func TestReaderThatOutlivesAPanic(t *testing.T) {
	t.Parallel()
	var late atomic.Pointer[relay.Source]
	k := &keeper{data: func(_ context.Context, _ *mail, src relay.Source) []relay.Reply {
		src.Open()
		late.Store(&src)
		panic("boom")
	}}
	_, address := serve(t, k, nil)
	c := open(t, address)
	c.toData()
	c.want("421 4.3.0")
	if _, err := (*late.Load()).Read(make([]byte, 1)); !errors.Is(err, errBodyOver) {
		t.Errorf("read: %v", err)
	}
}

// TestPanicInLogout: the library calls Logout outside its recover.
func TestPanicInLogout(t *testing.T) {
	t.Parallel()
	k := &keeper{abort: func() { panic("boom") }}
	s, address := serve(t, k, nil)
	c := open(t, address)
	c.do("MAIL FROM:<a@goo.ne.jp>", "250")
	c.Close()
	waitFor(t, func() bool { return len(s.connections()) == 0 && strings.Contains(k.log(), "abort") })
	open(t, address).do("NOOP", "250")
}

// brokenConn panics where the library has no recover.
type brokenConn struct{ net.Conn }

func (brokenConn) Read([]byte) (int, error) { panic("boom") }

// TestPanicInTheGuard: the guard's own reads are outside the library's recover.
func TestPanicInTheGuard(t *testing.T) {
	t.Parallel()
	k := &keeper{}
	s, _ := serve(t, k, nil)
	near, far := net.Pipe()
	c := &client{Conn: near, t: t}
	g := s.welcomePipe(brokenConn{far})
	buf := make([]byte, 1000)
	near.Read(buf) // the greeting
	n, _ := near.Read(buf)
	if !strings.HasPrefix(string(buf[:n]), "421 4.3.0") {
		t.Fatalf("%q", buf[:n])
	}
	waitFor(t, func() bool { return g.closed.Load() })
	c.Close()
}
