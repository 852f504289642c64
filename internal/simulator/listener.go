package simulator

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
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
	conns := make([]net.Conn, 0, len(l.conns))
	for c := range l.conns {
		conns = append(conns, c)
	}
	l.mu.Unlock()
	err := inner.Close()
	for _, c := range conns {
		c.Close()
	}
	return err
}

// restore listens again on the same port. Another process may have taken it meanwhile: then it tries for a second.
func (l *listener) restore() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inner != nil {
		return nil
	}
	var err error
	for range 100 {
		if l.inner, err = net.Listen("tcp", l.addr.String()); err == nil {
			close(l.up)
			return nil
		}
		l.inner = nil
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("simulator: listen again: %w", err)
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

// reset closes the connection so that the peer sees a reset, not an end of file.
func (c *trackedConn) reset() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}
