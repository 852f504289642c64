package admin

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
)

// One address fills its part and no more; a closed connection makes room.
func TestLimitConnections(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	l := &limited{Listener: inner, all: 3, each: 2, open: map[netip.Addr]int{}}
	accepted := make(chan net.Conn, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	dial := func(from string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	refused := func(c net.Conn) {
		t.Helper()
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, net.ErrClosed) {
			t.Errorf("a connection above the cap: %v, want it closed", err)
		}
	}
	dial("127.0.0.1")
	first := <-accepted
	dial("127.0.0.1")
	<-accepted
	refused(dial("127.0.0.1"))
	dial("127.0.0.2")
	<-accepted
	refused(dial("127.0.0.3"))

	first.Close()
	first.Close() // as net/http does; it counts once
	again := dial("127.0.0.1")
	served := <-accepted
	if _, err := io.WriteString(served, "x"); err != nil {
		t.Error(err)
	}
	if _, err := again.Read(make([]byte, 1)); err != nil {
		t.Errorf("after a connection was closed: %v", err)
	}
	refused(dial("127.0.0.1"))
}
