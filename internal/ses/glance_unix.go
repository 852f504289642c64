//go:build unix

package ses

import (
	"io"
	"syscall"
)

// readNow reads what the kernel holds for the connection, without waiting. An
// expired deadline does not stop it.
func (c *conn) readNow(p []byte) (int, error) {
	if c.raw == nil {
		return 0, errNothingYet // no socket of the system's: nothing can be said
	}
	n, err := 0, error(nil)
	if lost := c.raw.Control(func(fd uintptr) { n, _, err = syscall.Recvfrom(int(fd), p, syscall.MSG_DONTWAIT) }); lost != nil {
		return 0, lost
	}
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR:
		return 0, errNothingYet
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}
