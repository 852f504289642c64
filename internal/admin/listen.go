package admin

import (
	"net"
	"net/netip"
	"sync"
)

// Caps on connections: each is a file that mail could need. One address gets a
// part of them, so that it keeps nobody else from the brake.
const (
	maxConns       = 1024
	maxConnsOfPeer = 256
)

// Limit bounds the connections of a listener. What is above a cap is closed at
// once, unread.
func Limit(l net.Listener) net.Listener {
	return &limited{Listener: l, all: maxConns, each: maxConnsOfPeer, open: map[netip.Addr]int{}}
}

type limited struct {
	net.Listener
	all, each int

	mu    sync.Mutex // guards what follows
	total int
	open  map[netip.Addr]int
}

// Accept returns the next connection that has room.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer := address(c.RemoteAddr().String())
		if l.enter(peer) {
			return &counted{Conn: c, leave: sync.OnceFunc(func() { l.exit(peer) })}, nil
		}
		c.Close()
	}
}

func (l *limited) enter(peer netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= l.all || l.open[peer] >= l.each {
		return false
	}
	l.total++
	l.open[peer]++
	return true
}

func (l *limited) exit(peer netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.open[peer]--; l.open[peer] == 0 {
		delete(l.open, peer)
	}
}

// counted gives its place back when it is closed.
type counted struct {
	net.Conn
	leave func()
}

func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
