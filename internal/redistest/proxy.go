package redistest

import (
	"io"
	"net"
	"sync"
	"time"
)

// Proxy is a way to a server that can be cut, can lead elsewhere, and can be
// slow: what a client sees of a broken network or of a failover.
type Proxy struct {
	Addr string
	l    net.Listener

	mu    sync.Mutex // guards what follows
	to    string     // "": cut
	delay time.Duration
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

// Slow keeps everything that the server says for a while before it is passed
// on; 0: no longer.
func (p *Proxy) Slow(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
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
	io.Copy(slowly{c, p}, s)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	delete(p.conns, s)
}

// slowly writes what the server says to a client.
type slowly struct {
	net.Conn
	p *Proxy
}

func (w slowly) Write(b []byte) (int, error) {
	w.p.mu.Lock()
	d := w.p.delay
	w.p.mu.Unlock()
	time.Sleep(d)
	return w.Conn.Write(b)
}

// ReadFrom keeps io.Copy from passing Write by.
func (w slowly) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{w}, r)
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
