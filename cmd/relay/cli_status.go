package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"sesrelay/cmd/relay/internal/apiclient"
	"sesrelay/internal/rollout"
)

func newStatus(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "One screen: split, upstreams, quota, instances, alarms",
		Long:  "status shows the worst thing first, then split, upstreams, quota, instances and alarms.",
		Args:  exactly("relay status"),
	}
	f := addAPIFlags(c, cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := f.client()
		if err != nil {
			return err
		}
		s, answer, err := client.Status(cmd.Context())
		if err != nil || f.json {
			return f.jsonOr(answer, err)
		}
		var rehearsal []string
		if v, _, err := client.Rollout(cmd.Context()); err == nil { // without it there is still the rest to show
			rehearsal = rehearsalLines(&v.Rehearsal)
		}
		writeStatus(c.out, c.paint(), s, 24-len(rehearsal))
		for _, line := range rehearsal {
			fmt.Fprintln(c.out, line)
		}
		return nil
	}
	return cmd
}

// rehearsalLines are two lines at most.
func rehearsalLines(v *rollout.RehearsalView) []string {
	if text := rehearsalText(v); text != "" {
		return wrap("rehearsal   ", text, 2)
	}
	return nil
}

const critical, warning, fine = "critical", "warning", "ok"

// verdict is the first line: the worst thing, and how bad it is.
type verdict struct{ level, text string }

// verdictOf says the most important thing of a status.
func verdictOf(s *apiclient.Status) verdict {
	for _, a := range s.Alarms {
		if a.Level == critical {
			return verdict{critical, printable(a.Text)}
		}
	}
	for _, u := range s.Upstreams {
		if u.Breaker != "" && u.Breaker != "closed" {
			return verdict{critical, fmt.Sprintf("%s is left alone, its breaker is %s: %s", printable(u.Name), printable(u.Breaker), printable(u.Because))}
		}
	}
	if s.Split.Brake != nil { // somebody's decision, as in the list of alarms
		return verdict{warning, "the brake is on: " + brakeText(s.Split.Brake)}
	}
	switch behind := len(s.Split.Instances) - s.Split.AppliedBy(); {
	case behind > 0:
		return verdict{warning, "the split is not applied everywhere: " + appliedText(&s.Split)}
	case s.Draining:
		return verdict{warning, "this instance is draining"}
	case !s.Ready:
		return verdict{warning, "this instance is not ready"}
	case s.Split.Unsaved:
		return verdict{warning, "the split is not saved, and a restart would forget it: look at the disk of state.file"}
	case len(s.Alarms) > 0:
		return verdict{warning, printable(s.Alarms[0].Text)}
	}
	return verdict{fine, fmt.Sprintf("SES gets %s of the mail, applied by %s", percentText(&s.Split.SESPercent), instancesText(len(s.Split.Instances)))}
}

// width of the screen that a status fits on.
const width = 80

// writeStatus writes at most lines lines of 80 columns.
func writeStatus(w io.Writer, p paint, s *apiclient.Status, lines int) {
	out := headline(p, s)
	out = append(out, "")
	out = append(out, splitLines(&s.Split)...)
	out = append(out, figuresLines(s.Fleet)...)
	out = append(out, "")
	out = append(out, upstreamLines(s.Upstreams)...)
	out = append(out, "")
	out = append(out, quotaLines(s.Quota)...)
	out = append(out, wrap("instances   ", instanceNames(&s.Split)+heardText(s.Fleet), 2)...)
	if why := reasonsText(s.Reasons); why != "" {
		out = append(out, wrap("not to SES  ", why, 2)...)
	}
	out = append(out, alarmLines(p, s.Alarms, lines-len(out)-1)...)
	for _, line := range out[:min(len(out), lines-1)] { // the shell's prompt takes one
		fmt.Fprintln(w, line)
	}
}

// headline is the verdict, on two lines at most.
func headline(p paint, s *apiclient.Status) []string {
	v := verdictOf(s)
	colour := map[string]func(string) string{critical: p.red, warning: p.yellow, fine: p.green}[v.level]
	label := strings.ToUpper(v.level)
	lines := wrap(label+"  ", v.text, 2)
	lines[0] = colour(label) + strings.TrimPrefix(lines[0], label)
	return lines
}

func splitLines(s *apiclient.Split) []string {
	shares := fmt.Sprintf("SES share   %s requested, %s eligible, %s effective", percentText(&s.SESPercent), percentText(s.Eligible), percentText(s.Effective))
	if s.Applied != nil && *s.Applied != s.SESPercent {
		shares += fmt.Sprintf(", %s applied", percentText(s.Applied))
	}
	return []string{
		cut(shares, width),
		cut(fmt.Sprintf("version     %d, by %s, %s: %s", s.Version, printable(s.ChangedBy), when(s.ChangedAt), printable(s.Reason)), width),
	}
}

func upstreamLines(upstreams []apiclient.Upstream) []string {
	rows := [][]string{{"UPSTREAM", "RATE", "SUCCESS", "P50", "P99", "IN FLIGHT", "BREAKER"}}
	for _, u := range upstreams {
		rows = append(rows, []string{cut(printable(u.Name), 12), count(u.Rate) + "/s", percentText(u.Success),
			milliseconds(u.P50), milliseconds(u.P99), count(float64(u.InFlight)), cut(printable(u.Breaker), 10)})
	}
	return columns(rows, 1, 2, 3, 4, 5)
}

func quotaLines(q apiclient.Quota) []string {
	day := count(q.DayUsed) + " of " + allowance(q.DayMax, false) + " in 24 hours"
	if q.DayMax > 0 {
		share := q.DayUsed / q.DayMax * 100
		day += " (" + percentText(&share) + ")"
	}
	return []string{"SES quota   " + count(q.Used) + " of " + allowance(q.Rate, false) + " recipients/s", "            " + day}
}

// instanceNames lists instances, those that are behind first.
func instanceNames(s *apiclient.Split) string {
	var behind, even []string
	for _, i := range s.Instances {
		text := fmt.Sprintf("%s v%d", printable(i.ID), i.Version)
		if !s.AppliedAt(i) {
			behind = append(behind, text+" (behind)")
		} else {
			even = append(even, text)
		}
	}
	return strings.Join(append(behind, even...), ", ")
}

// figuresLines says whose figures these are, where they are not the whole
// fleet's: on a line of its own, because the end of a line may be cut.
func figuresLines(f *apiclient.Fleet) []string {
	switch {
	case f == nil:
		return nil
	case !f.Up:
		return []string{"figures     of this instance alone: Redis does not answer"}
	case f.Reporting < f.Instances:
		return []string{fmt.Sprintf("figures     of %d of %d instances", f.Reporting, f.Instances)}
	}
	return nil
}

// heardText marks a list of instances that may be old.
func heardText(f *apiclient.Fleet) string {
	if f != nil && !f.Up {
		return " (the others as heard last)"
	}
	return ""
}

// reasonsText counts why mail did not go to SES although the split asked.
func reasonsText(list []apiclient.Reason) string {
	var parts []string
	for _, r := range list {
		if r.Upstream == "cuenote" && r.Reason != "split" && r.Messages > 0 {
			parts = append(parts, printable(r.Reason)+" "+count(r.Messages))
		}
	}
	return strings.Join(parts, ", ")
}

func alarmLines(p paint, alarms []apiclient.Alarm, room int) []string {
	if len(alarms) == 0 {
		return []string{"alarms      none"}
	}
	var out []string
	for _, lines := range []int{3, 1} { // whole, where there is room: what to do stands at the end
		out = out[:0]
		for _, a := range alarms {
			out = append(out, alarmText(p, a, lines)...)
		}
		if len(out) <= room {
			return out
		}
	}
	if room > 0 && len(out) > room {
		left := len(out) - room + 1
		out = append(out[:room-1], fmt.Sprintf("and %d more: relay status --json", left))
	}
	return out
}

// alarmText is one alarm on at most so many lines.
func alarmText(p paint, a apiclient.Alarm, lines int) []string {
	colour := p.yellow
	if a.Level == critical {
		colour = p.red
	}
	head := fmt.Sprintf("%-8s  since %s  ", printable(a.Level), a.Since.Local().Format("15:04"))
	out := wrap(head, printable(a.Text), lines)
	for i := range out {
		out[i] = colour(out[i])
	}
	return out
}

// wrap breaks text at blanks into at most lines lines of 80 columns, the first
// of which begins with head.
func wrap(head, text string, lines int) []string {
	var out []string
	line := head
	indent := strings.Repeat(" ", len(head))
	for word := range strings.SplitSeq(text, " ") {
		if len([]rune(line))+len([]rune(word)) > width-1 && line != head && line != indent {
			if len(out) == lines-1 {
				return append(out, cut(strings.TrimRight(line, " ")+" …", width))
			}
			out = append(out, strings.TrimRight(line, " "))
			line = indent
		}
		line += word + " "
	}
	return append(out, cut(strings.TrimRight(line, " "), width))
}
