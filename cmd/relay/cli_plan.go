package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"sesrelay/cmd/relay/internal/apiclient"
	"sesrelay/cmd/relay/internal/config"
)

const planExample = "relay split plan 50"

func newSplitPlan(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan PERCENT",
		Short: "Can SES and Cuenote carry this split?",
		Long: `plan compares the peak x PERCENT with SES's rate and day quota, and the rest with what Cuenote
can carry, and says what is missing. Exit code 1 when something is.`,
		Example: "  " + planExample,
		Args:    exactly(planExample, "PERCENT"),
	}
	f := addAPIFlags(c, cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		hundredths, err := config.ParsePercent(args[0])
		if err != nil {
			return &usageError{text: fmt.Sprintf("%q %v: write 0 to 100 in steps of 0.01", args[0], err), example: planExample}
		}
		client, err := f.client()
		if err != nil {
			return err
		}
		plan, answer, err := client.Plan(cmd.Context(), config.FormatPercent(hundredths))
		if err != nil {
			return err
		}
		if f.json {
			err = f.printJSON(answer)
		} else {
			printPlan(c, plan)
		}
		if err == nil && !plan.OK {
			err = errSilent
		}
		return err
	}
	return cmd
}

func printPlan(c *cli, plan *apiclient.Plan) {
	p := c.paint()
	switch {
	case !plan.OK:
		fmt.Fprintf(c.out, "%s: %s is too much\n", p.red("NO"), percentText(&plan.Percent))
	case len(plan.Unknown) > 0:
		fmt.Fprintf(c.out, "%s: nothing speaks against %s, but not everything could be judged\n", p.yellow("PERHAPS"), percentText(&plan.Percent))
	default:
		fmt.Fprintf(c.out, "%s: %s can be carried\n", p.green("YES"), percentText(&plan.Percent))
	}
	rows := [][]string{
		{"", "NEEDED", "THERE IS"},
		{"SES, recipients/s at the peak", need(plan.SESRateNeeded, plan.Traffic.PeakPerMinute), allowance(plan.Capacity.SESRate, false)},
		{"SES, recipients in 24 hours", need(plan.SESDayNeeded, plan.Traffic.PerDay), allowance(plan.Capacity.SESDay, false)},
		{"Cuenote, messages/s at the peak", need(plan.CuenoteRateNeeded, plan.Traffic.PeakPerMinute), allowance(plan.Capacity.CuenoteRate, true)},
	}
	for _, line := range columns(rows, 1, 2) {
		fmt.Fprintln(c.out, line)
	}
	for _, m := range plan.Missing {
		fmt.Fprintf(c.out, "missing     %s\n", printable(m.Text))
	}
	for _, text := range plan.Unknown {
		fmt.Fprintf(c.out, "not judged  %s\n", printable(text))
	}
}

// need writes what is needed; without knowing the traffic nothing is.
func need(x, traffic float64) string {
	if traffic == 0 {
		return "?"
	}
	return count(x)
}

// allowance writes a capacity. zeroUnlimited: 0 means no limit rather than not known.
func allowance(x float64, zeroUnlimited bool) string {
	switch {
	case x < 0 || x == 0 && zeroUnlimited:
		return "unlimited"
	case x == 0:
		return "?"
	}
	return count(x)
}
