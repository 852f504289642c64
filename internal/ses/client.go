package ses

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"golang.org/x/time/rate"

	"sesrelay/internal/relay"
)

var _ relay.Upstream = (*Client)(nil)

// Client is the SES upstream. It is safe for concurrent use.
type Client struct {
	cfg         Config
	credentials *credentialsCache
	wire        *wire
	api         *sesv2.Client // everything but sending, and sending with SenderSDK
	sender      sender
	metrics     *metrics
	inFlight    chan struct{} // holds one value per running call
	turns       *rate.Limiter // of the calls that are not sending
	endpoint    string        // base URL
}

// New makes a client; it calls nobody. Its error names every mistake in cfg.
func New(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	endpoint, err := endpointURL(cfg)
	if err != nil {
		return nil, err
	}
	c := &Client{
		cfg:         cfg,
		credentials: newCredentialsCache(cfg.Credentials),
		wire:        newWire(cfg.MaxInFlight, cfg.RootCAs, cfg.Proxy),
		metrics:     newMetrics(cfg.Registerer),
		inFlight:    make(chan struct{}, cfg.MaxInFlight),
		turns:       rate.NewLimiter(controlRate, 1),
		endpoint:    endpoint.String(),
	}
	c.api = sesv2.New(sesv2.Options{
		Region:       cfg.Region,
		BaseEndpoint: &c.endpoint,
		Credentials:  c.credentials,
		HTTPClient:   c.wire,
		Retryer:      aws.NopRetryer{}, // one attempt: a second request could be a second mail
	})
	c.sender = &viaSDK{c.api}
	if cfg.Sender == SenderDirect {
		c.sender = newDirect(c, sendURL(endpoint))
	}
	return c, nil
}

// endpointURL returns the configured base URL, or the region's.
func endpointURL(cfg Config) (*url.URL, error) {
	if cfg.Endpoint == "" {
		e, err := sesv2.NewDefaultEndpointResolverV2().ResolveEndpoint(context.Background(), sesv2.EndpointParameters{Region: &cfg.Region})
		if err != nil {
			return nil, fmt.Errorf("ses: no endpoint for region %q: %w", cfg.Region, err)
		}
		return &e.URI, nil
	}
	u, err := url.Parse(cfg.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("ses: Endpoint %q is no base URL: write it as https://host[:port]", cfg.Endpoint)
	}
	return u, nil
}

// sendURL returns the address of SendEmail under a base URL that may have a path.
func sendURL(base *url.URL) *url.URL {
	u := *base
	u.Path, u.RawPath, u.RawQuery = strings.TrimSuffix(u.Path, "/")+sendPath, "", ""
	return &u
}

// Copies is the memory that a call takes beside the content, as a multiple of
// its size: direct holds one encoded copy, the SDK the content, its base64 text
// and the JSON, each while it makes the next (measured).
func (c *Client) Copies() float64 {
	if c.cfg.Sender == SenderSDK {
		return 4
	}
	return 1.37
}

// Header returns the one header line that every mail to SES carries below the
// trace header, CRLF included: the same configuration set as the request's.
func (c *Client) Header() string {
	return "X-SES-CONFIGURATION-SET: " + c.cfg.ConfigurationSet + "\r\n"
}

// Begin starts a mail transaction. It does nothing yet: SES learns of a mail
// when all of it is there.
func (c *Client) Begin(_ context.Context, env *relay.Envelope) (relay.Delivery, error) {
	return &Delivery{client: c, env: env}, nil
}

// Close closes the idle connections.
func (c *Client) Close() {
	c.sender.close()
	c.wire.transport.CloseIdleConnections()
}

// enter waits for a place among the calls in flight and returns the function
// that leaves it.
func (c *Client) enter(ctx context.Context) (leave func(), err *relay.Error) {
	select {
	case c.inFlight <- struct{}{}:
		return c.leave, nil
	default:
	}
	wait := time.NewTimer(c.cfg.InFlightWait)
	defer wait.Stop()
	select {
	case c.inFlight <- struct{}{}:
		return c.leave, nil
	case <-wait.C:
		return nil, verdict{signal: relay.SignalBusy, class: ClassInFlight, reply: relay.ReplyThrottled}.error(
			fmt.Errorf("ses: %d calls are in flight, and none ended within %s (ses.max_in_flight)", c.cfg.MaxInFlight, c.cfg.InFlightWait))
	case <-ctx.Done():
		return nil, clientGone(ctx)
	}
}

func (c *Client) leave() { <-c.inFlight }

// clientGone is the end of a mail whose client left before the call was made.
func clientGone(ctx context.Context) *relay.Error {
	return verdict{kind: relay.ClientFault, class: ClassClientGone, reply: relay.ReplyLocalError}.error(
		fmt.Errorf("ses: not sent: %w", context.Cause(ctx)))
}

// callContext has the values of ctx and the call's own deadline, 1 s per MiB on
// top. The client leaving does not end a call: its outcome would be unknown,
// and the mail might go out twice.
func (c *Client) callContext(ctx context.Context, size int64) (context.Context, context.CancelFunc) {
	d := c.cfg.Timeout + time.Duration(size)*time.Second/(1<<20)
	return context.WithTimeout(context.WithoutCancel(ctx), d)
}
