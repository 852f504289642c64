package ses

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
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
	close() // the idle connections
}

var (
	_ sender = (*direct)(nil)
	_ sender = (*viaSDK)(nil)
)

// direct posts the request that the SDK would make.
type direct struct {
	poster      poster
	credentials aws.CredentialsProvider
	signer      *signer
	now         func() time.Time
	newID       func() string // of the Amz-Sdk-Invocation-Id header
}

// poster makes the one request of an attempt. There is no redirect, no retry
// and no replay.
type poster interface {
	post(ctx context.Context, a *attempt, h *header, p *payload) (*response, error)
	close()
}

var (
	_ poster = (*pool)(nil)
	_ poster = (*onTransport)(nil)
)

func newDirect(c *Client, u *url.URL) *direct {
	s := newSigner(u, c.cfg.Region)
	d := &direct{credentials: c.credentials, signer: s, now: c.cfg.Now, newID: newInvocationID}
	if c.cfg.Proxy != nil {
		d.poster = &onTransport{wire: c.wire, url: u, host: s.host, userAgent: c.cfg.UserAgent}
	} else {
		d.poster = newPool(u, fields(u, s.host, c.cfg.UserAgent), c.cfg.RootCAs)
	}
	return d
}

func (d *direct) close() { d.poster.close() }

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
	h := &header{id: d.newID(), length: int64(len(p.json()))}
	h.signature = d.signer.sign(cred, h.id, p.hash(), h.length, d.now())
	if !isFieldValue(h.authorization) || !isFieldValue(h.token) {
		return answer{}, &credentialsError{errCredentials}
	}
	if a.posted {
		return answer{}, errSecondPost
	}
	a.posted, a.length = true, h.length
	resp, err := d.poster.post(ctx, a, h, p)
	if err != nil {
		return answer{}, err
	}
	a.status = resp.status
	return readAnswer(resp), nil
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
	if id, ok := onlyMessageID(r.body); ok {
		a.messageID, a.code = id, cleanCode(a.code)
		return a
	}
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

// onlyMessageID reads {"MessageId":"..."}, the answer that nearly every mail
// gets, without a JSON parser.
func onlyMessageID(body []byte) (string, bool) {
	id, begins := bytes.CutPrefix(bytes.TrimRight(body, "\r\n"), []byte(`{"MessageId":"`))
	id, ends := bytes.CutSuffix(id, []byte(`"}`))
	for _, c := range id {
		if c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return "", false
		}
	}
	return string(id), begins && ends
}

// cleanCode cuts "aws.protocols#FooException:http://..." down to the name.
func cleanCode(code string) string {
	code, _, _ = strings.Cut(code, ":")
	if _, name, ok := strings.Cut(code, "#"); ok {
		code = name
	}
	return code
}
