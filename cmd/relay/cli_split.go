package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sesrelay/cmd/relay/internal/apiclient"
	"sesrelay/cmd/relay/internal/config"
)

func newSplit(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "split",
		Short: "The live split: get, set, plan, history, undo",
		Args:  cobra.ArbitraryArgs,
		RunE:  group,
	}
	cmd.AddCommand(newSplitGet(c), newSplitSet(c), newSplitPlan(c), newSplitHistory(c), newSplitUndo(c))
	return cmd
}

func newSplitGet(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get",
		Short: "Show the split in force",
		Args:  exactly("relay split get"),
	}
	f := addAPIFlags(c, cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := f.client()
		if err != nil {
			return err
		}
		s, answer, err := client.Split(cmd.Context())
		if err != nil || f.json {
			return f.jsonOr(answer, err)
		}
		printSplit(c, s)
		if status, _, err := client.Status(cmd.Context()); err == nil { // without it there is still the split
			for _, line := range figuresLines(status.Fleet) {
				fmt.Fprintln(c.out, line)
			}
		}
		return nil
	}
	return cmd
}

// jsonOr prints the answer when there is no error.
func (f *apiFlags) jsonOr(a apiclient.Answer, err error) error {
	if err != nil {
		return err
	}
	return f.printJSON(a)
}

// printSplit shows the three percentages together, and who set it why.
func printSplit(c *cli, s *apiclient.Split) {
	p := c.paint()
	if s.Brake != nil {
		fmt.Fprintln(c.out, p.red("BRAKE on")+": "+brakeText(s.Brake))
	}
	fmt.Fprintf(c.out, "SES share   %s requested, %s eligible, %s effective (last five minutes)\n",
		p.bold(percentText(&s.SESPercent)), percentText(s.Eligible), percentText(s.Effective))
	fmt.Fprintf(c.out, "drawn by    %s\n", printable(s.By))
	fmt.Fprintf(c.out, "version     %d, by %s, %s: %s\n", s.Version, printable(s.ChangedBy), when(s.ChangedAt), printable(s.Reason))
	fmt.Fprintf(c.out, "applied     %s\n", appliedText(s))
	printUnsaved(c, s)
}

func brakeText(b *apiclient.Brake) string {
	gets := "nothing"
	if b.Ceiling > 0 { // the guard's, back to the last good step
		gets = "no more than " + percentText(&b.Ceiling)
	}
	return fmt.Sprintf("SES gets %s since %s, by %s: %s. Release it with: relay brake release --reason ...",
		gets, when(b.At), printable(b.By), printable(b.Reason))
}

// appliedText says which instances apply the version and which are behind.
func appliedText(s *apiclient.Split) string { return appliedWhere(s, s.AppliedAt) }

func appliedWhere(s *apiclient.Split, applies func(apiclient.Instance) bool) string {
	n := 0
	var behind []string
	for _, i := range s.Instances {
		switch {
		case applies(i):
			n++
		case i.Version < s.Version:
			behind = append(behind, fmt.Sprintf("%s is at version %d", printable(i.ID), i.Version))
		default:
			behind = append(behind, fmt.Sprintf("%s gives SES %s", printable(i.ID), percentText(i.Applied)))
		}
	}
	text := fmt.Sprintf("by %d of %d instances", n, len(s.Instances))
	if len(behind) > 0 {
		text += ": " + strings.Join(behind, ", ")
	}
	return text
}

const setExample = `relay split set 25 --reason "week 1"`

func newSplitSet(c *cli) *cobra.Command {
	var reason string
	var force bool
	cmd := &cobra.Command{
		Use:     "set PERCENT --reason TEXT",
		Short:   "Move the split",
		Long:    "set changes the share of SES for the next transactions, on every instance. PERCENT is 0 to 100\nin steps of 0.01. An increase that the plan refuses is refused; lowering never is.",
		Example: "  " + setExample,
		Args:    exactly(setExample, "PERCENT"),
	}
	f := addAPIFlags(c, cmd)
	cmd.Flags().StringVarP(&reason, "reason", "r", "", "why, as `TEXT` for the history (required)")
	cmd.Flags().BoolVar(&force, "force", false, "even where the plan says that SES's quota is too small")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		hundredths, err := config.ParsePercent(args[0])
		if err != nil {
			return &usageError{text: fmt.Sprintf("%q %v: write 0 to 100 in steps of 0.01", args[0], err), example: setExample}
		}
		if strings.TrimSpace(reason) == "" {
			return &usageError{text: "--reason is missing: the history says why the split was changed", example: setExample}
		}
		client, err := f.client()
		if err != nil {
			return err
		}
		return setSplit(cmd.Context(), f, client, hundredths, reason, force)
	}
	return cmd
}

func setSplit(ctx context.Context, f *apiFlags, client *apiclient.Client, hundredths int, reason string, force bool) error {
	percent := config.FormatPercent(hundredths)
	before, _, err := client.Split(ctx)
	if err != nil {
		return err
	}
	begun := time.Now()
	after, answer, err := client.SetSplit(ctx, percent, reason, before.ETag, force)
	if err != nil {
		return explainRefusal(ctx, client, before, err, fmt.Sprintf("relay split set %s --reason %s", percent, shellQuote(reason)))
	}
	return reportChange(ctx, f, client, begun, before, after, answer)
}

// explainRefusal says what is missing or who was faster, and the command to repeat.
func explainRefusal(ctx context.Context, client *apiclient.Client, before *apiclient.Split, err error, retry string) error {
	problem, ok := errors.AsType[*apiclient.Problem](err)
	switch {
	case !ok:
		return err
	case problem.Status == http.StatusConflict && problem.Plan != nil:
		return fmt.Errorf("not done: %s", planRefusal(problem.Plan, retry))
	case problem.Status == http.StatusPreconditionFailed:
		return explainStale(ctx, client, before, retry)
	}
	return err
}

// planRefusal says what is missing at SES.
func planRefusal(plan *apiclient.Plan, retry string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "SES cannot carry %s", percentText(&plan.Percent))
	for _, m := range plan.Missing {
		if strings.HasPrefix(m.Of, "ses_") { // what Cuenote lacks speaks for an increase
			b.WriteString("\n  " + printable(m.Text))
		}
	}
	fmt.Fprintf(&b, "\nAsk AWS for a larger quota, or take a smaller step. To do it all the same:\n  %s --force", retry)
	return b.String()
}

// explainStale says who changed the split meanwhile.
func explainStale(ctx context.Context, client *apiclient.Client, before *apiclient.Split, retry string) error {
	now, _, again := client.Split(ctx)
	if again != nil {
		return fmt.Errorf("not done: somebody else changed the split meanwhile. Look with relay split get, then repeat:\n  %s", retry)
	}
	if b := now.Brake; b != nil && now.Version == before.Version {
		return fmt.Errorf("not done: a brake was pulled meanwhile. On is now the one of %s, since %s: %s\nIf your change is still right, repeat it:\n  %s",
			printable(b.By), when(b.At), printable(b.Reason), retry)
	}
	return fmt.Errorf("not done: %s changed the split from %s to %s at %s: %s\nIt is now version %d. If your change is still right, repeat it:\n  %s",
		printable(now.ChangedBy), percentText(&before.SESPercent), percentText(&now.SESPercent), when(now.ChangedAt),
		printable(now.Reason), now.Version, retry)
}

// applyWait is how long a change may take on every instance: the contract's
// second, and one more. applyAsk is how often it is looked after.
const (
	applyWait = 2 * time.Second
	applyAsk  = 20 * time.Millisecond
)

// everywhere waits until every instance applies a change that was begun then,
// and returns the split as it is seen at the end and how long it took.
func everywhere(ctx context.Context, client *apiclient.Client, begun time.Time, s *apiclient.Split, answer apiclient.Answer, done func(*apiclient.Split) int) (*apiclient.Split, apiclient.Answer, time.Duration) {
	warning := s.Warning
	for done(s) < len(s.Instances) && time.Since(begun) < applyWait && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(applyAsk):
		}
		now, a, err := client.Split(ctx)
		if err != nil || now.Version != s.Version {
			break // somebody else's change, or nobody to ask: what is known stands
		}
		s, answer = now, a
	}
	s.Warning = warning
	return s, answer, time.Since(begun)
}

// reportChange waits until every instance applies the new version, then prints
// before and after.
func reportChange(ctx context.Context, f *apiFlags, client *apiclient.Client, begun time.Time, before, after *apiclient.Split, answer apiclient.Answer) error {
	after, answer, took := everywhere(ctx, client, begun, after, answer, (*apiclient.Split).AppliedBy)
	if f.json {
		return f.printJSON(answer)
	}
	p := f.c.paint()
	from, to := &before.SESPercent, &after.SESPercent
	if before.Brake != nil && after.Brake == nil { // released: what is asked for has not changed
		from, to = before.Applied, &after.SESPercent
		if from == nil {
			from = &before.Brake.Ceiling
		}
	}
	fmt.Fprintf(f.c.out, "SES share   %s -> %s\n", percentText(from), p.bold(percentText(to)))
	fmt.Fprintf(f.c.out, "version     %d -> %d\n", before.Version, after.Version)
	fmt.Fprintf(f.c.out, "applied     %s, %d ms after the command\n", appliedText(after), took.Milliseconds())
	if after.Brake != nil {
		fmt.Fprintln(f.c.out, p.red("BRAKE on")+": "+brakeText(after.Brake))
	}
	printUnsaved(f.c, after)
	return nil
}

// printUnsaved says what a change lacks that is in force here.
func printUnsaved(c *cli, s *apiclient.Split) {
	switch {
	case s.Warning != "":
		fmt.Fprintln(c.out, c.paint().yellow("not saved")+": "+printable(s.Warning))
	case s.Unsaved:
		fmt.Fprintln(c.out, c.paint().yellow("not saved")+": a restart would forget it; look at the disk of state.file, and at Redis")
	}
}

// shellQuote quotes s for a shell.
func shellQuote(s string) string {
	return "'" + strings.ReplaceAll(printable(s), "'", `'\''`) + "'"
}

// shellWord quotes where a shell needs it.
func shellWord(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("0123456789-_./:,@%+=", r)
	}) {
		return s
	}
	return shellQuote(s)
}

func newSplitUndo(c *cli) *cobra.Command {
	var reason string
	var force bool
	cmd := &cobra.Command{
		Use:   "undo",
		Short: "Return to the split before the last change",
		Long:  "undo makes the percentage before the last change the new one. A second undo returns to where the\nfirst began.",
		Args:  exactly("relay split undo"),
	}
	f := addAPIFlags(c, cmd)
	cmd.Flags().StringVarP(&reason, "reason", "r", "undo", "why, as `TEXT` for the history")
	cmd.Flags().BoolVar(&force, "force", false, "even where the plan says that SES's quota is too small")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := f.client()
		if err != nil {
			return err
		}
		before, _, err := client.Split(cmd.Context())
		if err != nil {
			return err
		}
		begun := time.Now()
		after, answer, err := client.Undo(cmd.Context(), reason, before.ETag, force)
		if err != nil {
			return explainRefusal(cmd.Context(), client, before, err, "relay split undo --reason "+shellQuote(reason))
		}
		return reportChange(cmd.Context(), f, client, begun, before, after, answer)
	}
	return cmd
}

func newSplitHistory(c *cli) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "history",
		Short: "Who changed the split, when and why",
		Args:  exactly("relay split history"),
	}
	f := addAPIFlags(c, cmd)
	cmd.Flags().IntVarP(&limit, "limit", "n", 20, "`number` of changes to show, newest first; 0 = all")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := f.client()
		if err != nil {
			return err
		}
		changes, answer, err := client.History(cmd.Context())
		if err != nil || f.json {
			return f.jsonOr(answer, err)
		}
		printHistory(c, changes, limit)
		return nil
	}
	return cmd
}

func printHistory(c *cli, changes []apiclient.Change, limit int) {
	if len(changes) == 0 {
		fmt.Fprintln(c.out, "no change yet; the split is the configuration's split.ses_percent")
		return
	}
	rows := [][]string{{"WHEN", "VERSION", "WHAT", "FROM", "TO", "WHO", "WHY"}}
	for i, ch := range changes {
		if limit > 0 && i == limit {
			break
		}
		rows = append(rows, []string{when(ch.At), strconv.FormatInt(ch.Version, 10), printable(ch.Action),
			percentText(&ch.Before), percentText(&ch.After), printable(ch.Who), printable(ch.Reason)})
	}
	for _, line := range columns(rows, 1, 3, 4) {
		fmt.Fprintln(c.out, line)
	}
	if limit > 0 && len(changes) > limit {
		fmt.Fprintf(c.out, "%d older ones: --limit 0\n", len(changes)-limit)
	}
}
