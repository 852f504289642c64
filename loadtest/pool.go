package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// reuse is how long a connection serves, in Postfix's terms.
type reuse struct {
	Idle  time.Duration // smtp_connection_cache_time_limit, 2 s at Postfix
	For   time.Duration // smtp_connection_reuse_time_limit
	Count int           // smtp_connection_reuse_count_limit; 0 = no limit
}

// pool keeps open sessions between mails. The one used last is used next, so
// that only as many stay open as the load needs.
type pool struct {
	target *target
	reuse  reuse

	opened atomic.Int64 // connections made
	stale  atomic.Int64 // found closed by the probe, and replaced

	mu   sync.Mutex // guards idle
	idle []*session // used last at the end
}

// deliver makes one attempt at a mail.
func (p *pool) deliver(m *mail, to mask) outcome {
	s, err := p.take()
	if err != nil {
		var o outcome
		o.note(err)
		return o
	}
	o, usable := s.transact(m, to)
	p.give(s, usable)
	return o
}

// take returns a session that is ready for MAIL. What the probe of an idle one
// finds closed is no failure: Postfix opens a new connection then, too.
func (p *pool) take() (*session, error) {
	for {
		s := p.pop()
		if s == nil {
			p.opened.Add(1)
			return p.target.open()
		}
		if !p.target.Probe {
			return s, nil
		}
		s.conn.SetDeadline(time.Now().Add(p.target.Timeout))
		if s.do("RSET", 2) == nil {
			return s, nil
		}
		p.stale.Add(1)
		s.conn.Close()
	}
}

func (p *pool) pop() *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	s := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	return s
}

// give takes a session back, or ends it when it has served its time.
func (p *pool) give(s *session, usable bool) {
	now := time.Now()
	switch {
	case !usable:
		s.conn.Close()
	case p.reuse.Count > 0 && s.used >= p.reuse.Count, now.Sub(s.opened) >= p.reuse.For:
		s.quit()
	default:
		s.lastUse = now
		p.mu.Lock()
		p.idle = append(p.idle, s)
		p.mu.Unlock()
	}
}

// sweep ends sessions that were idle for too long, until ctx ends; then all.
func (p *pool) sweep(ctx context.Context) {
	tick := time.NewTicker(max(p.reuse.Idle/4, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			p.quit(now.Add(-p.reuse.Idle))
		case <-ctx.Done():
			p.quit(time.Now().Add(time.Hour))
			return
		}
	}
}

// quit ends the sessions that became idle before the time.
func (p *pool) quit(before time.Time) {
	p.mu.Lock()
	n := 0
	for n < len(p.idle) && p.idle[n].lastUse.Before(before) {
		n++
	}
	old := append([]*session(nil), p.idle[:n]...)
	p.idle = append(p.idle[:0], p.idle[n:]...)
	p.mu.Unlock()
	for _, s := range old {
		s.quit()
	}
}
