package ses

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"sesrelay/internal/relay"
)

// The credentials of every test; none of them may ever stand in a reply.
const (
	testKey    = "AKIDEXAMPLE"
	testSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	testToken  = "AQoDYXdzEXAMPLETOKEN"
)

// quiet takes the log of servers whose handshakes fail on purpose.
var quiet = log.New(io.Discard, "", 0)

var senders = []string{SenderDirect, SenderSDK}

// testMail is the content of a mail; its length is no multiple of three.
const testMail = "Received: from a by b; Mon, 23 Nov 2026 09:00:00 +0900\r\nX-SES-CONFIGURATION-SET: cs\r\nFrom: a@example.jp\r\n\r\nhello\r\n"

// parts is a relay.Body in memory that hands out a part at a time.
type parts struct {
	left   [][]byte
	size   int64
	opened int
	fail   error // after the last part, instead of io.EOF
}

func newBody(p ...string) *parts {
	b := &parts{}
	for _, s := range p {
		b.left = append(b.left, []byte(s))
		b.size += int64(len(s))
	}
	return b
}

func (b *parts) Open(context.Context) error { b.opened++; return nil }
func (b *parts) Size() int64                { return b.size }

func (b *parts) Next() ([]byte, error) {
	if len(b.left) > 0 {
		p := b.left[0]
		b.left = b.left[1:]
		return p, nil
	}
	if b.fail != nil {
		return nil, b.fail
	}
	return nil, io.EOF
}

func testConfig(endpoint, sender string) Config {
	return Config{
		Region: "ap-northeast-1", Endpoint: endpoint, Sender: sender, ConfigurationSet: "cs",
		Credentials: credentials.NewStaticCredentialsProvider(testKey, testSecret, testToken),
		MaxInFlight: 10, Timeout: 10 * time.Second,
	}
}

// newClient makes a client whose configuration edit may change.
func newClient(t testing.TB, endpoint, sender string, edit ...func(*Config)) *Client {
	t.Helper()
	cfg := testConfig(endpoint, sender)
	for _, e := range edit {
		e(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func address(t testing.TB, s string) relay.Address {
	t.Helper()
	a, err := relay.ParseAddress(s, true)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return a
}

func envelope(t testing.TB) *relay.Envelope {
	return &relay.Envelope{ID: "r1", ReversePath: address(t, "bounce@example.jp")}
}

// begin starts a transaction with the given recipients.
func begin(t testing.TB, c *Client, to ...string) *Delivery {
	t.Helper()
	d, err := c.Begin(t.Context(), envelope(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range to {
		if errs := d.AddRecipients(t.Context(), []relay.Address{address(t, s)}); errs[0] != nil {
			t.Fatalf("recipient %q: %v", s, errs[0])
		}
	}
	return d.(*Delivery)
}

// send sends testMail to one recipient.
func send(t testing.TB, c *Client) (relay.Receipt, error) {
	t.Helper()
	return begin(t, c, "to@example.com").Send(t.Context(), newBody(testMail))
}

// refusal returns err as *relay.Error, which it must be. Neither of its two
// texts may hold a credential.
func refusal(t testing.TB, err error) *relay.Error {
	t.Helper()
	e, ok := errors.AsType[*relay.Error](err)
	if !ok {
		t.Fatalf("error is %T (%v), not *relay.Error", err, err)
	}
	for _, secret := range []string{testKey, testSecret, testToken} {
		if strings.Contains(e.Error(), secret) {
			t.Errorf("error %q holds %q", e, secret)
		}
	}
	noLeak(t, e.Reply)
	return e
}

// answering is a server that gives one answer and counts the requests.
func answering(t testing.TB, status int, header, body string) (url string, posts *atomic.Int32) {
	posts = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		posts.Add(1)
		io.Copy(io.Discard, r.Body) //nolint:errcheck // a broken request shows in the client
		w.Header().Set("X-Amzn-Requestid", "rq-1")
		if header != "" {
			w.Header().Set("X-Amzn-Errortype", header)
		}
		w.WriteHeader(status)
		io.WriteString(w, body) //nolint:errcheck // likewise
	}))
	t.Cleanup(s.Close)
	return s.URL, posts
}

// noLeak fails when a reply holds a credential or an address.
func noLeak(t testing.TB, r relay.Reply) {
	t.Helper()
	for _, secret := range []string{testKey, testSecret, testToken, "@example", "127.0.0.1", "localhost"} {
		if strings.Contains(r.Text, secret) {
			t.Errorf("reply %q holds %q", r, secret)
		}
	}
}
