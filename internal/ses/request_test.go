package ses

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
)

// captured is one request as the server saw it.
type captured struct {
	method, uri, host string
	header            http.Header
	length            int64
	body              []byte
}

// capturing is a server that keeps the requests it accepts.
func capturing(t testing.TB) (url string, requests chan captured) {
	requests = make(chan captured, 16)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("request body: %v", err)
		}
		requests <- captured{r.Method, r.RequestURI, r.Host, r.Header, r.ContentLength, body}
		io.WriteString(w, `{"MessageId":"m-1"}`) //nolint:errcheck // a broken answer shows in the client
	}))
	t.Cleanup(s.Close)
	return s.URL, requests
}

// fixedSigner signs the SDK's requests at a given time.
type fixedSigner struct {
	v4.HTTPSigner
	now time.Time
}

func (s fixedSigner) SignHTTP(ctx context.Context, c aws.Credentials, r *http.Request, hash, service, region string, _ time.Time, opts ...func(*v4.SignerOptions)) error {
	return s.HTTPSigner.SignHTTP(ctx, c, r, hash, service, region, s.now, opts...)
}

// TestDirectIsWhatTheSDKSends proves that the direct sender posts the SDK's
// request: same method, path, query, host, headers, signed header set and
// signature, same body. Only the User-Agent differs, which is not signed.
func TestDirectIsWhatTheSDKSends(t *testing.T) {
	t.Parallel()
	mails := map[string]func() (*Delivery, *parts){}
	for name, m := range requestCases {
		mails[name] = func() (*Delivery, *parts) {
			d := &Delivery{env: envelope(t), step: m.step, clientTags: m.tags}
			for _, to := range m.to {
				d.to = append(d.to, address(t, to))
			}
			return d, newBody(m.content...)
		}
	}
	for name, mail := range mails {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, requests := capturing(t)
			now := time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC)
			edit := func(cfg *Config) {
				cfg.KeepMessageTags = true
				cfg.Identities = func(domain string) bool { return domain == "example.jp" }
				cfg.Now = func() time.Time { return now }
			}

			viaAPI := newClient(t, url, SenderSDK, edit)
			viaAPI.sender = &viaSDK{sesv2.New(viaAPI.api.Options(), func(o *sesv2.Options) {
				o.HTTPSignerV4, o.AuthSchemes = fixedSigner{v4.NewSigner(), now}, nil
			})}
			want := sendCaptured(t, viaAPI, requests, mail)

			own := newClient(t, url, SenderDirect, edit)
			own.sender.(*direct).newID = func() string { return want.header.Get("Amz-Sdk-Invocation-Id") }
			got := sendCaptured(t, own, requests, mail)

			compareRequests(t, got, want)
		})
	}
}

var requestCases = map[string]struct {
	content    []string
	to         []string
	step, tags string
}{
	"plain":                {content: []string{testMail}, to: []string{"to@example.com"}},
	"many parts":           {content: []string{"R", "", "ec", "eived: x\r\n", "F", "r", "o", "m: a@example.jp\r\n\r\n", "hello\r\n"}, to: []string{"to@example.com"}, step: "10"},
	"recipients":           {content: []string{testMail}, to: []string{"a&b@example.com", "c'd+e=f@example.com", "{x}|y~z@example.com", "`#$%*/?^!@example.com"}},
	"tags":                 {content: []string{testMail}, to: []string{"to@example.com"}, step: "12.5", tags: "campaign=spring_1, kind=a-b, bad=a b, relay-step=99"},
	"empty":                {content: nil, to: []string{"to@example.com"}},
	"one byte":             {content: []string{"x"}, to: []string{"to@example.com"}},
	"two bytes":            {content: []string{"x", "y"}, to: []string{"to@example.com"}},
	"8-bit":                {content: []string{"From: a@example.jp\r\n\r\n\xe3\x81\x82\x00\xff\xfe\r\n"}, to: []string{"to@example.com"}},
	"larger than a write":  {content: []string{strings.Repeat("0123456789abcdef", 5000), testMail}, to: []string{"to@example.com"}},
	"larger than the pool": {content: []string{strings.Repeat("0123456789abcdef\r\n", 40000), testMail}, to: []string{"to@example.com"}},
}

func sendCaptured(t *testing.T, c *Client, requests chan captured, mail func() (*Delivery, *parts)) captured {
	t.Helper()
	d, body := mail()
	d.client = c
	r, err := d.Send(t.Context(), body)
	if err != nil || r.ID != "m-1" {
		t.Fatalf("receipt %+v, error %v", r, err)
	}
	return <-requests
}

func compareRequests(t *testing.T, got, want captured) {
	t.Helper()
	if got.method != want.method || got.uri != want.uri || got.host != want.host || got.length != want.length {
		t.Errorf("got %s %s %s %d, not %s %s %s %d", got.method, got.uri, got.host, got.length, want.method, want.uri, want.host, want.length)
	}
	if !bytes.Equal(got.body, want.body) {
		t.Errorf("body\n%.400q, not\n%.400q", got.body, want.body)
	}
	got.header.Del("User-Agent")
	want.header.Del("User-Agent")
	for name := range want.header {
		if g, w := got.header.Get(name), want.header.Get(name); g != w {
			t.Errorf("%s: %q, not %q", name, g, w)
		}
	}
	if len(got.header) != len(want.header) {
		t.Errorf("headers %v, not %v", got.header, want.header)
	}
	if !strings.Contains(got.header.Get("Authorization"), "Signature=") {
		t.Errorf("no signature in %q", got.header.Get("Authorization"))
	}
}

// TestRequestFields reads a request the way SES does.
func TestRequestFields(t *testing.T) {
	t.Parallel()
	for _, sender := range senders {
		t.Run(sender, func(t *testing.T) {
			t.Parallel()
			url, requests := capturing(t)
			c := newClient(t, url, sender, func(cfg *Config) {
				cfg.Identities = func(domain string) bool { return domain == "example.jp" }
			})
			d := begin(t, c, "one@example.com", "two@example.net")
			d.SetTags("25", "x=y")
			if _, err := d.Send(t.Context(), newBody(testMail[:10], testMail[10:])); err != nil {
				t.Fatal(err)
			}
			var got any
			if err := json.Unmarshal((<-requests).body, &got); err != nil {
				t.Fatal(err)
			}
			want := map[string]any{
				"ConfigurationSetName":           "cs",
				"Content":                        map[string]any{"Raw": map[string]any{"Data": base64.StdEncoding.EncodeToString([]byte(testMail))}},
				"Destination":                    map[string]any{"ToAddresses": []any{"one@example.com", "two@example.net"}},
				"EmailTags":                      []any{map[string]any{"Name": "relay-step", "Value": "25"}},
				"FeedbackForwardingEmailAddress": "bounce@example.jp",
			}
			g, _ := json.Marshal(got)
			w, _ := json.Marshal(want)
			if !bytes.Equal(g, w) {
				t.Errorf("request\n%s, not\n%s", g, w)
			}
		})
	}
}
