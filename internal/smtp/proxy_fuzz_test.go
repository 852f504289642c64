package smtp

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// wireOf is a connection that holds bytes and then ends.
type wireOf struct {
	net.Conn
	r *bytes.Reader
}

func (w wireOf) Read(p []byte) (int, error)      { return w.r.Read(p) }
func (w wireOf) SetReadDeadline(time.Time) error { return nil }
func (w wireOf) RemoteAddr() net.Addr            { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2), Port: 1} }

// FuzzProxyHeader reads any bytes as a PROXY header. What is taken names a
// client or the balancer itself, and every byte behind it is the client's.
func FuzzProxyHeader(f *testing.F) {
	for _, s := range []string{
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\nEHLO a\r\n", "PROXY TCP6 2001:db8::1 ::1 1 25\r\n", "PROXY UNKNOWN\r\nEHLO", "PROXY UNKNOWN ffff::1 x 1 2\r\n",
		"PROXY TCP4 999.0.2.1 192.0.2.2 1 25\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1 99999\r\n", "PROXY", "\r\n\r\n\x00\r\nQUIT\n",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x00\x01\x00\x19EHLO a\r\n",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0f\xc0\x00\x02\x01\xc0\x00\x02\x02\x00\x01\x00\x19\x04\x00\x00EHLO a\r\n",
		"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x05helloEHLO a\r\n", "\r\n\r\n\x00\r\nQUIT\n\x21\x21\xff\xff" + strings.Repeat("x", 300),
		"\r\n\r\n\x00\r\nQUIT\n\x21\x31\x00\xd8" + strings.Repeat("x", 216),
	} {
		f.Add([]byte(s))
	}
	balancer := netip.MustParseAddr("127.0.0.2")
	f.Fuzz(func(t *testing.T, in []byte) {
		g := &guard{srv: &Server{limits: Limits{}.withDefaults()}, raw: wireOf{r: bytes.NewReader(in)}, client: balancer}
		g.conn = g.raw
		g.ctx, g.cancel = context.WithCancel(context.Background())
		defer g.cancel()
		err := g.readProxyHeader()
		switch {
		case err != nil:
			if g.client != balancer || g.health {
				t.Fatalf("%q: %v, and taken as %v, health %v", in, err, g.client, g.health)
			}
			return
		case g.health && g.client != balancer, !g.health && !g.client.IsValid():
			t.Fatalf("%q: client %v, health %v", in, g.client, g.health)
		}
		if !bytes.HasPrefix(in, []byte("PROXY ")) && !bytes.HasPrefix(in, []byte("\r\n\r\n\x00\r\nQUIT\n")) {
			t.Fatalf("%q: no header, and taken", in)
		}
		rest, _ := io.ReadAll(g.conn)
		if !bytes.HasSuffix(in, rest) {
			t.Fatalf("%q: the client's bytes became %q", in, rest)
		}
		header := in[:len(in)-len(rest)]
		if bytes.HasPrefix(header, []byte("PROXY ")) && (bytes.IndexByte(header, '\n') != len(header)-1 || len(header) > 107) {
			t.Fatalf("%q: the header ends at %d", in, len(header))
		}
		if bytes.HasPrefix(header, []byte("\r\n")) && (len(header) < 16 || len(header) != 16+int(header[14])<<8+int(header[15])) {
			t.Fatalf("%q: the header ends at %d", in, len(header))
		}
	})
}
