package main

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

const defaultConfig = "relay.yaml"

func newServe(*cli) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "serve --config relay.yaml",
		Short: "Run the relay",
		Long: `serve runs the relay. SIGHUP reads the configuration again (with a mistake in it the old
one stays in force, and the log says so); SIGTERM drains and ends.`,
		Args: exactly("relay serve --config relay.yaml"),
		RunE: func(cmd *cobra.Command, _ []string) error { return runServe(cmd.Context(), path) },
	}
	cmd.Flags().StringVarP(&path, "config", "c", defaultConfig, "the configuration `file`")
	return cmd
}

// demoOptions sets a demo.
type demoOptions struct {
	SMTP    string  // address of the SMTP listener
	HTTP    string  // address of console and API
	Traffic float64 // messages per second that the demo sends to itself; 0 = none
	// Simulated sending quota in recipients, per second and per 24 hours; 0 = unlimited.
	QuotaRate, QuotaDay float64
}

func newDemo(*cli) *cobra.Command {
	o := demoOptions{}
	var traffic, quota string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run everything on this machine, with simulated SES and Cuenote",
		Long: `demo runs the whole system on loopback with nothing installed: the relay, a simulated SES and
a simulated Cuenote that keep what they receive. It prints a mail to try and what to open.`,
		Example: "  relay demo --traffic 20/s\n  relay demo --quota 14,50000",
		Args:    exactly("relay demo --traffic 20/s"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.parse(traffic, quota); err != nil {
				return err
			}
			return runDemo(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.SMTP, "smtp", "127.0.0.1:2525", "`address` for mail")
	cmd.Flags().StringVar(&o.HTTP, "http", "127.0.0.1:8025", "`address` of console and API")
	cmd.Flags().StringVar(&traffic, "traffic", "0/s", "mails that the demo sends to itself, `N/s`")
	cmd.Flags().StringVar(&quota, "quota", "", "simulated sending quota, `RATE,DAY` in recipients per second and per 24 hours (default unlimited)")
	return cmd
}

// parse reads the flags that are not plain texts.
func (o *demoOptions) parse(traffic, quota string) error {
	for flag, address := range map[string]string{"--smtp": o.SMTP, "--http": o.HTTP} {
		if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
			return &usageError{text: fmt.Sprintf("%s %q is not an address with a port", flag, address), example: "relay demo " + flag + " 127.0.0.1:2525"}
		}
	}
	n, err := strconv.ParseFloat(strings.TrimSuffix(traffic, "/s"), 64)
	if err != nil || !(n >= 0 && n <= 10000) {
		return &usageError{text: fmt.Sprintf("--traffic %q is not a rate between 0 and 10000 mails a second", traffic), example: "relay demo --traffic 20/s"}
	}
	o.Traffic = n
	if quota == "" {
		return nil
	}
	rate, day, ok := strings.Cut(quota, ",")
	var errRate, errDay error
	o.QuotaRate, errRate = strconv.ParseFloat(rate, 64)
	o.QuotaDay, errDay = strconv.ParseFloat(day, 64)
	if !ok || errRate != nil || errDay != nil || !(o.QuotaRate > 0) || !(o.QuotaDay > 0) {
		return &usageError{text: fmt.Sprintf("--quota %q is not RATE,DAY", quota), example: "relay demo --quota 14,50000"}
	}
	return nil
}
