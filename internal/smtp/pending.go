package smtp

import (
	"crypto/tls"
	"time"
)

// inputBehind reports whether the client has sent something that it should
// not have sent yet: in our buffer, in that of TLS, or in the kernel's.
func (g *guard) inputBehind() bool {
	if g.in.r < g.in.w {
		return true
	}
	switch c := g.conn.(type) {
	case *tls.Conn:
		c.SetReadDeadline(time.Unix(1, 0)) // a read gives what TLS holds and never waits
		if g.in.fill() == nil {
			return true
		}
	case *prefixed:
		if len(c.prefix) > 0 {
			return true
		}
	}
	return readable(g.raw)
}
