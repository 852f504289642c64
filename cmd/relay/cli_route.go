package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"sesrelay/cmd/relay/internal/apiclient"
)

const routeExample = "relay route test --from news@goo.ne.jp --to someone@example.jp --want ses"

func newRoute(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "route",
		Short: "Which way a mail would go: test",
		Args:  cobra.ArbitraryArgs,
		RunE:  group,
	}
	cmd.AddCommand(newRouteTest(c))
	return cmd
}

func newRouteTest(c *cli) *cobra.Command {
	var q apiclient.RouteQuestion
	var want string
	cmd := &cobra.Command{
		Use:   "test --from A --to B",
		Short: "Which way a mail would go and why, without sending it",
		Long: `test asks the running relay which way a mail would go and why. Nothing is sent. With --want the exit
code is 1 when the answer is another. With split.by: message the answer is one draw.`,
		Example: "  " + routeExample,
		Args:    exactly(routeExample),
	}
	f := addAPIFlags(c, cmd)
	cmd.Flags().StringVar(&q.From, "from", "", "`address` of MAIL FROM; \"<>\" is the null sender (required)")
	cmd.Flags().StringVar(&q.To, "to", "", "`address` of the recipient (required)")
	cmd.Flags().StringVar(&q.Client, "client", "", "`IP` address of the client")
	cmd.Flags().StringVar(&q.HELO, "helo", "", "the client's EHLO `name`")
	cmd.Flags().StringVar(&q.User, "user", "", "the client's AUTH `user`")
	cmd.Flags().Int64Var(&q.Size, "size", 0, "declared size in `bytes`")
	cmd.Flags().StringVar(&want, "want", "", "`ses` or cuenote: fail unless the mail goes there")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case !cmd.Flags().Changed("from"):
			return &usageError{text: "--from is missing", example: routeExample}
		case q.To == "":
			return &usageError{text: "--to is missing", example: routeExample}
		case want != "" && want != "ses" && want != "cuenote":
			return &usageError{text: fmt.Sprintf("--want %q is neither ses nor cuenote", want), example: routeExample}
		}
		if q.From == "<>" {
			q.From = ""
		}
		return testRoute(cmd, f, q, want)
	}
	return cmd
}

func testRoute(cmd *cobra.Command, f *apiFlags, q apiclient.RouteQuestion, want string) error {
	client, err := f.client()
	if err != nil {
		return err
	}
	r, answer, err := client.RouteTest(cmd.Context(), q)
	if err != nil {
		return err
	}
	if f.json {
		err = f.printJSON(answer)
	} else {
		printRoute(f.c, r, want)
	}
	if err == nil && want != "" && r.Route != want {
		return errSilent
	}
	return err
}

func printRoute(c *cli, r *apiclient.RouteAnswer, want string) {
	p := c.paint()
	fmt.Fprintf(c.out, "%s\n", p.bold(routeText(r.Route, r.Reason, r.Rule)))
	if r.SESPercent != nil {
		fmt.Fprintf(c.out, "SES share of such mail: %s\n", percentText(r.SESPercent))
	}
	if r.Text != "" {
		fmt.Fprintln(c.out, printable(r.Text))
	}
	if want != "" && r.Route != want {
		fmt.Fprintf(c.out, "%s: wanted %s\n", p.red("NO"), want)
	}
}
