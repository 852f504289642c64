package ses

import (
	"strings"

	"sesrelay/internal/relay"
)

// learn passes on what an answer says beyond its mail.
func (c *Client) learn(e *relay.Error, ans answer, d *Delivery) {
	switch e.Class {
	case ClassThrottled, ClassDailyQuota:
		if c.cfg.OnThrottle != nil {
			c.cfg.OnThrottle(e.Class == ClassDailyQuota)
		}
	case ClassCredentials:
		c.credentials.Invalidate() // rotated or expired early: fetch them anew
	case ClassUnverified:
		if c.cfg.OnUnverified == nil {
			return
		}
		for _, domain := range unverifiedDomains(ans.message, d.to) {
			c.cfg.OnUnverified(domain)
		}
	}
}

// unverifiedDomains reads the domains from "Email address is not verified. The
// following identities failed the check in region AP-NORTHEAST-1: a@example.com,
// Name <b@example.com>". In the sandbox SES names recipients there as well;
// those say nothing about a sender.
func unverifiedDomains(message string, to []relay.Address) (domains []string) {
	_, list, ok := strings.Cut(message, ": ")
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for _, to := range to {
		seen[strings.ToLower(to.String())] = true
	}
	for item := range strings.SplitSeq(list, ",") {
		address := identityAddress(item)
		domain := address[strings.LastIndexByte(address, '@')+1:]
		if address == "" || seen[address] || seen["@"+domain] {
			continue
		}
		seen["@"+domain] = true
		domains = append(domains, domain)
	}
	return domains
}

// identityAddress returns the address or domain of one item, in lower case; ""
// for what is neither, such as a piece of a display name.
func identityAddress(item string) string {
	item = strings.TrimSpace(item)
	if i := strings.LastIndexByte(item, '<'); i >= 0 {
		item = strings.TrimSuffix(item[i+1:], ">")
	}
	if i := strings.LastIndex(item, ":identity/"); i >= 0 { // an ARN
		item = item[i+len(":identity/"):]
	}
	item = strings.ToLower(item)
	_, err := relay.ParseAddress(item, false)
	if err == relay.ErrNoDomain || !strings.Contains(item, "@") { //nolint:errorlint // returned unwrapped
		_, err = relay.ParseAddress("x@"+item, false)
	}
	if err != nil || !strings.Contains(item, ".") {
		return ""
	}
	return item
}
