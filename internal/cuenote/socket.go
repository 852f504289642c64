package cuenote

import (
	"net"
	"syscall"
)

// socket is the system's end of a connection, below TLS.
type socket struct {
	raw  syscall.RawConn // nil when the connection is none of the system's
	look func(fd uintptr)
	one  [1]byte
	n    int
	err  error
}

func newSocket(nc net.Conn) *socket {
	s := &socket{}
	s.look = s.recv
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			s.raw = raw
		}
	}
	return s
}
