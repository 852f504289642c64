package simulator

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
)

// listener is a TCP listener that can be taken down, so that clients get "connection refused", and put up again on
// the same port, while whoever serves it goes on calling Accept.
type listener struct {
	addr net.Addr

	mu     sync.Mutex // guards all below; not held during Accept
	inner  net.Listener
	up     chan struct{} // closed while inner accepts
	closed chan struct{}
	conns  map[net.Conn]struct{}
}

func listen(address string) (*listener, error) {
	if address == "" {
		address = "127.0.0.1:0"
	}
	inner, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("simulator: listen: %w", err)
	}
	l := &listener{addr: inner.Addr(), inner: inner, up: make(chan struct{}), closed: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	close(l.up)
	return l, nil
}

func (l *listener) Addr() net.Addr { return l.addr }

// Accept waits for the next connection, also through the time in which the listener is down.
func (l *listener) Accept() (net.Conn, error) {
	for {
		l.mu.Lock()
		inner, up := l.inner, l.up
		l.mu.Unlock()
		select {
		case <-up:
		case <-l.closed:
			return nil, net.ErrClosed
		}
		if inner == nil {
			continue // put up between the lock and the select: read the new one
		}
		conn, err := inner.Accept()
		if err == nil {
			return l.track(inner, conn)
		}
		if !errors.Is(err, net.ErrClosed) {
			return nil, err
		}
	}
}

// track returns the connection in a shape that removes itself when closed, or drops it when the listener went down.
func (l *listener) track(inner net.Listener, conn net.Conn) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	tracked := &trackedConn{Conn: conn, l: l}
	if l.inner == inner {
		l.conns[tracked] = struct{}{}
	} else {
		conn.Close()
	}
	return tracked, nil
}

// Close ends Accept and every connection.
func (l *listener) Close() error {
	l.mu.Lock()
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	l.mu.Unlock()
	return l.down()
}

// down refuses new connections and cuts those that are open.
func (l *listener) down() error {
	l.mu.Lock()
	inner := l.inner
	if inner == nil {
		l.mu.Unlock()
		return nil
	}
	l.inner, l.up = nil, make(chan struct{})
	l.mu.Unlock()
	err := inner.Close()
	l.cutAll()
	return err
}

// cutAll closes every open connection.
func (l *listener) cutAll() {
	l.mu.Lock()
	conns := slices.Collect(maps.Keys(l.conns))
	l.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

// restore listens again on the same port. It fails when another process has taken the port meanwhile.
func (l *listener) restore() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
		return fmt.Errorf("simulator: listen again: %w", net.ErrClosed)
	default:
	}
	if l.inner != nil {
		return nil
	}
	inner, err := net.Listen("tcp", l.addr.String())
	if err != nil {
		return fmt.Errorf("simulator: listen again: %w", err)
	}
	l.inner = inner
	close(l.up)
	return nil
}

// trackedConn leaves its listener's list when it is closed.
type trackedConn struct {
	net.Conn
	l    *listener
	once sync.Once
}

func (c *trackedConn) Close() error {
	c.once.Do(func() {
		c.l.mu.Lock()
		delete(c.l.conns, c)
		c.l.mu.Unlock()
	})
	return c.Conn.Close()
}

// CloseWrite ends what this side sends.
func (c *trackedConn) CloseWrite() error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		return tcp.CloseWrite()
	}
	return errors.ErrUnsupported
}

// reset closes the connection so that the peer sees a reset, not an end of file.
func (c *trackedConn) reset() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}
