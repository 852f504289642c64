package smtp

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// seat is the net.Conn that the library gets: the guard, until the connection
// is parked. The library has 8 KiB of buffers for each of its connections, and
// an idle connection does without it, so that ten thousand cost little. What
// the library knows of a session outside a mail transaction is the EHLO, which
// the next one is told again.
type seat struct {
	*guard
	left atomic.Bool
}

// Read ends when the seat is left.
func (s *seat) Read(p []byte) (int, error) {
	if s.left.Load() {
		return 0, io.EOF
	}
	return s.guard.Read(p)
}

// Write is the guard's, until the seat is left.
func (s *seat) Write(p []byte) (int, error) {
	if s.left.Load() {
		return len(p), nil
	}
	return s.guard.Write(p)
}

// Close parks the connection or ends it. The library calls it more than once,
// always in its own goroutine.
func (s *seat) Close() error {
	if s.left.Swap(true) {
		return nil
	}
	if s.parking {
		s.parking = false
		go s.srv.host(s.guard)
		return nil
	}
	return s.guard.Close()
}

// host waits until a connection that nobody serves says something, then gives
// it to the library.
func (s *Server) host(g *guard) {
	handed := false
	defer func() {
		if v := recover(); v != nil {
			g.panicked("connection", v)
		}
		if !handed {
			g.Close()
		}
	}()
	if g.sleep() != nil {
		return
	}
	g.exchange = exchange{hello: g.helo, resume: g.greeted}
	handed = s.engines[g.lst.Protocol].ready.give(&seat{guard: g})
}

// sleep waits without the library and without buffers. g.until is set.
func (g *guard) sleep() error {
	if err := g.flush(); err != nil {
		return err
	}
	g.parked.Store(true)
	defer g.parked.Store(false)
	for {
		if err := g.expect(g.until); err != nil {
			return err
		}
		err := g.in.firstBytes()
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, os.ErrDeadlineExceeded) || g.waitIsOver() || !time.Now().Before(g.until):
			return g.lost(err)
		} // else the drain woke it, and its mail is announced
	}
}
