package smtp

import (
	"net"
	"time"
)

// lingerTime bounds how long a client may take to read our last reply.
const lingerTime = time.Second

// Close writes what is left and closes the connection, in the goroutine that
// uses it. Others close raw.
func (g *guard) Close() error {
	if g.closed.Swap(true) {
		return nil
	}
	if err := g.flush(); err == nil && (g.out.isHung() || g.in.r < g.in.w) {
		linger(g.conn, g.raw)
	}
	g.conn.Close()
	g.in.release()
	g.cancel()
	g.srv.remove(g)
	return nil
}

// linger lets the client read the last reply: closing a socket with unread
// input sends a reset, which can overtake the reply.
func linger(conn, raw net.Conn) {
	c, ok := conn.(interface{ CloseWrite() error })
	if !ok || c.CloseWrite() != nil {
		return
	}
	raw.SetReadDeadline(time.Now().Add(lingerTime))
	p := lines.Get().(*[maxLine]byte) // small: thousands may linger at once when the service drains
	defer lines.Put(p)
	for {
		if _, err := raw.Read(p[:]); err != nil {
			return
		}
	}
}
