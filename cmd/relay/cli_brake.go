package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sesrelay/cmd/relay/internal/apiclient"
)

const releaseExample = `relay brake release --reason "SES answers again"`

func newBrake(c *cli) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "brake",
		Short: "SES share to 0 now, on every instance",
		Long: `brake puts the share of SES to 0 at once, on every instance that can be reached, and keeps it there
until it is released. It needs no reason, no version and no disk, and is safe to repeat.`,
		Example: "  relay brake --reason \"bounces\"\n  " + releaseExample,
		Args:    cobra.ArbitraryArgs,
	}
	f := addAPIFlags(c, cmd)
	cmd.Flags().StringVarP(&reason, "reason", "r", "", "why, as `TEXT` for the history")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return group(cmd, args)
		}
		client, err := f.client()
		if err != nil {
			return err
		}
		begun := time.Now()
		s, answer, err := client.Brake(cmd.Context(), reason)
		if err != nil {
			return err
		}
		s, answer, took := everywhere(cmd.Context(), client, begun, s, answer, (*apiclient.Split).BrakedBy)
		if f.json {
			return f.printJSON(answer)
		}
		fmt.Fprintf(c.out, "%s: SES gets nothing from now on; %s is asked for\n", c.paint().bold("BRAKE on"), percentText(&s.SESPercent))
		fmt.Fprintf(c.out, "applied     %s, %d ms after the command\n", appliedWhere(s, s.BrakedAt), took.Milliseconds())
		printUnsaved(c, s)
		fmt.Fprintf(c.out, "release it  %s\n", releaseExample)
		return nil
	}
	cmd.AddCommand(newBrakeRelease(c))
	return cmd
}

func instancesText(n int) string {
	if n == 1 {
		return "1 instance"
	}
	return fmt.Sprintf("%d instances", n)
}

func newBrakeRelease(c *cli) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:     "release --reason TEXT",
		Short:   "Take the brake off: the requested share is applied again",
		Example: "  " + releaseExample,
		Args:    exactly(releaseExample),
	}
	f := addAPIFlags(c, cmd)
	cmd.Flags().StringVarP(&reason, "reason", "r", "", "why, as `TEXT` for the history (required)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if strings.TrimSpace(reason) == "" {
			return &usageError{text: "--reason is missing: mail goes to SES again, and the history says why", example: releaseExample}
		}
		client, err := f.client()
		if err != nil {
			return err
		}
		before, _, err := client.Split(cmd.Context())
		if err != nil {
			return err
		}
		if before.Brake == nil {
			return fmt.Errorf("the brake is not on; SES gets %s", percentText(&before.SESPercent))
		}
		begun := time.Now()
		after, answer, err := client.Release(cmd.Context(), reason, before)
		if err != nil {
			return explainRefusal(cmd.Context(), client, before, err, "relay brake release --reason "+shellQuote(reason))
		}
		if !f.json {
			fmt.Fprintln(c.out, "BRAKE off")
		}
		return reportChange(cmd.Context(), f, client, begun, before, after, answer)
	}
	return cmd
}
