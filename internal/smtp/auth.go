package smtp

import (
	"errors"

	sasl "github.com/emersion/go-sasl"

	"sesrelay/internal/relay"
)

// judgeAuth refuses AUTH where RFC 4954 section 4 does, and caps the attempts
// of one connection, the abandoned ones included.
func (g *guard) judgeAuth() relay.Reply {
	switch {
	case !g.greeted:
		return replyHelloFirst
	case g.srv.access.Load().Users == nil:
		return replyAuthNone
	case !g.tls:
		return replyAuthNeedsTLS
	case g.user != "":
		return replyAuthAlready
	case g.tx != nil:
		return replyAuthInMail
	case g.attempts >= g.srv.limits.AuthAttempts:
		return replyAuthTooMany
	}
	g.attempts++
	return pass
}

// Auth returns the server side of a mechanism.
func (s session) Auth(mech string) (sasl.Server, error) {
	switch mech {
	case sasl.Plain:
		return sasl.NewPlainServer(func(identity, user, password string) error {
			if identity != "" && identity != user { // RFC 4616: acting for others is not supported
				return s.settle(func() relay.Reply { return replyAuthFailed })
			}
			return s.authenticate(user, password)
		}), nil
	case sasl.Login:
		return &loginServer{authenticate: s.authenticate}, nil
	}
	return nil, s.settle(func() relay.Reply {
		return relay.Reply{Code: 504, Enhanced: [3]int{5, 5, 4}, Text: "Mechanism not recognized"}
	})
}

func (s session) authenticate(user, password string) error {
	return s.settle(func() relay.Reply {
		g := s.g
		users := g.srv.access.Load().Users
		if users == nil {
			return replyAuthNone
		}
		switch g.srv.auth.check(g.ctx, users, clientKey(g.client), user, password) {
		case granted:
			g.user = user
			return replyAuthOK
		case denied:
			g.log.Warn("authentication failed", "user", user)
			return replyAuthFailed
		}
		g.log.Warn("authentication put off: too many failures, or too many at once", "user", user)
		return replyAuthLater
	})
}

// loginServer is the server side of LOGIN (draft-murchison-sasl-login), which
// some clients speak and the library's SASL package has no server for.
type loginServer struct {
	authenticate func(user, password string) error
	user         string
	named        bool
}

var errLoginOver = errors.New("smtp: response after the end of LOGIN")

// Next takes the user name, which may be the initial response, then the password.
func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case l.authenticate == nil:
		return nil, false, errLoginOver
	case !l.named && response == nil:
		return []byte("Username:"), false, nil
	case !l.named:
		l.user, l.named = string(response), true
		return []byte("Password:"), false, nil
	}
	check := l.authenticate
	l.authenticate = nil
	return nil, true, check(l.user, string(response))
}
