package relay

import (
	"context"
	"errors"
	"io"
	"time"
)

// message is a mail held in memory: the SES route needs it whole, and so does
// failover.
type message struct {
	Content
	data     []byte
	reserved int64
	extra    int64 // reserved for sending, beside the content
	memory   *Budget
	fp       Fingerprint
	until    time.Time // see lastCall
}

// errLate keeps the end of the data from being written. It says nothing of the
// upstream, not even that a probe has worked, and the client comes again.
func errLate() *Error {
	return &Error{Kind: Unavailable, Signal: SignalBusy, Class: "late", Reply: ReplyUnavailable}
}

// errMemory is the refusal when the budget is spent.
func errMemory() *Error {
	return &Error{Kind: ClientFault, Class: "memory", Reply: ReplyMemory}
}

// firstBuffer is the size of the first buffer when the client does not declare a size.
const firstBuffer = 12 << 10

// receive asks the client for the content and reads all of it. copies is what
// sending takes beside it (Hop.Copies). When the client declares the size, all
// of it is reserved before the client is asked: else many messages that are
// read already would wait for room that only the others could give.
func (r *Relay) receive(env *Envelope, src Source, copies float64) (*message, error) {
	m := &message{memory: r.memory}
	want := int64(firstBuffer)
	if env.Size > 0 {
		want = env.Size + 1 // one more byte of room, so that the end is found without growing
	}
	if !m.grow(want) || !m.reserve(copies, env.Size) {
		m.free()
		return nil, errMemory()
	}
	complete := false
	defer func() {
		if !complete {
			m.free()
		}
	}()
	if err := m.read(src); err != nil {
		return nil, err
	}
	complete = true
	return m, nil
}

// read reads the content to its end.
func (m *message) read(src Source) error {
	if err := src.Open(); err != nil {
		return sourceError(err)
	}
	for {
		n, err := src.Read(m.data[len(m.data):cap(m.data)])
		m.data = m.data[:len(m.data)+n]
		switch {
		case err == io.EOF: //nolint:errorlint // the end of data is io.EOF itself: an error that wraps it is a lost client
			m.Size = int64(len(m.data))
			return nil
		case err != nil:
			return sourceError(err)
		case len(m.data) == cap(m.data) && !m.grow(nextSize(int64(cap(m.data)))):
			return errMemory()
		}
	}
}

// grow moves the content to a buffer with room for n bytes.
func (m *message) grow(n int64) bool {
	n = bufferSize(n)
	if !m.memory.Reserve(n) {
		return false
	}
	data := takeBuffer(int(n))
	data = append(data, m.data...)
	if m.data != nil {
		giveBuffer(m.data)
	}
	m.memory.Free(m.reserved)
	m.data, m.reserved = data, n
	return true
}

// reserve takes what sending size bytes needs, or reports false.
func (m *message) reserve(copies float64, size int64) bool {
	n := int64(copies*float64(size)) - m.extra
	if n <= 0 {
		return true
	}
	if !m.memory.Reserve(n) {
		return false
	}
	m.extra += n
	return true
}

// free gives the memory back. The content must not be used afterwards.
func (m *message) free() {
	m.memory.Free(m.extra)
	m.extra = 0
	if m.data != nil {
		giveBuffer(m.data)
		m.data = nil
	}
	m.memory.Free(m.reserved)
	m.reserved = 0
}

// sourceError makes the client's end an *Error: whatever went wrong there is
// nobody's refusal, and the mail was surely not sent. It never wraps io.EOF, the
// permission to end the data, which a lost connection often does.
func sourceError(err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = &Error{Kind: ClientFault, Class: "client", Reply: ReplyLocalError, Err: err}
	}
	if errors.Is(e, io.EOF) {
		cut := *e
		cut.Err = errors.New(e.Err.Error())
		return &cut
	}
	return e
}

// parts returns the content as it leaves: the trace header, what the route
// adds, and the original without its X-SES-* fields.
func (m *message) parts(trace []byte, header string) [][]byte {
	p := make([][]byte, 0, 4+len(m.Kept))
	p = append(p, head(trace, header, m.data)...)
	for _, s := range m.Kept {
		p = append(p, m.data[s.Start:s.End])
	}
	return append(p, m.data[m.End:])
}

// head is what the relay puts at the top. The trace header comes first. Only
// when the content begins with a blank, which would fold into the line before
// it, the trace header takes that place: the route's header must stay exact.
func head(trace []byte, header string, content []byte) [][]byte {
	if header == "" {
		return [][]byte{trace}
	}
	if len(content) > 0 && (content[0] == ' ' || content[0] == '\t') {
		return [][]byte{[]byte(header), trace}
	}
	return [][]byte{trace, []byte(header)}
}

// heldBody is a Body that is complete.
type heldBody struct {
	parts [][]byte
	size  int64
	now   func() time.Time
	until time.Time // no permission to end the data after it
}

func newHeldBody(parts [][]byte) *heldBody {
	b := &heldBody{parts: parts}
	for _, p := range parts {
		b.size += int64(len(p))
	}
	return b
}

func (b *heldBody) Open(context.Context) error { return nil }
func (b *heldBody) Size() int64                { return b.size }

func (b *heldBody) Next() ([]byte, error) {
	for len(b.parts) > 0 {
		p := b.parts[0]
		b.parts = b.parts[1:]
		if len(p) > 0 {
			return p, nil
		}
	}
	if b.now().After(b.until) {
		return nil, errLate()
	}
	return nil, io.EOF
}
