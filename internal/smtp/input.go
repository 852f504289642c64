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

// bulk holds buffers for bodies. A connection has one only while it is used,
// so that an idle connection costs little.
var bulk = sync.Pool{New: func() any { return new([bulkSize]byte) }}

// input is what was read from the wire and not used yet: buf[r:w].
type input struct {
	conn  net.Conn
	small []byte          // of maxLine bytes, for commands
	large *[bulkSize]byte // from the pool while a body or a long line is read
	buf   []byte          // small or large
	r, w  int
}

func (in *input) init(c net.Conn) {
	in.conn = c
	in.small = make([]byte, maxLine)
	in.buf = in.small
}

// pending is what is buffered. It is valid until the next fill.
func (in *input) pending() []byte { return in.buf[in.r:in.w] }

func (in *input) use(n int) { in.r += n }

// line returns the length of the line at the front, its LF included, or 0.
func (in *input) line() int { return bytes.IndexByte(in.pending(), '\n') + 1 }

// fill reads once from the wire, making room first.
func (in *input) fill() error {
	switch {
	case in.r == in.w:
		in.r, in.w = 0, 0
	case in.w == len(in.buf) && in.r > 0:
		in.w = copy(in.buf, in.pending())
		in.r = 0
	case in.w == len(in.buf):
		in.enlarge()
	}
	n, err := in.conn.Read(in.buf[in.w:])
	in.w += n
	if n > 0 {
		return nil
	}
	return err
}

// enlarge moves what is pending to a large buffer.
func (in *input) enlarge() {
	if in.large != nil {
		return
	}
	in.large = bulk.Get().(*[bulkSize]byte)
	n := copy(in.large[:], in.pending())
	in.buf, in.r, in.w = in.large[:], 0, n
}

// shrink gives the large buffer back once what is pending fits the small one.
func (in *input) shrink() {
	if in.large == nil || in.w-in.r > len(in.small) {
		return
	}
	n := copy(in.small, in.pending())
	bulk.Put(in.large)
	in.large, in.buf, in.r, in.w = nil, in.small, 0, n
}

// release gives the buffers back for good.
func (in *input) release() {
	if in.large != nil {
		bulk.Put(in.large)
	}
	in.large, in.buf, in.r, in.w = nil, nil, 0, 0
}
