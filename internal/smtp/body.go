package smtp

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"sesrelay/internal/relay"
)

// body is the content of one message: the relay.Source of a transaction. The
// mutex keeps a reader that outlives its transaction (an HTTP transport may
// read on after it answered) away from the wire.
type body struct {
	g *guard

	mu      sync.Mutex // guards what follows, and the guard's input while the body is read
	dec     decoder
	opened  bool
	started time.Time    // of 354
	held    bool         // the transaction holds an upstream connection
	raw     int64        // bytes used from the wire
	size    int64        // bytes of content so far
	fault   *relay.Error // the client's fault that ended the content
	told    bool         // fault or the end of data was delivered to the transaction
	lost    bool         // the client left, was too slow or sends without end: nothing more is read
	over    bool         // the transaction has returned
}

var _ relay.Source = (*body)(nil)

var (
	errBodyOver   = errors.New("smtp: the transaction is over")
	errBodyOpen   = errors.New("smtp: body was opened twice")
	errBodyClosed = errors.New("smtp: body was read before Open")
)

// Open sends 354. The client may send until Limits.Data and the size allow.
func (b *body) Open() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.over:
		return errBodyOver
	case b.opened:
		return errBodyOpen
	}
	return b.open()
}

func (b *body) open() error {
	b.opened, b.started = true, time.Now()
	b.held = b.g.tx != nil && b.g.tx.HoldsConnection()
	b.g.out.say(replyDataGo)
	if err := b.g.flush(); err != nil {
		b.lose("client_gone", replyGone, err)
		return b.fault
	}
	return nil
}

// Read reads the content. io.EOF is the true end of data.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.over:
		return 0, errBodyOver
	case !b.opened:
		return 0, errBodyClosed
	case len(p) == 0:
		return 0, nil
	}
	n := b.read(p)
	switch {
	case b.fault != nil: // what was read with it is of no use
		b.told = true
		return 0, b.fault
	case n == 0:
		b.told = true
		return 0, io.EOF
	}
	return n, nil
}

// read returns the content that was decoded to p. 0 means the end of data or a
// lost connection. After a fault it goes on: the end must still be found.
func (b *body) read(p []byte) int {
	in := &b.g.in
	for !b.dec.done && !b.lost {
		n, used := b.dec.decode(p, in.pending())
		in.use(used)
		b.raw += int64(used)
		b.size += int64(n)
		b.judge()
		if b.dec.done {
			in.shrink() // an upstream may take long now
		}
		if b.raw > 2*b.g.srv.limits.MessageSize+1<<20 { // far past a limit that EHLO names: not waited for
			b.lost = true
			return 0
		}
		if n > 0 {
			return n
		}
		if !b.dec.done && in.r == in.w {
			b.fill()
		}
	}
	return 0
}

func (b *body) judge() {
	switch {
	case b.fault != nil:
	case b.dec.bad:
		b.fault = clientFault("line_ends", relay.ReplyLineEnds, nil)
	case b.size > b.g.srv.limits.MessageSize: // RFC 1870 section 6.3
		b.fault = clientFault("too_large", relay.ReplyTooLarge, nil)
	}
}

// fill reads from the wire under the body's deadline: one total, which grows
// with what has arrived, so that a large message may take its time and a
// trickle may not.
func (b *body) fill() {
	l := &b.g.srv.limits
	total, rate := l.Data, l.DataRate
	if b.held { // of these there are few: a client that trickles must not keep one for long
		total, rate = min(l.Data, l.DataHeld), max(1, l.DataRate/4)
	}
	earned := time.Duration(float64(min(b.raw, l.MessageSize)) / float64(rate) * float64(time.Second))
	end := b.started.Add(total + earned)
	b.g.raw.SetReadDeadline(end)
	switch err := b.g.in.fillLarge(); {
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(end): // a drain took us for idle
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.lose("client_slow", replyTimeout, err)
	default:
		b.lose("client_gone", replyGone, err)
	}
}

// lose notes that the client left or was too slow. The connection's io.EOF must
// not be found in the fault: to the transaction it is the true end of data.
func (b *body) lose(class string, r relay.Reply, err error) {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	b.lost = true
	b.fault = clientFault(class, r, err)
}

func clientFault(class string, r relay.Reply, err error) *relay.Error {
	return &relay.Error{Outcome: relay.NotAccepted, Kind: relay.ClientFault, Class: class, Reply: r, Err: err}
}

// finish settles the body after the transaction has returned its replies: the
// rest is read to the true end of data and thrown away, so that no line of it
// becomes a command.
func (b *body) finish(replies []relay.Reply) []relay.Reply {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	complete := b.dec.done && b.told && b.fault == nil
	switch {
	case b.opened:
		b.discard()
	case b.g.lst.Protocol == LMTP: // one reply to DATA cannot speak for several recipients
		b.open()
		b.discard()
	case b.g.inputBehind(): // the client may have begun the body: its lines must not become commands
		b.g.leave = true
	}
	b.g.leave = b.g.leave || b.lost
	for i, r := range replies {
		switch {
		case b.fault != nil && (b.told || b.lost):
			replies[i] = b.fault.Reply
		case r.Positive() && !complete:
			b.g.log.Error("transaction accepted a body that it had not read to its end", "reply", r.String())
			replies[i] = relay.ReplyLocalError
		}
	}
	return replies
}

// stop keeps the transaction away from the wire.
func (b *body) stop() {
	b.mu.Lock()
	b.over = true
	b.mu.Unlock()
}

// discard reads to the end of data.
func (b *body) discard() {
	if b.dec.done || b.lost {
		return
	}
	p := bulk.Get().(*[bulkSize]byte)
	defer bulk.Put(p)
	for b.read(p[:]) > 0 {
	}
}
