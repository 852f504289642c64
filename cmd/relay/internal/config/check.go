package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// check judges what one key alone cannot show. It runs after every value was
// read; a value that was wrong already still holds its default.
func check(r *report, c *Config) {
	checkListeners(r, c)
	checkTLS(r, c)
	checkAccess(r, c)
	checkLimits(r, c)
	checkRules(r, c)
	checkSES(r, c)
	checkCuenote(r, c)
	checkTimes(r, c)
	checkAdmin(r, c)
	checkState(r, c)
	checkRollout(r, c)
}

// checkListeners refuses one address twice: the second bind would fail.
func checkListeners(r *report, c *Config) {
	first := map[string]string{}
	taken := func(key, address string) {
		if strings.HasSuffix(address, ":0") || address == "" {
			return // the system chooses a free port
		}
		if other, ok := first[address]; ok {
			if !r.given(key) { // the default: what is in the file has to change
				key, other = other+".address", strings.TrimSuffix(key, ".address")
			}
			r.wrong(key, fmt.Sprintf("%s is the address of %s already", address, other), "write another port")
			return
		}
		first[address] = strings.TrimSuffix(key, ".address")
	}
	for i, l := range c.Listeners {
		key := fmt.Sprintf("listeners[%d]", i)
		taken(key+".address", l.Address)
		checkNetworks(r, key+".proxy_protocol_from", l.ProxyProtocolFrom, "a PROXY header from anywhere could claim any client address")
	}
	taken("admin.address", c.Admin.Address)
}

// checkTLS refuses a listener that needs a certificate without one.
func checkTLS(r *report, c *Config) {
	cert, key := c.TLS.CertificateFile != "", c.TLS.KeyFile != ""
	switch {
	case cert && !key:
		r.wrong("tls.certificate_file", "a certificate without its key", "write tls.key_file too")
	case key && !cert:
		r.wrong("tls.key_file", "a key without its certificate", "write tls.certificate_file too")
	case cert || key:
		return
	}
	for i, l := range c.Listeners {
		if l.TLS != "none" && !cert && !key {
			r.wrong(fmt.Sprintf("listeners[%d].tls", i), fmt.Sprintf("%q needs a certificate", l.TLS),
				"write tls.certificate_file and tls.key_file, or tls: none")
		}
	}
}

// checkAccess keeps the relay from being open, and from serving nobody.
func checkAccess(r *report, c *Config) {
	checkNetworks(r, "access.networks", c.Access.Networks, "this would be an open relay")
	offersTLS := false
	for _, l := range c.Listeners {
		offersTLS = offersTLS || l.TLS != "none"
	}
	if c.Access.UsersFile != "" && !offersTLS {
		r.warn("access.users_file", "no listener offers TLS, so nobody can authenticate: AUTH is for TLS only",
			"write tls: starttls at a listener")
	}
	if len(c.Access.Networks) > 0 || c.Access.UsersFile != "" {
		return
	}
	public := false
	for i, l := range c.Listeners {
		if l.Address != "" && !isLoopback(l.Address) {
			public = true
			r.wrong(fmt.Sprintf("listeners[%d].address", i), "a public address, and nothing limits who may relay",
				"write access.networks: [10.0.0.0/8], or access.users_file")
		}
	}
	if public {
		return
	}
	r.warn("access.networks", "is empty and there is no users_file: nobody may relay", "write the networks of your mail servers")
}

// The widest networks that are believed to be somebody's own. There is no
// switch to allow more: list the networks, however many.
const (
	widestIPv4 = 8  // 10.0.0.0/8
	widestIPv6 = 16 // larger than any allocation; fc00::/7 is private as a whole
)

// checkNetworks refuses networks so wide that they are the Internet.
func checkNetworks(r *report, key string, networks []netip.Prefix, why string) {
	for i, p := range networks {
		if !p.IsValid() {
			continue // reported when it was read
		}
		if widest := widestOf(p); p.Bits() < widest {
			r.wrong(fmt.Sprintf("%s[%d]", key, i), fmt.Sprintf("%s is not a network of yours: %s", p, why),
				fmt.Sprintf("list your networks, each /%d or longer", widest))
		}
	}
}

func widestOf(p netip.Prefix) int {
	switch {
	case p.Addr().Is4():
		return widestIPv4
	case p.Addr().IsPrivate():
		return 7 // RFC 4193
	}
	return widestIPv6
}

// isLoopback reports whether only this machine can reach address.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// sesMemory is what one message takes on its way to SES: its bytes, and the
// request with base64 (1.37 times, line ends and JSON counted).
const sesMemory = 2.37

func checkLimits(r *report, c *Config) {
	l := c.Limits
	if l.Recipients > 50 {
		r.warn("limits.recipients", "SES takes 50 recipients a call: larger transactions go to Cuenote", "write 50")
	}
	if l.ConnectionsPerClient > l.Connections {
		r.warn("limits.connections_per_client", "is more than limits.connections and limits nothing",
			fmt.Sprintf("write at most %d", l.Connections))
	}
	need := max(l.MessageSize, int64(float64(min(c.SES.MessageSize, l.MessageSize))*sesMemory))
	need += need / 15 // a sixteenth is kept for small mail
	if l.Memory < need {
		r.wrong("limits.memory", fmt.Sprintf("a message of the largest size needs %d MiB and would never fit", (need+mib-1)/mib),
			fmt.Sprintf("write at least %dMiB, or lower limits.message_size", (need+mib-1)/mib))
	}
}

// checkTimes keeps answers and the drain inside what clients and orchestrators wait for.
func checkTimes(r *report, c *Config) {
	if c.Drain.Deadline >= 120*time.Second {
		r.wrong("drain.deadline", "ends after the 120 s that an instance is given to stop", "write less than 120s, such as 115s")
	}
	if c.Drain.Grace >= c.Drain.Deadline {
		r.wrong("drain.grace", "leaves no time before drain.deadline", "write a shorter grace, such as 5s")
	}
	if sum := c.SES.Timeout + c.Cuenote.Timeout; sum > 140*time.Second {
		r.warn("ses.timeout", fmt.Sprintf("with cuenote.timeout a failover can take %s, and the client is answered after 140s", formatDuration(sum)),
			"write 30s, with cuenote.timeout: 110s")
	}
}

func checkAdmin(r *report, c *Config) {
	if c.Admin.TokensFile == "" && !isLoopback(c.Admin.Address) {
		r.wrong("admin.address", "the API would be open to the network: without tokens it serves loopback only",
			"write admin.tokens_file (see relay token new), or 127.0.0.1:8025")
	}
	n := c.Admin.Networks
	const why = "each role is for named networks only"
	checkNetworks(r, "admin.networks.admin", n.Admin, why)
	checkNetworks(r, "admin.networks.readonly", n.ReadOnly, why)
	checkNetworks(r, "admin.networks.monitoring", n.Monitoring, why)
}

// checkState warns of what would not be as it looks.
func checkState(r *report, c *Config) {
	if c.State.Redis == "" {
		if c.State.SecretFile != "" {
			r.warn("state.secret_file", "there is no state.redis, so there are no other instances to talk with", "write state.redis, or remove it")
		}
		return
	}
	u, err := url.Parse(c.State.Redis)
	if err != nil {
		return // reported when it was read
	}
	if c.Admin.Advertise == "" && isLoopback(c.Admin.Address) && !isLoopback(net.JoinHostPort(u.Hostname(), "0")) {
		r.warn("admin.address", "the other instances cannot reach it: while Redis is away a brake stays on this machine",
			"write an address of the network with admin.tokens_file, or admin.advertise")
	}
}
