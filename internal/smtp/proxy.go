package smtp

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"

	proxyproto "github.com/pires/go-proxyproto"
)

// readProxyHeader reads the PROXY header (v1 or v2) that a load balancer puts
// before the client's bytes, and corrects the client's address. A LOCAL header
// (v1: UNKNOWN) is the load balancer's own health check: it is greeted, keeps its
// address, and sends no mail.
func (g *guard) readProxyHeader() error {
	br := bufio.NewReaderSize(g.raw, 256)
	h, err := proxyproto.ReadHeaderTimeout(g.raw, br, g.srv.limits.Proxy)
	if err != nil {
		return fmt.Errorf("smtp: PROXY header: %w", err)
	}
	if n := br.Buffered(); n > 0 { // of the client, and perhaps its ClientHello
		first, _ := br.Peek(n)
		g.conn = &prefixed{Conn: g.raw, prefix: append([]byte(nil), first...)}
	}
	if h.Command.IsLocal() {
		g.health = true
		return nil
	}
	src, _, ok := h.TCPAddrs()
	if !ok {
		return fmt.Errorf("smtp: PROXY header: no TCP address but %v", h.TransportProtocol)
	}
	g.client = src.AddrPort().Addr().Unmap()
	return nil
}

// prefixed is a connection of which some bytes were read already.
type prefixed struct {
	net.Conn
	prefix []byte
}

// Read returns the bytes read earlier, then those of the wire.
func (c *prefixed) Read(p []byte) (int, error) {
	if len(c.prefix) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.prefix)
	c.prefix = c.prefix[n:]
	return n, nil
}

// CloseWrite ends our direction.
func (c *prefixed) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return io.ErrClosedPipe
}

// addrOf returns the address of the wire's other end.
func addrOf(c net.Conn) netip.Addr {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
