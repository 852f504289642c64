//go:build linux || darwin || freebsd || netbsd || openbsd

package cuenote

import "syscall"

// peek looks at what the kernel holds for the connection without waiting and
// without taking it: bytes that nobody has asked for, or the end.
func (s *socket) peek() (pending, gone bool) {
	if s.raw == nil {
		return false, false // no socket of the system's: nothing can be said
	}
	// Control rather than Read: an expired read deadline does not stop it.
	if err := s.raw.Control(s.look); err != nil {
		return false, true
	}
	switch {
	case s.err == syscall.EAGAIN || s.err == syscall.EINTR:
		return false, false
	case s.err != nil || s.n == 0:
		return false, true
	}
	return true, false
}

func (s *socket) recv(fd uintptr) {
	s.n, _, s.err = syscall.Recvfrom(int(fd), s.one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
}
