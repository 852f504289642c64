package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sesrelay/cmd/relay/internal/config"
)

// Levels of a finding.
const (
	levelOK      = "ok"
	levelWarning = "warning"
	levelFail    = "fail"
	levelSkipped = "skipped"
)

// finding is one line of the table of checks.
type finding struct {
	Level  string `json:"level"`
	Name   string `json:"name"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"` // what to do
}

func newCheck(c *cli) *cobra.Command {
	var path string
	var live, asJSON bool
	cmd := &cobra.Command{
		Use:   "check --config relay.yaml",
		Short: "Check the configuration and, with --live, what it points at",
		Long: `check reads the configuration and the files that it names, and shows every mistake at once, each with
its line. With --live it also asks SES (account, quota, identity, configuration set), Cuenote (EHLO, TLS,
AUTH), and looks at the addresses that the relay would listen on. Nothing is sent and nothing changed.
Exit code 0 only when all pass.`,
		Example: "  relay check --config relay.yaml --live",
		Args:    exactly("relay check --config relay.yaml --live"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			found := checkAll(cmd.Context(), path, live, time.Now())
			if err := printFindings(c, found, asJSON); err != nil {
				return err
			}
			if failures(found) > 0 {
				return errSilent
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", defaultConfig, "the configuration `file`")
	cmd.Flags().BoolVar(&live, "live", false, "ask SES and Cuenote, and look at the listening addresses")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

// checkAll runs the offline checks, then the live ones.
func checkAll(ctx context.Context, path string, live bool, now time.Time) []finding {
	cfg, found := checkFile(path)
	if cfg == nil {
		return append(found, finding{levelSkipped, "the rest", "the files that it names, and live checks", "correct the file first"})
	}
	found = append(found, checkCertificate(cfg, now)...)
	found = append(found, checkSecrets(cfg)...)
	found = append(found, checkState(cfg.State.File)...)
	found = append(found, checkOpenFiles(cfg)...)
	if live {
		return append(found, checkLive(ctx, cfg)...)
	}
	return append(found, finding{levelSkipped, "live checks", "SES, Cuenote and the listening addresses were not asked", "add --live"})
}

// checkFile reads the configuration: each mistake and warning is a line.
func checkFile(path string) (*config.Config, []finding) {
	cfg, warnings, err := config.Load(path)
	var found []finding
	switch mistakes, ok := err.(*config.Error); {
	case ok:
		for _, m := range mistakes.Mistakes {
			found = append(found, mistakeFinding(levelFail, m))
		}
	case err != nil:
		found = append(found, finding{levelFail, "file", err.Error(), "name it with --config"})
	default:
		found = append(found, finding{Level: levelOK, Name: "file", Detail: summary(path, cfg)})
	}
	for _, w := range warnings {
		found = append(found, mistakeFinding(levelWarning, w))
	}
	return cfg, found
}

func mistakeFinding(level string, m config.Mistake) finding {
	text := m.Text
	if m.Key != "" {
		text = m.Key + ": " + text
	}
	return finding{level, fmt.Sprintf("%s:%d:%d", m.File, m.Line, m.Col), text, m.Fix}
}

// summary says in a line what the file makes of the relay.
func summary(path string, cfg *config.Config) string {
	listeners := make([]string, len(cfg.Listeners))
	for i, l := range cfg.Listeners {
		listeners[i] = l.Protocol + " " + l.Address
	}
	return fmt.Sprintf("%s: %s takes %s; SES %s, Cuenote %s", path, cfg.Hostname, strings.Join(listeners, ", "), cfg.SES.Region, cfg.Cuenote.Address)
}

func failures(found []finding) int {
	n := 0
	for _, f := range found {
		if f.Level == levelFail {
			n++
		}
	}
	return n
}

func printFindings(c *cli, found []finding, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(c.out)
		e.SetIndent("", "  ")
		return e.Encode(map[string]any{"ok": failures(found) == 0, "checks": found})
	}
	p := c.paint()
	colours := map[string]func(string) string{levelOK: p.green, levelWarning: p.yellow, levelFail: p.red, levelSkipped: p.dim}
	nameWidth := 0
	for _, f := range found {
		nameWidth = max(nameWidth, len(f.Name))
	}
	nameWidth = min(nameWidth, 32)
	for _, f := range found {
		fmt.Fprintf(c.out, "%s  %-*s  %s\n", colours[f.Level](fmt.Sprintf("%-7s", f.Level)), nameWidth, f.Name, printable(f.Detail))
		if f.Fix != "" {
			fmt.Fprintf(c.out, "%*s-> %s\n", 7+2+nameWidth+2, "", printable(f.Fix))
		}
	}
	switch n := failures(found); n {
	case 0:
		fmt.Fprintln(c.out, p.green("all pass"))
	case 1:
		fmt.Fprintln(c.out, p.red("1 check failed"))
	default:
		fmt.Fprintln(c.out, p.red(fmt.Sprintf("%d checks failed", n)))
	}
	return nil
}
