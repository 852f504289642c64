package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"sesrelay/internal/admin"
)

func newToken(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make an API token: new",
		Args:  cobra.ArbitraryArgs,
		RunE:  group,
	}
	cmd.AddCommand(newTokenNew(c))
	return cmd
}

func newTokenNew(c *cli) *cobra.Command {
	const example = "relay token new admin alice >> tokens"
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "new ROLE NAME",
		Short: "Make a token and print its line for tokens_file",
		Long: `new makes a token. The line for admin.tokens_file goes to standard output, the token itself to
standard error: it is shown once and stored nowhere. Roles: admin, readonly, monitoring. NAME
stands in the history of the split.`,
		Example: "  " + example,
		Args:    exactly(example, "ROLE", "NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			role, err := admin.ParseRole(args[0])
			if err != nil {
				return &usageError{text: err.Error(), example: example}
			}
			if err := printToken(c, role, args[1], asJSON); err != nil {
				return &usageError{text: err.Error(), example: example}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write token and line as JSON to standard output")
	return cmd
}

// printToken keeps the secret out of a redirected standard output.
func printToken(c *cli, role admin.Role, name string, asJSON bool) error {
	token, line, err := admin.NewToken(role, name)
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(c.out).Encode(map[string]string{"role": role.String(), "name": name, "token": token, "line": line})
	}
	if _, err := fmt.Fprintln(c.out, line); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.err, "\nThe line above belongs into admin.tokens_file. The token, shown this once:\n\n  %s\n\nUse it with RELAY_TOKEN=... or --token-file FILE.\n", token)
	return err
}

// readTokens checks a tokens file.
func readTokens(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err = admin.ParseTokens(f); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}
