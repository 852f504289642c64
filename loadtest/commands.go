package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
)

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "loadtest",
		Short: "Constant load on a relay, every mail reconciled with what arrived",
		Long: `loadtest starts a relay and simulated next hops as processes of their own, offers mail at a constant
rate, and says whether every mail arrived once and how long it took from its scheduled start.
It writes a report (HTML, one file) and the same as JSON. Exit code 0: every threshold held.`,
		SilenceUsage: true, SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError(err) })
	for _, sc := range scenarios() {
		root.AddCommand(newScenario(sc))
	}
	root.AddCommand(newSinkCommand(), newDirect(), newReport(), newBench(), newBareCommand())
	return root
}

// newScenario is the command of one scenario.
func newScenario(sc *scenario) *cobra.Command {
	o := sc.defaults()
	cmd := &cobra.Command{Use: sc.Name, Short: sc.Title, Long: sc.Title + ".\n\n" + sc.Help, Args: cobra.NoArgs}
	o.flags(cmd.Flags())
	if sc.flags != nil {
		sc.flags(cmd.Flags(), o)
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := o.check(); err != nil {
			return usageError(err)
		}
		limits, err := sc.thresholds(o.Thresholds)
		if err != nil {
			return usageError(err)
		}
		res, err := execute(cmd.Context(), sc, o, limits)
		if err != nil {
			return err
		}
		return deliverResult(cmd.OutOrStdout(), res, o)
	}
	return cmd
}

func newSinkCommand() *cobra.Command {
	var o sinkOptions
	cmd := &cobra.Command{Use: "sink", Args: cobra.NoArgs,
		Short: "The simulated SES and Cuenote, controlled over HTTP",
		Long: `sink prints its addresses as one JSON line and serves until its standard input ends or SIGTERM comes.
On its control address: GET /stats, /ids, /per-second/ses, /per-second/cuenote, /deliveries; POST /reconcile;
PUT /ses and /cuenote with any of {"latency":{"P50":"80ms","P99":"250ms"},"account":{"max_send_rate":500},
"faults":[...],"limits":{...},"outage":"refuse"} (internal/simulator says what they mean).`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runSink(cmd.Context(), o, cmd.InOrStdin(), cmd.OutOrStdout())
		}}
	f := cmd.Flags()
	f.BoolVar(&o.SESTLS, "ses-tls", true, "SES over https; false: http")
	f.StringVar(&o.Certificate, "certificate", "", "`FILE` that gets the certificate of the SES endpoint")
	f.StringVar(&o.Control, "control", "127.0.0.1:0", "control `ADDRESS`, on loopback")
	f.IntVar(&o.Records, "records", 500_000, "deliveries kept with time and recipients")
	f.IntVar(&o.IDs, "ids", 10_000_000, "different mails counted")
	return cmd
}

func newReport() *cobra.Command {
	return &cobra.Command{Use: "report RESULT.json REPORT.html", Args: cobra.ExactArgs(2),
		Short: "Make the HTML report of a result again",
		RunE: func(_ *cobra.Command, args []string) error {
			b, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			var res result
			if err := json.Unmarshal(b, &res); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return saveReport(args[1], &res)
		}}
}

func newDirect() *cobra.Command {
	o := directOptions{Clients: 50, For: 3 * time.Second, Size: 8 << 10}
	cmd := &cobra.Command{Use: "direct", Args: cobra.NoArgs,
		Short: "How fast generator and sink are without a relay",
		Long: `direct sends to the sinks without a relay in between, as fast as the answers come, so that a test can
be trusted not to have measured its own tools.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDirect(cmd.Context(), o, cmd.OutOrStdout())
		}}
	f := cmd.Flags()
	f.IntVar(&o.Clients, "clients", o.Clients, "connections")
	f.DurationVar(&o.For, "for", o.For, "how long, each sink")
	f.IntVar(&o.Size, "size", o.Size, "bytes of a mail")
	return cmd
}
