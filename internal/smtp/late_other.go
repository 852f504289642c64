//go:build !unix

package smtp

import "net"

// lateRead does nothing here: the connection's own Read serves.
type lateRead struct{}

func (*lateRead) of(*net.TCPConn, *input) bool { return false }
func (*lateRead) read() error                  { return nil }
