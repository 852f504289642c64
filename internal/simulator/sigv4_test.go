package simulator_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"

	"sesrelay/internal/simulator"
)

// signed is a GetAccount request signed by the SDK's signer, as changed.
func signed(t *testing.T, s *simulator.SES, service, region string, at time.Time, change func(*http.Request)) (status int, class, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/v2/email/account", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Odd", "  a   b ")
	empty := sha256.Sum256(nil)
	keys := aws.Credentials{AccessKeyID: "AKIDTEST", SecretAccessKey: "secret"}
	if err := v4.NewSigner().SignHTTP(t.Context(), keys, r, hex.EncodeToString(empty[:]), service, region, at); err != nil {
		t.Fatal(err)
	}
	change(r)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.Header.Get("x-amzn-RequestId") == "" {
		t.Error("no x-amzn-RequestId")
	}
	return response.StatusCode, response.Header.Get("x-amzn-ErrorType"), string(b)
}

func TestSignature(t *testing.T) {
	t.Parallel()
	s := startSES(t, simulator.SESConfig{NoCallLimit: true})
	now := time.Now()
	keep := func(*http.Request) {}
	edit := func(from, to string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), from, to, 1))
		}
	}
	const tokyo = "ap-northeast-1"
	for name, c := range map[string]struct {
		service, region string
		at              time.Time
		change          func(*http.Request)
		status          int
		class           string
		text            string
	}{
		"right":            {"ses", tokyo, now, keep, 200, "", "SendQuota"},
		"14 minutes old":   {"ses", tokyo, now.Add(-14 * time.Minute), keep, 200, "", ""},
		"an hour old":      {"ses", tokyo, now.Add(-time.Hour), keep, 400, "RequestExpired", "Signature expired"},
		"an hour ahead":    {"ses", tokyo, now.Add(time.Hour), keep, 400, "RequestExpired", "Signature not yet current"},
		"other service":    {"email", tokyo, now, keep, 403, "SignatureDoesNotMatch", "correct service: 'ses'"},
		"other region":     {"ses", "us-east-1", now, keep, 403, "SignatureDoesNotMatch", "valid region"},
		"unknown key":      {"ses", tokyo, now, edit("AKIDTEST", "AKIDOTHER"), 403, "InvalidClientTokenId", "security token"},
		"none":             {"ses", tokyo, now, func(r *http.Request) { r.Header.Del("Authorization") }, 403, "MissingAuthenticationToken", "Missing Authentication Token"},
		"no date":          {"ses", tokyo, now, func(r *http.Request) { r.Header.Del("X-Amz-Date") }, 400, "IncompleteSignature", "Date"},
		"other algorithm":  {"ses", tokyo, now, edit("AWS4-", "AWS3-"), 400, "IncompleteSignature", "algorithm"},
		"short credential": {"ses", tokyo, now, edit("/aws4_request", ""), 400, "IncompleteSignature", "5 slash-delimited"},
		"no signature":     {"ses", tokyo, now, edit("Signature=", "Sig="), 400, "IncompleteSignature", "'Signature'"},
		"no headers":       {"ses", tokyo, now, edit("SignedHeaders=", "Headers="), 400, "IncompleteSignature", "'SignedHeaders'"},
		"host not signed":  {"ses", tokyo, now, edit("host;", ""), 403, "SignatureDoesNotMatch", "'Host'"},
		"not hex":          {"ses", tokyo, now, edit("Signature=", "Signature=zz"), 403, "SignatureDoesNotMatch", ""},
		"header changed":   {"ses", tokyo, now, func(r *http.Request) { r.Header.Set("X-Odd", "c") }, 403, "SignatureDoesNotMatch", "we calculated"},
		"query changed":    {"ses", tokyo, now, func(r *http.Request) { r.URL.RawQuery = "a=b" }, 403, "SignatureDoesNotMatch", ""},
		"body added": {"ses", tokyo, now, func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), 1 },
			403, "SignatureDoesNotMatch", ""},
	} {
		status, class, body := signed(t, s, c.service, c.region, c.at, c.change)
		if status != c.status || class != c.class || !strings.Contains(body, c.text) {
			t.Errorf("%s: got %d %s %s, want %d %s %q", name, status, class, body, c.status, c.class, c.text)
		}
	}
}

// A wrong secret, a path and a query that must be encoded, and a body: as the SDK sends them.
func TestSignatureOfTheSDK(t *testing.T) {
	t.Parallel()
	s := startSES(t, simulator.SESConfig{NoCallLimit: true, Identities: []string{"a+b@goo.ne.jp", "x y@goo.ne.jp", "goo.ne.jp"}})
	wrong := clientFor(s, func(o *sesv2.Options) {
		o.Credentials = credentials.NewStaticCredentialsProvider("AKIDTEST", "guess", "")
	})
	if _, err := wrong.SendEmail(t.Context(), input(testMail, "a@example.jp")); code(err) != "SignatureDoesNotMatch" {
		t.Errorf("wrong secret: %v", err)
	}
	unsigned := clientFor(s, func(o *sesv2.Options) { o.Credentials = aws.AnonymousCredentials{} })
	if _, err := unsigned.SendEmail(t.Context(), input(testMail, "a@example.jp")); code(err) != "MissingAuthenticationToken" {
		t.Errorf("anonymous: %v", err)
	}
	session := clientFor(s, func(o *sesv2.Options) {
		o.Credentials = credentials.NewStaticCredentialsProvider("AKIDTEST", "secret", "a/session+token==")
	})
	if _, err := session.SendEmail(t.Context(), input(testMail, "a@example.jp")); err != nil {
		t.Errorf("session token: %v", err)
	}
	for _, id := range []string{"a+b@goo.ne.jp", "x y@goo.ne.jp", "goo.ne.jp"} {
		if _, err := clientFor(s).GetEmailIdentity(t.Context(), &sesv2.GetEmailIdentityInput{EmailIdentity: aws.String(id)}); err != nil {
			t.Errorf("identity %s: %v", id, err)
		}
	}
	if n := s.Store().Count(); n != 1 {
		t.Errorf("%d recorded, want only the session's", n)
	}
}

// Without credentials in the configuration any signature is believed, but not none.
func TestSignatureNotChecked(t *testing.T) {
	t.Parallel()
	s, err := simulator.NewSES(simulator.SESConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	anybody := clientFor(s, func(o *sesv2.Options) {
		o.Credentials = credentials.NewStaticCredentialsProvider("WHO", "ever", "")
	})
	if _, err := anybody.SendEmail(t.Context(), input(testMail, "a@example.jp")); err != nil {
		t.Error(err)
	}
	unsigned := clientFor(s, func(o *sesv2.Options) { o.Credentials = aws.AnonymousCredentials{} })
	if _, err := unsigned.SendEmail(t.Context(), input(testMail, "a@example.jp")); code(err) != "MissingAuthenticationToken" {
		t.Errorf("anonymous: %v", err)
	}
}
