package smtp

import (
	"net/netip"

	"sesrelay/internal/relay"
)

// Access says who may relay. The zero Access admits nobody.
type Access struct {
	Networks []netip.Prefix // may relay without AUTH
	Users    *Users         // for AUTH; nil: AUTH is not offered
}

// allows reports whether a client at addr may relay without AUTH.
func (a *Access) allows(addr netip.Addr) bool { return contains(a.Networks, addr) }

// closed reports whether a client at addr can do nothing at all here: it is in
// no network and there is no AUTH.
func (a *Access) closed(addr netip.Addr) bool { return a.Users == nil && !a.allows(addr) }

func contains(networks []netip.Prefix, addr netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}

// SetAccess replaces the access lists. Open connections are judged by the new
// ones at their next MAIL.
func (s *Server) SetAccess(a Access) { s.access.Store(&a) }

// mayRelay is asked at MAIL: the client may greet, use STARTTLS and AUTH first.
func (g *guard) mayRelay() (relay.Reply, bool) {
	a := g.srv.access.Load()
	switch {
	case g.health: // nobody's mail: its address is the load balancer's, which stands in a network that may relay more often than not
		return replyDenied, false
	case a.allows(g.client):
		return relay.Reply{}, true
	case a.Users == nil:
		return replyDenied, false
	case g.user == "" || !a.Users.has(g.user):
		return replyAuthRequired, false
	}
	return relay.Reply{}, true
}

// clientKey is what counts as one client in caps and limiters: an IPv4
// address, or the /64 of an IPv6 address, which is what one host usually owns.
func clientKey(addr netip.Addr) netip.Addr {
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}
