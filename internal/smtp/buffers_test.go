package smtp

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// deadlines is a connection that notes the deadlines of its writes.
type deadlines struct {
	net.Conn
	set []time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.set = append(d.set, t)
	return nil
}

// A deadline that stands already is not set again, and one that somebody else
// has changed, that would end a write too early or too late, is.
func TestWriteDeadline(t *testing.T) {
	t.Parallel()
	c, o, start := &deadlines{}, &output{}, time.Now()
	for i, step := range []struct {
		before  func()
		timeout time.Duration
		sets    int
	}{
		{func() {}, time.Hour, 1},
		{func() {}, time.Hour, 1},
		{func() { o.until = o.until.Add(-3 * time.Minute) }, time.Hour, 1},
		{func() { o.until = o.until.Add(-3 * time.Minute) }, time.Hour, 2},
		{o.forgetDeadline, time.Hour, 3},
		{func() {}, time.Minute, 4},
		{func() {}, time.Hour, 5},
	} {
		step.before()
		o.allow(c, step.timeout)
		if len(c.set) != step.sets {
			t.Fatalf("step %d: the deadline was set %d times, want %d", i, len(c.set), step.sets)
		}
		if left := c.set[len(c.set)-1].Sub(start); left < step.timeout || left > step.timeout+time.Minute {
			t.Fatalf("step %d: %v are left", i, left)
		}
	}
}

// While an upstream is asked, a client that has sent nothing more costs no buffer.
func TestNoBufferWhileTheUpstreamIsAsked(t *testing.T) {
	t.Parallel()
	in := input{}
	in.enlarge()
	in.w = copy(in.buf, "QUIT\r\n")
	in.shrink()
	if in.large != nil || string(in.pending()) != "QUIT\r\n" {
		t.Fatalf("large %v, pending %q", in.large != nil, in.pending())
	}
	in.enlarge()
	in.use(6)
	in.shrink()
	if in.large != nil || in.small != nil || len(in.pending()) != 0 {
		t.Fatalf("large %v, small %v, pending %q", in.large != nil, in.small != nil, in.pending())
	}
}

// While a client that has been told 354 sends nothing, it costs no large buffer.
func TestNoBufferWhileContentIsAwaited(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	in := input{conn: server}
	fill := func() error {
		server.SetReadDeadline(time.Now().Add(10 * time.Second))
		return in.fillLarge()
	}
	for _, text := range []string{"a", "bc\r\n", "."} {
		if _, err := client.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := fill(); err != nil || string(in.pending()) != text || in.large == nil {
			t.Fatalf("%q, %v", in.pending(), err)
		}
		in.use(len(text))
	}
	server.SetReadDeadline(time.Now().Add(time.Millisecond))
	if err := in.fillLarge(); !errors.Is(err, os.ErrDeadlineExceeded) || in.large != nil || in.small != nil || len(in.pending()) != 0 {
		t.Fatalf("%v, large %v, small %v, pending %q", err, in.large != nil, in.small != nil, in.pending())
	}
	client.Close()
	if err := fill(); err != io.EOF { //nolint:errorlint // as a connection's Read returns it
		t.Fatalf("%v, want io.EOF", err)
	}
	server.Close()
	if err := fill(); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("%v, want net.ErrClosed", err)
	}
}
