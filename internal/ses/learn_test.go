package ses

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"sesrelay/internal/relay"
)

func TestUnverifiedDomains(t *testing.T) {
	t.Parallel()
	const text = "Email address is not verified. The following identities failed the check in region AP-NORTHEAST-1: "
	cases := map[string]string{
		text + "a@Example.JP":                          "example.jp",
		text + "a@example.jp, b@example.jp":            "example.jp",
		text + "a@example.jp, b@example.org":           "example.jp example.org",
		text + "Name <a@example.jp>":                   "example.jp",
		text + `"Last, First" <a@example.jp>`:          "example.jp",
		text + "example.jp":                            "example.jp",
		text + "arn:aws:ses:x:123:identity/example.jp": "example.jp",
		text + "to@example.com":                        "", // the recipient: the sandbox
		text + "to@example.com, a@example.jp":          "example.jp",
		text + "other@example.com":                     "example.com",
		text:                                           "",
		text + ",,, <>, @, a@, @b, \x00@x.jp":          "",
		"Email address is not verified.":               "",
		"Email address is not verified":                "",
		"":                                             "",
	}
	for message, want := range cases {
		if got := strings.Join(unverifiedDomains(message, []relay.Address{address(t, "to@example.com")}), " "); got != want {
			t.Errorf("%q: got %q, not %q", message, got, want)
		}
	}
}

func FuzzUnverifiedDomains(f *testing.F) {
	f.Add("Email address is not verified. The following identities failed the check in region X: a@b.jp, N <c@d.jp>")
	f.Add(": <<>>@,.")
	f.Fuzz(func(t *testing.T, message string) {
		for _, d := range unverifiedDomains(message, nil) {
			if _, err := relay.ParseAddress("x@"+d, false); err != nil || d != strings.ToLower(d) {
				t.Fatalf("%q: %v", d, err)
			}
		}
	})
}

// TestCallbacks: what an answer says beyond its mail reaches who has to know.
func TestCallbacks(t *testing.T) {
	t.Parallel()
	const unverifiedText = "Email address is not verified. The following identities failed the check in region AP-NORTHEAST-1: a@example.org"
	cases := []struct {
		code, message string
		want          string
	}{
		{"TooManyRequestsException", "Maximum sending rate exceeded.", "throttle false"},
		{"LimitExceededException", "Daily message quota exceeded.", "throttle true"},
		{"MessageRejected", unverifiedText, "unverified example.org"},
		{"MessageRejected", "x", ""},
		{"AccountSuspendedException", "x", ""},
	}
	for _, k := range cases {
		for _, sender := range senders {
			url, _ := answering(t, 400, k.code, fmt.Sprintf(`{"message":%q}`, k.message))
			var got []string
			c := newClient(t, url, sender, func(cfg *Config) {
				cfg.OnThrottle = func(daily bool) { got = append(got, fmt.Sprint("throttle ", daily)) }
				cfg.OnUnverified = func(domain string) { got = append(got, "unverified "+domain) }
			})
			if _, err := send(t, c); err == nil {
				t.Error("accepted")
			}
			if s := strings.Join(got, ", "); s != k.want {
				t.Errorf("%s %s: told %q, not %q", sender, k.code, s, k.want)
			}
			without := newClient(t, url, sender)
			if _, err := send(t, without); err == nil {
				t.Error("accepted")
			}
		}
	}
}

// countingProvider gives the same credentials and counts how often.
type countingProvider struct {
	calls atomic.Int32
	err   error
}

func (p *countingProvider) Retrieve(context.Context) (aws.Credentials, error) {
	p.calls.Add(1)
	return aws.Credentials{AccessKeyID: testKey, SecretAccessKey: testSecret, SessionToken: testToken}, p.err
}

// TestCredentials: they are cached, and fetched anew when AWS says expired.
func TestCredentials(t *testing.T) {
	t.Parallel()
	for _, sender := range senders {
		p := &countingProvider{}
		edit := func(cfg *Config) { cfg.Credentials = p }
		url, _ := answering(t, 200, "", `{"MessageId":"m-1"}`)
		c := newClient(t, url, sender, edit)
		for range 3 {
			if _, err := send(t, c); err != nil {
				t.Fatal(err)
			}
		}
		if n := p.calls.Load(); n != 1 {
			t.Errorf("%s: fetched %d times for three mails", sender, n)
		}
		url, _ = answering(t, 403, "ExpiredTokenException", `{}`)
		c = newClient(t, url, sender, edit)
		for range 2 {
			if _, err := send(t, c); err == nil {
				t.Error("accepted")
			}
		}
		if n := p.calls.Load(); n != 3 {
			t.Errorf("%s: fetched %d times after two expired tokens, not 1 + 2", sender, n)
		}
	}
}

// TestNoCredentials: without credentials nothing is sent, surely.
func TestNoCredentials(t *testing.T) {
	t.Parallel()
	for _, sender := range senders {
		url, posts := answering(t, 200, "", `{"MessageId":"m-1"}`)
		c := newClient(t, url, sender, func(cfg *Config) { cfg.Credentials = &countingProvider{err: errors.New("no role")} })
		_, err := send(t, c)
		e := refusal(t, err)
		if e.Outcome != na || e.Kind != relay.Unavailable || e.Signal != trip || e.Class != ClassCredentials || e.Reply != relay.ReplyConfig || posts.Load() != 0 {
			t.Errorf("%s: %v, %d requests", sender, e, posts.Load())
		}
		noLeak(t, e.Reply)
	}
}

func TestErrorMetric(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	url, _ := answering(t, 400, "MessageRejected", `{"message":"x"}`)
	c := newClient(t, url, SenderDirect, func(cfg *Config) { cfg.Registerer = reg; cfg.KeepMessageTags = true })
	for range 2 {
		d := begin(t, c, "to@example.com")
		d.SetTags("", "a b=c, d=e, relay-step=x")
		if _, err := d.Send(t.Context(), newBody(testMail)); err == nil {
			t.Error("accepted")
		}
	}
	if n := testutil.ToFloat64(c.metrics.errors[ClassMessageRejected]); n != 2 {
		t.Errorf("counted %v", n)
	}
	if n := testutil.ToFloat64(c.metrics.tagsDropped); n != 4 {
		t.Errorf("%v tags dropped", n)
	}
	if n, err := testutil.GatherAndCount(reg, "relay_ses_errors_total"); err != nil || n != len(Classes) {
		t.Errorf("%d classes exported, not %d: %v", n, len(Classes), err)
	}
	for _, row := range table {
		if !slices.Contains(Classes, row.class) {
			t.Errorf("class %q of the table is not listed", row.class)
		}
	}
}
