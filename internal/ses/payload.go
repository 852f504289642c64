package ses

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// maxPooled is the largest buffer that is kept for the next mail. Nearly all
// mail is smaller; a rare large one must not stay in memory for good.
const maxPooled = 256 << 10

var buffers = sync.Pool{New: func() any { return new(payload) }}

// payload is the JSON body of a request in a pooled buffer. It has two
// holders, the caller and the transport, which may go on reading after
// RoundTrip has failed; the buffer goes back when both have let go.
type payload struct {
	buf     []byte
	holders atomic.Int32
}

// newPayload encodes the request: one pass over the content, one buffer of
// exactly the size needed.
func newPayload(r *request) (*payload, error) {
	p := buffers.Get().(*payload)
	p.holders.Store(1)
	b := r.appendHead(p.buf[:0])
	if need := len(b) + base64.StdEncoding.EncodedLen(int(r.content.Size())) + r.tailSize(); cap(b) < need {
		b = append(make([]byte, 0, need), b...)
	}
	b, err := encodeContent(b, r.content)
	if err != nil {
		p.buf = b
		p.release()
		return nil, err
	}
	p.buf = r.appendTail(b)
	return p, nil
}

// tailSize is at least the length of what appendTail appends when nothing
// needs an escape, and nothing that SES takes does.
func (r *request) tailSize() int {
	n := len(`"}},"Destination":{"ToAddresses":[]},"EmailTags":[],"FeedbackForwardingEmailAddress":""}`) + len(r.feedback)
	for _, to := range r.to {
		n += len(to.Local) + len(to.Domain) + len(`"@",`)
	}
	for _, t := range r.tags {
		n += len(t.name) + len(t.value) + len(`{"Name":"","Value":""},`)
	}
	return n
}

// hash returns the hex SHA-256 that the signature covers.
func (p *payload) hash() string {
	sum := sha256.Sum256(p.buf)
	return hex.EncodeToString(sum[:])
}

// release lets go for one holder.
func (p *payload) release() {
	if p.holders.Add(-1) > 0 {
		return
	}
	if cap(p.buf) <= maxPooled {
		buffers.Put(p)
	}
}

// body returns the payload for the transport, which becomes the second holder
// until it closes it.
func (p *payload) body() *payloadBody {
	p.holders.Add(1)
	return &payloadBody{payload: p}
}

// payloadBody reads a payload. Close waits for a Read that is under way.
type payloadBody struct {
	mu      sync.Mutex // guards what follows
	payload *payload   // nil when closed
	at      int
}

// Read implements io.Reader.
func (b *payloadBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.payload == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	n := copy(p, b.payload.buf[b.at:])
	b.at += n
	if b.at == len(b.payload.buf) {
		return n, io.EOF
	}
	return n, nil
}

// Close implements io.Closer.
func (b *payloadBody) Close() error {
	b.mu.Lock()
	p := b.payload
	b.payload = nil
	b.mu.Unlock()
	if p != nil {
		p.release()
	}
	return nil
}
