package smtp

import "bytes"

// decoder takes the dots out of a body and finds its end (RFC 5321 section
// 4.5.2). Only CR LF "." CR LF ends a body. A bare CR, a bare LF and a NUL are
// noticed and never take part in the end: `\n.\n`, `\r.\r`, `\n.\r\n` and
// `\r\n.\n` are content.
type decoder struct {
	state bodyState
	bad   bool // a bare CR, a bare LF or a NUL was seen
	done  bool // the end of data was seen
}

type bodyState uint8

const (
	atLineStart bodyState = iota // behind CRLF, and at the start of the body
	inText
	afterCR    // in text, the last byte was CR
	afterDot   // "." at the start of a line; not passed on
	afterDotCR // ".\r" at the start of a line; not passed on
)

// decode decodes from src to dst until one of them is used up or the data
// ends. It returns the bytes written and the bytes used.
func (d *decoder) decode(dst, src []byte) (nd, ns int) {
	for nd < len(dst) && ns < len(src) && !d.done {
		c := src[ns]
		switch d.state {
		case atLineStart:
			d.state = inText
			if c == '.' {
				d.state = afterDot
				ns++
			}
		case inText:
			n := d.text(src[ns:min(len(src), ns+len(dst)-nd)])
			copy(dst[nd:], src[ns:ns+n])
			nd, ns = nd+n, ns+n
		case afterCR:
			d.state = inText
			if c == '\n' {
				d.state = atLineStart
				dst[nd] = c
				nd, ns = nd+1, ns+1
			} else {
				d.bad = true
			}
		case afterDot:
			d.state = inText
			if c == '\r' {
				d.state = afterDotCR
				ns++
			}
		case afterDotCR:
			if c == '\n' {
				d.done = true
				ns++
			} else { // the CR was bare, and content
				d.bad = true
				d.state = inText
				dst[nd] = '\r'
				nd++
			}
		}
	}
	return nd, ns
}

// text returns how much of p, which begins inside a line, can be passed on as
// it is: up to and including the CRLF before a line that begins with a dot.
func (d *decoder) text(p []byte) int {
	n := 0
	for d.state == inText && n < len(p) {
		i := bytes.IndexByte(p[n:], '\n')
		if i < 0 {
			d.tail(p[n:])
			n = len(p)
			break
		}
		line := p[n : n+i]
		n += i + 1
		if cr := bytes.IndexByte(line, '\r'); cr < 0 || cr != i-1 {
			d.bad = true
		}
		if i > 0 && line[i-1] == '\r' && (n == len(p) || p[n] == '.') {
			d.state = atLineStart
		}
	}
	if bytes.IndexByte(p[:n], 0) >= 0 {
		d.bad = true
	}
	return n
}

// tail judges the rest of p, which holds no LF.
func (d *decoder) tail(p []byte) {
	switch cr := bytes.IndexByte(p, '\r'); {
	case cr < 0:
	case cr == len(p)-1:
		d.state = afterCR
	default:
		d.bad = true
		if p[len(p)-1] == '\r' {
			d.state = afterCR
		}
	}
}
