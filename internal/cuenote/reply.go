package cuenote

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strings"

	"sesrelay/internal/relay"
)

// Bounds on what a smarthost may say.
const (
	maxReplyLines = 100  // RFC 5321 knows no limit; an EHLO reply has 10 to 20
	maxReplyBytes = 8192 //
	maxTextLines  = 3    // of a reply that is passed on
	maxTextLine   = 200  // bytes; the line must fit into 512 with its code (RFC 5321 section 4.5.3.1.5)
)

// errGarbage says that what was read is no SMTP reply: nothing that follows on
// this connection can be trusted.
var errGarbage = errors.New("not an SMTP reply")

// reply is a reply as it stood on the wire. Its text is overwritten by the next.
type reply struct {
	code int
	text []byte // lines without code, separated by "\n"
}

// read reads one reply (RFC 5321 section 4.2), of one line or many.
func (r *reply) read(br *bufio.Reader) error {
	r.code, r.text = 0, r.text[:0]
	for n := 0; ; n++ {
		line, err := br.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("%w: a line of more than %d bytes", errGarbage, br.Size())
		}
		if err != nil {
			return err
		}
		code, text, more, ok := cutReplyLine(line)
		if !ok || n > 0 && code != r.code {
			return fmt.Errorf("%w: %q", errGarbage, clean(line, 80))
		}
		if n >= maxReplyLines || len(r.text)+len(text) > maxReplyBytes {
			return fmt.Errorf("%w: too long", errGarbage)
		}
		r.code = code
		if n > 0 {
			r.text = append(r.text, '\n')
		}
		r.text = append(r.text, text...)
		if !more {
			return nil
		}
	}
}

// cutReplyLine takes a line apart: three digits of 200 to 599, then a hyphen
// when more lines follow, a blank, or nothing.
func cutReplyLine(line []byte) (code int, text []byte, more, ok bool) {
	line = bytes.TrimRight(line, "\r\n")
	if len(line) < 3 {
		return 0, nil, false, false
	}
	for _, c := range line[:3] {
		if c < '0' || c > '9' {
			return 0, nil, false, false
		}
		code = code*10 + int(c-'0')
	}
	if code < 200 || code > 599 {
		return 0, nil, false, false
	}
	if len(line) == 3 {
		return code, nil, false, true
	}
	if line[3] != ' ' && line[3] != '-' {
		return 0, nil, false, false
	}
	return code, line[4:], line[3] == '-', true
}

func (r *reply) positive() bool { return r.code/100 == 2 }

// elsewhere reports whether a reply to the final dot answers something else: it
// asks for more, or means help, a greeting, leave-taking or AUTH (RFC 5321
// section 4.2.2, RFC 4954 section 6). The two sides are out of step, so it says nothing of the mail.
func (r *reply) elsewhere() bool {
	switch r.code {
	case 211, 214, 220, 221, 235:
		return true
	}
	return r.code/100 == 3
}

// passed returns the reply as the client may read it: printable ASCII, a few
// lines of bounded length, the enhanced code apart.
func (r *reply) passed() relay.Reply {
	out := relay.Reply{Code: r.code}
	var lines []string
	for line := range bytes.SplitSeq(r.text, []byte("\n")) {
		enhanced, rest := cutEnhanced(r.code, line)
		if len(lines) == 0 {
			out.Enhanced = enhanced
		} else if enhanced != out.Enhanced {
			rest = line
		}
		lines = append(lines, clean(rest, maxTextLine))
		if len(lines) == maxTextLines {
			break
		}
	}
	out.Text = strings.Join(lines, "\n")
	if strings.TrimSpace(out.Text) == "" {
		out.Text = "Refused by the next hop"
	}
	return out
}

// cutEnhanced takes an enhanced status code (RFC 3463 section 2) off the start of a line.
// A code of another class than the reply's is none: the reply code outranks it.
func cutEnhanced(code int, line []byte) ([3]int, []byte) {
	var e [3]int
	rest := line
	for i := range e {
		n := 0
		for n < len(rest) && n < 3 && rest[n] >= '0' && rest[n] <= '9' {
			e[i] = e[i]*10 + int(rest[n]-'0')
			n++
		}
		if n == 0 {
			return [3]int{}, line
		}
		rest = rest[n:]
		if i == 2 {
			break
		}
		if len(rest) == 0 || rest[0] != '.' {
			return [3]int{}, line
		}
		rest = rest[1:]
	}
	if e[0] != code/100 || len(rest) > 0 && rest[0] != ' ' && rest[0] != '\t' {
		return [3]int{}, line
	}
	return e, bytes.TrimLeft(rest, " \t")
}

// clean returns b as printable ASCII, cut at limit bytes. What a smarthost
// writes ends up in our client's log and in ours.
func clean(b []byte, limit int) string {
	b = bytes.TrimSpace(b)
	cut := len(b) > limit
	if cut {
		b = b[:limit-3]
	}
	out := make([]byte, 0, len(b)+3)
	for _, c := range b {
		switch {
		case c == '\t' || c == '\n' || c == '\r':
			c = ' '
		case c < 0x20 || c > 0x7e:
			c = '?'
		}
		out = append(out, c)
	}
	if cut {
		out = append(out, "..."...)
	}
	return string(out)
}

// oneLine returns the whole text, enhanced code included, as one line.
func (r *reply) oneLine() string { return clean(r.text, maxTextLine) }

// quoted returns the reply for the log.
func (r *reply) quoted() string { return fmt.Sprintf("%d %s", r.code, r.oneLine()) }
