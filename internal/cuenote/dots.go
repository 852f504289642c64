package cuenote

import (
	"bytes"
	"errors"
	"sync"
)

// Errors about content that would break out of the dialogue. The session
// refuses such content long before: here it is a caller's bug.
var (
	errBareLF = errors.New("cuenote: the content has a bare LF")
	errBareCR = errors.New("cuenote: the content has a bare CR")
)

// bufferSize holds a small mail whole, so that it leaves in one write.
const bufferSize = 64 << 10

// dotWriter collects content for the wire: dot-stuffed (RFC 5321 section
// 4.5.2), in bulk, and with nothing in it that any server could read as a line
// end but CRLF. flush is called when the buffer is full.
type dotWriter struct {
	buf   []byte
	flush func([]byte) error
	start bool // at the start of a line
	cr    bool // the last byte was CR
}

var dotWriters = sync.Pool{New: func() any {
	return &dotWriter{buf: make([]byte, 0, bufferSize)}
}}

func newDotWriter(flush func([]byte) error) *dotWriter {
	w := dotWriters.Get().(*dotWriter)
	*w = dotWriter{buf: w.buf[:0], flush: flush, start: true}
	return w
}

func (w *dotWriter) free() {
	w.flush = nil
	dotWriters.Put(w)
}

// add takes the next part of the content. It looks at line ends only; what
// lies between is copied at once.
func (w *dotWriter) add(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if w.cr && p[0] != '\n' {
		return errBareCR
	}
	if w.start && p[0] == '.' {
		if err := w.put(dot); err != nil {
			return err
		}
	}
	copied := 0
	for at := 0; at < len(p); {
		next, err := w.line(p, at)
		if err != nil {
			return err
		}
		at = next
		if at < len(p) && p[at] == '.' {
			if err := w.put(p[copied:at]); err != nil {
				return err
			}
			if err := w.put(dot); err != nil {
				return err
			}
			copied = at
		}
	}
	w.cr, w.start = p[len(p)-1] == '\r', p[len(p)-1] == '\n'
	return w.put(p[copied:])
}

var dot = []byte(".")

// line checks the line that starts at at and returns where the next one does,
// or len(p).
func (w *dotWriter) line(p []byte, at int) (int, error) {
	n := bytes.IndexByte(p[at:], '\n')
	if n < 0 {
		if cr := bytes.IndexByte(p[at:], '\r'); cr >= 0 && at+cr != len(p)-1 {
			return 0, errBareCR
		}
		return len(p), nil
	}
	if n == 0 { // only behind a CR that ended the part before
		if at > 0 || !w.cr {
			return 0, errBareLF
		}
		return 1, nil
	}
	switch cr := bytes.IndexByte(p[at:at+n], '\r'); {
	case cr < 0:
		return 0, errBareLF
	case cr != n-1:
		return 0, errBareCR
	}
	return at + n + 1, nil
}

// put copies b into the buffer, which it flushes when full.
func (w *dotWriter) put(b []byte) error {
	for len(b) > cap(w.buf)-len(w.buf) {
		n := cap(w.buf) - len(w.buf)
		w.buf = append(w.buf, b[:n]...)
		b = b[n:]
		if err := w.drain(); err != nil {
			return err
		}
	}
	w.buf = append(w.buf, b...)
	return nil
}

// drain flushes what the buffer holds.
func (w *dotWriter) drain() error {
	if len(w.buf) == 0 {
		return nil
	}
	err := w.flush(w.buf)
	w.buf = w.buf[:0]
	return err
}

// end returns the last bytes of the data, the final dot whole among them; they
// are not flushed. The content ends in CRLF before it (RFC 5321 section 4.1.1.4).
func (w *dotWriter) end() ([]byte, error) {
	if w.cr {
		return nil, errBareCR
	}
	tail := []byte("\r\n.\r\n")
	if w.start {
		tail = tail[2:]
	}
	if len(tail) > cap(w.buf)-len(w.buf) {
		if err := w.drain(); err != nil {
			return nil, err
		}
	}
	w.buf = append(w.buf, tail...)
	return w.buf, nil
}
