package smtp

import (
	"context"
	"time"
)

// The phases of the service.
const (
	serving  int32 = iota
	draining       // no new connections; idle ones and RSET, NOOP get 421; MAIL is served
	drained        // the deadline is over: MAIL gets 421, open transactions end
)

// announcement is how long behind a greeting, EHLO, RSET or NOOP a drain waits
// for the MAIL that usually follows at once.
const announcement = time.Second

// lastWords is how long connections have to be told 421 after the deadline, and
// their handlers to end once they are closed.
const lastWords = 500 * time.Millisecond

// Drain ends the service without deferring mail. It closes the listeners;
// every connection gets 421 4.3.2 and ends when it is idle, at RSET or NOOP, or
// behind the final reply of its mail; one that has just been told that it can
// begin has a second to do so. MAIL is served until ctx ends: then
// whatever is left is told 421 where it waits for a command, and closed.
// Drain returns when no connection is left: nil, or ctx's error when it had to
// close some. Before it the caller turns readiness off and waits its grace.
func (s *Server) Drain(ctx context.Context) error {
	s.phase.CompareAndSwap(serving, draining)
	s.SetListeners(nil)
	empty := s.whenEmpty()
	s.wake(draining)
	select {
	case <-empty:
		return s.Close()
	case <-ctx.Done():
	}
	s.phase.Store(drained)
	s.wake(drained)
	select {
	case <-empty:
	case <-time.After(lastWords):
	}
	s.Close()
	select {
	case <-empty:
	case <-time.After(lastWords): // a transaction does not heed its context
	}
	return ctx.Err()
}

// whenEmpty returns a channel that is closed when there are no connections.
func (s *Server) whenEmpty() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.empty == nil {
		s.empty = make(chan struct{})
		s.closeIfEmpty()
	}
	return s.empty
}

// closeIfEmpty tells a drain that the last connection is gone. mu is held.
func (s *Server) closeIfEmpty() {
	if len(s.conns) > 0 || s.empty == nil {
		return
	}
	select {
	case <-s.empty:
	default:
		close(s.empty)
	}
}

// wake expires the wait of the connections that the phase concerns. One that
// begins to wait at the same time sees the phase itself: it looks after it has
// said that it is idle and set its deadline.
func (s *Server) wake(phase int32) {
	for _, g := range s.connections() {
		if g.idle.Load() || phase == drained && g.waiting.Load() {
			g.raw.SetReadDeadline(time.Unix(1, 0))
		}
	}
}
