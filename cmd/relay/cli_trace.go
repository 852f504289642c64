package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"sesrelay/cmd/relay/internal/apiclient"
)

func newTrace(c *cli) *cobra.Command {
	const example = "relay trace 01jd3v8m2k0q4x7c9b1e"
	cmd := &cobra.Command{
		Use:   "trace ID",
		Short: "What happened to a message",
		Long: `trace finds a message by its relay id (in the 250 reply, the Received line and the log), by SES's
message id, or by fingerprint. Each instance remembers the last messages only; older ones are in
the log.`,
		Example: "  " + example,
		Args:    exactly(example, "ID"),
	}
	f := addAPIFlags(c, cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := f.client()
		if err != nil {
			return err
		}
		id := strings.Trim(strings.TrimSpace(args[0]), "<>")
		t, answer, err := client.Trace(cmd.Context(), id)
		if p, ok := errors.AsType[*apiclient.Problem](err); ok && p.Status == http.StatusNotFound {
			return fmt.Errorf("no instance remembers %s: each keeps the last messages only; look for it in the log (%s)", printable(id), printable(p.Detail))
		}
		if err != nil || f.json {
			return f.jsonOr(answer, err)
		}
		for i := range t.Records {
			if i > 0 {
				fmt.Fprintln(c.out)
			}
			printRecord(c, &t.Records[i])
		}
		if len(t.Missed) > 0 {
			fmt.Fprintf(c.err, "not asked: %s\n", printable(strings.Join(t.Missed, ", ")))
		}
		return nil
	}
	return cmd
}

// printRecord shows the end first, then how it came to it.
func printRecord(c *cli, r *apiclient.Record) {
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(c.out, "%-12s%s\n", name, text)
		}
	}
	line(c.paint().result(r.Result), printable(r.Reply))
	line("relay id", printable(r.ID)+", instance "+printable(r.Instance)+", "+when(r.Ended))
	line("from", orNull(printable(r.From)))
	line("to", printable(strings.Join(r.To, ", ")))
	for _, refused := range r.Refused {
		line("refused", printable(refused.To+": "+refused.Reply))
	}
	line("client", printable(strings.TrimSpace(r.Client+" "+r.HELO))+queueText(r.QueueID))
	line("size", count(float64(r.Size))+" bytes")
	line("route", routeText(r.Route, r.Reason, r.Rule)+fmt.Sprintf(", split version %d", r.Version))
	for _, a := range r.Attempts {
		took := a.TookMS
		text := fmt.Sprintf("%s: %s after %s", printable(a.Upstream), printable(a.Outcome), milliseconds(&took))
		if a.Class != "" {
			text += " (" + printable(a.Class) + ")"
		}
		if a.Error != "" {
			text += ": " + printable(a.Error)
		}
		line("tried", text)
	}
	line("took", milliseconds(&r.DurationMS))
	line("upstream id", printable(r.UpstreamID))
	line("error", printable(r.Error))
	line("fingerprint", printable(r.Fingerprint))
}

// result colours the outcome, padded to the column.
func (p paint) result(result string) string {
	text := fmt.Sprintf("%-12s", strings.ToUpper(printable(result)))
	switch result {
	case "accepted", "duplicate":
		return p.green(text)
	case "deferred":
		return p.yellow(text)
	}
	return p.red(text)
}

func orNull(from string) string {
	if from == "" {
		return "<> (null sender)"
	}
	return from
}

func queueText(id string) string {
	if id == "" {
		return ""
	}
	return ", its queue id " + printable(id)
}

// reasons in words; the API's word is shown for others.
var reasons = map[string]string{
	"split":         "by the split",
	"rule":          "by a rule",
	"null_sender":   "a null sender, which SES does not take",
	"smtputf8":      "an SMTPUTF8 mail, which SES does not take",
	"local_part":    "an address that SES refuses",
	"identity":      "the sender's domain is not verified at SES",
	"size":          "larger than ses.message_size",
	"content":       "a header or line that SES refuses",
	"breaker":       "the other upstream's breaker is open",
	"quota":         "the sending quota is spent",
	"unavailable":   "the other upstream could not take it",
	"rejected":      "the other upstream refused it",
	"remembered":    "an earlier attempt failed over in part",
	"recipient":     "SES cannot take one of its recipients, or no more of them",
	"unknown_twice": "SES left two earlier attempts unanswered",
	"domain":        "a domain that SES cannot address",
}

func routeText(route, reason, rule string) string {
	text, ok := reasons[reason]
	if !ok {
		text = printable(reason)
	}
	if rule != "" {
		text += " (rule " + printable(rule) + ")"
	}
	return printable(route) + ", " + text
}
