package smtp

import (
	"io"
	"time"

	sasl "github.com/emersion/go-sasl"
	gosmtp "github.com/emersion/go-smtp"

	"sesrelay/internal/relay"
)

// session is the library's view of one connection. Each of its methods
// decides the client's reply, hands it to the guard, and tells the library only
// whether it is a success.
type session struct{ g *guard }

var (
	_ gosmtp.LMTPSession = session{}
	_ gosmtp.AuthSession = session{}
)

// errRefused makes the library write a refusal, in whose place the answer goes.
var errRefused = &gosmtp.SMTPError{Code: 451, EnhancedCode: gosmtp.EnhancedCode{4, 3, 0}, Message: "refused"}

func newSession(c *gosmtp.Conn) (gosmtp.Session, error) {
	return session{c.Conn().(*seat).guard}, nil
}

// settle runs a step of the session. A panic in it costs the connection, not
// the process.
func (s session) settle(step func() relay.Reply) (err error) {
	g := s.g
	defer func() {
		if v := recover(); v != nil {
			g.panicked("session", v)
			err = errRefused
		}
	}()
	r := step()
	g.answer(r)
	if !r.Positive() {
		return errRefused
	}
	return nil
}

// Mail begins a transaction.
func (s session) Mail(from string, o *gosmtp.MailOptions) error {
	err := s.settle(func() relay.Reply { return s.g.mail(from, o) })
	if err != nil {
		s.g.idling++
	}
	return err
}

func (g *guard) mail(from string, o *gosmtp.MailOptions) relay.Reply {
	if r, ok := g.mayRelay(); !ok {
		return r
	}
	sender, err := parsePath(g.arg, "FROM:", from, o.UTF8)
	if err != nil {
		return addressReply(err, replySenderBad)
	}
	env := &relay.Envelope{
		ID:          g.srv.cfg.NewID(),
		ReversePath: sender,
		SMTPUTF8:    o.UTF8,
		EightBit:    o.Body == gosmtp.Body8BitMIME,
		Size:        o.Size,
		Client:      relay.Client{Addr: g.client, HELO: g.helo, User: g.user, TLS: g.tls, Extended: g.extended},
		LMTP:        g.lst.Protocol == LMTP,
		Begun:       time.Now(),
	}
	g.tx, g.utf8, g.tried, g.accepted = g.srv.cfg.Begin(env), o.UTF8, 0, 0
	return replySenderOK
}

// Rcpt offers one recipient to the transaction.
func (s session) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	return s.settle(func() relay.Reply { return s.g.rcpt(to) })
}

func (g *guard) rcpt(to string) relay.Reply {
	a, err := parsePath(g.arg, "TO:", to, g.utf8)
	if err != nil {
		return addressReply(err, replyRcptBad)
	}
	r := g.tx.Recipient(g.ctx, a)
	if r.Positive() {
		g.accepted++
	}
	return r
}

// Data transfers the content. r is the library's own reader, which is not for
// use: the body comes from the guard.
func (s session) Data(io.Reader) error {
	s.content(func(src *body) []relay.Reply { return []relay.Reply{s.g.tx.Data(s.g.ctx, src)} })
	return nil
}

// LMTPData transfers the content and gives one reply per recipient. The
// library's collector is not used: the answers replace what it writes.
func (s session) LMTPData(io.Reader, gosmtp.StatusCollector) error {
	s.content(func(src *body) []relay.Reply {
		return perRecipient(s.g.tx.DataEach(s.g.ctx, src), s.g.accepted)
	})
	return nil
}

// content runs the transaction over the body, to its true end. The library
// then reads a body of its own, which is empty.
func (s session) content(step func(*body) []relay.Reply) {
	g := s.g
	g.dot = true
	src := &body{g: g}
	defer func() {
		if v := recover(); v != nil {
			g.panicked("transaction", v)
			src.stop()
		}
	}()
	g.answers = append(g.answers, src.finish(step(src))...)
	g.idling, g.active = 0, time.Now()
}

// perRecipient makes replies as many as there are recipients.
func perRecipient(replies []relay.Reply, n int) []relay.Reply {
	for len(replies) < n {
		replies = append(replies, relay.ReplyLocalError)
	}
	return replies[:n]
}

// Reset ends the transaction: RSET, a new EHLO, and after DATA.
func (s session) Reset() { s.g.abort() }

// Logout ends the session. The library calls it without a recover of its own.
func (s session) Logout() error {
	s.g.abort()
	return nil
}

func (g *guard) abort() {
	tx := g.tx
	g.tx, g.utf8, g.tried, g.accepted = nil, false, 0, 0
	if tx == nil {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			g.panicked("abort", v)
		}
	}()
	tx.Abort()
}

// AuthMechanisms returns what EHLO offers: nothing before TLS.
func (s session) AuthMechanisms() []string {
	if !s.g.tls || s.g.srv.access.Load().Users == nil {
		return nil
	}
	return []string{sasl.Plain, sasl.Login}
}
