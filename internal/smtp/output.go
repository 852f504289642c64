package smtp

import (
	"net"
	"sync"
	"time"

	"sesrelay/internal/relay"
)

// outputSize is how much is buffered before it is written although the client
// has sent more commands. EHLO and a group of 50 recipients fit.
const outputSize = 4 << 10

// output holds replies until the client waits for them. The library may write
// from another goroutine than the one that reads (LMTP), so it has a lock.
type output struct {
	mu    sync.Mutex // guards what follows
	buf   []byte     // nil while empty
	hung  bool       // nothing more is taken: a 421 was said, or the wire broke
	until time.Time  // the wire's deadline for writes; zero: none
}

var outputs = sync.Pool{New: func() any { return new([outputSize + 1024]byte) }}

// say appends a reply. A 421 is the last one (RFC 5321 section 3.8).
func (o *output) say(r relay.Reply) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.hung {
		return
	}
	o.room()
	o.buf = appendReply(o.buf, r)
	o.hung = r.Code == 421
}

// line appends one line of a reply as it is.
func (o *output) line(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.hung {
		o.room()
		o.buf = append(o.buf, b...)
	}
}

func (o *output) room() {
	if o.buf == nil {
		o.buf = outputs.Get().(*[outputSize + 1024]byte)[:0]
	}
}

// hang drops everything that is said from now on.
func (o *output) hang() {
	o.mu.Lock()
	o.hung = true
	o.mu.Unlock()
}

func (o *output) isHung() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.hung
}

func (o *output) size() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.buf)
}

// flush writes what is buffered, in one write.
func (o *output) flush(c net.Conn, timeout time.Duration) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.buf) == 0 {
		return nil
	}
	o.allow(c, timeout)
	_, err := c.Write(o.buf)
	if _, plain := c.(*net.TCPConn); !plain {
		o.until = time.Time{}
		c.SetWriteDeadline(o.until) // TLS writes of its own accord, while we read
	}
	if cap(o.buf) == outputSize+1024 {
		outputs.Put((*[outputSize + 1024]byte)(o.buf[:outputSize+1024]))
	}
	o.buf = nil
	if err != nil {
		o.hung = true
	}
	return err
}

// allow gives a write until timeout. A deadline that is at most a sixteenth
// sooner serves as well: the replies of one mail are written within moments.
func (o *output) allow(c net.Conn, timeout time.Duration) {
	until := time.Now().Add(timeout)
	if late := until.Sub(o.until); late < 0 || late > timeout/16 {
		o.until = until
		c.SetWriteDeadline(until)
	}
}

// forgetDeadline says that somebody else has set a deadline for writes.
func (o *output) forgetDeadline() {
	o.mu.Lock()
	o.until = time.Time{}
	o.mu.Unlock()
}
