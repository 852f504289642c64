package ses

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
)

// header is what differs from mail to mail in the header section of the
// request. The Amz-Sdk fields are the SDK's own: attempt 1 of 1.
type header struct {
	id     string // Amz-Sdk-Invocation-Id
	length int64  // Content-Length
	signature
}

// errCredentials stops what would break the request apart.
var errCredentials = errors.New("the access key ID or the session token holds a control character: store it anew")

// isFieldValue reports whether s can be the value of a field (RFC 9110 section 5.5).
func isFieldValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// fields returns the request line and the fields that are the same for every
// mail, up to the length of the body.
func fields(u *url.URL, host, userAgent string) []byte {
	return []byte("POST " + u.RequestURI() + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: " + userAgent +
		"\r\nContent-Type: " + contentType + "\r\nAmz-Sdk-Request: " + amzSDKRequest + "\r\nContent-Length: ")
}

// append appends the header section to b, which ends with fields.
func (h *header) append(b []byte) []byte {
	b = strconv.AppendInt(b, h.length, 10)
	b = append(append(b, "\r\nAmz-Sdk-Invocation-Id: "...), h.id...)
	b = append(append(b, "\r\nX-Amz-Date: "...), h.date...)
	if h.token != "" {
		b = append(append(b, "\r\nX-Amz-Security-Token: "...), h.token...)
	}
	b = append(append(b, "\r\nAuthorization: "...), h.authorization...)
	return append(b, "\r\n\r\n"...)
}

// onTransport posts by net/http, for what pool does not do: a proxy.
type onTransport struct {
	wire      *wire
	url       *url.URL
	host      string
	userAgent string
}

func (o *onTransport) close() {} // the wire is the client's

func (o *onTransport) post(ctx context.Context, a *attempt, h *header, p *payload) (*response, error) {
	f := http.Header{
		"Content-Type": {contentType}, "Amz-Sdk-Request": {amzSDKRequest}, "Amz-Sdk-Invocation-Id": {h.id},
		"User-Agent": {o.userAgent}, "X-Amz-Date": {h.date}, "Authorization": {h.authorization},
	}
	if h.token != "" {
		f["X-Amz-Security-Token"] = []string{h.token}
	}
	req := &http.Request{
		Method: http.MethodPost, URL: o.url, Host: o.host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: h.length, Header: f, Body: p.body(),
	}
	a.trace.WroteRequest = func(httptrace.WroteRequestInfo) { p.release() } // nothing reads the body any more
	resp, err := o.wire.roundTrip(ctx, a, req)
	if !a.got {
		p.release() // nothing ever read it
	}
	return resp, err
}
