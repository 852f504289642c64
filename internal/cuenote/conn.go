package cuenote

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

// conn is one connection to the smarthost, ready for mail transactions. It is
// used by one goroutine at a time.
type conn struct {
	nc     net.Conn // the TLS connection, once there is TLS
	socket *socket
	br     *bufio.Reader
	out    []byte    // commands on their way, reused
	reply  reply     // the last one read
	expire func()    // makes every pending read and write fail
	until  time.Time // the deadline of reads and writes; zero: not known

	ext      extensions
	greeting string
	tls      *tls.ConnectionState // nil without TLS
	verified bool                 // the certificate is that of the server meant

	born  time.Time
	idle  time.Time // since when in the pool
	mails int       // transactions begun
	fit   bool      // nothing came unasked when the pool looked; until the first command
	dirty bool      // a transaction may be open: RSET comes before the next MAIL
	gone  bool      // reset, closed or 421: what failed may be tried on another connection
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

func newConn(nc net.Conn, now time.Time) *conn {
	c := &conn{socket: newSocket(nc), born: now}
	c.use(nc)
	c.expire = func() { nc.SetDeadline(past) } // not c.nc: TLS may be about to replace it
	return c
}

// use makes nc what is read and written, and forgets everything read ahead.
func (c *conn) use(nc net.Conn) {
	c.nc = nc
	c.br = bufio.NewReader(nc)
}

// watch lets the end of ctx interrupt reads and writes until stop is called.
// stop returns false when ctx has ended: the connection is then of no more use.
func (c *conn) watch(ctx context.Context) (stop func() bool) {
	if ctx.Done() == nil {
		return func() bool { return true }
	}
	return context.AfterFunc(ctx, c.expire)
}

// limit gives what follows at most d. The look at ctx comes after the deadline
// is set: a watch that fires before is seen here, one that fires later overrides it.
func (c *conn) limit(ctx context.Context, d time.Duration) error {
	if err := c.allow(d); err != nil {
		return err
	}
	return ctx.Err()
}

// allow sets the deadline, unless the one that is set is at most a sixteenth of
// d sooner: the steps of one mail follow each other within moments.
func (c *conn) allow(d time.Duration) error {
	until := time.Now().Add(d)
	if late := until.Sub(c.until); late >= 0 && late <= d/16 {
		return nil
	}
	c.until = until
	return c.nc.SetDeadline(until)
}

// write writes b within d.
func (c *conn) write(ctx context.Context, b []byte, d time.Duration) error {
	if err := c.limit(ctx, d); err != nil {
		return err
	}
	_, err := c.nc.Write(b)
	return c.note(err)
}

// read reads the next reply into c.reply within d.
func (c *conn) read(ctx context.Context, d time.Duration) error {
	if c.br.Buffered() == 0 || c.until.IsZero() { // with a look's deadline, half a reply may have come
		if err := c.limit(ctx, d); err != nil {
			return err
		}
	}
	err := c.note(c.reply.read(c.br))
	if err == nil && c.reply.code == 421 { // RFC 5321 section 3.8: it closes the connection
		c.gone = true
	}
	return err
}

// note remembers that the other end is gone.
func (c *conn) note(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNABORTED) {
		c.gone = true
	}
	return err
}

// unasked looks, before a command is written, for a reply that nobody has asked
// for. It would be taken for the command's own, and each later one for that of
// the next command: the refusal of one recipient for that of all. A 421 is what
// may come at any time (RFC 5321 section 3.8): then said is true, and it is the answer.
func (c *conn) unasked(ctx context.Context, d time.Duration) (said bool, err error) {
	quiet, err := c.quiet()
	if quiet || err != nil {
		return false, err
	}
	if err := c.read(ctx, d); err != nil {
		return false, err
	}
	if c.reply.code != 421 {
		return false, fmt.Errorf("%w: it came unasked: %s", errGarbage, c.reply.quoted())
	}
	return true, nil
}

// cmd writes one command line and reads its reply. What came unasked is looked
// for only where it costs nothing: right behind the TLS handshake the server's
// session tickets would be waited for.
func (c *conn) cmd(ctx context.Context, line string, d time.Duration) error {
	if c.br.Buffered() > 0 {
		if said, err := c.unasked(ctx, d); said || err != nil {
			return err
		}
	}
	c.out = append(append(c.out[:0], line...), "\r\n"...)
	if err := c.write(ctx, c.out, d); err != nil {
		return err
	}
	return c.read(ctx, d)
}

// quiet reports whether the smarthost has said nothing that was not asked for.
// When it has, an error tells that it is gone, and nil that a reply can be read.
func (c *conn) quiet() (bool, error) {
	if c.br.Buffered() > 0 {
		return false, nil
	}
	pending, gone := c.socket.peek()
	if c.tls != nil {
		heard, err := c.heardTLS(pending)
		if heard || err != nil {
			return false, c.note(err)
		}
		pending = false
	}
	if gone {
		c.gone = true
		return false, io.EOF
	}
	return !pending, nil
}

// heardTLS reports whether a reply can be read from the TLS connection. It may
// have read a record ahead of the one asked for: a read whose deadline is over
// finds it and touches the net no more. Bytes that still wait in the kernel may
// be a session ticket: they are taken in, and only what is inside counts.
func (c *conn) heardTLS(pending bool) (bool, error) {
	deadline := past
	if pending {
		deadline = time.Now().Add(20 * time.Millisecond)
	}
	c.until = time.Time{}
	c.nc.SetReadDeadline(deadline)
	_, err := c.br.Peek(1)
	if isTimeout(err) {
		return false, nil
	}
	return err == nil, err
}

// lastWord reads the reply that the smarthost left before it closed, when a
// write has failed. It does not wait for one.
func (c *conn) lastWord(ctx context.Context, d time.Duration) bool {
	if quiet, err := c.quiet(); quiet || err != nil {
		return false
	}
	return c.read(ctx, d) == nil
}

// quit takes leave (RFC 5321 section 4.1.1.10) and closes.
func (c *conn) quit(d time.Duration) {
	_ = c.cmd(context.Background(), "QUIT", d) // the answer changes nothing
	c.nc.Close()
}

// transport says how the connection is protected, for a report.
func (c *conn) transport() string {
	if c.tls == nil {
		return "none"
	}
	s := fmt.Sprintf("%s %s", tls.VersionName(c.tls.Version), tls.CipherSuiteName(c.tls.CipherSuite))
	if !c.verified {
		s += ", certificate not verified"
	}
	return s
}
