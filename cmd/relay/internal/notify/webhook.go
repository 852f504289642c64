package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"sesrelay/internal/rollout"
)

// Webhook posts an event as JSON.
type Webhook struct {
	url    string
	client *http.Client
}

// NewWebhook returns the target of rollout.notify.webhook.
func NewWebhook(url string) *Webhook { return &Webhook{url, outward()} }

// Name implements Target. The URL is a secret.
func (*Webhook) Name() string { return "webhook" }

// Tell implements Target.
func (w *Webhook) Tell(ctx context.Context, e rollout.Event) error {
	return post(ctx, w.client, w.url, "", message(e))
}

// payload is what a webhook gets; text is what chat tools show.
type payload struct {
	Text  string        `json:"text"`
	Event rollout.Event `json:"event"`
}

func message(e rollout.Event) payload { return payload{Text(e), e} }

// errForbidden: where clouds keep credentials for whoever asks from inside.
var errForbidden = errors.New("the address is link-local: refused")

// forbidden is asked with the address that is really dialled, after the name
// was resolved: a name that points elsewhere the second time is of no use.
func forbidden(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	ip := ap.Addr().WithZone("").Unmap()
	if ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() || metadata[ip] {
		return errForbidden
	}
	return nil
}

// metadata are the services of instances and containers that have an address
// outside of 169.254.0.0/16: fd00:ec2::254 and ::23 of AWS.
var metadata = map[netip.Addr]bool{
	netip.MustParseAddr("fd00:ec2::254"):   true,
	netip.MustParseAddr("fd00:ec2::23"):    true,
	netip.MustParseAddr("100.100.100.200"): true,
}

// outward is a client that follows no redirect and uses no proxy: both would
// choose another address.
func outward() *http.Client {
	d := &net.Dialer{Timeout: tryTimeout / 2, Control: forbidden}
	return &http.Client{
		Transport:     &http.Transport{DialContext: d.DialContext, TLSHandshakeTimeout: tryTimeout / 2, MaxIdleConns: 2, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// post sends JSON. Its error holds no URL: that is a secret.
func post(ctx context.Context, client *http.Client, target, token string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(b))
	if err != nil {
		return errors.New("the URL cannot be used")
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := client.Do(r)
	if quoted, ok := errors.AsType[*url.Error](err); ok {
		return quoted.Err
	}
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10))
	switch code := answer.StatusCode; {
	case code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500:
		return fmt.Errorf("answered %s", answer.Status)
	case code >= 300:
		return fmt.Errorf("%w: answered %s", errRefused, answer.Status)
	}
	return nil
}
