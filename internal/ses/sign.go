package ses

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go/encoding/httpbinding"
)

// signer signs the requests of direct by AWS Signature Version 4 (IAM User
// Guide, "Create a signed AWS API request"): the same signature as the SDK's
// signer, which sorts, copies and joins anew what is the same for every mail.
type signer struct {
	region string
	host   string // as the Host header has it
	before string // of the canonical request, up to the invocation ID
	key    atomic.Pointer[signingKey]
}

// signingKey is derived from a secret for one day.
type signingKey struct {
	secret, day string
	scope       string // day/region/ses/aws4_request
	key         []byte
}

// amzSDKRequest says that this is the only attempt: the relay decides about others.
const amzSDKRequest = "attempt=1; max=1"

const contentType = "application/json"

func newSigner(u *url.URL, region string) *signer {
	host := u.Host
	switch {
	case u.Scheme == "https":
		host = strings.TrimSuffix(host, ":443")
	case u.Scheme == "http":
		host = strings.TrimSuffix(host, ":80")
	}
	path := httpbinding.EscapePath(u.EscapedPath(), false) // escaped twice, for every service but S3
	return &signer{region: region, host: host, before: http.MethodPost + "\n" + path + "\n\namz-sdk-invocation-id:"}
}

// scratch holds the texts that are hashed.
var scratch = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// signature is what the headers of a signed request say.
type signature struct {
	date          string // X-Amz-Date
	authorization string // Authorization
	token         string // X-Amz-Security-Token; "" = none
}

// sign signs a request that has the other headers that direct gives it; hash is
// the hex SHA-256 of its body of length bytes.
func (s *signer) sign(cred aws.Credentials, invocationID, hash string, length int64, now time.Time) signature {
	stamp := now.UTC().Format("20060102T150405Z")
	k := s.signingKey(cred.SecretAccessKey, stamp[:8])
	token := strings.TrimSpace(cred.SessionToken) // from an environment or a file; net/http refuses a line end
	names := "amz-sdk-invocation-id;amz-sdk-request;content-length;content-type;host;x-amz-date"
	if token != "" {
		names += ";x-amz-security-token"
	}

	buf := scratch.Get().(*[]byte)
	defer scratch.Put(buf)
	b := append(append((*buf)[:0], s.before...), invocationID...)
	b = append(b, "\namz-sdk-request:"+amzSDKRequest+"\ncontent-length:"...)
	b = strconv.AppendInt(b, length, 10)
	b = append(append(b, "\ncontent-type:"+contentType+"\nhost:"...), s.host...)
	b = append(append(b, "\nx-amz-date:"...), stamp...)
	if token != "" {
		b = append(append(b, "\nx-amz-security-token:"...), token...)
	}
	b = append(append(append(append(b, "\n\n"...), names...), '\n'), hash...)
	canonical := sha256.Sum256(b)

	b = append(append(append(append(b[:0], "AWS4-HMAC-SHA256\n"...), stamp...), '\n'), k.scope...)
	b = hex.AppendEncode(append(b, '\n'), canonical[:])
	sum := appendHMAC(nil, k.key, b)

	b = append(append(append(append(b[:0], "AWS4-HMAC-SHA256 Credential="...), cred.AccessKeyID...), '/'), k.scope...)
	b = append(append(append(b, ", SignedHeaders="...), names...), ", Signature="...)
	b = hex.AppendEncode(b, sum)
	*buf = b
	return signature{date: stamp, authorization: string(b), token: token}
}

// signingKey returns the key of the day, derived when day or secret are new.
func (s *signer) signingKey(secret, day string) *signingKey {
	if k := s.key.Load(); k != nil && k.day == day && k.secret == secret {
		return k
	}
	k := &signingKey{secret: secret, day: day, scope: day + "/" + s.region + "/" + signingName + "/aws4_request"}
	k.key = []byte("AWS4" + secret)
	for _, part := range []string{day, s.region, signingName, "aws4_request"} {
		k.key = appendHMAC(nil, k.key, []byte(part))
	}
	s.key.Store(k)
	return k
}

func appendHMAC(b, key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return h.Sum(b)
}
