package smtp

import (
	"bytes"
	"net"
	"sync"
)

// Lengths of lines in bytes, CRLF included.
const (
	maxLine     = 2048  // a command; RFC 5321 section 4.5.3.1.4 asks for 512 and extensions add to it
	maxSASLLine = 12288 // RFC 4954 section 4
)

const bulkSize = 32 << 10

// Buffers of connections that are at work. An idle connection has none.
var (
	lines = sync.Pool{New: func() any { return new([maxLine]byte) }}
	bulk  = sync.Pool{New: func() any { return new([bulkSize]byte) }}
)

// input is what was read from the wire and not used yet: buf[r:w].
type input struct {
	conn  net.Conn
	first [16]byte        // where the first bytes go that end an idle time
	small *[maxLine]byte  // for commands
	large *[bulkSize]byte // while a body or a long line is read
	buf   []byte          // one of the three
	r, w  int
	late  lateRead
}

// pending is what is buffered. It is valid until the next fill.
func (in *input) pending() []byte { return in.buf[in.r:in.w] }

func (in *input) use(n int) { in.r += n }

// line returns the length of the line at the front, its LF included, or 0.
func (in *input) line() int { return bytes.IndexByte(in.pending(), '\n') + 1 }

// fill reads once from the wire, making room first.
func (in *input) fill() error {
	switch {
	case in.small == nil && in.large == nil:
		in.small = lines.Get().(*[maxLine]byte)
		in.move(in.small[:])
	case in.r == in.w:
		in.r, in.w = 0, 0
	case in.w == len(in.buf) && in.r > 0:
		in.move(in.buf)
	case in.w == len(in.buf):
		in.enlarge()
	}
	return in.read()
}

// fillLarge reads content from the wire; nothing may be pending. A client may
// take its time after 354, and many may at once: where the connection allows
// it, they wait without the large buffer.
func (in *input) fillLarge() error {
	if tcp, plain := in.conn.(*net.TCPConn); plain && in.late.of(tcp, in) {
		in.release()
		return in.late.read()
	}
	in.enlarge()
	return in.fill()
}

// readLarge makes one attempt to read, into a large buffer that is given back
// when nothing has come.
func (in *input) readLarge(read func([]byte) int) {
	large := bulk.Get().(*[bulkSize]byte)
	if n := read(large[:]); n > 0 {
		in.large, in.buf, in.r, in.w = large, large[:], 0, n
		return
	}
	bulk.Put(large)
}

func (in *input) read() error {
	n, err := in.conn.Read(in.buf[in.w:])
	in.w += n
	if n > 0 {
		return nil
	}
	return err
}

// move moves what is pending to the start of a buffer.
func (in *input) move(buf []byte) {
	in.w = copy(buf, in.pending())
	in.buf, in.r = buf, 0
}

// enlarge moves what is pending to a large buffer.
func (in *input) enlarge() {
	if in.large == nil {
		in.large = bulk.Get().(*[bulkSize]byte)
		in.move(in.large[:])
	}
}

// shrink gives the large buffer back once what is pending fits the small one,
// or no buffer is needed at all.
func (in *input) shrink() {
	if in.large == nil || in.w-in.r > maxLine {
		return
	}
	if in.r == in.w { // most likely: an upstream is asked now, and the client waits
		in.release()
		return
	}
	if in.small == nil {
		in.small = lines.Get().(*[maxLine]byte)
	}
	in.move(in.small[:])
	bulk.Put(in.large)
	in.large = nil
}

// firstBytes waits for the end of an idle time. Nothing must be pending: it
// gives the buffers back for that time.
func (in *input) firstBytes() error {
	in.release()
	in.buf = in.first[:]
	return in.read()
}

// release gives the buffers back, and forgets what is pending.
func (in *input) release() {
	if in.large != nil {
		bulk.Put(in.large)
	}
	if in.small != nil {
		lines.Put(in.small)
	}
	in.large, in.small, in.buf, in.r, in.w = nil, nil, nil, 0, 0
}
