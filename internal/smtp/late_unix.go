//go:build unix

package smtp

import (
	"io"
	"net"
	"syscall"
)

// lateRead reads from a connection as its Read does, but asks for the buffer
// only when it tries: while it waits for bytes it has none.
type lateRead struct {
	conn *net.TCPConn
	raw  syscall.RawConn
	in   *input
	fd   int
	err  error

	attempt func(fd uintptr) bool // once, as a value that is made once
	take    func([]byte) int      // the same of readOnce
}

// of prepares reads from c, and reports whether there can be any.
func (l *lateRead) of(c *net.TCPConn, in *input) bool {
	if l.conn == c {
		return true
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	*l = lateRead{conn: c, raw: raw, in: in}
	l.attempt, l.take = l.once, l.readOnce
	return true
}

// read waits until the connection has bytes, its end or an error.
func (l *lateRead) read() error {
	l.err = nil
	if err := l.raw.Read(l.attempt); err != nil { // the deadline, or the connection was closed
		return err
	}
	return l.err
}

// once is one attempt; false waits for the next.
func (l *lateRead) once(fd uintptr) bool {
	l.fd = int(fd)
	l.in.readLarge(l.take)
	return l.err != syscall.EAGAIN //nolint:errorlint // as it comes from the system
}

func (l *lateRead) readOnce(p []byte) int {
	for {
		n, err := syscall.Read(l.fd, p)
		switch {
		case err == syscall.EINTR: //nolint:errorlint // as above
			continue
		case err == nil && n == 0:
			err = io.EOF
		}
		l.err = err
		return n
	}
}
