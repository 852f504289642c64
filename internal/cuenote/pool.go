package cuenote

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sesrelay/internal/relay"
)

// quitTime bounds how long taking leave may hold up anything.
const quitTime = time.Second

// pool keeps the idle connections and bounds all of them: whoever holds a slot
// may hold one connection, and idle plus slots taken never exceed the slots.
type pool struct {
	slots chan struct{}

	mu     sync.Mutex // guards what follows; never held while reading or writing
	idle   []*conn    // the last one used is at the end and is used first
	live   int        // connections that are not closed yet
	closed bool
	empty  chan struct{} // closed when the pool is closed and no connection is left
	reaper *time.Timer   // runs while something is idle
}

func newPool(n int) *pool {
	return &pool{slots: make(chan struct{}, n), empty: make(chan struct{})}
}

var errPoolFull = errors.New("every connection is busy")

// slot waits for permission to hold a connection, at most wait.
func (p *pool) slot(ctx context.Context, wait time.Duration) *relay.Error {
	select {
	case p.slots <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(max(0, wait))
	defer timer.Stop()
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-timer.C:
		return unavailable(classPool, relay.SignalBusy, fmt.Errorf("cuenote: %w: %d in use", errPoolFull, cap(p.slots)))
	case <-ctx.Done():
		return waitedInVain(ctx, "wait for a connection")
	}
}

// waitedInVain is the end of ctx while nothing was asked of Cuenote yet.
func waitedInVain(ctx context.Context, during string) *relay.Error {
	failed := gaveUp(ctx, during)
	failed.Signal = relay.SignalNone
	return failed
}

// take returns an idle connection that still looks alive, or nil. Those that
// do not are closed on the way.
func (c *Client) take() *conn {
	for {
		c.pool.mu.Lock()
		n := len(c.pool.idle)
		if n == 0 {
			c.pool.mu.Unlock()
			return nil
		}
		k := c.pool.idle[n-1]
		c.pool.idle[n-1] = nil
		c.pool.idle = c.pool.idle[:n-1]
		c.pool.mu.Unlock()
		c.metrics.idle.Dec()
		if c.usable(k) {
			c.metrics.busy.Inc()
			return k
		}
	}
}

// usable closes k and returns false when it is worn out, or when the smarthost
// has closed it or said 421 meanwhile.
func (c *Client) usable(k *conn) bool {
	if c.worn(k) {
		_ = k.write(context.Background(), []byte("QUIT\r\n"), quitTime) // somebody waits: without the reply
		c.drop(k)
		return false
	}
	if quiet, err := k.quiet(); !quiet {
		c.cfg.Logger.Debug("cuenote: idle connection is dead", "error", err, "mails", k.mails)
		c.drop(k)
		return false
	}
	k.fit = true
	return true
}

// worn reports whether k has served its time.
func (c *Client) worn(k *conn) bool {
	now := c.cfg.Now()
	return k.mails >= c.cfg.MaxMails || now.Sub(k.born) >= c.cfg.MaxLifetime ||
		!k.idle.IsZero() && now.Sub(k.idle) >= c.cfg.IdleTimeout
}

// fresh opens a new connection for the holder of a slot.
func (c *Client) fresh(ctx context.Context) (*conn, *relay.Error) {
	k, failed := c.connect(ctx)
	if failed != nil {
		return nil, failed
	}
	c.pool.mu.Lock()
	c.pool.live++
	c.pool.mu.Unlock()
	c.metrics.busy.Inc()
	return k, nil
}

// release gives a busy connection and its slot back. A connection that is of no
// more use is closed first, so that the smarthost never sees more than agreed.
func (c *Client) release(k *conn, sound bool) {
	c.metrics.busy.Dec()
	k.idle = time.Time{} // not idle yet
	switch {
	case !sound || k.gone || k.br.Buffered() > 0:
		c.drop(k)
	case c.worn(k) || !c.keep(k):
		go func() {
			c.leave(k)
			<-c.pool.slots
		}()
		return
	}
	<-c.pool.slots
}

// keep puts k into the pool, unless the pool is closed.
func (c *Client) keep(k *conn) bool {
	p := c.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	k.idle = c.cfg.Now()
	p.idle = append(p.idle, k)
	c.metrics.idle.Inc()
	if p.reaper == nil {
		p.reaper = time.AfterFunc(c.cfg.IdleTimeout, c.reap)
	}
	return true
}

// reap takes leave of the connections that were idle too long, and comes back
// while any is left.
func (c *Client) reap() {
	p := c.pool
	p.mu.Lock()
	old := p.idle
	n := 0
	for n < len(old) && c.worn(old[n]) { // the longest idle are at the start
		n++
	}
	expired := append([]*conn(nil), old[:n]...)
	p.idle = append(old[:0], old[n:]...)
	clear(old[len(p.idle):])
	p.reaper = nil
	if len(p.idle) > 0 {
		next := c.cfg.IdleTimeout - c.cfg.Now().Sub(p.idle[0].idle)
		p.reaper = time.AfterFunc(max(next, time.Millisecond), c.reap)
	}
	p.mu.Unlock()
	c.leaveAll(expired)
}

func (c *Client) leaveAll(conns []*conn) {
	for _, k := range conns {
		c.metrics.idle.Dec()
		go c.leave(k)
	}
}

// leave closes k politely. It waits for the reply.
func (c *Client) leave(k *conn) {
	k.quit(quitTime)
	c.closedOne()
}

// drop closes k at once.
func (c *Client) drop(k *conn) {
	k.nc.Close()
	c.closedOne()
}

func (c *Client) closedOne() {
	p := c.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live--
	p.settle()
}

// settle tells Close when the last connection is gone. p.mu is held.
func (p *pool) settle() {
	if p.closed && p.live == 0 {
		select {
		case <-p.empty:
		default:
			close(p.empty)
		}
	}
}
