package smtp

import (
	"context"
	"net"
	"time"

	"sesrelay/internal/relay"
)

// welcome registers a new connection, or turns it away when there are too
// many. The cap holds before any session exists.
func (s *Server) welcome(l *listener, c net.Conn) {
	g := s.newGuard(l.settings.Load(), c)
	if r, reason := s.add(g); r.Code != 0 {
		s.metrics.rejected.WithLabelValues(reason).Inc()
		g.cancel()
		c.SetWriteDeadline(time.Now().Add(time.Second))
		c.Write(appendReply(nil, r)) // a new connection has room for it
		c.Close()
		return
	}
	go s.prepare(g)
}

func (s *Server) newGuard(l *Listener, c net.Conn) *guard {
	g := &guard{srv: s, lst: l, log: s.log, raw: c, conn: c, client: addrOf(c)}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.active = time.Now()
	return g
}

// add takes one of the places.
func (s *Server) add(g *guard) (relay.Reply, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.phase.Load() != serving:
		return replyDraining, rejectedDraining
	case len(s.conns) >= s.limits.Connections:
		return replyFull, rejectedFull
	}
	s.conns[g] = struct{}{}
	s.metrics.connections.Inc()
	return relay.Reply{}, ""
}

// count counts the connection for its client, or reports that it has too many.
func (s *Server) count(g *guard) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := clientKey(g.client)
	if s.clients[key] >= s.limits.ConnectionsPerClient {
		return false
	}
	s.clients[key]++
	g.counted = key
	return true
}

// remove gives the connection's place back.
func (s *Server) remove(g *guard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.conns[g]; !ok {
		return
	}
	delete(s.conns, g)
	s.metrics.connections.Dec()
	if g.counted.IsValid() {
		if s.clients[g.counted]--; s.clients[g.counted] <= 0 {
			delete(s.clients, g.counted)
		}
	}
	s.closeIfEmpty()
}

// connections returns the open ones.
func (s *Server) connections() []*guard {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*guard, 0, len(s.conns))
	for g := range s.conns {
		all = append(all, g)
	}
	return all
}

// prepare does what comes before the first command, in the connection's own
// goroutine.
func (s *Server) prepare(g *guard) {
	entered := false
	defer func() {
		if v := recover(); v != nil {
			g.panicked("connection", v)
		}
		if !entered {
			g.Close()
		}
	}()
	if reason := g.enter(); reason != "" {
		s.metrics.rejected.WithLabelValues(reason).Inc()
		return
	}
	g.out.say(relay.Reply{Code: 220, Text: s.cfg.Hostname + " " + g.lst.Protocol.name() + " Service Ready"})
	g.until = g.deadline()
	entered = true
	s.host(g)
}

// enter reads the PROXY header, applies the caps and access, and speaks TLS
// where it is implicit. It returns the reason why the connection ends here, or "".
func (g *guard) enter() string {
	g.log = g.srv.log.With("client", g.client.String())
	if contains(g.lst.ProxyFrom, g.client) {
		if err := g.readProxyHeader(); err != nil {
			g.log.Info("connection without a good PROXY header", "err", err)
			return rejectedProxy
		}
		g.log = g.srv.log.With("client", g.client.String())
	}
	if !g.srv.count(g) {
		return g.turnAway(replyClientFull, rejectedClientFull)
	}
	g.in.conn = g.conn
	if g.lst.TLS == TLSImplicit {
		if err := g.handshake(); err != nil {
			g.log.Info("TLS handshake failed", "err", err)
			return rejectedTLS
		}
	}
	switch {
	case g.srv.access.Load().closed(g.client) && !g.health:
		return g.turnAway(replyDeniedAtOnce, rejectedAccess)
	case g.inputBehind(): // RFC 5321 section 3.1: the client waits for the greeting
		return g.turnAway(replyEarly, rejectedEarly)
	}
	return ""
}

func (g *guard) turnAway(r relay.Reply, reason string) string {
	g.hangUp(r)
	return reason
}
