package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/cmd/relay/internal/finding"
)

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
func checkAll(ctx context.Context, path string, live bool, now time.Time) []finding.Finding {
	cfg, place, found := checkFile(path)
	again := finding.Run("correct the file first, then", "relay check --config "+shellWord(path))
	if cfg == nil {
		return append(found, finding.Skipped("the rest", "the files that it names, and live checks", again))
	}
	files := append(checkCertificate(cfg, now), checkSecrets(cfg)...)
	files = append(files, checkState(cfg.State.File)...)
	if failures(found) > 0 { // what else is wrong is said at once; what is right is not known before the file is
		for _, f := range files {
			if f.Level() == finding.LevelFail {
				found = append(found, located(f, place))
			}
		}
		return append(found, finding.Skipped("the rest", "live checks", again))
	}
	for _, f := range files {
		found = append(found, located(f, place))
	}
	found = append(found, checkOpenFiles(cfg)...)
	if live {
		return append(found, checkLive(ctx, path, cfg)...)
	}
	return append(found, finding.Skipped("live checks", "SES, Cuenote and the listening addresses were not asked", finding.Run("", "relay check --live --config "+shellWord(path))))
}

// fileKeys are the keys of the files that are looked at, by the finding's name.
var fileKeys = map[string]string{
	"certificate": "tls.certificate_file", "users_file": "access.users_file", "tokens_file": "admin.tokens_file",
	"cuenote.password_file": "cuenote.password_file", "cuenote.ca_file": "cuenote.ca_file", "state.secret_file": "state.secret_file",
	"state.file": "state.file", "log.key_file": "log.key_file",
}

// located adds to what is not right the line that names the file.
func located(f finding.Finding, place func(key string) string) finding.Finding {
	if key := fileKeys[f.Name()]; key != "" && f.Level() == finding.LevelFail {
		return f.At(place(key))
	}
	return f
}

// checkFile reads the configuration: each mistake and warning is a line. With
// mistakes in it, it comes as far as it could be read.
func checkFile(path string) (cfg *config.Config, place func(key string) string, found []finding.Finding) {
	cfg, place, warnings, err := config.Examine(path)
	switch mistakes, ok := errors.AsType[*config.Error](err); {
	case ok:
		for _, m := range mistakes.Mistakes {
			found = append(found, finding.Fail(mistakeText(m)))
		}
	case err != nil:
		found = append(found, finding.Fail("file", err.Error(), finding.Run("name it with --config, and let this user read it", "ls -l "+shellWord(path))))
	default:
		found = append(found, finding.OK("file", summary(path, cfg)))
	}
	for _, w := range warnings {
		found = append(found, finding.Warning(mistakeText(w)))
	}
	return cfg, place, found
}

func mistakeText(m config.Mistake) (name, detail string, r finding.Remedy) {
	detail = m.Text
	if m.Key != "" {
		detail = m.Key + ": " + detail
	}
	return fmt.Sprintf("%s:%d:%d", m.File, m.Line, m.Col), detail, finding.Run(m.Fix, fmt.Sprintf("vi +%d %s", m.Line, shellWord(m.File)))
}

// editFile is the remedy of what stands wrong in the configuration.
func editFile(path, what string) finding.Remedy { return finding.Run(what, "vi "+shellWord(path)) }

// summary says in a line what the file makes of the relay.
func summary(path string, cfg *config.Config) string {
	listeners := make([]string, len(cfg.Listeners))
	for i, l := range cfg.Listeners {
		listeners[i] = l.Protocol + " " + l.Address
	}
	return fmt.Sprintf("%s: %s takes %s; SES %s, Cuenote %s", path, cfg.Hostname, strings.Join(listeners, ", "), cfg.SES.Region, cfg.Cuenote.Address)
}

func failures(found []finding.Finding) int {
	n := 0
	for _, f := range found {
		if f.Level() == finding.LevelFail {
			n++
		}
	}
	return n
}

func printFindings(c *cli, found []finding.Finding, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(c.out)
		e.SetIndent("", "  ")
		return e.Encode(map[string]any{"ok": failures(found) == 0, "checks": found})
	}
	p := c.paint()
	colours := map[finding.Level]func(string) string{finding.LevelOK: p.green, finding.LevelWarning: p.yellow, finding.LevelFail: p.red, finding.LevelSkipped: p.dim}
	nameWidth := 0
	for _, f := range found {
		nameWidth = max(nameWidth, len(f.Name()))
	}
	nameWidth = min(nameWidth, 32)
	for _, f := range found {
		fmt.Fprintf(c.out, "%s  %-*s  %s\n", colours[f.Level()](fmt.Sprintf("%-7s", f.Level())), nameWidth, f.Name(), printable(f.Detail()))
		if fix := f.Fix(); fix != "" {
			fmt.Fprintf(c.out, "%*s-> %s\n", 7+2+nameWidth+2, "", printable(fix))
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
