package ses

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"
)

const (
	dialTimeout = 10 * time.Second
	// idleTimeout is short: a request on a connection that the server has just
	// closed ends as "unknown".
	idleTimeout = 7 * time.Second
	// maxAnswer bounds what is read of a response, of its header section and of
	// its body; SES's are under 1 KiB.
	maxAnswer = 64 << 10
	// answerWait bounds the wait for the body of a response whose header
	// section has come: the status has already decided.
	answerWait = 5 * time.Second
	// readBuffer holds an answer of SES, which has 400 bytes; one per connection.
	readBuffer = 2 << 10
)

// errSecondPost stops a retry that somebody underneath would make.
var errSecondPost = errors.New("ses: a mail is posted once only")

// wire is net/http's transport to SES: as aws.HTTPClient it serves the SDK, and
// it posts for direct where there is a proxy.
type wire struct {
	transport  *http.Transport
	answerWait time.Duration
}

// newWire makes the transport. It speaks HTTP/1.1 only: over HTTP/2 all mail
// would share a few TCP connections, where one loss delays everything behind
// it, one dead connection makes hundreds of mails "unknown" at once, and
// net/http repeats refused streams by itself.
func newWire(inFlight int, roots *x509.CertPool, proxy func(*http.Request) (*url.URL, error)) *wire {
	h1 := new(http.Protocols)
	h1.SetHTTP1(true)
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	return &wire{answerWait: answerWait, transport: &http.Transport{
		Proxy: proxy,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return newConn(c), nil
		},
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout: dialTimeout,
		Protocols:           h1,
		MaxIdleConns:        inFlight,
		MaxIdleConnsPerHost: inFlight,
		IdleConnTimeout:     idleTimeout,
		DisableCompression:  true, // answers are a line long
		ReadBufferSize:      readBuffer,

		MaxResponseHeaderBytes: maxAnswer,
	}}
}

// response is an answer that has been read to its end, as far as it came.
type response struct {
	status int
	header http.Header
	body   []byte
	broken error // why the body ended early; nil when it did not
}

// post makes the one request of an attempt by the SDK.
func (w *wire) post(ctx context.Context, a *attempt, req *http.Request) (*response, error) {
	if a.posted {
		return nil, errSecondPost
	}
	a.posted, a.length = true, req.ContentLength
	r, err := w.roundTrip(ctx, a, req)
	if err == nil {
		a.status = r.status
	}
	return r, err
}

// roundTrip posts once: net/http repeats a POST on a dead connection only when
// nothing of it was written and it can be rewound, and without GetBody it cannot.
func (w *wire) roundTrip(ctx context.Context, a *attempt, req *http.Request) (*response, error) {
	a.trace.GotConn = a.gotConn
	req = req.WithContext(httptrace.WithClientTrace(ctx, &a.trace))
	req.GetBody = nil
	resp, err := w.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	return w.read(resp), nil
}

// read reads the body and ends the exchange, so that the connection can be
// used again.
func (w *wire) read(resp *http.Response) *response {
	late := time.AfterFunc(w.answerWait, func() { resp.Body.Close() }) //nolint:errcheck // Read reports it
	defer late.Stop()
	defer resp.Body.Close() //nolint:errcheck // nothing was written to it
	body, err := readAll(io.LimitReader(resp.Body, maxAnswer), resp.ContentLength)
	return &response{status: resp.StatusCode, header: resp.Header, body: body, broken: err}
}

// readAll is io.ReadAll for a body of an announced length (-1 = unknown), which
// for an answer of SES is a fifth of the 512 bytes that io.ReadAll begins with.
func readAll(r io.Reader, length int64) ([]byte, error) {
	if length < 0 || length > maxAnswer {
		return io.ReadAll(r)
	}
	b := make([]byte, 0, length+1) // one more, so that the end is found without growing
	for {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF { //nolint:errorlint // as io.ReadAll
			return b, nil
		}
		if err != nil {
			return b, err
		}
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
	}
}

// Do implements aws.HTTPClient.
func (w *wire) Do(req *http.Request) (*http.Response, error) {
	a := attemptOf(req.Context())
	if a == nil {
		return w.transport.RoundTrip(req)
	}
	r, err := w.post(req.Context(), a, req)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status: http.StatusText(r.status), StatusCode: r.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: r.header, ContentLength: int64(len(r.body)), Request: req,
		Body: io.NopCloser(io.MultiReader(bytes.NewReader(r.body), brokenReader{r.broken})),
	}, nil
}

// brokenReader ends a body the way it ended on the wire.
type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	return 0, io.EOF
}
