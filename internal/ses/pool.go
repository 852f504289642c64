package ses

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"
)

// pool keeps the connections over which direct posts: HTTP/1.1, one mail at a
// time on each. It is to a mail what net/http's transport is, without the two
// goroutines and the write buffer that the transport gives every connection,
// and with a look at the connection right before it is used: a request on one
// that SES has just closed would end as "unknown".
type pool struct {
	fields  []byte // what all header sections begin with
	address string // host:port
	tls     *tls.Config
	dialer  net.Dialer

	answerWait, idleTimeout time.Duration

	mu    sync.Mutex // guards what follows
	idle  []*link    // the last used one at the end
	sweep *time.Timer
}

func newPool(u *url.URL, fields []byte, roots *x509.CertPool) *pool {
	p := &pool{
		fields:     fields,
		address:    u.Host,
		dialer:     net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second},
		answerWait: answerWait, idleTimeout: idleTimeout,
	}
	port := "80"
	if u.Scheme == "https" {
		port = "443"
		p.tls = &tls.Config{
			MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: u.Hostname(),
			ClientSessionCache:          tls.NewLRUClientSessionCache(1),
			DynamicRecordSizingDisabled: true, // a mail is not read before it is complete
		}
	}
	if u.Port() == "" {
		p.address = net.JoinHostPort(u.Hostname(), port)
	}
	return p
}

// post implements poster.
func (p *pool) post(ctx context.Context, a *attempt, h *header, body *payload) (*response, error) {
	l, err := p.get(ctx)
	if err != nil {
		return nil, err
	}
	a.found(l.conn)
	head := scratch.Get().(*[]byte)
	*head = h.append(append((*head)[:0], p.fields...))
	r, again, err := l.exchange(ctx, body.behind(*head), p.answerWait)
	scratch.Put(head)
	if again {
		p.put(l)
	} else {
		l.close()
	}
	return r, err
}

// get returns the connection that was used last and is alive, or a new one.
func (p *pool) get(ctx context.Context) (*link, error) {
	for {
		l := p.take()
		if l == nil {
			return p.dial(ctx)
		}
		if time.Since(l.since) < p.idleTimeout && l.alive() {
			return l, nil
		}
		l.close()
	}
}

func (p *pool) take() *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	l := p.idle[n-1]
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	return l
}

// put keeps l for the next mail. There are never more than have been in flight
// at one time, because a connection is made only when none is idle.
func (p *pool) put(l *link) {
	l.since = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, l)
	if p.sweep == nil {
		p.sweep = time.AfterFunc(p.idleTimeout, p.expire)
	}
}

// expire closes what has been idle for too long.
func (p *pool) expire() {
	p.mu.Lock()
	now := time.Now()
	n := slices.IndexFunc(p.idle, func(l *link) bool { return now.Sub(l.since) < p.idleTimeout })
	if n < 0 {
		n = len(p.idle)
	}
	old := slices.Clone(p.idle[:n])
	p.idle = slices.Delete(p.idle, 0, n)
	p.sweep = nil
	if len(p.idle) > 0 {
		p.sweep = time.AfterFunc(p.idleTimeout-now.Sub(p.idle[0].since), p.expire)
	}
	p.mu.Unlock()
	for _, l := range old {
		l.close()
	}
}

// close closes the idle connections.
func (p *pool) close() {
	p.mu.Lock()
	old := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, l := range old {
		l.close()
	}
}

// dial makes a connection, in a goroutine of its own: a TLS handshake wants
// 32 KiB of stack, which the caller's goroutine would keep while its mail waits.
func (p *pool) dial(ctx context.Context) (l *link, err error) {
	var crash any
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { crash = recover() }() // the transaction knows what to do with it
		l, err = p.connect(ctx)
	}()
	<-done
	if crash != nil {
		panic(crash)
	}
	return l, err
}

func (p *pool) connect(ctx context.Context) (*link, error) {
	nc, err := p.dialer.DialContext(ctx, "tcp", p.address)
	if err != nil {
		return nil, err
	}
	c := newConn(nc)
	if p.tls == nil {
		return newLink(c, c), nil
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	secure := tls.Client(c, p.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		nc.Close() //nolint:errcheck // it has failed already
		return nil, fmt.Errorf("ses: TLS handshake: %w", err)
	}
	return newLink(c, secure), nil
}
