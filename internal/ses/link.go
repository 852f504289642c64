package ses

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// oneWay is how long a request may be to be written before the answer is
	// looked for. With a longer one the two go on at once, because SES may
	// answer early and stop reading.
	oneWay = 64 << 10
	// lastWords bounds the wait for an answer when writing has failed.
	lastWords = 100 * time.Millisecond
	// maxInterim is how many 1xx responses may come before the answer.
	maxInterim = 5
)

var (
	errAnswerTooLong = errors.New("ses: the answer does not end")
	errManyInterim   = errors.New("ses: no answer behind the interim responses")
)

// link is a connection to SES: HTTP/1.1 (RFC 9112), one request at a time.
type link struct {
	conn  *conn         // counts what leaves
	rw    net.Conn      // conn, or TLS over it
	in    *bufio.Reader // of link.Read
	left  int64         // what may still be read of the answer
	since time.Time     // idle since then
	one   [1]byte
}

func newLink(c *conn, rw net.Conn) *link {
	l := &link{conn: c, rw: rw}
	l.in = bufio.NewReaderSize(l, readBuffer)
	return l
}

// Read is the source of in. It ends where an answer is longer than any of SES.
func (l *link) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errAnswerTooLong
	}
	n, err := l.rw.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

// alive reports whether the idle connection can be used: neither its end has
// come nor an answer to no question. It does not wait.
func (l *link) alive() bool {
	if l.in.Buffered() > 0 {
		return false
	}
	l.conn.glance = true
	_, err := l.rw.Read(l.one[:]) // TLS takes what is its own, such as session tickets
	l.conn.glance = false
	return errors.Is(err, errNothingYet)
}

func (l *link) close() { l.conn.Close() } //nolint:errcheck // nothing more is wanted of it

// pieces is a request: its header section and its body, in one piece where
// there was room for that.
type pieces [2][]byte

func (p pieces) size() int { return len(p[0]) + len(p[1]) }

// write writes the request as a whole or fails.
func (l *link) write(p pieces) error {
	for _, b := range p {
		if len(b) == 0 {
			continue
		}
		if _, err := l.rw.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// exchange posts the request and reads the answer. The connection can be used
// again when again is true. When it returns, nothing reads p any more.
func (l *link) exchange(ctx context.Context, p pieces, answerWait time.Duration) (r *response, again bool, err error) {
	deadline, _ := ctx.Deadline()
	if err := l.rw.SetDeadline(deadline); err != nil {
		return nil, false, err
	}
	if p.size() > oneWay {
		return l.bothWays(p, deadline, answerWait)
	}
	if err := l.write(p); err != nil {
		r, err = decided(l.lastWords(deadline, answerWait), err)
		return r, false, err
	}
	return l.answer(deadline, answerWait)
}

// bothWays reads the answer while the request is still being written.
func (l *link) bothWays(p pieces, deadline time.Time, answerWait time.Duration) (*response, bool, error) {
	start := l.conn.given.Load()
	written := make(chan error, 1)
	go func() {
		err := l.write(p)
		if err != nil { // let the reader see what is there, and not wait for more
			l.rw.SetReadDeadline(sooner(deadline, lastWords)) //nolint:errcheck // then the deadline ends it
		}
		written <- err
	}()
	r, again, err := l.answer(deadline, answerWait)
	again = again && l.conn.heard.Load()-start >= int64(p.size()) // else the next answer may be to the rest of this request
	wait := time.Duration(0)                                      // answered early, or broken: what is left of the request is not wanted
	if again {
		wait = lastWords // all was read, most likely, and the writer is about to see it
	}
	late := time.AfterFunc(wait, l.close)
	failed := <-written
	again = late.Stop() && again && failed == nil
	r, err = decided(r, errors.Join(failed, err))
	return r, again, err
}

// lastWords reads the answer that came before writing failed, if one did.
func (l *link) lastWords(deadline time.Time, answerWait time.Duration) *response {
	if l.rw.SetReadDeadline(sooner(deadline, lastWords)) != nil {
		return nil
	}
	r, _, _ := l.answer(deadline, answerWait) // no answer is no answer
	return r
}

// decided is the answer where one came, and else err. A refusal decides also
// when writing has failed; a success does not, for the request was not whole.
func decided(r *response, err error) (*response, error) {
	if r != nil && (err == nil || r.status >= 300) {
		return r, nil
	}
	return nil, err
}

// sooner is the deadline of a wait of d that ends at deadline at the latest.
func sooner(deadline time.Time, d time.Duration) time.Time {
	t := time.Now().Add(d)
	if deadline.IsZero() || t.Before(deadline) {
		return t
	}
	return deadline
}

// posted is the request that http.ReadResponse reads the answer to.
var posted = &http.Request{Method: http.MethodPost}

// answer reads one response, past interim ones. The status decides, so that a
// body that breaks off or does not come is none of the answer's errors.
func (l *link) answer(deadline time.Time, answerWait time.Duration) (*response, bool, error) {
	for range maxInterim {
		l.left = maxAnswer
		resp, err := http.ReadResponse(l.in, posted)
		if err != nil {
			return nil, false, err
		}
		if resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		l.conn.heard.Store(l.conn.given.Load())
		r := &response{status: resp.StatusCode, header: resp.Header}
		l.left = maxAnswer
		if n := resp.ContentLength; n < 0 || int64(l.in.Buffered()) < n {
			if err := l.rw.SetReadDeadline(sooner(deadline, answerWait)); err != nil {
				r.broken = err
				return r, false, nil
			}
		}
		r.body, r.broken = readAll(io.LimitReader(resp.Body, maxAnswer), resp.ContentLength)
		if r.broken == nil {
			_, err = resp.Body.Read(l.one[:])
		}
		again := err == io.EOF && r.broken == nil && !resp.Close && l.in.Buffered() == 0 //nolint:errorlint // as io.Reader says
		return r, again && r.status >= 200, nil                                          // behind a 101 it is no HTTP any more
	}
	return nil, false, errManyInterim
}
