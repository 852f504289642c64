package ses

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
)

// Identity is one identity of the account.
type Identity struct {
	Name     string // domain or address, in lower case
	Domain   bool   // a domain, which stands for its subdomains too
	Verified bool   // mail may be sent from it
	Status   string // of the verification: SUCCESS, PENDING, FAILED ...
}

// ListIdentities asks SES for every identity, a page of 1000 a second.
func (c *Client) ListIdentities(ctx context.Context) ([]Identity, error) {
	var list []Identity
	in := &sesv2.ListEmailIdentitiesInput{PageSize: aws.Int32(1000)}
	for {
		page, err := control(ctx, c, c.api.ListEmailIdentities, in)
		if err != nil {
			return nil, err
		}
		for _, i := range page.EmailIdentities {
			list = append(list, Identity{
				Name:     strings.ToLower(aws.ToString(i.IdentityName)),
				Domain:   i.IdentityType != types.IdentityTypeEmailAddress,
				Verified: i.SendingEnabled && (i.VerificationStatus == types.VerificationStatusSuccess || i.VerificationStatus == ""),
				Status:   string(i.VerificationStatus),
			})
		}
		if next := aws.ToString(page.NextToken); next == "" || next == aws.ToString(in.NextToken) {
			return list, nil
		}
		in.NextToken = page.NextToken
	}
}

// IdentitySet answers whether a domain may send. It is safe for concurrent
// use; the zero value knows no domain.
type IdentitySet struct {
	domains atomic.Pointer[map[string]bool]
}

// NewIdentitySet returns a set of verified domains.
func NewIdentitySet(domains ...string) *IdentitySet {
	s := &IdentitySet{}
	s.Set(domains)
	return s
}

// Set replaces the domains.
func (s *IdentitySet) Set(domains []string) {
	m := make(map[string]bool, len(domains))
	for _, d := range domains {
		m[normalDomain(d)] = true
	}
	s.domains.Store(&m)
}

// Verified reports whether domain is one of the set, or lies under one: a
// verified domain stands for its subdomains ("Verified identities", SES
// developer guide).
func (s *IdentitySet) Verified(domain string) bool {
	m := s.domains.Load()
	if m == nil {
		return false
	}
	for d := normalDomain(domain); d != ""; {
		if (*m)[d] {
			return true
		}
		_, d, _ = strings.Cut(d, ".")
	}
	return false
}

func normalDomain(d string) string { return strings.TrimSuffix(strings.ToLower(d), ".") }

// PollIdentities keeps set equal to the verified domains of the account: at
// once, and then every so often (at least MinPollInterval; an hour is plenty).
// After a failed poll the set stays as it is and report gets the error; after
// a good one it gets nil.
func (c *Client) PollIdentities(ctx context.Context, every time.Duration, set *IdentitySet, report func(error)) {
	repeat(ctx, every, func() {
		list, err := c.ListIdentities(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			set.Set(VerifiedDomains(list))
		}
		report(err)
	})
}

// VerifiedDomains returns the domains of a list that may send.
func VerifiedDomains(list []Identity) (domains []string) {
	for _, i := range list {
		if i.Domain && i.Verified {
			domains = append(domains, i.Name)
		}
	}
	return domains
}
