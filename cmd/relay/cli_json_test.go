package main

import (
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"sesrelay/internal/admin"
)

// withoutJSON are the commands that print no data that a program would read.
var withoutJSON = map[string]string{
	"relay serve":                 "runs until it is ended; its log is JSON",
	"relay demo":                  "the same",
	"relay completion bash":       "a script",
	"relay completion zsh":        "a script",
	"relay completion fish":       "a script",
	"relay completion powershell": "a script",
	"relay config docs":           "Markdown",
	"relay config example":        "YAML",
	"relay config schema":         "is JSON",
}

// leaves returns the commands that do something, by what is typed.
func leaves(cmd *cobra.Command) []*cobra.Command {
	var all []*cobra.Command
	if !cmd.HasSubCommands() || cmd.LocalFlags().Lookup("json") != nil {
		all = append(all, cmd)
	}
	for _, sub := range cmd.Commands() {
		all = append(all, leaves(sub)...)
	}
	return all
}

// TestEveryCommandHasJSON walks the whole tree: with --json each command writes
// one JSON value to standard output and nothing else. (One that is refused says
// why on standard error, as ever.)
func TestEveryCommandHasJSON(t *testing.T) {
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	url, _ := realAPI(t, admin.Settings{})
	fake := newFakeAPI(t)
	fake.rollout = `{"phase":"paused","since":"2026-11-23T09:00:00Z","steps":[]}`
	config := writeConfig(t, "hostname: relay-1.goo.ne.jp\nses: {configuration_set: cs, region: ap-northeast-1}\ncuenote: {address: \"cuenote.example:587\"}\n")
	bounced := bouncedFile(t, "taro@example.jp\n")
	lines := map[string]string{
		"relay status": "--api " + url, "relay top": "--api " + url, "relay trace": "01sent --api " + url,
		"relay split get": "--api " + url, "relay split set": "20 --reason x --api " + url, "relay split undo": "--reason x --api " + url,
		"relay split plan": "50 --api " + url, "relay split history": "--api " + url,
		"relay brake": "--reason x --api " + url, "relay brake release": "--reason x --api " + url,
		"relay route test":     "--from a@goo.ne.jp --to b@example.jp --api " + url,
		"relay rollout status": "--api " + fake.URL, "relay rollout report": "--api " + fake.URL,
		"relay rollout start": "--reason x --api " + fake.URL, "relay rollout pause": "--reason x --api " + fake.URL, "relay rollout resume": "--reason x --api " + fake.URL,
		"relay rollout promote": "--reason x --api " + fake.URL, "relay rollout abort": "--reason x --api " + fake.URL,
		"relay rollout drill": "--fault outage --rate 60 --warm 1s",
		"relay check":         "--config " + config, "relay version": "", "relay token new": "admin alice",
		"relay postfix":            "--config " + config,
		"relay suppression import": bounced + " --dry-run --config " + config,
	}
	seen := map[string]bool{}
	for _, cmd := range leaves(newRoot(newCLI())) {
		path := cmd.CommandPath()
		if _, none := withoutJSON[path]; none {
			seen[path] = true
			continue
		}
		if cmd.Flags().Lookup("json") == nil {
			t.Errorf("%s has no --json", path)
			continue
		}
		line, ok := lines[path]
		if !ok {
			t.Errorf("%s is typed nowhere in this test", path)
			continue
		}
		seen[path] = true
		args := append(strings.Fields(strings.TrimPrefix(path, "relay")), strings.Fields(line)...)
		code, out, errOut := run(t, nil, append(args, "--json")...)
		var v any
		d := json.NewDecoder(strings.NewReader(out))
		if err := d.Decode(&v); err != nil || code == exitUsage {
			t.Errorf("%s %s --json: exit %d, %v in\n%s%s", path, line, code, err, out, errOut)
			continue
		}
		if rest, _ := io.ReadAll(d.Buffered()); strings.TrimSpace(string(rest)) != "" || strings.Contains(out, "\x1b") {
			t.Errorf("%s --json: more than one value in\n%s", path, out)
		}
	}
	for _, path := range slices.Concat(slices.Collect(maps.Keys(lines)), slices.Collect(maps.Keys(withoutJSON))) {
		if !seen[path] {
			t.Errorf("there is no command %s", path)
		}
	}
}
