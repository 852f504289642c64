package relay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"time"
)

// streamChunk is the buffer of a long body; the first one is firstBuffer.
const streamChunk = 64 << 10

// errVerdict ends a stream whose ending is decided already; the upstream sees
// an error and does not complete the data.
var errVerdict = &Error{Kind: ClientFault, Class: "verdict", Reply: ReplyLocalError}

// stream transfers the content to an SMTP upstream while the client sends it,
// so that a large mail does not sit in memory. The client's 354 follows the
// upstream's own, and the final dot is held until the ledger has answered.
func (t *Transaction) stream(ctx context.Context, l *leg, src *timedSource) ending {
	ctx = context.WithoutCancel(ctx)
	s := &streamBody{ctx: ctx, t: t, l: l, src: src}
	if !s.grow(firstBuffer) {
		return failed(l, errMemory())
	}
	defer s.free()
	defer s.crashed()
	l.hop.Breaker.MaySend(&l.ticket) // the connection is there: a turn as the probe that is over changes nothing
	n := t.r.underWay(l.route)
	n.Add(1)
	defer n.Add(-1)
	start, idle := t.r.now(), src.waited
	receipt, err := l.delivery.Send(ctx, s)
	took := t.r.now().Sub(start) - (src.waited - idle)
	t.waited += took
	t.step(StepUpstream, l.route, start, err)
	e := s.ending(receipt, err, took)
	if e.err != nil && !s.opened {
		if reason, ok := t.failover(l, AsError(e.err)); ok {
			l.abort()
			next, err := t.divert(ctx, l, SES, reason)
			if next == nil {
				return failed(l, noOtherWay(AsError(e.err), err))
			}
			return t.hold(ctx, next, src)
		}
	}
	e.content, e.fp = s.content, s.fp
	return e
}

// streamBody is a Body that passes on what the client sends.
type streamBody struct {
	ctx context.Context
	t   *Transaction
	l   *leg
	src Source

	opened   bool
	buf      []byte
	reserved int64
	parts    [][]byte // of the first chunk, still to be returned
	started  bool
	full     bool  // the last read filled buf: there is more than a little to come
	ended    error // what src returned after its last byte
	content  Content
	hash     hash.Hash
	lines    lineCounter
	fp       Fingerprint
	claimed  bool
	verdict  *ending
	result   error // what Next said last, when it was an error: it stands
}

// Open implements Body.
func (s *streamBody) Open(context.Context) error {
	s.opened = true
	if err := s.src.Open(); err != nil {
		return sourceError(err)
	}
	return nil
}

// Size implements Body.
func (s *streamBody) Size() int64 { return -1 }

// Next implements Body. Its first error stands, io.EOF too.
func (s *streamBody) Next() ([]byte, error) {
	if s.result != nil {
		return nil, s.result
	}
	p, err := s.next()
	s.result = err
	return p, err
}

func (s *streamBody) next() ([]byte, error) {
	if !s.started {
		s.started = true
		if err := s.begin(); err != nil {
			return nil, err
		}
	}
	for len(s.parts) > 0 {
		p := s.parts[0]
		s.parts = s.parts[1:]
		if len(p) > 0 {
			return p, nil
		}
	}
	for s.ended == nil {
		if s.full && cap(s.buf) < streamChunk {
			s.grow(streamChunk) // refused: the small buffer serves
		}
		var n int
		n, s.ended = s.src.Read(s.buf[:cap(s.buf)])
		s.full = n == cap(s.buf)
		if n > 0 {
			s.take(s.buf[:n])
			return s.buf[:n], nil
		}
	}
	if s.ended != io.EOF { //nolint:errorlint // as in message.read
		return nil, sourceError(s.ended)
	}
	return nil, s.end()
}

// begin reads the header section and prepares what stands before the body.
func (s *streamBody) begin() error {
	n, end, looked := 0, -1, 0
	for end < 0 && s.ended == nil {
		if n == cap(s.buf) && (n >= maxHeader || !s.grow(2*int64(n))) {
			return s.headerTooLarge(n)
		}
		var got int
		got, s.ended = s.src.Read(s.buf[n:cap(s.buf)])
		n += got
		end = headerEnd(s.buf[:n], looked)
		looked = n
	}
	if s.ended != nil && s.ended != io.EOF { //nolint:errorlint // as in message.read
		return sourceError(s.ended)
	}
	s.full = n == cap(s.buf)
	first := s.buf[:n]
	h, err := ScanHeader(first, s.ended != nil, s.t.cfg.Hostname)
	if err != nil {
		return err
	}
	s.content.Header = h
	if err := checkLoop(&h); err != nil {
		return s.decide(failed(s.l, err))
	}
	if ledgered(&h) {
		s.hash = sha256.New()
	}
	s.take(first)
	trace := traceHeader(s.t.env, s.t.cfg.Hostname, s.t.r.now())
	s.parts = head(trace, s.l.hop.Header, first)
	for _, k := range h.Kept {
		s.parts = append(s.parts, first[k.Start:k.End])
	}
	s.parts = append(s.parts, first[h.End:])
	return nil
}

// headerTooLarge tells a header section over the limit from spent memory.
func (s *streamBody) headerTooLarge(n int) error {
	if n < maxHeader {
		return s.decide(failed(s.l, errMemory()))
	}
	return s.decide(failed(s.l, &Error{Kind: ClientFault, Class: "header", Reply: ReplyHeader}))
}

// take counts bytes as received.
func (s *streamBody) take(b []byte) {
	s.content.Size += int64(len(b))
	if s.hash != nil {
		s.hash.Write(b)
	}
	if s.t.cfg.Rehearse {
		s.lines.count(b)
	}
}

// end asks the ledger; io.EOF is the permission for the final dot.
func (s *streamBody) end() error {
	s.content.LongestLine = s.lines.longest
	if s.hash == nil {
		return io.EOF
	}
	s.fp = fingerprint(s.t.env, s.l.to, [sha256.Size]byte(s.hash.Sum(nil)))
	_, verdict := s.t.claim(s.ctx, s.l, s.fp)
	if verdict != nil {
		return s.decide(*verdict)
	}
	s.claimed = true
	return io.EOF
}

func (s *streamBody) decide(e ending) error {
	s.verdict = &e
	return errVerdict
}

// ending turns the delivery's answer into the leg's ending.
func (s *streamBody) ending(receipt Receipt, err error, took time.Duration) ending {
	if s.verdict != nil {
		s.l.ticket.Cancel()
		return *s.verdict
	}
	e := s.t.attempted(s.l, receipt, err, took)
	s.settle(&e)
	e.rehearsal = s.t.rehearse(s.l, &s.content)
	return e
}

// settle tells the ledger how the claimed mail ended, once.
func (s *streamBody) settle(e *ending) {
	if s.claimed {
		s.claimed = false
		s.t.settle(s.fp, e)
	}
}

// crashed settles what an upstream that panicked leaves behind.
func (s *streamBody) crashed() {
	e := failed(s.l, errCrashed)
	s.settle(&e)
}

// grow moves to a buffer of n bytes, keeping what is read.
func (s *streamBody) grow(n int64) bool {
	n = bufferSize(n)
	if !s.t.r.memory.Reserve(n) {
		return false
	}
	buf := takeBuffer(int(n))
	buf = append(buf, s.buf[:cap(s.buf)]...)
	s.free()
	s.buf, s.reserved = buf, n
	return true
}

func (s *streamBody) free() {
	if s.buf != nil {
		giveBuffer(s.buf)
		s.buf = nil
	}
	s.t.r.memory.Free(s.reserved)
	s.reserved = 0
}

// lineCounter finds the longest line of content that comes in parts.
type lineCounter struct{ current, longest int }

func (l *lineCounter) count(b []byte) {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			l.current += len(b)
			return
		}
		l.longest = max(l.longest, l.current+i-1)
		l.current = 0
		b = b[i+1:]
	}
}
