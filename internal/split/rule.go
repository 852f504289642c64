package split

import (
	"errors"
	"fmt"

	"sesrelay/internal/relay"
)

// Rule is one entry of split.rules. All conditions that are given must hold.
//
// The first rule that matches wins. The built-in rules come first: they are
// what SES cannot take, so "route: ses" does not override them, and such a mail
// is counted under the built-in rule's reason.
type Rule struct {
	Name            string // "" is called by its number
	Sender          string // MAIL FROM: user@example.jp, user@, *@example.jp, *@.example.jp
	SenderDomain    string // example.jp, or .example.jp for every domain below it
	Recipient       string // as Sender
	RecipientDomain string // as SenderDomain
	Client          string // network, address, or EHLO name (.example.jp: below it)
	NullSender      bool   // only MAIL FROM:<>
	LargerThan      int64  // bytes; holds only when the client declared a SIZE
	Route           string // ses, cuenote or split
	// Percent is the share of Route split; nil takes the live percentage.
	Percent *Percent
}

// Rules is a compiled list. The zero value has none.
type Rules struct{ list []compiled }

type compiled struct {
	name       string
	conditions []condition
	share      Percent // 0 for cuenote, Full for ses
	live       bool    // share is the live percentage
}

type condition func(env *relay.Envelope, to relay.Address) bool

func (c *compiled) matches(env *relay.Envelope, to relay.Address) bool {
	for _, holds := range c.conditions {
		if !holds(env, to) {
			return false
		}
	}
	return true
}

// pinned reports whether the rule keeps its mail away from SES for good.
func (c *compiled) pinned() bool { return !c.live && c.share == 0 }

// first returns the first rule that matches, or nil.
func (r *Rules) first(env *relay.Envelope, to relay.Address) *compiled {
	for i := range r.list {
		if r.list[i].matches(env, to) {
			return &r.list[i]
		}
	}
	return nil
}

// Compile checks the rules and makes them ready. The error joins every mistake
// of every rule, each with the rule's number (from 1) and name.
func Compile(rules []Rule) (*Rules, error) {
	var out Rules
	var mistakes []error
	names := map[string]int{}
	for i, rule := range rules {
		c, errs := rule.compile(i)
		if first, twice := names[c.name]; twice {
			errs = append(errs, fmt.Errorf("name: rule %d has the same", first+1))
		} else {
			names[c.name] = i
		}
		for _, err := range errs {
			mistakes = append(mistakes, fmt.Errorf("split.rules: rule %d (%s): %w", i+1, c.name, err))
		}
		out.list = append(out.list, c)
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	return &out, nil
}

func (r *Rule) compile(index int) (compiled, []error) {
	c := compiled{name: r.Name}
	if c.name == "" {
		c.name = fmt.Sprintf("rule-%d", index+1)
	}
	var errs []error
	if err := r.compileRoute(&c); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, r.compileConditions(&c)...)
	if len(errs) == 0 && len(c.conditions) == 0 {
		errs = append(errs, errors.New("has no condition and would match every mail: give one, or set split.ses_percent"))
	}
	return c, errs
}

func (r *Rule) compileRoute(c *compiled) error {
	if r.Percent != nil && r.Route != "split" {
		return fmt.Errorf("percent: goes with route split only, not with %q", r.Route)
	}
	switch r.Route {
	case "ses":
		c.share = Full
	case "cuenote":
		c.share = 0
	case "split":
		if c.live = r.Percent == nil; c.live {
			return nil
		}
		if c.share = *r.Percent; !c.share.Valid() {
			return fmt.Errorf("percent: %s is not between 0 and 100", c.share)
		}
	default:
		return fmt.Errorf("route: %q: write ses, cuenote or split", r.Route)
	}
	return nil
}

func (r *Rule) compileConditions(c *compiled) []error {
	var errs []error
	add := func(key, value string, build func(string) (condition, error)) {
		if value == "" {
			return
		}
		cond, err := build(value)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
		c.conditions = append(c.conditions, cond)
	}
	add("sender", r.Sender, senderIs)
	add("sender_domain", r.SenderDomain, senderDomainIs)
	add("recipient", r.Recipient, recipientIs)
	add("recipient_domain", r.RecipientDomain, recipientDomainIs)
	add("client", r.Client, clientIs)
	if r.NullSender {
		if r.Sender != "" || r.SenderDomain != "" {
			errs = append(errs, errors.New("null_sender: excludes sender and sender_domain, the rule can never match"))
		}
		c.conditions = append(c.conditions, func(env *relay.Envelope, _ relay.Address) bool { return env.ReversePath.IsNull() })
	}
	if r.LargerThan < 0 {
		errs = append(errs, fmt.Errorf("larger_than: %d is below 0", r.LargerThan))
	}
	if r.LargerThan > 0 {
		c.conditions = append(c.conditions, func(env *relay.Envelope, _ relay.Address) bool { return env.Size > r.LargerThan })
	}
	return errs
}

func senderIs(s string) (condition, error) {
	p, err := parseMailboxPattern(s)
	return func(env *relay.Envelope, _ relay.Address) bool {
		return !env.ReversePath.IsNull() && p.matches(env.ReversePath)
	}, err
}

func senderDomainIs(s string) (condition, error) {
	p, err := parseDomainPattern(s)
	return func(env *relay.Envelope, _ relay.Address) bool { return p.matches(domain(env.ReversePath.Domain)) }, err
}

func recipientIs(s string) (condition, error) {
	p, err := parseMailboxPattern(s)
	return func(_ *relay.Envelope, to relay.Address) bool { return p.matches(to) }, err
}

func recipientDomainIs(s string) (condition, error) {
	p, err := parseDomainPattern(s)
	return func(_ *relay.Envelope, to relay.Address) bool { return p.matches(domain(to.Domain)) }, err
}

func clientIs(s string) (condition, error) {
	p, err := parseClientPattern(s)
	return func(env *relay.Envelope, _ relay.Address) bool { return p.matches(&env.Client) }, err
}
