//go:build !unix

package smtp

import "net"

// readable cannot be known here without waiting.
func readable(net.Conn) bool { return false }
