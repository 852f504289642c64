package ses

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"sync"
	"sync/atomic"
)

// maxPooled is the largest buffer that is kept for the next mail. Nearly all
// mail is smaller; a rare large one must not stay in memory for good.
const maxPooled = 256 << 10

var buffers = sync.Pool{New: func() any { return new(payload) }}

// payload is the JSON body of a request in a pooled buffer. On net/http it has
// two holders, the caller and the transport, which may go on reading after
// RoundTrip has failed; the buffer goes back when both have let go. What the
// transport never lets go of is left to the garbage collector.
type payload struct {
	buf     []byte // headroom, then the body
	holders atomic.Int32
}

// headroom is kept before the body for the header section of the request, with
// the token of a role, so that both leave in one write.
const headroom = 2 << 10

// newPayload encodes the request: one pass over the content, one buffer of
// exactly the size needed.
func newPayload(r *request) (*payload, error) {
	p := buffers.Get().(*payload)
	p.holders.Store(1)
	b := p.buf
	if need := headroom + r.headSize() + base64.StdEncoding.EncodedLen(int(r.content.Size())) + r.tailSize(); cap(b) < need {
		b = make([]byte, headroom, need)
	}
	b, err := encodeContent(r.appendHead(b[:headroom]), r.content)
	if err != nil {
		p.buf = b
		p.release()
		return nil, err
	}
	p.buf = r.appendTail(b)
	return p, nil
}

// json returns the body of the request.
func (p *payload) json() []byte { return p.buf[headroom:] }

// behind puts the header section before the body, in one piece where it fits.
func (p *payload) behind(head []byte) pieces {
	at := headroom - len(head)
	if at < 0 {
		return pieces{head, p.json()}
	}
	copy(p.buf[at:], head)
	return pieces{p.buf[at:]}
}

// headSize is the length of what appendHead appends.
func (r *request) headSize() int {
	return len(`{"ConfigurationSetName":"","Content":{"Raw":{"Data":"`) + len(r.configurationSet)
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
	sum := sha256.Sum256(p.json())
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

// body returns the payload for the transport, which becomes the second holder.
// The reader is of a kind that net/http knows to be in memory: it then writes
// the header section and the body at once.
func (p *payload) body() io.ReadCloser {
	p.holders.Add(1)
	return io.NopCloser(bytes.NewReader(p.json()))
}
