package ses

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"sync/atomic"
	"syscall"

	"sesrelay/internal/relay"
)

// conn counts the bytes that may have left on a connection to SES.
type conn struct {
	net.Conn
	given  atomic.Int64 // bytes that the kernel took or is being offered
	heard  atomic.Int64 // given, when the last answer came; 0: not noted
	sealed atomic.Bool

	raw    syscall.RawConn // nil when the connection is none of the system's
	glance bool            // Read does not wait; of the goroutine that has the connection
}

func newConn(nc net.Conn) *conn {
	c := &conn{Conn: nc}
	if sc, ok := nc.(syscall.Conn); ok {
		c.raw, _ = sc.SyscallConn()
	}
	return c
}

// errNothingYet ends a glance at a connection on which nothing has come. To TLS
// it is a timeout, which leaves the connection as it was.
var errNothingYet net.Error = nothingYet{}

type nothingYet struct{}

func (nothingYet) Error() string   { return "ses: nothing has come" }
func (nothingYet) Timeout() bool   { return true }
func (nothingYet) Temporary() bool { return true }

// Read reads, or takes a glance.
func (c *conn) Read(p []byte) (int, error) {
	if c.glance {
		return c.readNow(p)
	}
	return c.Conn.Read(p)
}

// writePart is how much is counted at once: what is counted and has not left is
// never more.
const writePart = 64 << 10

// Write writes p in parts.
func (c *conn) Write(p []byte) (n int, err error) {
	for {
		part := p[n:min(len(p), n+writePart)]
		m, err := c.writePart(part)
		if n += m; err != nil || n == len(p) {
			return n, err
		}
	}
}

// writePart counts p before it is written, so that whoever seals the connection
// either sees the bytes or stops them.
func (c *conn) writePart(p []byte) (int, error) {
	c.given.Add(int64(len(p)))
	if c.sealed.Load() {
		c.given.Add(-int64(len(p)))
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Write(p)
	c.given.Add(int64(n - len(p)))
	return n, err
}

// seal ends the connection for writing and returns how many bytes may have
// left on it. The number is final but for bytes that turn out not to have left.
func (c *conn) seal() int64 {
	c.sealed.Store(true)
	n := c.given.Load()
	c.Conn.Close() //nolint:errcheck // the connection has failed already
	return n
}

// attempt is what the transport saw of the one POST of one mail. It is used by
// the goroutine that posts.
//
// A POST that failed without an answer was surely not accepted when SES cannot
// have its last byte: the signature covers a hash of the whole body, and
// Content-Length says where it ends. So it is enough that fewer bytes than the
// body has were given to the connection, and that no more can follow. TLS and
// the header section only add to what is counted, which errs to "unknown".
type attempt struct {
	posted bool
	status int   // of the answer; 0 when there was none
	length int64 // of the request's body
	got    bool  // a connection was found
	conn   *conn // nil when it is none of ours: then nothing is certain
	start  int64 // conn.given when the connection was got
	trace  httptrace.ClientTrace
}

// attemptKey finds the attempt under the SDK.
type attemptKey struct{}

// attemptOf returns the attempt that ctx carries, or nil for a call that is none.
func attemptOf(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

// gotConn notes the connection. For HTTP/1.1 it is called on the goroutine of
// RoundTrip, before anything is written of this request.
func (a *attempt) gotConn(info httptrace.GotConnInfo) {
	c := info.Conn
	for t, ok := c.(*tls.Conn); ok; t, ok = c.(*tls.Conn) { // two deep behind an HTTPS proxy
		c = t.NetConn()
	}
	ours, _ := c.(*conn)
	a.found(ours)
}

// found notes the connection, nil when it is none of ours.
func (a *attempt) found(c *conn) {
	if a.got, a.conn = true, c; c != nil {
		a.start = c.given.Load()
	}
}

// unsent reports whether it is certain that the request did not leave as a
// whole. It makes that certain, by closing the connection: it is called after
// a failure only.
func (a *attempt) unsent() bool {
	if !a.got {
		return true
	}
	return a.conn != nil && a.conn.seal()-a.start < a.length
}

// errEarly is a success that came before the request had left.
var errEarly = errors.New("ses: HTTP 200 before the request was written")

// early reports whether the answer cannot be about the whole request, because
// not all of it was given to the connection: then a 200 accepts nothing. Who
// says so is not SES, or has lost its place in the dialogue.
func (a *attempt) early() bool {
	if a.conn == nil {
		return false
	}
	given := a.conn.given.Load()
	if heard := a.conn.heard.Load(); heard > 0 { // more may have been written since
		given = heard
	}
	return given-a.start < a.length
}

// failure classifies a POST that brought no answer, or none that counts.
func (a *attempt) failure(err error) *relay.Error {
	if _, ok := errors.AsType[*credentialsError](err); ok && !a.posted {
		return unsigned.error(err)
	}
	if !a.posted {
		return verdict{class: ClassRequest, reply: relay.ReplyLocalError}.error(err)
	}
	if a.unsent() {
		return verdict{signal: relay.SignalCount, class: a.unsentClass(err), reply: relay.ReplyUnavailable}.error(err)
	}
	class := ClassConnectionLost
	if isTimeout(err) {
		class = ClassTimeout
	}
	return verdict{outcome: relay.Unknown, signal: relay.SignalCount, class: class, reply: relay.ReplyUnknown}.error(err)
}

func (a *attempt) unsentClass(err error) string {
	if a.got {
		return ClassNotSent
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" || errors.Is(err, context.DeadlineExceeded) {
		return ClassDial
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return ClassDial
	}
	return ClassTLS
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}
