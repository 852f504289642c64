package cuenote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"sesrelay/internal/relay"
)

// extensions are what the EHLO reply offers (RFC 5321 section 4.1.1.1).
type extensions struct {
	lines      []string // as offered, cleaned, without the first line
	pipelining bool     // RFC 2920
	eightBit   bool     // RFC 6152
	utf8       bool     // RFC 6531
	startTLS   bool     // RFC 3207
	size       bool     // RFC 1870
	maxSize    int64    // 0: no limit named
	auth       []string // RFC 4954
}

func parseExtensions(text []byte) (e extensions) {
	for i, line := range strings.Split(string(text), "\n") {
		if i == 0 {
			continue // the server's name and a greeting
		}
		e.lines = append(e.lines, clean([]byte(line), maxTextLine))
		// "AUTH=LOGIN" is how some servers wrote it before RFC 2554.
		words := strings.Fields(strings.ToUpper(strings.Replace(line, "=", " ", 1)))
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "PIPELINING":
			e.pipelining = true
		case "8BITMIME":
			e.eightBit = true
		case "SMTPUTF8":
			e.utf8 = true
		case "STARTTLS":
			e.startTLS = true
		case "AUTH":
			e.auth = append(e.auth, words[1:]...)
		case "SIZE":
			e.size = true
			if len(words) > 1 {
				e.maxSize, _ = strconv.ParseInt(words[1], 10, 64) // unreadable: no limit named
			}
		}
	}
	return e
}

// errPlaintext asks for a second attempt without STARTTLS.
var errPlaintext = errors.New("TLS does not work with this server")

// connect opens a connection that is ready for MAIL.
func (c *Client) connect(ctx context.Context) (*conn, *relay.Error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.ConnectTimeout, errConnectTimeout)
	defer cancel()
	k, err := c.open(ctx, c.tls != nil)
	if err != nil && c.cfg.TLS == TLSOpportunistic && errors.Is(err, errPlaintext) {
		// RFC 7435: protection that cannot be had is not demanded.
		c.cfg.Logger.Warn("cuenote: going on without TLS", "error", err)
		k, err = c.open(ctx, false)
	}
	return k, err
}

var errConnectTimeout = errors.New("connecting took too long")

// open dials and goes through greeting, EHLO, TLS and AUTH.
func (c *Client) open(ctx context.Context, withTLS bool) (*conn, *relay.Error) {
	nc, err := c.dial(ctx, "tcp", c.cfg.Address)
	if err != nil {
		return nil, c.connectError(ctx, classDial, "dial", err)
	}
	k := newConn(nc, c.cfg.Now())
	stop := k.watch(ctx)
	failed := c.hello(ctx, k, withTLS)
	if !stop() && failed == nil {
		failed = c.connectError(ctx, classDial, "connect", ctx.Err())
	}
	if failed != nil {
		k.nc.Close()
		return nil, failed
	}
	return k, nil
}

// hello is everything between the TCP handshake and the first MAIL.
func (c *Client) hello(ctx context.Context, k *conn, withTLS bool) *relay.Error {
	if c.cfg.TLS == TLSImplicit {
		if failed := c.handshake(ctx, k); failed != nil {
			return failed
		}
	}
	if failed := c.greeting(ctx, k); failed != nil {
		return failed
	}
	if failed := c.ehlo(ctx, k); failed != nil {
		return failed
	}
	if withTLS && k.tls == nil {
		if failed := c.startTLS(ctx, k); failed != nil {
			return failed
		}
	}
	if c.cfg.Username != "" {
		return c.authenticate(ctx, k)
	}
	return nil
}

func (c *Client) greeting(ctx context.Context, k *conn) *relay.Error {
	if err := k.read(ctx, c.cfg.ConnectTimeout); err != nil {
		return c.connectError(ctx, classGreeting, "greeting", err)
	}
	if k.reply.code != 220 {
		return refusedHost("greeting", &k.reply)
	}
	k.greeting = k.reply.oneLine()
	return nil
}

func (c *Client) ehlo(ctx context.Context, k *conn) *relay.Error {
	if err := k.cmd(ctx, "EHLO "+c.cfg.Hostname, c.cfg.ConnectTimeout); err != nil {
		return c.connectError(ctx, classGreeting, "EHLO", err)
	}
	if !k.reply.positive() {
		return refusedHost("EHLO", &k.reply)
	}
	k.ext = parseExtensions(k.reply.text)
	return nil
}

// refusedHost: 554 in the greeting means no service here (RFC 5321 section
// 3.1) and opens the breaker; a 4xx is often a limit on connections.
func refusedHost(at string, r *reply) *relay.Error {
	signal := relay.SignalCount
	if r.code/100 == 5 {
		signal = relay.SignalTrip
	}
	return unavailable(classGreeting, signal, fmt.Errorf("cuenote: %s refused: %s", at, r.quoted()))
}

// startTLS upgrades the connection. What was read before the handshake is
// forgotten (RFC 3207 section 4.2), the EHLO reply included.
func (c *Client) startTLS(ctx context.Context, k *conn) *relay.Error {
	demanded := c.cfg.TLS != TLSOpportunistic
	if !k.ext.startTLS {
		if demanded {
			return misconfigured(classTLS, relay.SignalTrip, errors.New("cuenote: STARTTLS is not offered"))
		}
		return nil
	}
	if err := k.cmd(ctx, "STARTTLS", c.cfg.ConnectTimeout); err != nil {
		return c.connectError(ctx, classTLS, "STARTTLS", err)
	}
	if k.reply.code != 220 {
		if demanded || k.gone {
			return tlsError(k.reply.code, fmt.Errorf("cuenote: STARTTLS refused: %s", k.reply.quoted()))
		}
		return nil // RFC 3207 section 4: 454, the client decides
	}
	if k.br.Buffered() > 0 {
		// Whoever put a reply in front of the handshake is not the server.
		return misconfigured(classTLS, relay.SignalCount, errors.New("cuenote: plaintext behind the reply to STARTTLS"))
	}
	if failed := c.handshake(ctx, k); failed != nil {
		return failed
	}
	return c.ehlo(ctx, k)
}

func tlsError(code int, err error) *relay.Error {
	if code/100 == 4 {
		return unavailable(classTLS, relay.SignalCount, err)
	}
	return misconfigured(classTLS, relay.SignalTrip, err)
}

func (c *Client) handshake(ctx context.Context, k *conn) *relay.Error {
	t := tls.Client(k.nc, c.tls)
	if err := k.limit(ctx, c.cfg.ConnectTimeout); err != nil {
		return c.connectError(ctx, classTLS, "TLS handshake", err)
	}
	if err := t.HandshakeContext(ctx); err != nil {
		return c.handshakeError(ctx, err)
	}
	state := t.ConnectionState()
	k.tls, k.verified = &state, c.cfg.TLS.verified()
	k.use(t)
	return nil
}

// handshakeError tells a certificate that does not verify, which no retry
// mends, from a connection that broke.
func (c *Client) handshakeError(ctx context.Context, err error) *relay.Error {
	if c.cfg.TLS == TLSOpportunistic && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", errPlaintext, err)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return misconfigured(classTLS, relay.SignalTrip, fmt.Errorf("cuenote: TLS handshake: %w", err))
	}
	return c.connectError(ctx, classTLS, "TLS handshake", err)
}

// connectError classifies a failure before the connection was ready. The
// client's own end is told apart from our limit on connecting.
func (c *Client) connectError(ctx context.Context, class, during string, err error) *relay.Error {
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), errConnectTimeout) {
		return gaveUp(ctx, during)
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return unavailable(class, relay.SignalCount, fmt.Errorf("cuenote: %s: %w", during, err))
}

// dialer is net.Dialer's method; tests put their own in its place.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)
