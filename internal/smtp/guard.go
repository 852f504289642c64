package smtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"sesrelay/internal/relay"
)

// guard stands between the wire of one connection and the library. It owns the
// wire: what the library reads are command lines that the guard has judged,
// and what it writes are replies that the guard may replace. One goroutine at a
// time uses it; others touch raw, idle, waiting and cancel only.
type guard struct {
	srv     *Server
	lst     *Listener
	log     *slog.Logger
	raw     net.Conn // the wire; its deadlines and Close may be used by any goroutine
	conn    net.Conn // raw, what a PROXY header left over, or TLS over them
	in      input
	out     output
	client  netip.Addr // after the PROXY header
	health  bool       // a load balancer's own connection (PROXY LOCAL)
	ctx     context.Context
	cancel  context.CancelFunc
	idle    atomic.Bool // waiting for a command outside a mail transaction
	waiting atomic.Bool // waiting for a command
	parked  atomic.Bool // idle without the library and without buffers
	counted netip.Addr  // the key that the connection is counted under
	closed  atomic.Bool

	since   time.Time // the wait for the next command began
	until   time.Time // and ends
	parking bool      // the library's part is over, the connection is not

	exchange
	dialogue
}

// dialogue is the session as far as the guard follows it.
type dialogue struct {
	greeted  bool      // EHLO was accepted, and is still in force
	helo     string    // its argument
	extended bool      // it was not HELO
	tls      bool      //
	user     string    // authenticated user
	attempts int       // of AUTH
	bad      int       // bad commands
	idling   int       // commands since the last message
	active   time.Time // of the last message

	tx       Transaction // nil outside a mail transaction
	utf8     bool        // SMTPUTF8 was given at MAIL
	tried    int         // RCPT commands of this transaction
	accepted int         // its recipients
}

var _ net.Conn = (*seat)(nil)

// Read gives the library one complete command line. That the library reads
// means that it has written every earlier reply.
func (g *guard) Read(p []byte) (n int, err error) {
	defer func() {
		if v := recover(); v != nil { // outside the library's own recover: would end the process
			g.panicked("guard", v)
			n, err = 0, io.EOF
		}
	}()
	if n := g.left(p); n > 0 {
		return n, nil
	}
	for !g.out.isHung() {
		line, err := g.nextLine()
		if err != nil {
			return 0, err
		}
		if line = g.command(line); line != nil {
			g.rest = line
			return g.left(p), nil
		}
	}
	return 0, io.EOF
}

// nextLine returns the next complete line. What is wrong with the wire is
// answered here and ends in io.EOF: an incomplete line is never executed.
func (g *guard) nextLine() ([]byte, error) {
	for waiting := false; ; {
		limit := g.lineLimit()
		n := g.in.line()
		switch {
		case n > limit || n == 0 && len(g.in.pending()) >= limit:
			return nil, g.hangUp(replyLineLong)
		case n > 0:
			line := g.in.pending()[:n]
			g.in.use(n)
			g.idle.Store(false)
			g.waiting.Store(false)
			if !sound(line) {
				return nil, g.hangUp(replyLine)
			}
			return line, nil
		case !g.sasl && garbage(g.in.pending()):
			return nil, g.hangUp(replyProtocol)
		}
		if !waiting {
			waiting = true
			if err := g.await(); err != nil {
				return nil, err
			}
		}
		if err := g.in.fill(); err != nil {
			if err := g.lost(err); err != nil {
				return nil, err
			}
		}
	}
}

// await writes what the client waits for, and sets the deadline for its next
// command.
func (g *guard) await() error {
	if g.flush() != nil {
		return io.EOF
	}
	g.in.shrink()
	g.until = g.deadline()
	if t := time.Now().Add(g.srv.limits.Park); g.parkable() && t.Before(g.until) {
		return g.expect(t)
	}
	return g.expect(g.until)
}

// expect sets the deadline of a wait. While the service drains, hardly anybody
// is waited for: that is asked after the deadline was set, see Server.wake.
func (g *guard) expect(t time.Time) error {
	g.raw.SetReadDeadline(t)
	g.idle.Store(g.tx == nil)
	g.waiting.Store(true)
	switch {
	case g.waitIsOver():
		return g.hangUp(replyDraining)
	case g.tx == nil && g.srv.phase.Load() == draining:
		g.raw.SetReadDeadline(g.announced())
	}
	return nil
}

// parkable reports whether the library knows nothing that the guard does not.
func (g *guard) parkable() bool { return g.tx == nil && !g.sasl && len(g.in.pending()) == 0 }

// waitIsOver reports whether the drain has reached this connection: idle ones
// at once, those whose mail is announced a moment later, those inside a mail
// transaction at the drain's deadline.
func (g *guard) waitIsOver() bool {
	p := g.srv.phase.Load()
	return p == drained || p == draining && g.tx == nil && !time.Now().Before(g.announced())
}

// announced returns how long MAIL is waited for that the client is about to
// send. Postfix asks a cached connection by RSET whether it lives, and when it
// did, and MAIL fails all the same, strikes the host off its list for this
// mail: where that was the last one, the mail is deferred ("server unavailable
// or unable to receive mail"). Behind a final reply nothing is announced.
func (g *guard) announced() time.Time {
	switch g.verb {
	case "", verbEhlo, verbHelo, verbLhlo, verbRset, verbNoop, verbStartTLS, verbAuth:
		return g.since.Add(announcement)
	}
	return time.Time{}
}

// deadline returns the end of a wait for a command that begins now.
func (g *guard) deadline() time.Time {
	l, now := &g.srv.limits, time.Now()
	g.since = now
	t := now.Add(l.Command)
	if g.tx != nil && g.tx.HoldsConnection() {
		t = now.Add(l.Held)
	}
	if end := g.active.Add(l.Idle); end.Before(t) {
		return end
	}
	return t
}

// lost turns an error of the wire into the end of the session, or of the
// library's part in it. nil: the wait goes on.
func (g *guard) lost(err error) error {
	switch {
	case g.waitIsOver():
		return g.hangUp(replyDraining)
	case !errors.Is(err, os.ErrDeadlineExceeded):
		g.out.hang()
		return io.EOF
	case !time.Now().Before(g.until):
		return g.hangUp(replyTimeout)
	case g.parkable():
		g.parking = true
		return io.EOF
	}
	return g.expect(g.until) // half a line has come: it has all the time of a command
}

// hangUp says the last reply. The library sees the end of the input.
func (g *guard) hangUp(r relay.Reply) error {
	g.out.say(r)
	g.out.hang()
	return io.EOF
}

func (g *guard) flush() error { return g.out.flush(g.conn, g.srv.limits.Write) }

// panicked logs a panic and hangs up.
func (g *guard) panicked(where string, v any) {
	g.log.Error("panic in "+where, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	g.hangUp(replyPanic)
}

// LocalAddr returns the address of the listener's end.
func (g *guard) LocalAddr() net.Addr { return g.raw.LocalAddr() }

// RemoteAddr returns the address of the wire's other end, which may be a proxy.
func (g *guard) RemoteAddr() net.Addr { return g.raw.RemoteAddr() }

// SetDeadline does nothing, as the other two: the deadlines are the guard's
// own. The library's would execute half a line and the rest of a body.
func (g *guard) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (g *guard) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (g *guard) SetWriteDeadline(time.Time) error { return nil }
