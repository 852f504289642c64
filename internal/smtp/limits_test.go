package smtp

import (
	"bytes"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestConnectionCaps is go-smtp 10: the caps hold before any session, on the
// client's address behind the PROXY header, and give their places back.
func TestConnectionCaps(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	s, address := serve(t, &keeper{}, func(c *Config) {
		c.Limits.Connections, c.Limits.ConnectionsPerClient = 3, 2
		c.Listeners[0].ProxyFrom = loopback.Networks
		c.Access.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}
		c.Registerer = reg
	})
	from := func(addr string) *client {
		c := dial(t, address)
		family := "TCP4"
		if strings.Contains(addr, ":") {
			family = "TCP6"
		}
		c.send("PROXY " + family + " " + addr + " " + addr + " 4000 25\r\n")
		return c
	}
	a, b := from("192.0.2.1"), from("192.0.2.1")
	a.want("220")
	b.want("220")
	third := from("192.0.2.1")
	third.want("421 4.7.0")
	third.ended()
	waitFor(t, func() bool { return len(s.connections()) == 2 })
	other := from("2001:db8::1")
	other.want("220")
	full := dial(t, address)
	full.want("421 4.3.2")
	if v := testutil.ToFloat64(s.metrics.connections); v != 3 {
		t.Errorf("relay_connections %v", v)
	}
	other.do("QUIT", "221")
	a.do("QUIT", "221")
	waitFor(t, func() bool { return len(s.connections()) == 1 })
	from("192.0.2.1").want("220")
	for reason, n := range map[string]float64{rejectedFull: 1, rejectedClientFull: 1, rejectedAccess: 0} {
		if v := testutil.ToFloat64(s.metrics.rejected.WithLabelValues(reason)); v != n {
			t.Errorf("rejected for %s: %v", reason, v)
		}
	}
	if n, err := testutil.GatherAndCount(reg, "relay_connections", "relay_connections_rejected_total"); err != nil || n != 8 {
		t.Errorf("%d series, %v", n, err)
	}
}

// TestSlowProxyHeader: a silent client holds up nobody else, and is dropped.
func TestSlowProxyHeader(t *testing.T) {
	t.Parallel()
	_, address := serve(t, &keeper{}, func(c *Config) {
		c.Limits.Proxy = 100 * time.Millisecond
		c.Listeners[0].ProxyFrom = loopback.Networks
	})
	silent := dial(t, address)
	quick := dial(t, address)
	quick.send("PROXY TCP4 127.0.0.1 127.0.0.1 4000 25\r\n")
	quick.want("220")
	silent.ended()
}

// TestSlowHandshake: the same for TLS.
func TestSlowHandshake(t *testing.T) {
	t.Parallel()
	_, address := serve(t, &keeper{}, func(c *Config) {
		c.Limits.Handshake = 100 * time.Millisecond
		c.Listeners[0].TLS = TLSImplicit
		c.Certificate = testCertificate(t)
	})
	dial(t, address).ended()
}

// TestLineLengths: a line of exactly the limit is a command, one byte more is
// 500 and the end, with and without its line end. SASL lines may be longer.
func TestLineLengths(t *testing.T) {
	t.Parallel()
	_, address := serve(t, &keeper{}, nil)
	line := func(n int) string { return "NOOP " + strings.Repeat("x", n-7) + "\r\n" }
	c := open(t, address)
	for range 3 {
		c.send(line(maxLine))
		c.want("250")
	}
	c.send(line(maxLine + 1))
	c.want("500 5.5.6")
	c.ended()
	c = open(t, address)
	c.send(strings.Repeat("x", 100_000))
	c.want("500 5.5.6")
	c = open(t, address)
	c.send("AUTH PLAIN " + strings.Repeat("x", maxSASLLine-13) + "\r\n")
	c.want("502 5.5.1")
	c.send("AUTH PLAIN " + strings.Repeat("x", maxSASLLine-12) + "\r\n")
	c.want("500 5.5.6")
	c.ended()
}

// TestHeldConnection: a transaction that occupies an upstream connection has
// less time between commands.
func TestHeldConnection(t *testing.T) {
	t.Parallel()
	k := &keeper{holds: true}
	_, address := serve(t, k, func(c *Config) { c.Limits.Held = 100 * time.Millisecond })
	c := open(t, address)
	time.Sleep(200 * time.Millisecond) // outside a transaction nothing is held
	c.do("MAIL FROM:<a@goo.ne.jp>", "250")
	c.want("421 4.4.2")
	c.ended()
	waitFor(t, func() bool { return strings.HasSuffix(k.log(), "abort") })
}

// TestEarlyTalker: what was sent before the greeting is not executed.
func TestEarlyTalker(t *testing.T) {
	t.Parallel()
	k := &keeper{}
	s, err := New(Config{Hostname: "relay.test", Access: loopback, Begin: k.begun, NewID: k.newID})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l, err := net.Listen("tcp", anyPort)
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, l.Addr().String()) // the kernel accepts; the service does not yet
	c.send("EHLO client.test\r\nMAIL FROM:<evil@goo.ne.jp>\r\n")
	serverEnd, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return readable(serverEnd) })
	s.welcomeWith(serverEnd, Listener{})
	c.want("554 5.5.0")
	c.ended()
	if k.log() != "" {
		t.Fatal(k.log())
	}
}

func (s *Server) welcomeWith(c net.Conn, settings Listener) {
	l := &listener{}
	l.settings.Store(settings.withDefaults())
	s.welcome(l, c)
}

// counting counts writes.
type counting struct {
	net.Conn
	mu     sync.Mutex
	writes []string
}

func (c *counting) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.writes = append(c.writes, string(p))
	c.mu.Unlock()
	return c.Conn.Write(p)
}

// TestOneWritePerGroup is go-smtp 13.
func TestOneWritePerGroup(t *testing.T) {
	t.Parallel()
	k := &keeper{}
	s, err := New(Config{Hostname: "relay.test", Access: loopback, Begin: k.begun, NewID: k.newID})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	near, far := net.Pipe()
	wire := &counting{Conn: far}
	g := s.welcomePipe(wire)
	c := &client{Conn: near, t: t}
	near.SetDeadline(time.Now().Add(patience))
	read := func(lines int) {
		t.Helper()
		buf := make([]byte, 8192)
		for got := 0; got < lines; {
			n, err := near.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			got += bytes.Count(buf[:n], []byte("\n"))
		}
	}
	read(1)
	c.send("EHLO client.test\r\n")
	read(6)
	c.send("MAIL FROM:<a@goo.ne.jp>\r\n" + strings.Repeat("RCPT TO:<b@docomo.ne.jp>\r\n", 50) + "DATA\r\n")
	read(52)
	c.send("Hi\r\n.\r\nQUIT\r\n")
	read(2)
	waitFor(t, func() bool { return g.closed.Load() })
	var sizes []int
	for _, w := range wire.writes {
		sizes = append(sizes, strings.Count(w, "\n"))
	}
	if len(sizes) != 4 || sizes[2] != 52 {
		t.Fatalf("lines per write: %v, want [1 6 52 2]", sizes)
	}
}

func (s *Server) welcomePipe(c net.Conn) *guard {
	l := (Listener{}).withDefaults()
	g := s.newGuard(l, c)
	g.client = netip.MustParseAddr("127.0.0.1")
	s.add(g)
	go s.prepare(g)
	return g
}

// TestEndlessBody: a body far over the limit is not read for ever.
func TestEndlessBody(t *testing.T) {
	t.Parallel()
	_, address := serve(t, &keeper{}, func(c *Config) { c.Limits.MessageSize = 1000 })
	c := open(t, address)
	c.toData()
	go func() {
		block := []byte(strings.Repeat(strings.Repeat("x", 98)+"\r\n", 1000))
		for {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	}()
	c.want("552 5.3.4")
	if _, err := c.br.ReadByte(); err == nil {
		t.Error("the session goes on")
	}
}

// TestRefusedMailFlood: MAIL that is refused is not free.
func TestRefusedMailFlood(t *testing.T) {
	t.Parallel()
	_, address := serve(t, &keeper{}, func(c *Config) { c.Limits.IdleCommands = 5 })
	c := open(t, address)
	for range 5 {
		c.do("MAIL FROM:<a@b@c>", "501 5.1.7")
	}
	c.do("MAIL FROM:<a@b@c>", "421 4.7.0")
}

// TestHeldFlood: commands do not lengthen the time of a held connection without end.
func TestHeldFlood(t *testing.T) {
	t.Parallel()
	_, address := serve(t, &keeper{holds: true}, func(c *Config) { c.Limits.Idle = 200 * time.Millisecond })
	c := open(t, address)
	c.do("MAIL FROM:<a@goo.ne.jp>", "250")
	c.want("421 4.4.2")
}

// TestClientKey: one IPv4 address, or one /64.
func TestClientKey(t *testing.T) {
	t.Parallel()
	same := func(a, b string) bool { return clientKey(netip.MustParseAddr(a)) == clientKey(netip.MustParseAddr(b)) }
	if same("192.0.2.1", "192.0.2.2") || !same("2001:db8::1", "2001:db8::2:0:0:1") || same("2001:db8::1", "2001:db8:0:1::1") {
		t.Error("wrong clients are one")
	}
}

// TestProxyHeaderBeforeTLS: the header and the ClientHello come in one packet.
func TestProxyHeaderBeforeTLS(t *testing.T) {
	t.Parallel()
	_, address := serve(t, &keeper{}, func(c *Config) {
		c.Listeners[0].TLS = TLSImplicit
		c.Listeners[0].ProxyFrom = loopback.Networks
		c.Certificate = testCertificate(t)
		c.Access.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	})
	raw := dial(t, address)
	raw.Conn = &together{Conn: raw.Conn, first: []byte("PROXY TCP4 192.0.2.7 127.0.0.1 4000 25\r\n")}
	c := overTLS(t, raw)
	c.want("220")
	c.do("EHLO client.test", "250")
	c.do("MAIL FROM:<a@goo.ne.jp>", "250")
}

// together sends something with the first write.
type together struct {
	net.Conn
	first []byte
}

func (c *together) Write(p []byte) (int, error) {
	if c.first == nil {
		return c.Conn.Write(p)
	}
	_, err := c.Conn.Write(append(c.first, p...))
	c.first = nil
	return len(p), err
}
