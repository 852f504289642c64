package simulator

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// verifier checks AWS Signature Version 4, written from "Create a signed AWS API request" in the IAM User Guide.
type verifier struct {
	region string

	mu          sync.RWMutex      // guards what follows
	credentials map[string]string // secret by access key id; nil believes every signature

	keys sync.Map // signing keys by scopeKey: they change once a day
}

// secret returns what belongs to an access key id. believed: every signature is right.
func (v *verifier) secret(keyID string) (secret string, known, believed bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	secret, known = v.credentials[keyID]
	return secret, known, v.credentials == nil
}

func (v *verifier) setCredentials(secrets map[string]string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.credentials = secrets
	v.keys.Clear()
}

// maxSkew is how far X-Amz-Date may be from the server's clock, either way.
const maxSkew = 15 * time.Minute

const (
	amzTime   = "20060102T150405Z"
	algorithm = "AWS4-HMAC-SHA256"
)

// authorization is a parsed Authorization header.
type authorization struct {
	keyID, date, region, service string
	signed                       []string // names of the signed headers, lower case, sorted
	signature                    string
}

type scopeKey struct{ keyID, date, region string }

// check returns the error that the real service gives for a request with this body at this time.
func (v *verifier) check(r *http.Request, body []byte, now time.Time) (apiError, bool) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return errNoToken, false
	}
	a, problem := parseAuthorization(header)
	if problem != "" {
		return apiError{http.StatusBadRequest, "IncompleteSignature", problem}, false
	}
	stamp := r.Header.Get("X-Amz-Date")
	signedAt, err := time.Parse(amzTime, stamp)
	if err != nil || !strings.HasPrefix(stamp, a.date) {
		return apiError{http.StatusBadRequest, "IncompleteSignature", "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '" + a.date + "' != '" + stamp + "'."}, false
	}
	if e, ok := v.checkScope(a); !ok {
		return e, false
	}
	if d := now.Sub(signedAt); d > maxSkew || d < -maxSkew {
		return expired(stamp, now, d), false
	}
	return v.checkSignature(r, a, stamp, body)
}

// expired words the refusal of an old or a future date.
func expired(stamp string, now time.Time, age time.Duration) apiError {
	state, limit, comparison, sign := "expired", now.Add(-maxSkew), "earlier", "-"
	if age < 0 {
		state, limit, comparison, sign = "not yet current", now.Add(maxSkew), "later", "+"
	}
	return apiError{http.StatusBadRequest, "RequestExpired", fmt.Sprintf("Signature %s: %s is now %s than %s (%s %s 15 min.)",
		state, stamp, comparison, limit.UTC().Format(amzTime), now.UTC().Format(amzTime), sign)}
}

func (v *verifier) checkScope(a authorization) (apiError, bool) {
	refuse := func(text string) (apiError, bool) {
		return apiError{http.StatusForbidden, "SignatureDoesNotMatch", text}, false
	}
	if a.region != v.region {
		return refuse("Credential should be scoped to a valid region.")
	}
	if a.service != "ses" {
		return refuse("Credential should be scoped to correct service: 'ses'.")
	}
	if _, known, believed := v.secret(a.keyID); !known && !believed {
		return errInvalidToken, false
	}
	return apiError{}, true
}

func (v *verifier) checkSignature(r *http.Request, a authorization, stamp string, body []byte) (apiError, bool) {
	if _, _, believed := v.secret(a.keyID); believed {
		return apiError{}, true
	}
	if !slices.Contains(a.signed, "host") {
		return apiError{http.StatusForbidden, "SignatureDoesNotMatch", "'Host' must be a 'SignedHeader' in the AWS Authorization."}, false
	}
	request := sha256.Sum256(canonicalRequest(r, a.signed, body))
	toSign := algorithm + "\n" + stamp + "\n" + a.date + "/" + a.region + "/" + a.service + "/aws4_request\n" + hex.EncodeToString(request[:])
	given, err := hex.DecodeString(a.signature)
	if err != nil || !hmac.Equal(given, sign(v.signingKey(a), toSign)) {
		return errSignature, false
	}
	return apiError{}, true
}

// signingKey derives the day's key; it is kept, for a derivation costs four HMACs.
func (v *verifier) signingKey(a authorization) []byte {
	scope := scopeKey{a.keyID, a.date, a.region}
	if key, ok := v.keys.Load(scope); ok {
		return key.([]byte)
	}
	secret, _, _ := v.secret(a.keyID)
	key := []byte("AWS4" + secret)
	for _, part := range []string{a.date, a.region, a.service, "aws4_request"} {
		key = sign(key, part)
	}
	v.keys.Store(scope, key)
	return key
}

func sign(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// parseAuthorization reads "AWS4-HMAC-SHA256 Credential=ID/date/region/service/aws4_request, SignedHeaders=a;b,
// Signature=hex". problem is the text for the client when it is not that.
func parseAuthorization(header string) (a authorization, problem string) {
	rest, ok := strings.CutPrefix(header, algorithm+" ")
	if !ok {
		return a, "Authorization header requires algorithm '" + algorithm + "'."
	}
	var credential string
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			credential = value
		case "SignedHeaders":
			a.signed = strings.Split(value, ";")
		case "Signature":
			a.signature = value
		}
	}
	scope := strings.Split(credential, "/")
	switch {
	case len(scope) != 5 || scope[4] != "aws4_request":
		return a, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term."
	case len(a.signed) == 0:
		return a, "Authorization header requires 'SignedHeaders' parameter."
	case a.signature == "":
		return a, "Authorization header requires 'Signature' parameter."
	}
	a.keyID, a.date, a.region, a.service = scope[0], scope[1], scope[2], scope[3]
	return a, ""
}

// canonicalRequest is step 1 of the signing process.
func canonicalRequest(r *http.Request, signed []string, body []byte) []byte {
	var b bytes.Buffer
	b.WriteString(r.Method + "\n" + canonicalPath(r.URL) + "\n" + canonicalQuery(r.URL) + "\n")
	for _, name := range signed {
		b.WriteString(name + ":" + canonicalValue(r, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(signed, ";") + "\n")
	hash := sha256.Sum256(body)
	b.WriteString(hex.EncodeToString(hash[:]))
	return b.Bytes()
}

// canonicalPath encodes the path as sent once more: every service but S3 signs the doubly encoded path.
func canonicalPath(u *url.URL) string {
	path := u.EscapedPath()
	if path == "" {
		return "/"
	}
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		segments[i] = uriEncode(segment)
	}
	return strings.Join(segments, "/")
}

func canonicalQuery(u *url.URL) string {
	var pairs []string
	for name, values := range u.Query() {
		for _, value := range values {
			pairs = append(pairs, uriEncode(name)+"="+uriEncode(value))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// canonicalValue joins the values of a header with commas, each trimmed, its runs of spaces made one.
func canonicalValue(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10)
	}
	values := slices.Clone(r.Header.Values(name))
	for i, value := range values {
		values[i] = strings.Join(strings.Fields(value), " ")
	}
	return strings.Join(values, ",")
}

// uriEncode encodes every byte but the unreserved characters of RFC 3986 section 2.3.
func uriEncode(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
