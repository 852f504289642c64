package split

import (
	"fmt"
	"maps"
	"strings"
	"time"
)

// AnyIdentity, in place of a domain, lets every sender through to SES, which
// then judges alone. It is for the demo and for tests.
const AnyIdentity = "*"

// maxRefused bounds the domains remembered as refused by SES.
const maxRefused = 1000

// identities is what may send through SES: an immutable set.
type identities struct {
	any     bool
	domains map[string]bool      // lower case; each with its subdomains
	mailbox map[string]bool      // single addresses: SES compares their local parts exactly
	refused map[string]time.Time // domains that SES refused lately, until when they stay away
}

func newIdentities(names []string) (*identities, error) {
	id := &identities{domains: map[string]bool{}, mailbox: map[string]bool{}}
	for _, n := range names {
		local, d, single := strings.Cut(n, "@")
		d = domain(d)
		switch {
		case n == AnyIdentity:
			id.any = true
		case single && local != "" && domainFits(d):
			id.mailbox[local+"@"+d] = true
		case !single && domainFits(domain(n)):
			id.domains[domain(n)] = true
		default:
			return nil, fmt.Errorf("ses.identities: %q: write a domain, such as example.jp (its subdomains are included), or an address", n)
		}
	}
	return id, nil
}

// verified reports whether mail from local@d may go to SES.
func (id *identities) verified(local, d string, now time.Time) bool {
	d = domain(d)
	if !domainFits(d) {
		return false
	}
	for until, ok := range id.refusals(d) {
		if ok && now.Before(until) {
			return false
		}
	}
	if id.any || id.mailbox[local+"@"+d] {
		return true
	}
	for name := range parents(d) {
		if id.domains[name] {
			return true
		}
	}
	return false
}

// refusals looks up the domain and its parents: subdomains inherit an
// identity, and its loss.
func (id *identities) refusals(d string) func(func(time.Time, bool) bool) {
	return func(yield func(time.Time, bool) bool) {
		if len(id.refused) == 0 {
			return
		}
		for name := range parents(d) {
			until, ok := id.refused[name]
			if !yield(until, ok) {
				return
			}
		}
	}
}

// parents yields d and every domain above it.
func parents(d string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for {
			if !yield(d) {
				return
			}
			i := strings.IndexByte(d, '.')
			if i < 0 {
				return
			}
			d = d[i+1:]
		}
	}
}

// withRefused returns a copy that keeps d away until the given time. Expired
// entries go; when the set is full of unexpired ones, d is not remembered: SES
// refuses its mail each time, which costs a failover and no mail.
func (id *identities) withRefused(d string, until, now time.Time) *identities {
	next := *id
	next.refused = maps.Clone(id.refused)
	maps.DeleteFunc(next.refused, func(_ string, t time.Time) bool { return !now.Before(t) })
	if next.refused == nil {
		next.refused = map[string]time.Time{}
	}
	if _, known := next.refused[domain(d)]; known || len(next.refused) < maxRefused {
		next.refused[domain(d)] = until
	}
	return &next
}
