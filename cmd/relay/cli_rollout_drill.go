package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"sesrelay/cmd/relay/internal/config"
)

func newDrill(c *cli) *cobra.Command {
	o := drillOptions{}
	var path, fault string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "drill",
		Short: "Fire drill: faults against simulated next hops, and proof that the split is put back in time",
		Long: `drill runs a relay of its own with a simulated SES and Cuenote, on loopback and with nothing installed. For
each fault it starts a rollout, promotes it to the last step, lets SES throttle, be away, report bounces or
report nothing, and measures how long the guard takes to put the split back. A running relay is not touched.

With --config the steps and limits are those of a configuration file: with a window of five minutes and
no_data_max of ten, silence takes ten minutes to be seen.`,
		Example: "  relay rollout drill\n  relay rollout drill --fault outage --config relay.yaml",
		Args:    exactly("relay rollout drill"),
	}
	cmd.Flags().StringVar(&path, "config", "", "`file` whose rollout section is drilled (default: a quick one)")
	cmd.Flags().StringVar(&fault, "fault", "all", "throttling, outage, bounces, silence or `all`")
	cmd.Flags().Float64Var(&o.rate, "rate", 100, "mails a second, `N`")
	cmd.Flags().DurationVar(&o.within, "within", 15*time.Second, "`time` that is allowed from a fault that can be measured to the split in force")
	cmd.Flags().DurationVar(&o.warm, "warm", 4*time.Second, "`time` of good mail at each step before the fault")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !(o.rate >= 1 && o.rate <= 1000) {
			return &usageError{text: "--rate is not between 1 and 1000 mails a second", example: "relay rollout drill --rate 100"}
		}
		results, err := drillAll(cmd.Context(), path, fault, o)
		if err != nil {
			return err
		}
		return reportDrill(c, results, asJSON)
	}
	return cmd
}

// drillAll plays the chosen faults, all at once: each has a relay of its own.
func drillAll(ctx context.Context, path, fault string, o drillOptions) ([]drillResult, error) {
	var given *config.Config
	if path != "" {
		var err error
		if given, _, err = config.Load(path); err != nil {
			return nil, err
		}
	}
	probe, err := drillConfig(given)
	if err != nil {
		return nil, err
	}
	var chosen []drillFault
	for _, f := range drillFaults(probe) {
		if fault == "all" || fault == f.name {
			chosen = append(chosen, f)
		}
	}
	if len(chosen) == 0 {
		return nil, &usageError{text: fmt.Sprintf("--fault %q is none: write throttling, outage, bounces, silence or all", fault), example: "relay rollout drill --fault outage"}
	}
	results, errs := make([]drillResult, len(chosen)), make([]error, len(chosen))
	var wg sync.WaitGroup
	for i, f := range chosen {
		cfg, err := drillConfig(given)
		if err != nil {
			return nil, err
		}
		wg.Go(func() { results[i], errs[i] = runDrill(ctx, cfg, f, o) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return results, nil
}

func reportDrill(c *cli, results []drillResult, asJSON bool) error {
	failed := 0
	for _, r := range results {
		if !r.OK {
			failed++
		}
	}
	if asJSON {
		if err := json.NewEncoder(c.out).Encode(results); err != nil {
			return err
		}
	} else {
		printDrill(c, results)
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d faults were not answered as they have to be", failed, len(results))
	}
	return nil
}

func printDrill(c *cli, results []drillResult) {
	p := c.paint()
	for _, r := range results {
		word := p.green("ok    ")
		if !r.OK {
			word = p.red("FAILED")
		}
		fmt.Fprintf(c.out, "%s  %-10s  %g %% -> %g %% after %.1f s (allowed %.0f s)", word, r.Fault, r.From, r.To, r.Took, r.Allowed)
		if r.After > 0 {
			fmt.Fprintf(c.out, ", and %d mails went to SES by the old share afterwards", r.After)
		}
		fmt.Fprintf(c.out, "\n        %s\n", printable(r.Text))
	}
}
