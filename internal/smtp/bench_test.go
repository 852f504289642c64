package smtp

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"sesrelay/internal/relay"
)

// discard is a transaction that reads and forgets.
type discard struct{ buf []byte }

var discarded = relay.Reply{Code: 250, Enhanced: [3]int{2, 0, 0}, Text: "discarded"}

func (d *discard) Recipient(context.Context, relay.Address) relay.Reply {
	return relay.ReplyRecipientOK
}
func (d *discard) Data(_ context.Context, src relay.Source) relay.Reply {
	if err := src.Open(); err != nil {
		return relay.ReplyTo(err)
	}
	for {
		if _, err := src.Read(d.buf); err == io.EOF {
			return discarded
		} else if err != nil {
			return relay.ReplyTo(err)
		}
	}
}

func (d *discard) DataEach(ctx context.Context, src relay.Source) []relay.Reply {
	return []relay.Reply{d.Data(ctx, src)}
}
func (d *discard) HoldsConnection() bool { return false }
func (d *discard) Abort()                {}

// collect is a session of the library alone that reads the body at once.
type collect struct{ buf []byte }

func (collect) Reset()                                 {}
func (collect) Logout() error                          { return nil }
func (collect) Mail(string, *gosmtp.MailOptions) error { return nil }
func (collect) Rcpt(string, *gosmtp.RcptOptions) error { return nil }
func (c collect) Data(r io.Reader) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, c.buf)
	return err
}

// libraryAlone serves with go-smtp and no guard, to compare with.
func libraryAlone(b *testing.B) string {
	lib := gosmtp.NewServer(gosmtp.BackendFunc(func(*gosmtp.Conn) (gosmtp.Session, error) {
		return collect{make([]byte, bulkSize)}, nil
	}))
	lib.Domain = "relay.test"
	l, err := net.Listen("tcp", anyPort)
	if err != nil {
		b.Fatal(err)
	}
	go lib.Serve(l)
	b.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// BenchmarkIngest sends 8 KiB mails over loopback, as Postfix does: MAIL, RCPT
// and DATA in one packet, connections reused. cpu-s/1000 is the processor time
// of both ends.
func BenchmarkIngest(b *testing.B) {
	k := &keeper{}
	_, plain := serve(b, k, discarding)
	_, secure := serve(b, k, func(c *Config) {
		discarding(c)
		c.Listeners[0].TLS = TLSImplicit
		c.Certificate = testCertificate(b)
	})
	b.Run("plain", func(b *testing.B) { ingest(b, plain, false) })
	b.Run("tls", func(b *testing.B) { ingest(b, secure, true) })
	b.Run("library alone", func(b *testing.B) { ingest(b, libraryAlone(b), false) })
}

func discarding(c *Config) {
	c.Begin = func(*relay.Envelope) Transaction { return &discard{make([]byte, bulkSize)} }
	c.NewID = func() string { return "id" }
}

const envelope = "MAIL FROM:<a@goo.ne.jp> SIZE=8192 BODY=8BITMIME\r\nRCPT TO:<b@docomo.ne.jp>\r\nDATA\r\n"

func ingest(b *testing.B, address string, secure bool) {
	body := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 8192/78) + ".\r\n"
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	before := cpu()
	b.RunParallel(func(pb *testing.PB) {
		c := dial(b, address)
		c.SetDeadline(time.Now().Add(time.Minute))
		if secure {
			c = overTLS(b, c)
		}
		c.want("220")
		c.do("EHLO client.test", "250")
		for pb.Next() {
			c.send(envelope)
			c.want("250", "250", "354")
			c.send(body)
			c.want("250")
		}
	})
	b.ReportMetric(1000*(cpu()-before).Seconds()/float64(b.N), "cpu-s/1000")
}

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestIdleConnections holds idle connections, each after one mail, to what lets
// 10,000 of them stay below 200 MiB. The client's end (a socket) is included.
func TestIdleConnections(t *testing.T) {
	for mode, limit := range map[TLSMode]uint64{TLSNone: 12 << 10, TLSImplicit: 24 << 10} {
		s, address := serve(t, &keeper{}, func(c *Config) {
			discarding(c)
			c.Limits.Park = 50 * time.Millisecond
			c.Listeners[0].TLS = mode
			c.Certificate = testCertificate(t)
		})
		const n = 300
		before, stack := memory()
		var conns []net.Conn
		for range n {
			conns = append(conns, idleClient(t, address, mode))
		}
		waitFor(t, func() bool { return parked(s) == n })
		after, deeper := memory()
		each := (after - before) / n
		t.Logf("tls %s: %d bytes, of which %d stack", mode, each, (deeper-stack)/n)
		if each > limit {
			t.Errorf("tls %s: an idle connection costs %d bytes, want at most %d", mode, each, limit)
		}
		for _, c := range conns {
			c.Close()
		}
	}
}

// parked counts the connections without buffers.
func parked(s *Server) (n int) {
	for _, g := range s.connections() {
		if g.parked.Load() {
			n++
		}
	}
	return n
}

// idleClient sends one mail and waits. It holds next to nothing itself.
func idleClient(b testing.TB, address string, mode TLSMode) net.Conn {
	raw, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	c := raw
	if mode == TLSImplicit {
		c = tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
	}
	buf := make([]byte, 1024)
	for _, s := range []string{"", "EHLO c\r\n", envelope, "Hi\r\n.\r\n"} {
		io.WriteString(c, s)
		if _, err := c.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
	return raw
}

func memory() (all, stack uint64) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse, m.StackInuse
}
