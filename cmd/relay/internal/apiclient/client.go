package apiclient

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// timeout bounds one call. The slowest one asks every instance of the fleet.
const timeout = 15 * time.Second

// maxBody bounds an answer.
const maxBody = 8 << 20

// Client calls one relay's API.
type Client struct {
	base  string
	token string
	clear bool
	http  *http.Client
}

// New returns a client for the API at base, such as "http://127.0.0.1:8025".
// The API has no TLS of its own. A token goes in the clear to this machine and
// within a private network (RFC 1918, RFC 4193), nowhere else.
func New(base, token string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("%q is not the address of an API: write http://127.0.0.1:8025", base)
	}
	clear := u.Scheme == "http" && !isLoopback(u.Hostname())
	if token != "" && clear && !isPrivate(u.Hostname()) {
		return nil, fmt.Errorf("a token would go to %s in the clear: use https, the relay's private address, or a tunnel to its loopback", u.Host)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil // a relay is inside; a proxy from the environment would see the token
	return &Client{
		base:  strings.TrimSuffix(base, "/"),
		token: token,
		clear: clear,
		http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // the token is for this address only
		}},
	}, nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

func isPrivate(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsPrivate()
}

// InTheClear reports whether what is sent can be read on a network.
func (c *Client) InTheClear() bool { return c.clear }

// Base returns the address that is called.
func (c *Client) Base() string { return c.base }

// Answer is a successful answer: Body is its JSON as it came.
type Answer struct {
	Body []byte
	ETag string
}

// request is one call.
type request struct {
	method  string
	path    string
	query   url.Values
	ifMatch string
	body    any // nil = none
}

// do makes one call. Its error is a *Problem when the API refused, or an
// *Unreachable when there was no answer of an API.
func (c *Client) do(ctx context.Context, r request) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := c.newRequest(ctx, r)
	if err != nil {
		return Answer{}, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return Answer{}, &Unreachable{Base: c.base, Err: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err != nil {
		return Answer{}, &Unreachable{Base: c.base, Err: err}
	}
	if res.StatusCode >= 300 {
		return Answer{}, problemOf(res, body)
	}
	if !isJSON(res.Header) {
		return Answer{}, &Unreachable{Base: c.base, Err: fmt.Errorf("%s answered %q, which is not the relay's API", r.path, res.Header.Get("Content-Type"))}
	}
	return Answer{Body: body, ETag: res.Header.Get("ETag")}, nil
}

func (c *Client) newRequest(ctx context.Context, r request) (*http.Request, error) {
	target := c.base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	var body io.Reader
	if r.body != nil {
		b, err := json.Marshal(r.body)
		if err != nil {
			return nil, fmt.Errorf("apiclient: encode %s: %w", r.path, err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, fmt.Errorf("apiclient: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.ifMatch != "" {
		req.Header.Set("If-Match", r.ifMatch)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	req.Header.Set("Accept", "application/json")
	return req, nil
}

// decode reads the answer's JSON into v. Fields that this version does not know
// are left out: the relay may be newer.
func (a Answer) decode(v any) error {
	if err := json.Unmarshal(a.Body, v); err != nil {
		return fmt.Errorf("the relay's answer is not understood: %w; is it of the same version?", err)
	}
	return nil
}

func isJSON(h http.Header) bool {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && (t == "application/json" || strings.HasSuffix(t, "+json"))
}
