package split

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"sesrelay/internal/relay"
)

// domainPattern is a domain of a rule, as Postfix users write it (access(5)):
// "example.jp" is that domain alone, ".example.jp" every domain below it but
// not itself.
type domainPattern string

func parseDomainPattern(s string) (domainPattern, error) {
	d := domain(s)
	switch {
	case strings.Contains(d, "@"):
		return "", fmt.Errorf("%q is an address: write a domain, such as example.jp, or .example.jp for every domain below it", s)
	case strings.ContainsAny(d, "*?"):
		return "", fmt.Errorf("%q: write .example.jp for every domain below example.jp", s)
	case strings.Trim(d, ".") == "" || strings.ContainsAny(d, " \t/") || strings.Contains(d, ".."):
		return "", fmt.Errorf("%q is not a domain", s)
	}
	return domainPattern(d), nil
}

// matches expects a domain in lower case without final dot.
func (p domainPattern) matches(d string) bool {
	if strings.HasPrefix(string(p), ".") {
		return len(d) > len(p) && strings.HasSuffix(d, string(p))
	}
	return d == string(p)
}

// mailboxPattern is an address of a rule: "user@example.jp", "user@" for that
// local part in every domain, or "*@example.jp" and "*@.example.jp" for every
// local part there.
type mailboxPattern struct {
	local  string // lower case; "" for every local part
	domain domainPattern
}

func parseMailboxPattern(s string) (mailboxPattern, error) {
	i := strings.LastIndexByte(s, '@')
	if i < 0 {
		return mailboxPattern{}, fmt.Errorf("%q has no @: write user@example.jp, user@, *@example.jp or *@.example.jp", s)
	}
	local, d := strings.ToLower(s[:i]), s[i+1:]
	if local == "*" {
		local = ""
		if d == "" {
			return mailboxPattern{}, fmt.Errorf("%q matches every address: leave the condition out", s)
		}
	} else if local == "" || strings.ContainsAny(local, " \t*<>") && local[0] != '"' {
		return mailboxPattern{}, fmt.Errorf("%q: the part before @ is an exact local part, or * alone for all", s)
	}
	p := mailboxPattern{local: local}
	if d == "" {
		return p, nil
	}
	var err error
	p.domain, err = parseDomainPattern(d)
	return p, err
}

func (p mailboxPattern) matches(a relay.Address) bool {
	return (p.local == "" || p.local == strings.ToLower(a.Local)) &&
		(p.domain == "" || p.domain.matches(domain(a.Domain)))
}

// clientPattern is a client of a rule: a network, an address, or the name
// given with EHLO (".example.jp" for every name below it).
type clientPattern struct {
	network netip.Prefix
	helo    domainPattern
}

var errHostBits = errors.New("address bits stand behind the prefix length")

func parseClientPattern(s string) (clientPattern, error) {
	if strings.Contains(s, "/") {
		n, err := parseNetwork(s)
		if err != nil {
			return clientPattern{}, fmt.Errorf("%q is not a network: %w", s, err)
		}
		return clientPattern{network: n}, nil
	}
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		return clientPattern{network: netip.PrefixFrom(a, a.BitLen())}, nil
	}
	if strings.Contains(s, ":") || strings.Trim(s, "0123456789.") == "" {
		return clientPattern{}, fmt.Errorf("%q is not an address", s) // a HELO name has letters
	}
	p, err := parseDomainPattern(s)
	return clientPattern{helo: p}, err
}

// parseNetwork reads a CIDR. Bits behind the prefix length are refused, as
// Postfix does: they are a mistake in one of the two numbers.
func parseNetwork(s string) (netip.Prefix, error) {
	n, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	if n.Masked() != n {
		return netip.Prefix{}, fmt.Errorf("%w: write %s", errHostBits, n.Masked())
	}
	if a := n.Addr(); a.Is4In6() && n.Bits() >= 96 {
		return netip.PrefixFrom(a.Unmap(), n.Bits()-96), nil
	}
	return n, nil
}

func (p clientPattern) matches(c *relay.Client) bool {
	if p.helo != "" {
		return p.helo.matches(domain(c.HELO))
	}
	return p.network.Contains(c.Addr.Unmap().WithZone(""))
}
