package ses

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"golang.org/x/time/rate"

	"sesrelay/internal/simulator"
)

// unhurried lets a test make control calls without waiting for turns.
func unhurried(c *Client) *Client {
	c.turns = rate.NewLimiter(rate.Inf, 1)
	return c
}

func TestAccount(t *testing.T) {
	t.Parallel()
	s, c := simulated(t, SenderDirect, simulator.SESConfig{NoCallLimit: true})
	unhurried(c)
	a, err := c.Account(t.Context())
	must(t, err)
	a.At = time.Time{}
	if want := (Account{Max24HourSend: -1, MaxSendRate: -1, SendingEnabled: true, ProductionAccessEnabled: true, EnforcementStatus: "HEALTHY"}); a != want {
		t.Errorf("got %+v, not %+v", a, want)
	}
	s.SetAccount(simulator.Account{Max24HourSend: 50000, MaxSendRate: 14, Sandbox: true, SendingPaused: true})
	_, _ = send(t, c) // refused: nothing is counted
	a, err = c.Account(t.Context())
	must(t, err)
	if a.Max24HourSend != 50000 || a.MaxSendRate != 14 || a.SentLast24Hours != 0 || a.SendingEnabled || a.ProductionAccessEnabled || !a.Known() {
		t.Errorf("got %+v", a)
	}
}

// TestAccountThatSaysNothing: no answer but a whole one changes the quota.
func TestAccountThatSaysNothing(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "{}", "null", "[]", `{"SendQuota":null}`, `{"SendQuota":7}`, `{"SendQuota":{"MaxSendRate":"fast"}}`, `{"SendQuota":{"MaxSendRate":14`, "<html>"} {
		url, _ := answering(t, 200, "", body)
		if a, err := unhurried(newClient(t, url, SenderDirect)).Account(t.Context()); err == nil || a.Known() {
			t.Errorf("%q: %+v", body, a)
		}
	}
}

func TestNotOffered(t *testing.T) {
	t.Parallel()
	for _, k := range []struct {
		status     int
		code, body string
		want       bool
	}{
		{404, "", "<html>404 Not Found</html>", true},
		{404, "", "", true},
		{405, "", "", true},
		{501, "", "not implemented", true},
		{404, "NotFoundException", `{"message":"x"}`, false},
		{403, "AccessDeniedException", `{"message":"x"}`, false},
		{500, "", "", false},
	} {
		url, _ := answering(t, k.status, k.code, k.body)
		_, err := newClient(t, url, SenderDirect).Account(t.Context())
		if err == nil || errors.Is(err, ErrNotOffered) != k.want {
			t.Errorf("%d %s: %v", k.status, k.code, err)
		}
	}
}

// httpFunc is an aws.HTTPClient that answers at once, without a connection.
type httpFunc func() (status int, body string)

func (f httpFunc) Do(r *http.Request) (*http.Response, error) {
	status, body := f()
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// offline replaces the client's connection for control calls.
func offline(c *Client, f httpFunc) {
	c.api = sesv2.New(c.api.Options(), func(o *sesv2.Options) { o.HTTPClient = f })
}

// TestPollAccount: a poll at once and then every 30 to 36 seconds; a failure
// keeps the last account; an instance whose turn it is not asks nobody.
func TestPollAccount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, "http://127.0.0.1:9", SenderDirect)
		calls, turns := 0, 0
		var at []time.Time
		offline(c, func() (int, string) {
			calls++
			if calls == 1 || calls == 3 {
				return 404, "not here"
			}
			return 200, fmt.Sprintf(`{"SendQuota":{"Max24HourSend":%d,"MaxSendRate":14,"SentLast24Hours":1},"SendingEnabled":true}`, 1000*calls)
		})
		type report struct {
			max   float64
			known bool
			err   bool
		}
		var got []report
		ctx, cancel := context.WithCancel(t.Context())
		c.PollAccount(ctx, AccountPoll{
			Every: time.Second,
			Turn: func() bool {
				at = append(at, time.Now())
				if turns++; turns == 20 {
					cancel()
				}
				return turns <= 4
			},
			Report: func(a Account, err error) {
				got = append(got, report{a.Max24HourSend, a.Known(), errors.Is(err, ErrNotOffered)})
			},
		})
		if calls != 4 || len(at) != 20 {
			t.Errorf("%d calls in %d turns", calls, len(at))
		}
		if len(at) > 0 && time.Since(at[0]) > 20*36*time.Second {
			t.Errorf("20 turns took %s", time.Since(at[0]))
		}
		want := []report{{0, false, true}, {2000, true, false}, {2000, true, true}, {4000, true, false}}
		if !slices.Equal(got, want) {
			t.Errorf("reports %v, not %v", got, want)
		}
		for i := 1; i < len(at); i++ {
			if d := at[i].Sub(at[i-1]); d < 30*time.Second || d > 36*time.Second {
				t.Errorf("poll %d came after %s", i, d)
			}
		}
	})
}

// TestTurns: all calls but sending share one a second.
func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, "http://127.0.0.1:9", SenderDirect)
		offline(c, func() (int, string) { return 200, `{"SendQuota":{}}` })
		start := time.Now()
		for range 3 {
			_, err := c.Account(t.Context())
			must(t, err)
			_, err = c.ListIdentities(t.Context())
			must(t, err)
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("6 calls took %s", took)
		}
	})
}

func TestListIdentities(t *testing.T) {
	t.Parallel()
	var names []string
	for i := range 2500 {
		names = append(names, fmt.Sprintf("d%d.example", i))
	}
	names = append(names, "someone@Example.ORG")
	_, c := simulated(t, SenderDirect, simulator.SESConfig{NoCallLimit: true, Identities: names})
	list, err := unhurried(c).ListIdentities(t.Context())
	must(t, err)
	if len(list) != 2501 || list[2500] != (Identity{"someone@example.org", false, true, "SUCCESS"}) || list[2499] != (Identity{"d2499.example", true, true, "SUCCESS"}) {
		t.Errorf("%d identities, the last %v", len(list), list[len(list)-1])
	}
	if d := VerifiedDomains(list); len(d) != 2500 {
		t.Errorf("%d domains", len(d))
	}
}

// TestVerifiedDomains: only domains that may send count.
func TestVerifiedDomains(t *testing.T) {
	t.Parallel()
	url, _ := answering(t, 200, "", `{"EmailIdentities":[
		{"IdentityName":"good.example","IdentityType":"DOMAIN","SendingEnabled":true,"VerificationStatus":"SUCCESS"},
		{"IdentityName":"old.example","IdentityType":"DOMAIN","SendingEnabled":true},
		{"IdentityName":"off.example","IdentityType":"DOMAIN","SendingEnabled":false,"VerificationStatus":"SUCCESS"},
		{"IdentityName":"pending.example","IdentityType":"DOMAIN","SendingEnabled":true,"VerificationStatus":"PENDING"},
		{"IdentityName":"a@address.example","IdentityType":"EMAIL_ADDRESS","SendingEnabled":true,"VerificationStatus":"SUCCESS"}],"NextToken":null}`)
	list, err := newClient(t, url, SenderDirect).ListIdentities(t.Context())
	must(t, err)
	if got := strings.Join(VerifiedDomains(list), " "); got != "good.example old.example" {
		t.Errorf("got %q", got)
	}
}

func TestIdentitySet(t *testing.T) {
	t.Parallel()
	s := NewIdentitySet("goo.ne.jp", "Example.COM.")
	for domain, want := range map[string]bool{
		"goo.ne.jp": true, "mail.goo.ne.jp": true, "a.b.goo.ne.jp": true, "GOO.NE.JP": true, "goo.ne.jp.": true,
		"notgoo.ne.jp": false, "ne.jp": false, "jp": false, "": false, ".": false, "goo.ne.jp.evil.example": false,
		"example.com": true, "x.example.com": true,
	} {
		if got := s.Verified(domain); got != want {
			t.Errorf("%q: %v", domain, got)
		}
	}
	if new(IdentitySet).Verified("goo.ne.jp") {
		t.Error("the zero value knows a domain")
	}
}

// TestPollIdentities: a failed poll leaves the set as it is.
func TestPollIdentities(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, "http://127.0.0.1:9", SenderDirect)
		answers := []string{`{"EmailIdentities":[{"IdentityName":"a.example","IdentityType":"DOMAIN","SendingEnabled":true}]}`, "",
			`{"EmailIdentities":[{"IdentityName":"b.example","IdentityType":"DOMAIN","SendingEnabled":true}]}`}
		offline(c, func() (int, string) {
			body := answers[0]
			answers = answers[1:]
			if body == "" {
				return 503, "{}"
			}
			return 200, body
		})
		var set IdentitySet
		var got []string
		ctx, cancel := context.WithCancel(t.Context())
		c.PollIdentities(ctx, time.Hour, &set, func(err error) {
			got = append(got, fmt.Sprint(err == nil, set.Verified("a.example"), set.Verified("b.example")))
			if len(answers) == 0 {
				cancel()
			}
		})
		if s := strings.Join(got, "; "); s != "true true false; false true false; true false true" {
			t.Errorf("got %s", s)
		}
	})
}
