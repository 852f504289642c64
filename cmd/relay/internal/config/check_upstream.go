package config

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// regionInHost finds the region in the names of AWS endpoints: regional ones,
// FIPS and dual-stack ones, and those of PrivateLink.
var regionInHost = regexp.MustCompile(`\b([a-z]{2}(?:-[a-z]+)+-[0-9]+)[a-z]?\.`)

// checkSES refuses an endpoint of another region (requirement X-1: the source
// procedure mixes us-east-1 with Tokyo) and the SMTP endpoint.
func checkSES(r *report, c *Config) {
	if c.SES.ConfigurationSet == "" {
		r.wrong("ses.configuration_set", "without one SES reports no events, and a rollback is blind", "write the name of the configuration set")
	}
	u, err := url.Parse(c.SES.Endpoint)
	if err != nil || c.SES.Endpoint == "" {
		return
	}
	host := strings.ToLower(u.Hostname())
	aws := strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".api.aws")
	own := "https://email." + c.SES.Region + ".amazonaws.com"
	switch found := regionInHost.FindStringSubmatch(host); {
	case strings.HasPrefix(host, "email-smtp."):
		r.wrong("ses.endpoint", "is the SMTP endpoint, and the relay calls the API", "remove it, or write "+own)
	case aws && found != nil && found[1] != c.SES.Region:
		r.wrong("ses.endpoint", fmt.Sprintf("is in %s, and ses.region is %s", found[1], c.SES.Region), "remove it, or write "+own)
	case u.Scheme == "http" && !isLoopback(u.Hostname()+":0") && !isLoopback("["+u.Hostname()+"]:0"):
		r.warn("ses.endpoint", "http sends mail readable over the network", "write https, or remove it")
	}
	if u.RawQuery != "" || u.Fragment != "" {
		r.wrong("ses.endpoint", "is a base address and cannot have a query", "write "+u.Scheme+"://"+u.Host+u.Path)
	}
}

// checkCuenote keeps the password off lines that others can read.
func checkCuenote(r *report, c *Config) {
	q := c.Cuenote
	verified := q.TLS == "starttls" || q.TLS == "implicit"
	switch {
	case q.Username != "" && q.PasswordFile == "":
		r.wrong("cuenote.username", "a user without a password", "write cuenote.password_file, or remove the user")
	case q.Username == "" && q.PasswordFile != "":
		r.wrong("cuenote.password_file", "a password without a user", "write cuenote.username, or remove the password")
	case q.Username != "" && !verified && !isLoopback(q.Address):
		r.wrong("cuenote.tls", fmt.Sprintf("%q would send the password without verified TLS", q.TLS), "write starttls or implicit")
	}
	if strings.HasSuffix(q.Address, ":0") || strings.HasPrefix(q.Address, ":") {
		r.wrong("cuenote.address", fmt.Sprintf("%q is no address to connect to", q.Address), "write the host and port of the next hop")
	}
	for i, l := range c.Listeners {
		if l.Address == q.Address {
			r.wrong("cuenote.address", fmt.Sprintf("is listeners[%d]: mail would go in a circle", i), "write the address of the next hop")
		}
	}
	if !verified && (q.CAFile != "" || q.ServerName != "") {
		r.warn("cuenote.tls", fmt.Sprintf("%q verifies nothing, so ca_file and server_name do nothing", q.TLS), "write starttls or implicit")
	}
}

// checkRules checks the rules of the split one by one, and their names together.
func checkRules(r *report, c *Config) {
	first := map[string]int{}
	for i, rule := range c.Split.Rules {
		key := fmt.Sprintf("split.rules[%d]", i)
		if at, ok := first[rule.Name]; ok && rule.Name != "" {
			r.wrong(key+".name", fmt.Sprintf("%q is the name of rules[%d] already", rule.Name, at), "give each rule its own name: logs and metrics show it")
		} else {
			first[rule.Name] = i
		}
		checkRule(r, rule, key)
	}
}

func checkRule(r *report, rule Rule, key string) {
	if !rule.hasCondition() && !r.anyGiven(key, "sender", "sender_domain", "recipient", "recipient_domain", "client", "null_sender", "larger_than") {
		r.wrong(key, "has no condition and would take every mail", "write a condition, or set split.ses_percent")
	}
	if r.given(key+".null_sender") && !rule.NullSender {
		r.wrong(key+".null_sender", "false matches nothing of its own", "write true, or remove it")
	}
	if rule.NullSender && (rule.Sender != "" || rule.SenderDomain != "") {
		r.wrong(key+".null_sender", "a null sender has no address: this rule never matches", "make two rules of it")
	}
	if rule.Percent != nil && rule.Route != "split" {
		r.wrong(key+".percent", fmt.Sprintf("belongs to route: split, and the route is %s", rule.Route), "remove it, or write route: split")
	}
	if rule.Route == "ses" && rule.NullSender {
		r.wrong(key+".route", "SES has no null sender: such mail always goes to Cuenote", "write route: cuenote, or remove the rule")
	}
}

func (rule Rule) hasCondition() bool {
	return rule.Sender != "" || rule.SenderDomain != "" || rule.Recipient != "" || rule.RecipientDomain != "" ||
		rule.Client != "" || rule.NullSender || rule.LargerThan > 0
}

// anyGiven reports whether one of the keys of a section is in the file.
func (r *report) anyGiven(section string, keys ...string) bool {
	for _, k := range keys {
		if r.given(section + "." + k) {
			return true
		}
	}
	return false
}
