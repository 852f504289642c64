package main

import (
	"fmt"
	"strings"

	"sesrelay/cmd/relay/internal/config"
)

// script collects commands for a shell.
type script struct {
	directory string
	lines     []string
}

func (s *script) comment(format string, args ...any) {
	s.lines = append(s.lines, "# "+fmt.Sprintf(format, args...))
}

// set writes a main.cf setting.
func (s *script) set(name, value string) {
	s.lines = append(s.lines, strings.TrimSuffix(fmt.Sprintf("%s -e '%s = %s", s.postconf(), name, value), " ")+"'")
}

func (s *script) postconf() string {
	if s.directory == "" {
		return "postconf"
	}
	return "postconf -c " + shellQuote(s.directory)
}

// backup keeps both files as they were before the first run. A second run keeps
// those, and not what the first has written.
func (s *script) backup() {
	directory := s.directory
	if directory == "" {
		directory = "/etc/postfix"
	}
	from := shellQuote(directory)
	s.comment("The files as they were, kept once. All of this is taken back, mail in the queue included, by one command:")
	s.comment("  cd %s && cp -p main.cf.before-relay main.cf && cp -p master.cf.before-relay master.cf && %s reload", from, s.postfix())
	s.lines = append(s.lines, fmt.Sprintf(`for f in main.cf master.cf; do test -e %[1]s/$f.before-relay || cp -p %[1]s/$f %[1]s/$f.before-relay; done`, from))
}

func (s *script) postfix() string {
	if s.directory == "" {
		return "postfix"
	}
	return "postfix -c " + shellQuote(s.directory)
}

// nextHop sends everything that is not local to the relay.
func (s *script) nextHop(l config.Listener, hosts []string) {
	if l.Protocol == "lmtp" {
		s.comment("LMTP: every recipient has its own reply, so one mail can be split by recipient.")
		nextHop := "lmtp:" + strings.Join(hosts, ", ")
		s.set("default_transport", nextHop)
		s.set("relay_transport", nextHop)
		s.comment("relayhost would take the place of the next hop above.")
		s.set("relayhost", "")
		return
	}
	s.comment("The next hop for all mail. Brackets: no MX lookup.")
	if len(hosts) == 1 {
		s.comment("With a second relay (--name twice) a connection that breaks is tried there at once.")
	}
	s.set("relayhost", strings.Join(hosts, ", "))
	s.comment("Nothing between that would choose another way.")
	s.set("default_transport", "smtp")
}

// lookup finds relays that have a name in /etc/hosts only.
func (s *script) lookup(l config.Listener, hosts []string) {
	if ipOf(hosts[0]) != "" {
		return
	}
	s.comment("By default Postfix asks DNS only; this also finds a name that stands in /etc/hosts.")
	s.set(prefix(l)+"_host_lookup", "dns, native")
}

// tls chooses the level from the listener: verified where it can be.
func (s *script) tls(l config.Listener, hosts []string) {
	p := prefix(l)
	switch {
	case l.TLS == "none":
		s.comment("The listener offers no TLS: keep this on loopback or a network of your own.")
		s.set(p+"_tls_security_level", "none")
		s.set(p+"_tls_wrappermode", "no")
		return
	case ipOf(hosts[0]) != "":
		s.comment("encrypt, not secure: an IP address cannot be verified. Give --name as in the certificate.")
		s.set(p+"_tls_security_level", "encrypt")
	default:
		s.comment("secure verifies the certificate; encrypt would not, whatever the CA file. The name in it must be the one above.")
		s.set(p+"_tls_security_level", "secure")
		s.set(p+"_tls_secure_cert_match", "nexthop")
		s.comment("The authorities that are trusted; add your own when the certificate is from one.")
		s.set(p+"_tls_CAfile", "/etc/ssl/certs/ca-certificates.crt")
	}
	wrapper := "no"
	if l.TLS == "implicit" {
		s.comment("The listener begins with the handshake.")
		wrapper = "yes"
	}
	s.set(p+"_tls_wrappermode", wrapper)
	s.comment("Connections are kept with their TLS session. That needs tlsproxy, which a stock master.cf has as a comment only.")
	s.set(p+"_tls_connection_reuse", "yes")
	s.lines = append(s.lines, s.postconf()+" -M 'tlsproxy/unix=tlsproxy unix - - n - 0 tlsproxy'")
}

// ipOf returns the literal in "[127.0.0.1]:2525", or "" when it is a name.
func ipOf(host string) string {
	inside := host[1:strings.LastIndexByte(host, ']')]
	if isIP(strings.TrimPrefix(inside, "ipv6:")) {
		return inside
	}
	return ""
}

// cacheNames are the hosts as Postfix wants them there: without brackets and
// port. An IPv6 literal would be read as a table and is left out.
func cacheNames(hosts []string) []string {
	var names []string
	for _, h := range hosts {
		if name := h[1:strings.LastIndexByte(h, ']')]; !strings.Contains(name, ":") {
			names = append(names, name)
		}
	}
	return names
}

func prefix(l config.Listener) string {
	if l.Protocol == "lmtp" {
		return "lmtp"
	}
	return "smtp"
}

// auth is needed where no network may relay without it.
func (s *script) auth(cfg *config.Config, l config.Listener, hosts []string) {
	if len(cfg.Access.Networks) > 0 || cfg.Access.UsersFile == "" {
		return
	}
	p := prefix(l)
	s.comment("access.networks is empty, so Postfix must authenticate. Put this line into /etc/postfix/sasl_passwd, with a")
	s.comment("user of users_file, then: chmod 600 /etc/postfix/sasl_passwd && postmap /etc/postfix/sasl_passwd")
	for _, h := range hosts {
		s.comment("  %s USER:PASSWORD", h)
	}
	s.set(p+"_sasl_auth_enable", "yes")
	s.set(p+"_sasl_password_maps", "hash:/etc/postfix/sasl_passwd")
	s.set(p+"_sasl_security_options", "noanonymous")
}

// concurrency lets one server carry its part of the peak.
func (s *script) concurrency(cfg *config.Config, l config.Listener, hosts []string, o postfixOptions) {
	n, p := concurrency(o), prefix(l)
	s.comment("%.0f mails/s for this server (%.0f a minute over %d servers): at 0.2 s a mail the default of 20", o.perMinute/60/float64(o.servers), o.perMinute, o.servers)
	s.comment("connections carries 100/s, and nothing when the next hop is slow.")
	s.set("default_destination_concurrency_limit", fmt.Sprint(n))
	s.set("initial_destination_concurrency", "20")
	if total := n * o.servers; total > cfg.Limits.Connections*len(hosts) {
		s.comment("CAREFUL: %d servers open up to %d connections, and limits.connections is %d: raise it.", o.servers, total, cfg.Limits.Connections)
	}
	s.comment("One failed connection must not halve the others.")
	s.set("default_destination_concurrency_failed_cohort_limit", "10")
	s.set("default_destination_concurrency_negative_feedback", "1/concurrency")
	s.comment("Keep connections open between mails, each for a minute: a change of DNS is followed.")
	s.set(p+"_connection_cache_destinations", strings.Join(cacheNames(hosts), ", "))
	s.set(p+"_connection_reuse_time_limit", "60s")
}

// retries brings a deferred mail back soon: the relay has no queue of its own.
func (s *script) retries(l config.Listener) {
	s.comment("The relay keeps no mail: what it defers waits here, and comes again after a minute.")
	s.set("minimal_backoff_time", "60s")
	s.set("queue_run_delay", "60s")
	s.set("maximal_backoff_time", "900s")
	s.comment("The relay answers within 140 s; giving up earlier could deliver a mail twice.")
	s.set(prefix(l)+"_data_done_timeout", "600s")
}

// master gives the delivery agent enough processes.
func (s *script) master(l config.Listener, concurrency int) {
	service := prefix(l) + "/unix"
	s.comment("master.cf: as many delivery processes as connections, and some for other destinations.")
	s.lines = append(s.lines, fmt.Sprintf("%s -F '%s/process_limit=%d'", s.postconf(), service, concurrency+50))
	s.comment("While the migration is young a refusal of the relay is kept in the queue instead of bounced. Later:")
	s.comment("  %s -PX '%s/soft_bounce'", s.postconf(), service)
	s.lines = append(s.lines, fmt.Sprintf("%s -P '%s/soft_bounce=yes'", s.postconf(), service))
}
