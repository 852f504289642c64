package split

import (
	"fmt"
	"strings"

	"sesrelay/internal/relay"
)

// By names what the split goes by.
type By string

// The values of split.by. Message draws anew for each transaction; the others
// are sticky keys.
const (
	ByMessage         By = "message"
	ByRecipient       By = "recipient"
	ByRecipientDomain By = "recipient_domain"
	BySender          By = "sender"
	BySenderDomain    By = "sender_domain"
	ByClient          By = "client"
)

// ParseBy reads split.by; the empty string is message.
func ParseBy(s string) (By, error) {
	switch b := By(s); b {
	case "":
		return ByMessage, nil
	case ByMessage, ByRecipient, ByRecipientDomain, BySender, BySenderDomain, ByClient:
		return b, nil
	}
	return "", fmt.Errorf("%q: write message, recipient, recipient_domain, sender, sender_domain or client", s)
}

// ClientFrom names what a client is known by; behind NAT every server has the
// same address.
type ClientFrom string

// The values of split.client_from.
const (
	ClientAddress ClientFrom = "address"
	ClientHELO    ClientFrom = "helo"
	ClientUser    ClientFrom = "user"
)

// ParseClientFrom reads split.client_from; the empty string is address.
func ParseClientFrom(s string) (ClientFrom, error) {
	switch c := ClientFrom(s); c {
	case "":
		return ClientAddress, nil
	case ClientAddress, ClientHELO, ClientUser:
		return c, nil
	}
	return "", fmt.Errorf("%q: write address, helo or user", s)
}

// Key returns what the sticky split hashes for this mail.
func Key(by By, from ClientFrom, env *relay.Envelope, to relay.Address) string {
	switch by {
	case ByRecipient:
		return mailbox(to)
	case ByRecipientDomain:
		return domain(to.Domain)
	case BySender:
		return mailbox(env.ReversePath)
	case BySenderDomain:
		return domain(env.ReversePath.Domain)
	default:
		return clientKey(from, &env.Client)
	}
}

// mailbox folds the local part too. RFC 5321 section 2.4 lets only the final
// host decide whether its case matters, but this is no delivery: the same
// mailbox written in two ways must keep one route, and two mailboxes that
// share a bucket harm nobody.
func mailbox(a relay.Address) string {
	return strings.ToLower(a.Local) + "@" + domain(a.Domain)
}

// domain is the form in which domains are compared: lower case, no final dot.
func domain(s string) string { return strings.ToLower(strings.TrimSuffix(s, ".")) }

// clientKey falls back to the address for a client without a HELO name or
// user: one key for all of them would move them all at once.
func clientKey(from ClientFrom, c *relay.Client) string {
	switch {
	case from == ClientHELO && c.HELO != "":
		return domain(c.HELO)
	case from == ClientUser && c.User != "":
		return c.User
	}
	return c.Addr.Unmap().WithZone("").String()
}
