package config

import (
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// forms are the checks of texts that are not empty.
var forms = map[string]func(string) *valueError{
	"address":           checkAddress,
	"hostname":          checkHostname,
	"domain":            checkDomain,
	"domains":           checkDomains,
	"mailboxes":         checkMailboxes,
	"client":            checkClient,
	"region":            checkRegion,
	"url":               checkURL,
	"redis":             checkRedis,
	"prefix":            checkPrefix,
	"configuration_set": checkConfigurationSet,
	"namespace":         checkNamespace,
}

var (
	labelPattern  = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)
	regionPattern = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]+$`)
	// SES: at most 64 letters, digits, underscores and dashes.
	setPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	// CloudWatch takes 255 characters in all; AWS/... belongs to AWS.
	namespacePattern = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)
)

func checkAddress(s string) *valueError {
	fix := "write host:port, such as 127.0.0.1:2525 or [::1]:2525"
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return badValue("is not an address with a port", fix)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 || !digits(port) {
		return badValue("has no port between 0 and 65535", fix)
	}
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return nil
	}
	if !isDomain(host) {
		return badValue("has no host name or IP address before the port", fix)
	}
	return nil
}

// isDomain reports whether s is a domain name in ASCII letters (RFC 1035
// section 2.3.1, with the underscores and leading digits that exist).
func isDomain(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !labelPattern.MatchString(label) {
			return false
		}
	}
	return true
}

func checkHostname(s string) *valueError {
	if !isDomain(s) {
		return badValue("is not a host name", "write a name such as relay-1.goo.ne.jp")
	}
	return nil
}

func checkDomain(s string) *valueError {
	if !isDomain(s) || !strings.Contains(s, ".") {
		return badValue("is not a mail domain", "write a domain such as goo.ne.jp, in Punycode when it is not ASCII")
	}
	return nil
}

// checkDomains reads a domain of a rule: example.jp, or .example.jp for every
// domain below it.
func checkDomains(s string) *valueError {
	if !isDomain(strings.TrimPrefix(s, ".")) {
		return badValue("is not a mail domain", "write example.jp, or .example.jp for every domain below it")
	}
	return nil
}

// checkMailboxes reads an address of a rule: half of it may be left open.
func checkMailboxes(s string) *valueError {
	at := strings.LastIndexByte(s, '@')
	local, domain := s[:max(at, 0)], s[at+1:]
	wild := strings.ContainsAny(local, " *<>") && local != "*" && !strings.HasPrefix(local, "\"")
	if at < 1 || wild || local == "*" && domain == "" || domain != "" && checkDomains(domain) != nil {
		return badValue("is not an address", "write user@example.jp, user@, *@example.jp or *@.example.jp")
	}
	return nil
}

// checkClient reads a client of a rule: an address, a network, or an EHLO name.
func checkClient(s string) *valueError {
	if _, err := parsePrefix(s); err == nil {
		return nil
	}
	if strings.ContainsAny(s, "/:") || strings.Trim(s, "0123456789.") == "" || !isDomain(strings.TrimPrefix(s, ".")) {
		return badValue("is not a client", "write 10.0.0.1, 10.0.0.0/24, an EHLO name, or .example.jp for every name below it")
	}
	return nil
}

func checkRegion(s string) *valueError {
	if !regionPattern.MatchString(s) {
		return badValue("is not an AWS region", "write ap-northeast-1 for Tokyo")
	}
	return nil
}

func checkURL(s string) *valueError {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return badValue("is not a http or https address", "write https://host, or http://host:port, without user and password")
	}
	return nil
}

func checkRedis(s string) *valueError {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "redis" && u.Scheme != "rediss" || u.Hostname() == "" {
		return badValue("is not a Redis address", "write redis://host:6379 or rediss://host:6379")
	}
	return nil
}

// checkPrefix keeps the braces for the hash tag of a cluster.
func checkPrefix(s string) *valueError {
	if len(s) > 100 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '{' || r == '}' }) {
		return badValue("is not a prefix of keys", "write letters, digits and : such as relay:")
	}
	return nil
}

func checkConfigurationSet(s string) *valueError {
	if !setPattern.MatchString(s) {
		return badValue("is not a name that SES takes", "write at most 64 letters, digits, _ and -")
	}
	return nil
}

// checkNamespace reads one part of a CloudWatch namespace.
func checkNamespace(s string) *valueError {
	if !namespacePattern.MatchString(s) || strings.EqualFold(s, "AWS") {
		return badValue("is no part of a CloudWatch namespace", "write at most 64 letters, digits, dots, _ and -")
	}
	return nil
}

// sample returns a value that could stand at f, for messages.
func sample(f field) string {
	switch {
	case len(f.enum) > 0:
		return alternatives(f.enum)
	case f.typ == durationType:
		return "a duration such as 30s"
	case f.typ == prefixType:
		return "a network such as 10.0.0.0/8"
	case isSection(f.typ):
		return example(f.typ)
	case isList(f.typ):
		if f.form == "domain" {
			return "[goo.ne.jp]"
		}
		if isSection(f.typ.Elem()) {
			return "a list of items: - " + example(f.typ.Elem())
		}
		return "[10.0.0.0/8]"
	}
	if s, ok := samples[f.form]; ok {
		return s
	}
	if f.required {
		return "a text"
	}
	return map[reflect.Kind]string{
		reflect.Bool: "true or false", reflect.Int: "a number", reflect.Int64: "a number",
		reflect.Float64: "a number", reflect.Pointer: "a number", reflect.String: "a text, \"\" for none",
	}[f.typ.Kind()]
}

var samples = map[string]string{
	"size": "a size such as 40MiB", "percent": "a percentage such as 25",
	"auto": "auto or a number", "address": "host:port", "file": "a path, \"\" for none",
	"hostname": "a host name", "namespace": "a name such as ses-migration", "domain": "a domain", "domains": "a domain", "mailboxes": "an address", "client": "an address or name",
}

// example returns the first keys of a section in YAML's short form.
func example(t reflect.Type) string {
	fields := fieldsOf(t)
	keys := make([]string, 0, 3)
	for _, f := range fields[:min(2, len(fields))] {
		keys = append(keys, f.key+": ...")
	}
	return "{" + strings.Join(append(keys, "..."), ", ") + "}"
}
