package admin

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// caller is who asks.
type caller struct {
	name string // of the token; "local" without tokens
	role Role
	addr netip.Addr
}

// identify says who asks. Its error is 401 or 403.
func (s *Settings) identify(r *http.Request) (caller, *problem) {
	c := caller{addr: remote(r)}
	if s.Tokens == nil {
		return s.local(c, r)
	}
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") { // RFC 9110 section 11.1: in any case
		return c, refuse(http.StatusUnauthorized, "a token is required: Authorization: Bearer TOKEN")
	}
	t, ok := s.Tokens.find(strings.TrimSpace(secret))
	if !ok {
		return c, refuse(http.StatusUnauthorized, "this token is not known")
	}
	c.name, c.role = t.name, t.role
	if !contains(s.Networks[t.role], c.addr) {
		return c, refuse(http.StatusForbidden, "a token of role "+t.role.String()+" is not accepted from this address (admin.networks)")
	}
	return c, nil
}

// local is the access without tokens_file: loopback only, and sure of it. A
// page of another site that resolves its own name to 127.0.0.1 (DNS rebinding)
// is told by the Host header, a reverse proxy on this machine by what it adds.
func (s *Settings) local(c caller, r *http.Request) (caller, *problem) {
	const remedy = ": set admin.tokens_file"
	switch {
	case !c.addr.IsLoopback():
		return c, refuse(http.StatusForbidden, "without tokens only loopback is served"+remedy)
	case forwarded(r):
		return c, refuse(http.StatusForbidden, "a proxy stands before the relay, and everybody would look local"+remedy)
	case !loopbackHost(r.Host):
		return c, refuse(http.StatusForbidden, "the Host header does not name loopback: call http://127.0.0.1 or http://localhost")
	}
	for role := Admin; role >= Monitoring; role-- {
		if contains(s.Networks[role], c.addr) {
			c.name, c.role = "local", role
			return c, nil
		}
	}
	return c, refuse(http.StatusForbidden, "no role has this address in its admin.networks")
}

// inNetwork is the check for the console's files, which hold no data.
func (s *Settings) inNetwork(r *http.Request) *problem {
	if s.Tokens == nil {
		_, p := s.local(caller{addr: remote(r)}, r)
		return p
	}
	for _, nets := range s.Networks {
		if contains(nets, remote(r)) {
			return nil
		}
	}
	return refuse(http.StatusForbidden, "no role is accepted from this address (admin.networks)")
}

// remote is the peer's address. X-Forwarded-For is never believed: there is no
// list of proxies to believe.
func remote(r *http.Request) netip.Addr { return address(r.RemoteAddr) }

// address is the address of a host and port; the zero one when it has none.
func address(hostPort string) netip.Addr {
	ap, err := netip.ParseAddrPort(hostPort)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

func forwarded(r *http.Request) bool {
	for _, h := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		if r.Header.Get(h) != "" {
			return true
		}
	}
	return false
}

func loopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

func contains(nets []netip.Prefix, a netip.Addr) bool {
	for _, n := range nets {
		if n.Contains(a) || n.Addr().Is4In6() && n.Bits() >= 96 && netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-96).Contains(a) {
			return true
		}
	}
	return false
}
