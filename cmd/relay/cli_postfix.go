package main

import (
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sesrelay/cmd/relay/internal/config"
)

// postfixOptions is what the configuration of the relay does not know about its
// Postfix servers.
type postfixOptions struct {
	names     []string // hosts by which Postfix calls the relays
	listener  string   // address of the listener to use; "" = the first
	servers   int      // Postfix servers that share the peak
	perMinute float64  // peak of all of them together
	directory string   // for postconf -c; "" = Postfix's own
}

func newPostfix(c *cli) *cobra.Command {
	const example = "relay postfix --config relay.yaml --name relay-a.goo.ne.jp --name relay-b.goo.ne.jp"
	var path string
	var asJSON bool
	o := postfixOptions{}
	cmd := &cobra.Command{
		Use:   "postfix",
		Short: "main.cf lines for this relay, ready for postconf -e",
		Long: `postfix prints the commands that point a Postfix server at this relay, each with its reason. They can
be repeated without harm. Look at them, then run them as root on each server:

  relay postfix --config relay.yaml > relay-postfix.sh && sh relay-postfix.sh && postfix reload`,
		Example: "  " + example,
		Args:    exactly(example),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := config.Load(path)
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("rate") && cfg.Traffic.PeakPerMinute > 0 {
				o.perMinute = float64(cfg.Traffic.PeakPerMinute)
			}
			if o.servers < 1 || !(o.perMinute > 0) {
				return &usageError{text: "--servers and --rate must be above 0", example: example}
			}
			lines, err := postfixLines(cfg, o)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(c.out).Encode(map[string]any{"commands": commandLines(lines), "script": strings.Join(lines, "\n") + "\n"})
			}
			_, err = fmt.Fprintln(c.out, strings.Join(lines, "\n"))
			return err
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", defaultConfig, "the relay's configuration `file`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON: the commands, and the script with its reasons")
	cmd.Flags().StringSliceVar(&o.names, "name", nil, "`host` by which Postfix calls the relay; repeat it for several relays")
	cmd.Flags().StringVar(&o.listener, "listener", "", "`address` of the listener to use (default the first)")
	cmd.Flags().IntVar(&o.servers, "servers", 12, "`number` of Postfix servers that share the peak")
	cmd.Flags().Float64Var(&o.perMinute, "rate", 100000, "peak of all servers together, in `mails` per minute (default traffic.peak_per_minute, or 100000)")
	cmd.Flags().StringVar(&o.directory, "postfix-config", "", "Postfix's configuration `directory`, for an instance of its own")
	return cmd
}

// commandLines are the lines that do something.
func commandLines(lines []string) []string {
	out := []string{}
	for line := range strings.SplitSeq(strings.Join(lines, "\n"), "\n") {
		if line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}

// postfixLines returns the commands, with the reasons as comments. The values
// are those that were measured with Postfix 3.7 at 139 mails a second.
func postfixLines(cfg *config.Config, o postfixOptions) ([]string, error) {
	l, err := chooseListener(cfg, o.listener)
	if err != nil {
		return nil, err
	}
	hosts, err := relayHosts(cfg, l, o.names)
	if err != nil {
		return nil, err
	}
	s := &script{directory: o.directory}
	s.comment("Points a Postfix server at the relay's listener %s (%s, tls: %s).", l.Address, l.Protocol, l.TLS)
	s.backup()
	s.nextHop(l, hosts)
	s.lookup(l, hosts)
	s.tls(l, hosts)
	s.auth(cfg, l, hosts)
	s.concurrency(cfg, l, hosts, o)
	s.retries(l)
	s.master(l, concurrency(o))
	s.comment("Then: postfix check && postfix reload")
	return s.lines, nil
}

// concurrencySeconds is how long a mail may take before the limit is reached.
// At 0.2 s a mail (SES's own latency and ours) it leaves a factor of seven.
const concurrencySeconds = 1.4

// concurrency is the number of connections of one server, in tens.
func concurrency(o postfixOptions) int {
	perSecond := o.perMinute / 60 / float64(o.servers)
	tens := math.Ceil(perSecond * concurrencySeconds / 10)
	return int(min(max(tens, 2), 100)) * 10
}

func chooseListener(cfg *config.Config, address string) (config.Listener, error) {
	if address == "" {
		return cfg.Listeners[0], nil
	}
	i := slices.IndexFunc(cfg.Listeners, func(l config.Listener) bool { return l.Address == address })
	if i < 0 {
		var have []string
		for _, l := range cfg.Listeners {
			have = append(have, l.Address)
		}
		return config.Listener{}, &usageError{text: fmt.Sprintf("--listener %q is none of %s", address, strings.Join(have, ", "))}
	}
	return cfg.Listeners[i], nil
}

// relayHosts returns "[host]:port" for each relay. Brackets keep Postfix from
// looking for MX records.
func relayHosts(cfg *config.Config, l config.Listener, names []string) ([]string, error) {
	host, port, err := net.SplitHostPort(l.Address)
	if err != nil {
		return nil, err
	}
	if port == "0" {
		return nil, fmt.Errorf("the listener %s has no fixed port, so Postfix cannot be pointed at it", l.Address)
	}
	if len(names) == 0 {
		if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
			host = cfg.Hostname
		}
		names = []string{host}
	}
	hosts := make([]string, len(names))
	for i, name := range names {
		if strings.ContainsAny(name, " ,[]'\"$:") && !isIP(name) || name == "" {
			return nil, &usageError{text: fmt.Sprintf("--name %q is not a host name; the port is the listener's", name)}
		}
		if ip, err := netip.ParseAddr(name); err == nil && ip.Is6() {
			name = "ipv6:" + name // Postfix's form of an address literal
		}
		hosts[i] = "[" + name + "]:" + port
	}
	return hosts, nil
}

func isIP(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}
