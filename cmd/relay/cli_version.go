package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"sesrelay/cmd/relay/internal/config"
)

func newVersion(c *cli) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Version, commit and Go version",
		Args:  exactly("relay version"),
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return json.NewEncoder(c.out).Encode(map[string]string{"version": version, "commit": buildCommit(), "go": runtime.Version()})
			}
			_, err := fmt.Fprintln(c.out, versionLine())
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func versionLine() string {
	return fmt.Sprintf("relay %s (commit %s, %s %s/%s)", version, buildCommit(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// buildCommit is the linker's value, or what "go build" noted by itself.
func buildCommit() string {
	if commit != "unknown" {
		return commit
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return commit
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return commit
}

// newConfigCommand is for who builds the relay: it writes the generated documents.
func newConfigCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Documents generated from the configuration's code", Hidden: true, RunE: group, Args: cobra.ArbitraryArgs}
	for name, generate := range map[string]func() string{"docs": config.Markdown, "schema": config.Schema, "example": config.Example} {
		var output string
		sub := &cobra.Command{
			Use:  name,
			Args: exactly("relay config " + name),
			RunE: func(*cobra.Command, []string) error {
				if output == "" {
					_, err := fmt.Fprint(c.out, generate())
					return err
				}
				return os.WriteFile(output, []byte(generate()), 0o644)
			},
		}
		sub.Flags().StringVarP(&output, "output", "o", "", "`file` to write, instead of standard output")
		cmd.AddCommand(sub)
	}
	return cmd
}
