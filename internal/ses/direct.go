package ses

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// signingName is the service name in the credential scope of SES.
const signingName = "ses"

// sendPath is the path of SendEmail ("SendEmail", SES API v2 reference).
const sendPath = "/v2/email/outbound-emails"

// sender makes one SendEmail call. Its error means that there was no answer.
type sender interface {
	send(ctx context.Context, a *attempt, r *request) (answer, error)
}

var (
	_ sender = (*direct)(nil)
	_ sender = (*viaSDK)(nil)
)

// direct posts the request that the SDK would make.
type direct struct {
	wire        *wire
	url         *url.URL
	userAgent   string
	credentials aws.CredentialsProvider
	signer      *signer
	now         func() time.Time
	newID       func() string // of the Amz-Sdk-Invocation-Id header
}

func (d *direct) send(ctx context.Context, a *attempt, r *request) (answer, error) {
	cred, err := d.credentials.Retrieve(ctx)
	if err != nil {
		return answer{}, err
	}
	p, err := newPayload(r)
	if err != nil {
		return answer{}, err
	}
	defer p.release()
	req := d.request(p, cred)
	req.Body = p.body()
	a.trace.WroteRequest = func(httptrace.WroteRequestInfo) { p.release() } // nothing reads the body any more
	resp, err := d.wire.post(ctx, a, req)
	if !a.got {
		p.release() // nothing ever read it
	}
	if err != nil {
		return answer{}, err
	}
	return readAnswer(resp), nil
}

// Values of headers that are the same for every request.
var (
	contentTypes   = []string{contentType}
	amzSDKRequests = []string{amzSDKRequest}
)

// request makes the signed request, without its body. The Amz-Sdk headers are
// the SDK's own: attempt 1 of 1.
func (d *direct) request(p *payload, cred aws.Credentials) *http.Request {
	id, length := d.newID(), int64(len(p.buf))
	h := make(http.Header, 8)
	h["Content-Type"], h["Amz-Sdk-Request"] = contentTypes, amzSDKRequests
	h["User-Agent"], h["Amz-Sdk-Invocation-Id"] = []string{d.userAgent}, []string{id}
	d.signer.sign(h, cred, id, p.hash(), length, d.now())
	return &http.Request{
		Method: http.MethodPost, URL: d.url, Host: d.signer.host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: length, Header: h,
	}
}

// newInvocationID returns a random UUID (RFC 9562 section 5.4).
func newInvocationID() string {
	var u [16]byte
	rand.Read(u[:]) //nolint:errcheck // never fails
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	var s [36]byte
	hex.Encode(s[0:8], u[0:4])
	hex.Encode(s[9:13], u[4:6])
	hex.Encode(s[14:18], u[6:8])
	hex.Encode(s[19:23], u[8:10])
	hex.Encode(s[24:36], u[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}

// readAnswer takes from a response what the table needs (restJson1: the code
// stands in a header or in the body, possibly with a namespace and a URL).
func readAnswer(r *response) answer {
	a := answer{status: r.status, requestID: r.header.Get("X-Amzn-Requestid"), code: r.header.Get("X-Amzn-Errortype")}
	var body struct {
		MessageID string `json:"MessageId"`
		Type      string `json:"__type"`
		Code      string `json:"code"`
		Message   string `json:"message"`
	}
	if json.Unmarshal(r.body, &body) == nil {
		a.messageID, a.message = body.MessageID, body.Message
		if a.code == "" {
			a.code = body.Code
		}
		if a.code == "" {
			a.code = body.Type
		}
	}
	a.code = cleanCode(a.code)
	return a
}

// cleanCode cuts "aws.protocols#FooException:http://..." down to the name.
func cleanCode(code string) string {
	code, _, _ = strings.Cut(code, ":")
	if _, name, ok := strings.Cut(code, "#"); ok {
		code = name
	}
	return code
}
