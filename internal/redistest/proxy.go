package redistest

import (
	"io"
	"net"
	"sync"
)

// Proxy is a way to a server that can be cut, and can lead elsewhere: what a
// client sees of a broken network or of a failover.
type Proxy struct {
	Addr string
	l    net.Listener

	mu    sync.Mutex // guards what follows
	to    string     // "": cut
	conns map[net.Conn]struct{}
}

// NewProxy listens on a port of loopback and passes connections on to an address.
func NewProxy(to string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{Addr: l.Addr().String(), l: l, to: to, conns: map[net.Conn]struct{}{}}
	go p.accept()
	return p, nil
}

// Lead ends all connections and passes new ones to another address; "" refuses
// them.
func (p *Proxy) Lead(to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = to
	for c := range p.conns {
		c.Close()
	}
	clear(p.conns)
}

// Close ends the proxy.
func (p *Proxy) Close() {
	p.l.Close()
	p.Lead("")
}

func (p *Proxy) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		go p.pass(c)
	}
}

func (p *Proxy) pass(c net.Conn) {
	defer c.Close()
	p.mu.Lock()
	to := p.to
	p.mu.Unlock()
	if to == "" {
		return
	}
	s, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer s.Close()
	if !p.keep(to, c, s) {
		return
	}
	go func() { io.Copy(s, c); s.Close() }()
	io.Copy(c, s)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	delete(p.conns, s)
}

// keep remembers the two ends, unless the proxy leads elsewhere by now.
func (p *Proxy) keep(to string, conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.to != to {
		return false
	}
	for _, c := range conns {
		p.conns[c] = struct{}{}
	}
	return true
}
