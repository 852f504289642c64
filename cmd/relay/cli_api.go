package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"sesrelay/cmd/relay/internal/apiclient"
	"sesrelay/cmd/relay/internal/config"
	"sesrelay/internal/admin"
)

const defaultAPI = "http://127.0.0.1:8025"

// apiFlags are the flags of every command that talks to a running relay.
type apiFlags struct {
	c         *cli
	api       string
	tokenFile string
	json      bool
}

func addAPIFlags(c *cli, cmd *cobra.Command) *apiFlags {
	f := &apiFlags{c: c}
	cmd.Flags().StringVar(&f.api, "api", "", "`URL` of the relay's API (RELAY_API; default "+defaultAPI+")")
	cmd.Flags().StringVar(&f.tokenFile, "token-file", "", "`file` that holds the API token (RELAY_TOKEN holds the token itself)")
	cmd.Flags().BoolVar(&f.json, "json", false, "write the API's JSON")
	return f
}

// client makes the client that the flags and the environment describe.
func (f *apiFlags) client() (*apiclient.Client, error) {
	base := f.api
	if base == "" {
		base = f.c.getenv("RELAY_API")
	}
	if base == "" {
		base = defaultAPI
	}
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	token, err := f.token()
	if err != nil {
		return nil, err
	}
	client, err := apiclient.New(base, token)
	if err != nil {
		return nil, &usageError{text: "--api: " + err.Error(), example: "--api " + defaultAPI}
	}
	if token != "" && client.InTheClear() {
		fmt.Fprintf(f.c.err, "warning: the token goes to %s in the clear; a tunnel (ssh -L) to the relay's loopback hides it\n", base)
	}
	return client, nil
}

// token is what --token-file or RELAY_TOKEN says: the variable holds a token, or
// the name of a file with one, which never looks like a token.
func (f *apiFlags) token() (string, error) {
	if f.tokenFile != "" {
		secret, err := config.ReadSecret(f.tokenFile)
		if err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		return secret, nil
	}
	token := strings.TrimSpace(f.c.getenv("RELAY_TOKEN"))
	if info, err := os.Stat(token); strings.HasPrefix(token, admin.TokenPrefix) || err != nil || info.IsDir() {
		return token, nil
	}
	secret, err := config.ReadSecret(token)
	if err != nil {
		return "", fmt.Errorf("RELAY_TOKEN: %w", err)
	}
	return secret, nil
}

// printJSON writes the API's answer, indented, and nothing else.
func (f *apiFlags) printJSON(a apiclient.Answer) error {
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(a.Body), "", "  "); err != nil {
		return fmt.Errorf("the relay's answer is not JSON: %w", err)
	}
	b.WriteByte('\n')
	_, err := f.c.out.Write(b.Bytes())
	return err
}
