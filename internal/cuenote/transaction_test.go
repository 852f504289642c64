package cuenote

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"sesrelay/internal/relay"
)

// newClient returns a client of address, closed when the test ends.
func newClient(t testing.TB, address string, change ...func(*Config)) *Client {
	t.Helper()
	cfg := Config{Address: address, Hostname: "relay-1.example"}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return c
}

// parts is a body that returns its parts one by one, then err (nil: io.EOF).
type parts struct {
	list    []string
	err     error
	openErr error
	opened  int
	reads   int
	onNext  func(i int) // called before part i is returned, and before the end
}

func content(list ...string) *parts { return &parts{list: list} }

func (p *parts) Open(context.Context) error { p.opened++; return p.openErr }
func (p *parts) Size() int64                { return -1 }
func (p *parts) Next() ([]byte, error) {
	if p.onNext != nil {
		p.onNext(p.reads)
	}
	if p.reads < len(p.list) {
		p.reads++
		return []byte(p.list[p.reads-1]), nil
	}
	if p.err != nil {
		return nil, p.err
	}
	return nil, io.EOF
}

func addresses(t testing.TB, list ...string) []relay.Address {
	t.Helper()
	var to []relay.Address
	for _, s := range list {
		a, err := relay.ParseAddress(s, true)
		if err != nil {
			t.Fatal(err)
		}
		to = append(to, a)
	}
	return to
}

func envelope(t testing.TB) *relay.Envelope {
	return &relay.Envelope{ID: "r1", ReversePath: addresses(t, "from@goo.ne.jp")[0]}
}

const message = "Subject: x\r\n\r\nhello\r\n"

// result is how one whole mail transaction ended.
type result struct {
	rcpt    []error
	receipt relay.Receipt
	err     error
	body    *parts
}

// mail runs one transaction: recipients in one go, then the content.
func mail(t testing.TB, c *Client, env *relay.Envelope, to ...string) result {
	t.Helper()
	return mailBody(t, context.Background(), c, env, content(message), to...)
}

func mailBody(t testing.TB, ctx context.Context, c *Client, env *relay.Envelope, body *parts, to ...string) result {
	t.Helper()
	d, err := c.Begin(ctx, env)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Abort()
	r := result{body: body, rcpt: d.AddRecipients(ctx, addresses(t, to...))}
	for _, err := range r.rcpt {
		if err == nil {
			r.receipt, r.err = d.Send(ctx, body)
			return r
		}
	}
	return r
}

// ok fails the test unless the whole transaction was accepted.
func (r result) ok(t testing.TB) {
	t.Helper()
	if err := errors.Join(append(r.rcpt, r.err)...); err != nil {
		t.Fatal(err)
	}
}

// failure returns the first error of the transaction.
func (r result) failure(t testing.TB) *relay.Error {
	t.Helper()
	for _, err := range append(r.rcpt, r.err) {
		if e, ok := errors.AsType[*relay.Error](err); ok {
			return e
		}
	}
	t.Fatalf("no *relay.Error: %+v", r)
	return nil
}
