package ses

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// signedBoth signs one request by the SDK's signer and by ours.
func signedBoth(t *testing.T, s *signer, u *url.URL, region string, cred aws.Credentials, id string, length int64, now time.Time) (want, got *http.Request) {
	t.Helper()
	header := func() http.Header {
		return http.Header{"Content-Type": {contentType}, "User-Agent": {"agent"}, "Amz-Sdk-Invocation-Id": {id}, "Amz-Sdk-Request": {amzSDKRequest}}
	}
	sum := sha256.Sum256([]byte(id))
	hash := hex.EncodeToString(sum[:])
	c := *u
	want = &http.Request{Method: http.MethodPost, URL: &c, Host: c.Host, ContentLength: length, Header: header()}
	if err := v4.NewSigner().SignHTTP(t.Context(), cred, want, hash, signingName, region, now); err != nil {
		t.Fatal(err)
	}
	got = &http.Request{Method: http.MethodPost, URL: u, Host: s.host, ContentLength: length, Header: header()}
	setSignature(got.Header, s.sign(cred, id, hash, length, now))
	return want, got
}

func setSignature(h http.Header, s signature) {
	h.Set("X-Amz-Date", s.date)
	h.Set("Authorization", s.authorization)
	if s.token != "" {
		h.Set("X-Amz-Security-Token", s.token)
	}
}

func compareSigned(t *testing.T, want, got *http.Request) {
	t.Helper()
	if got.Host != want.Host || got.URL.String() != want.URL.String() || len(got.Header) != len(want.Header) {
		t.Errorf("%s %s %v, not %s %s %v", got.Host, got.URL, got.Header, want.Host, want.URL, want.Header)
	}
	for name := range want.Header {
		if got.Header.Get(name) != want.Header.Get(name) {
			t.Errorf("%s of %s: %q, not %q", name, want.URL, got.Header.Get(name), want.Header.Get(name))
		}
	}
}

// The signature is the SDK's for every endpoint, credential and day.
func TestSignatureIsTheSDKs(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{"https://email.ap-northeast-1.amazonaws.com", "https://email.ap-northeast-1.amazonaws.com:443", "http://127.0.0.1:80", "http://127.0.0.1:8443",
		"https://vpce-1-2.email.ap-northeast-1.vpce.amazonaws.com/", "https://proxy.example/a%20b/c d/~x", "https://[::1]:8443/ses"} {
		base, err := url.Parse(endpoint)
		if err != nil {
			t.Fatal(err)
		}
		u := sendURL(base)
		s := newSigner(u, "ap-northeast-1")
		for _, cred := range []aws.Credentials{{AccessKeyID: "AKID", SecretAccessKey: "secret"}, {AccessKeyID: "ASIA", SecretAccessKey: "other/+=", SessionToken: "token//=="}} {
			for _, now := range []time.Time{time.Date(2026, 11, 28, 23, 59, 59, 999, time.UTC), time.Date(2026, 11, 29, 9, 0, 1, 0, time.FixedZone("JST", 9*3600))} {
				want, got := signedBoth(t, s, u, "ap-northeast-1", cred, "0c0b5a0e-2f0a-4a3c-9d0e-5f1f2e3d4c5b", 11_432, now)
				compareSigned(t, want, got)
			}
		}
	}
}

// A token with a line end behind it, as files and environments have it, is the
// token: the signature is the one of the token alone.
func TestTokenWithALineEnd(t *testing.T) {
	t.Parallel()
	u := &url.URL{Scheme: "https", Host: "email.ap-northeast-1.amazonaws.com", Path: sendPath}
	s, now := newSigner(u, "ap-northeast-1"), time.Unix(1764000000, 0)
	want := s.sign(aws.Credentials{AccessKeyID: "ASIA", SecretAccessKey: "s", SessionToken: "token"}, "id", "hash", 1, now)
	got := s.sign(aws.Credentials{AccessKeyID: "ASIA", SecretAccessKey: "s", SessionToken: " token\r\n"}, "id", "hash", 1, now)
	if got != want {
		t.Errorf("%+v, not %+v", got, want)
	}
}

// FuzzSignature: whatever the credentials are, the signature is the SDK's.
func FuzzSignature(f *testing.F) {
	f.Add("AKID", "secret", "", int64(1), int64(1764000000))
	f.Add("ASIA", "s/+", "token", int64(40<<20), int64(1700000000))
	f.Fuzz(func(t *testing.T, id, secret, token string, length, unix int64) {
		if length < 1 || unix < 0 || unix > 4e9 || !plain(token) {
			return // no token that AWS gives, and no length of a request
		}
		u := &url.URL{Scheme: "https", Host: "email.ap-northeast-1.amazonaws.com", Path: sendPath}
		s := newSigner(u, "ap-northeast-1")
		want, got := signedBoth(t, s, u, "ap-northeast-1", aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: token}, "0c0b5a0e", length, time.Unix(unix, 0))
		compareSigned(t, want, got)
	})
}

// plain reports whether a header value is visible ASCII: inside other text the
// SDK folds blanks.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func BenchmarkSign(b *testing.B) {
	u := &url.URL{Scheme: "https", Host: "email.ap-northeast-1.amazonaws.com", Path: sendPath}
	cred := aws.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "secret", SessionToken: "a session token as a role has it"}
	hash := hex.EncodeToString(make([]byte, 32))
	now := time.Now()
	b.Run("own", func(b *testing.B) {
		b.ReportAllocs()
		s := newSigner(u, "ap-northeast-1")
		for b.Loop() {
			s.sign(cred, "0c0b5a0e-2f0a-4a3c-9d0e-5f1f2e3d4c5b", hash, 11_432, now)
		}
	})
	b.Run("sdk", func(b *testing.B) {
		b.ReportAllocs()
		s := v4.NewSigner()
		for b.Loop() {
			c := *u
			r := &http.Request{Method: http.MethodPost, URL: &c, Host: c.Host, ContentLength: 11_432, Header: http.Header{
				"Content-Type": {contentType}, "User-Agent": {"agent"}, "Amz-Sdk-Invocation-Id": {"0c0b5a0e-2f0a-4a3c-9d0e-5f1f2e3d4c5b"}, "Amz-Sdk-Request": {amzSDKRequest}}}
			if err := s.SignHTTP(b.Context(), cred, r, hash, signingName, "ap-northeast-1", now); err != nil {
				b.Fatal(err)
			}
		}
	})
}
