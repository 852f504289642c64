package cuenote

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/emersion/go-sasl"

	"sesrelay/internal/relay"
)

// authenticate goes through AUTH PLAIN or LOGIN (RFC 4954). Nothing that the
// server says here is quoted in an error but its codes: some servers repeat the
// line that they refuse.
func (c *Client) authenticate(ctx context.Context, k *conn) *relay.Error {
	if !k.verified && !isLoopback(k.nc.RemoteAddr()) {
		return misconfigured(classAuth, relay.SignalTrip, errors.New("cuenote: AUTH: the connection has no verified TLS and is not loopback"))
	}
	password, err := c.cfg.Password()
	if err != nil {
		return misconfigured(classAuth, relay.SignalTrip, fmt.Errorf("cuenote: AUTH: read the password: %w", err))
	}
	mechanism := chooseMechanism(k.ext.auth, c.cfg.Username, password)
	if mechanism == nil {
		return misconfigured(classAuth, relay.SignalTrip, fmt.Errorf("cuenote: AUTH: neither PLAIN nor LOGIN is offered, but %q", k.ext.auth))
	}
	return c.exchange(ctx, k, mechanism)
}

// chooseMechanism prefers PLAIN: LOGIN was never standardised.
func chooseMechanism(offered []string, username, password string) sasl.Client {
	switch {
	case slices.Contains(offered, sasl.Plain):
		return sasl.NewPlainClient("", username, password)
	case slices.Contains(offered, sasl.Login):
		return &loginClient{answers: []string{username, password}}
	}
	return nil
}

// exchange sends AUTH and answers the server's challenges.
func (c *Client) exchange(ctx context.Context, k *conn, mechanism sasl.Client) *relay.Error {
	name, initial, err := mechanism.Start()
	line := "AUTH " + name
	if initial != nil {
		line += " " + base64.StdEncoding.EncodeToString(initial)
	}
	for err == nil {
		if err := k.cmd(ctx, line, c.cfg.ConnectTimeout); err != nil {
			if errors.Is(err, errGarbage) {
				err = errGarbage // without the line that was read
			}
			return c.connectError(ctx, classAuth, "AUTH", err)
		}
		if k.reply.code != 334 {
			return authResult(&k.reply)
		}
		line, err = answerChallenge(mechanism, k.reply.text)
	}
	return misconfigured(classAuth, relay.SignalTrip, fmt.Errorf("cuenote: AUTH: %w", err))
}

func answerChallenge(mechanism sasl.Client, text []byte) (string, error) {
	challenge, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil {
		return "", errors.New("the challenge is not base64")
	}
	response, err := mechanism.Next(challenge)
	return base64.StdEncoding.EncodeToString(response), err
}

func authResult(r *reply) *relay.Error {
	if r.code == 235 {
		return nil
	}
	enhanced, _ := cutEnhanced(r.code, r.text)
	err := fmt.Errorf("cuenote: AUTH refused: %d %d.%d.%d", r.code, enhanced[0], enhanced[1], enhanced[2])
	if r.code/100 == 4 { // RFC 4954 section 6: 454, temporary
		return unavailable(classAuth, relay.SignalCount, err)
	}
	return misconfigured(classAuth, relay.SignalTrip, err)
}

// loginClient is AUTH LOGIN. It answers the first challenge with the username
// and the second with the password whatever their text is, which differs
// between servers; go-sasl's client knows one text only.
type loginClient struct{ answers []string }

func (l *loginClient) Start() (string, []byte, error) { return sasl.Login, nil, nil }

func (l *loginClient) Next([]byte) ([]byte, error) {
	if len(l.answers) == 0 {
		return nil, sasl.ErrUnexpectedServerChallenge
	}
	answer := l.answers[0]
	l.answers = l.answers[1:]
	return []byte(answer), nil
}

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
