package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sesrelay/internal/rollout"
)

func newRolloutCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rollout",
		Short: "The steps: status, start, pause, resume, promote, abort, report, drill",
		Long: `rollout moves the share of SES by the steps of the configuration: each is held for its pause, and the
gate is judged before the next. The guard pulls the share back by itself, with or without a rollout.`,
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	cmd.AddCommand(newRolloutStatus(c),
		newOrder(c, orderCommand{action: rollout.ActionStart, short: "Begin with the first step", force: true}),
		newOrder(c, orderCommand{action: rollout.ActionPause, short: "Stop the time; the share stays"}),
		newOrder(c, orderCommand{action: rollout.ActionResume, short: "Go on after pause, hold or rollback", force: true}),
		newOrder(c, orderCommand{action: rollout.ActionPromote, short: "Go to the next step now, past its pause and gate", force: true, full: true}),
		newOrder(c, orderCommand{action: rollout.ActionAbort, short: "SES share to 0 now, and give the rollout up"}),
		newRolloutReport(c), newDrill(c))
	return cmd
}

func newRolloutStatus(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Where the rollout stands, and what gate and guard see",
		Args:  exactly("relay rollout status"),
	}
	f := addAPIFlags(c, cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := f.client()
		if err != nil {
			return err
		}
		v, answer, err := client.Rollout(cmd.Context())
		if err != nil || f.json {
			return f.jsonOr(answer, err)
		}
		printRollout(c, v)
		return nil
	}
	return cmd
}

// orderCommand describes one of the commands that move a rollout.
type orderCommand struct {
	action      rollout.Action
	short       string
	force, full bool // flags that it has
}

func newOrder(c *cli, oc orderCommand) *cobra.Command {
	var o rollout.Order
	example := `relay rollout ` + string(oc.action) + ` --reason "week 1"`
	cmd := &cobra.Command{Use: string(oc.action), Short: oc.short, Example: "  " + example, Args: exactly(example)}
	f := addAPIFlags(c, cmd)
	cmd.Flags().StringVarP(&o.Reason, "reason", "r", "", "why, as `TEXT` for the record")
	if oc.force {
		cmd.Flags().BoolVar(&o.Force, "force", false, "even where the plan says that SES's quota is too small")
	}
	if oc.full {
		cmd.Flags().BoolVar(&o.Full, "full", false, "straight to the last step")
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := f.client()
		if err != nil {
			return err
		}
		v, answer, err := client.Order(cmd.Context(), oc.action, o)
		if err != nil || f.json {
			return f.jsonOr(answer, err)
		}
		printRollout(c, v)
		return nil
	}
	return cmd
}

// printRollout shows a rollout on one screen, the worst first.
func printRollout(c *cli, v *rollout.View) {
	p := c.paint()
	fmt.Fprintf(c.out, "phase       %s since %s%s\n", p.bold(strings.ReplaceAll(string(v.Phase), "_", " ")), when(v.Since), untilText(v))
	if h := v.Hold; h != nil {
		fmt.Fprintf(c.out, "because     %s (%s)\ngo on with  %s\n", printable(h.Reason), printable(h.By), h.Next)
	}
	if v.Applied != v.Percent {
		fmt.Fprintf(c.out, "in force    SES gets %s %%\n", v.Applied)
	}
	if v.Unsaved {
		fmt.Fprintf(c.out, "not saved   %s\n", p.yellow("this is in force, and the record follows when the state can be saved"))
	}
	if v.Trouble != "" {
		fmt.Fprintf(c.out, "trouble     %s\n", p.yellow(printable(v.Trouble)))
	}
	fmt.Fprintf(c.out, "steps       %s\n", stepsText(p, v.Steps))
	fmt.Fprintf(c.out, "gate        %s\n", verdictText(p, v.Gate.Verdict))
	printJudgement(c, &v.Gate.Judgement)
	guard := "not armed"
	if v.Guard.Armed {
		guard = "armed"
	}
	if v.Guard.BlindToDelivery {
		guard += ", blind to delivery"
	}
	fmt.Fprintf(c.out, "guard       %s, %s, %d trips\n", guard, verdictText(p, v.Guard.Verdict), v.Guard.Trips)
	printJudgement(c, &v.Guard.Judgement)
	if t := v.Guard.LastTrip; t != nil {
		fmt.Fprintf(c.out, "last trip   %s, %s %% -> %s %%: %s\n", when(t.At), t.From, t.To, printable(t.Text))
	}
	if v.Events.Trouble != "" {
		fmt.Fprintf(c.out, "events      %s\n", p.yellow(printable(v.Events.Trouble)))
	}
	if text := rehearsalText(&v.Rehearsal); text != "" {
		fmt.Fprintf(c.out, "rehearsal   %s\n", text)
	}
	if len(v.Decisions) > 0 {
		d := v.Decisions[0]
		fmt.Fprintf(c.out, "last        %s, %s by %s: %s\n", when(d.At), d.Action, printable(d.Who), printable(d.Reason))
	}
}

// rehearsalText says what SES could have taken, and why not the rest, the most
// frequent first; "" when nothing was judged.
func rehearsalText(v *rollout.RehearsalView) string {
	if v.Judged == 0 {
		return ""
	}
	text := fmt.Sprintf("%s of %d messages could go to SES", percentText(v.Eligible), v.Judged)
	reasons := slices.Sorted(maps.Keys(v.Reasons))
	slices.SortStableFunc(reasons, func(a, b string) int { return cmp.Compare(v.Reasons[b], v.Reasons[a]) })
	for _, r := range reasons {
		text += fmt.Sprintf(", %s %d", printable(r), v.Reasons[r])
	}
	return text
}

func untilText(v *rollout.View) string {
	if v.Until == nil {
		return ""
	}
	return ", until " + when(*v.Until)
}

// stepsText writes the steps in a row, the one in force in bold.
func stepsText(p paint, steps []rollout.StepView) string {
	words := make([]string, len(steps))
	for i, s := range steps {
		switch {
		case s.SetPercent != nil:
			words[i] = s.SetPercent.String() + " %"
		case *s.Pause == "":
			words[i] = "pause"
		default:
			words[i] = "pause " + *s.Pause
		}
		switch s.State {
		case rollout.StepCurrent:
			words[i] = p.bold("[" + words[i] + "]")
		case rollout.StepDone:
			words[i] = p.dim(words[i])
		}
	}
	return strings.Join(words, " > ")
}

func verdictText(p paint, v rollout.Verdict) string {
	return map[rollout.Verdict]func(string) string{rollout.Pass: p.green, rollout.Hold: p.yellow, rollout.Rollback: p.red}[v](string(v))
}

func printJudgement(c *cli, j *rollout.Judgement) {
	for _, cr := range j.Criteria {
		fmt.Fprintf(c.out, "  %-10s %-8s %s\n", cr.Name, cr.Verdict, printable(cr.Text))
	}
	for _, r := range j.Reasons {
		if !isCriterion(j, r) {
			fmt.Fprintf(c.out, "  %s\n", printable(r))
		}
	}
}

func isCriterion(j *rollout.Judgement, reason string) bool {
	for _, c := range j.Criteria {
		if c.Text == reason {
			return true
		}
	}
	return false
}

func newRolloutReport(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "report",
		Short: "The stage report, as Markdown (or JSON with --json)",
		Args:  exactly("relay rollout report"),
	}
	f := addAPIFlags(c, cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := f.client()
		if err != nil {
			return err
		}
		r, answer, err := client.Report(cmd.Context())
		if err != nil || f.json {
			return f.jsonOr(answer, err)
		}
		_, err = fmt.Fprint(c.out, r.Markdown())
		return err
	}
	return cmd
}
