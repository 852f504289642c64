package split

import (
	"net/netip"
	"strings"
	"testing"

	"sesrelay/internal/relay"
)

func TestRuleConditions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		rule Rule
		edit func(*relay.Envelope, *relay.Address)
		want bool
	}{
		{"sender", Rule{Sender: "info@goo.ne.jp"}, nil, true},
		{"sender folded", Rule{Sender: "INFO@Goo.ne.jp"}, nil, true},
		{"other sender", Rule{Sender: "info2@goo.ne.jp"}, nil, false},
		{"sender in every domain", Rule{Sender: "info@"}, nil, true},
		{"sender, all of a domain", Rule{Sender: "*@goo.ne.jp"}, nil, true},
		{"sender, all of subdomains", Rule{Sender: "*@.ne.jp"}, nil, true},
		{"sender, subdomains are not the domain", Rule{Sender: "*@.goo.ne.jp"}, nil, false},
		{"sender domain", Rule{SenderDomain: "goo.ne.jp"}, nil, true},
		{"domain without its subdomains", Rule{SenderDomain: "ne.jp"}, nil, false},
		{"subdomains", Rule{SenderDomain: ".ne.jp"}, nil, true},
		{"subdomains are not the domain", Rule{SenderDomain: ".goo.ne.jp"}, nil, false},
		{"recipient", Rule{Recipient: "user@example.org"}, nil, true},
		{"recipient domain", Rule{RecipientDomain: "Example.org."}, nil, true},
		{"other recipient domain", Rule{RecipientDomain: "example.com"}, nil, false},
		{"client address", Rule{Client: "192.0.2.7"}, nil, true},
		{"client network", Rule{Client: "192.0.2.0/24"}, nil, true},
		{"client mapped", Rule{Client: "192.0.2.0/24"}, func(e *relay.Envelope, _ *relay.Address) { e.Client.Addr = netip.MustParseAddr("::ffff:192.0.2.7") }, true},
		{"mapped rule", Rule{Client: "::ffff:192.0.2.7"}, nil, true},
		{"mapped network", Rule{Client: "::ffff:192.0.2.0/120"}, nil, true},
		{"other network", Rule{Client: "198.51.100.0/24"}, nil, false},
		{"IPv6 with zone", Rule{Client: "fe80::/10"}, func(e *relay.Envelope, _ *relay.Address) { e.Client.Addr = netip.MustParseAddr("fe80::1%eth0") }, true},
		{"HELO", Rule{Client: "MX1.goo.ne.jp"}, nil, true},
		{"HELO below", Rule{Client: ".goo.ne.jp"}, nil, true},
		{"other HELO", Rule{Client: "mx2.goo.ne.jp"}, nil, false},
		{"larger, no size given", Rule{LargerThan: 10}, nil, false},
		{"larger", Rule{LargerThan: 10}, func(e *relay.Envelope, _ *relay.Address) { e.Size = 11 }, true},
		{"not larger", Rule{LargerThan: 10}, func(e *relay.Envelope, _ *relay.Address) { e.Size = 10 }, false},
		{"null sender, not null", Rule{NullSender: true}, nil, false},
		{"null sender", Rule{NullSender: true}, func(e *relay.Envelope, _ *relay.Address) { e.ReversePath = relay.Address{} }, true},
		{"null sender is nobody's address", Rule{Sender: "*@.jp"}, func(e *relay.Envelope, _ *relay.Address) { e.ReversePath = relay.Address{} }, false},
		{"all hold", Rule{Sender: "info@", RecipientDomain: "example.org", Client: "192.0.2.0/24"}, nil, true},
		{"one does not hold", Rule{Sender: "info@", RecipientDomain: "example.com", Client: "192.0.2.0/24"}, nil, false},
	} {
		c.rule.Route = "cuenote"
		rules, err := Compile([]Rule{c.rule})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		env, to := testEnvelope(), testRecipient
		if c.edit != nil {
			c.edit(env, &to)
		}
		if got := rules.first(env, to) != nil; got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestRuleRoutes(t *testing.T) {
	t.Parallel()
	r := testRouter(t, 0, Config{Rules: []Rule{
		{Name: "canary", Recipient: "canary@example.org", Route: "ses"},
		{Name: "exempt", Recipient: "exempt@example.org", Route: "split"},
		{Name: "trial", Recipient: "trial@example.org", Route: "split", Percent: percent(Full)},
		{Name: "none", Recipient: "none@example.org", Route: "split", Percent: percent(0)},
		{Name: "rest", RecipientDomain: "example.org", Route: "cuenote"},
	}})
	check := func(local string, route relay.Route, reason relay.Reason, rule string) {
		t.Helper()
		d := r.Route(testEnvelope(), relay.Address{Local: local, Domain: "example.org"})
		if d.Route != route || d.Reason != reason || d.Rule != rule {
			t.Errorf("%s: %+v", local, d)
		}
	}
	check("canary", relay.SES, relay.ReasonRule, "canary") // a pin holds at 0 %: that is what it is for
	check("trial", relay.SES, relay.ReasonRule, "trial")
	check("exempt", relay.Cuenote, relay.ReasonSplit, "exempt")
	check("none", relay.Cuenote, relay.ReasonRule, "none")
	check("x", relay.Cuenote, relay.ReasonRule, "rest")
	must(t)(r.live.Brake("ops", "stop"))
	check("canary", relay.Cuenote, relay.ReasonRule, "canary") // and the brake holds above it
	check("trial", relay.Cuenote, relay.ReasonRule, "trial")
}

// A recipient pinned to Cuenote moves a transaction that SES has begun.
func TestPinnedLaterRecipient(t *testing.T) {
	t.Parallel()
	r := testRouter(t, Full, Config{Rules: []Rule{{RecipientDomain: "docomo.ne.jp", Route: "cuenote"}}})
	if got := r.FitRecipient(testEnvelope(), relay.Address{Local: "a", Domain: "docomo.ne.jp"}); got != relay.ReasonRule {
		t.Fatalf("%q", got)
	}
	if got := r.FitRecipient(testEnvelope(), testRecipient); got != "" {
		t.Fatalf("%q", got)
	}
}

func TestCompileMistakes(t *testing.T) {
	t.Parallel()
	for word, rule := range map[string]Rule{
		"route: \"\"":                  {Sender: "a@b.jp"},
		"route: \"aws\"":               {Sender: "a@b.jp", Route: "aws"},
		"goes with route split only":   {Sender: "a@b.jp", Route: "ses", Percent: percent(1)},
		"not between 0 and 100":        {Sender: "a@b.jp", Route: "split", Percent: percent(10001)},
		"has no @":                     {Sender: "goo.ne.jp", Route: "ses"},
		"matches every address":        {Recipient: "*@", Route: "ses"},
		"exact local part":             {Recipient: "a*@b.jp", Route: "ses"},
		"is an address":                {SenderDomain: "a@b.jp", Route: "ses"},
		"write .example.jp for every":  {RecipientDomain: "*.b.jp", Route: "ses"},
		"is not a domain":              {RecipientDomain: ".", Route: "ses"},
		"write 10.0.0.0/8":             {Client: "10.1.2.3/8", Route: "ses"},
		"is not a network":             {Client: "10.0.0.0/33", Route: "ses"},
		"is not an address":            {Client: "10.0.0.300", Route: "ses"},
		"larger_than":                  {LargerThan: -1, Sender: "a@b.jp", Route: "ses"},
		"has no condition":             {Route: "cuenote"},
		"null_sender: excludes sender": {NullSender: true, SenderDomain: "b.jp", Route: "ses"},
	} {
		rule.Name = "mine"
		_, err := Compile([]Rule{{Sender: "ok@b.jp", Route: "ses"}, rule})
		if err == nil || !strings.Contains(err.Error(), word) || !strings.Contains(err.Error(), "rule 2 (mine)") {
			t.Errorf("%q: %v", word, err)
		}
	}
	_, err := Compile([]Rule{{Name: "a", Route: "x", Client: "1.2.3.4/40"}, {Name: "a", Route: "y"}})
	if err == nil || strings.Count(err.Error(), "\n") != 3 || !strings.Contains(err.Error(), "rule 1 has the same") {
		t.Errorf("not every mistake at once: %v", err)
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	env := testEnvelope()
	env.Client.Addr = netip.MustParseAddr("::ffff:192.0.2.7")
	env.ReversePath = relay.Address{Local: "Info", Domain: "GOO.ne.jp."}
	to := relay.Address{Local: "User", Domain: "Example.ORG"}
	withUser := *env
	withUser.Client.User = "web"
	for _, c := range []struct {
		by   By
		from ClientFrom
		env  *relay.Envelope
		want string
	}{
		{ByRecipient, "", env, "user@example.org"},
		{ByRecipientDomain, "", env, "example.org"},
		{BySender, "", env, "info@goo.ne.jp"},
		{BySenderDomain, "", env, "goo.ne.jp"},
		{ByClient, ClientAddress, env, "192.0.2.7"},
		{ByClient, ClientHELO, env, "mx1.goo.ne.jp"},
		{ByClient, ClientUser, env, "192.0.2.7"},
		{ByClient, ClientUser, &withUser, "web"},
	} {
		if got := Key(c.by, c.from, c.env, to); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.by, c.from, got, c.want)
		}
	}
}

func FuzzCompile(f *testing.F) {
	f.Add("info@goo.ne.jp", ".example.jp", "10.0.0.0/8", "ses")
	f.Add("*@.example.jp", "*.example.jp", "::ffff:1.2.3.4/97", "split")
	f.Add(`"a b"@x.jp`, "..", "mx1", "cuenote")
	f.Fuzz(func(t *testing.T, address, dom, client, route string) {
		rules, err := Compile([]Rule{{Name: "r", Sender: address, Recipient: address, SenderDomain: dom, RecipientDomain: dom, Client: client, Route: route}})
		if (rules == nil) == (err == nil) {
			t.Fatal("neither rules nor an error, or both")
		}
		if err != nil {
			return
		}
		env, to := testEnvelope(), relay.Address{Local: "fuzz", Domain: "unrelated.test"}
		if rules.first(env, to) != nil && (address != "" && !strings.Contains(strings.ToLower(address), "@") || dom != "" && !strings.HasSuffix("unrelated.test", strings.ToLower(strings.TrimSuffix(dom, ".")))) {
			t.Fatalf("%q %q %q matches %v", address, dom, client, to)
		}
	})
}
