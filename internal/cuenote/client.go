package cuenote

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"golang.org/x/time/rate"

	"sesrelay/internal/relay"
)

// Client is the smarthost as an upstream. It is safe for use by many goroutines.
type Client struct {
	cfg     Config
	tls     *tls.Config // nil without TLS
	dial    dialer
	pool    *pool
	limiter *rate.Limiter
	metrics metrics
}

var _ relay.Upstream = (*Client)(nil)

// New checks cfg and returns a client. It opens no connection.
func New(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("cuenote: %w", err)
	}
	t, err := cfg.tlsConfig()
	if err != nil {
		return nil, fmt.Errorf("cuenote: %w", err)
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("cuenote: metrics: %w", err)
	}
	c := &Client{cfg: cfg, tls: t, dial: new(net.Dialer).DialContext, pool: newPool(cfg.Connections), metrics: m}
	c.limiter = rate.NewLimiter(rate.Inf, 1)
	c.SetRate(cfg.Rate)
	return c, nil
}

// SetRate changes the rate limit, in messages per second; 0 is unlimited. A
// fleet divides its rate among the instances and calls this when their number changes.
func (c *Client) SetRate(perSecond float64) {
	if perSecond <= 0 {
		c.limiter.SetLimit(rate.Inf)
		return
	}
	now := c.cfg.Now()
	c.limiter.SetBurstAt(now, max(1, int(perSecond/10))) // a tenth of a second at once
	c.limiter.SetLimitAt(now, rate.Limit(perSecond))
}

// Begin starts a mail transaction. It neither waits nor writes: MAIL goes out
// together with the first recipients.
func (c *Client) Begin(_ context.Context, env *relay.Envelope) (relay.Delivery, error) {
	return &delivery{client: c, env: env}, nil
}

// acquire waits, within MaxWait in all, for the rate and for a slot, and
// returns a connection from the pool or a new one.
func (c *Client) acquire(ctx context.Context) (*conn, *relay.Error) {
	waited, failed := c.pace(ctx)
	if failed != nil {
		return nil, failed
	}
	if failed := c.pool.slot(ctx, c.cfg.MaxWait-waited); failed != nil {
		return nil, failed
	}
	if k := c.take(); k != nil {
		return k, nil
	}
	k, failed := c.fresh(ctx)
	if failed != nil {
		<-c.pool.slots
	}
	return k, failed
}

// pace waits for the rate limit.
func (c *Client) pace(ctx context.Context) (time.Duration, *relay.Error) {
	if c.limiter.Limit() == rate.Inf {
		return 0, nil
	}
	now := c.cfg.Now()
	r := c.limiter.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait == 0 {
		return 0, nil
	}
	if wait > c.cfg.MaxWait {
		r.CancelAt(now)
		return 0, &relay.Error{Kind: relay.Unavailable, Signal: relay.SignalBusy, Class: classRate, Reply: relay.ReplyThrottled,
			Err: fmt.Errorf("cuenote: rate limit: the next mail may go in %v", wait.Round(time.Millisecond))}
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return wait, nil
	case <-ctx.Done():
		r.CancelAt(c.cfg.Now())
		return 0, waitedInVain(ctx, "wait for the rate limit")
	}
}

// CloseIdle takes leave of the idle connections.
func (c *Client) CloseIdle() {
	c.pool.mu.Lock()
	idle := c.pool.idle
	c.pool.idle = nil
	c.pool.mu.Unlock()
	c.leaveAll(idle)
}

// Close stops keeping connections: idle ones are left now, busy ones when
// their transaction is over. It returns when none is left or ctx ends; running
// deliveries are not disturbed, and one that begins afterwards still works, on
// a connection of its own.
func (c *Client) Close(ctx context.Context) error {
	c.pool.mu.Lock()
	c.pool.closed = true
	if c.pool.reaper != nil {
		c.pool.reaper.Stop()
	}
	c.pool.settle()
	c.pool.mu.Unlock()
	c.CloseIdle()
	select {
	case <-c.pool.empty:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cuenote: close: connections are still busy: %w", ctx.Err())
	}
}
