package smtp

import (
	"crypto/tls"
	"time"

	"sesrelay/internal/relay"
)

func (g *guard) judgeStartTLS(arg []byte) relay.Reply {
	switch {
	case g.tls:
		return replyTLSAlready
	case !g.offersTLS():
		return replyTLSNone
	case len(arg) > 0:
		return replyArgument
	case !g.greeted:
		return replyHelloFirst
	case g.tx != nil:
		return replyNested
	case g.in.r < g.in.w: // plaintext that would be taken for the client's words in TLS
		g.leave = true
		return replyPipelinedTLS
	}
	return pass
}

// startTLS is the whole of STARTTLS: the library takes no part in it. After a
// failed handshake the connection ends, without a word in plaintext.
func (g *guard) startTLS() {
	g.out.say(replyStartTLS)
	if g.flush() != nil {
		return
	}
	if err := g.handshake(); err != nil {
		g.log.Info("TLS handshake failed", "err", err)
		g.out.hang()
		return
	}
	g.greeted, g.helo, g.hello = false, "", "" // RFC 3207 section 4.2: forget what was said before
}

// handshake puts TLS over the connection.
func (g *guard) handshake() error {
	g.raw.SetDeadline(time.Now().Add(g.srv.limits.Handshake))
	g.out.forgetDeadline()
	c := tls.Server(g.conn, g.srv.tls)
	if err := c.HandshakeContext(g.ctx); err != nil {
		return err
	}
	g.conn, g.in.conn, g.tls = c, c, true
	return nil
}
