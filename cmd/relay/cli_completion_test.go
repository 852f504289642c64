package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Each shell takes its script, as far as the shell is here to ask.
func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		code, script, errs := run(t, nil, "completion", shell)
		if code != 0 || !strings.Contains(script, "__complete") {
			t.Errorf("%s: %d %s", shell, code, errs)
		}
		if _, err := exec.LookPath(shell); err != nil {
			continue
		}
		file := filepath.Join(t.TempDir(), shell)
		if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(shell, "-n", file).CombinedOutput(); err != nil {
			t.Errorf("%s -n: %v %s", shell, err, out)
		}
	}
}

// What is offered at the end of a line.
func TestCompletions(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"":                        "split",
		"split ":                  "history",
		"split set ":              "50",
		"token new ":              "monitoring",
		"status --":               "--json",
		"check --":                "--live",
		"rollout ":                "abort",
		"split set 25 --reason= ": "",
	} {
		_, out, _ := run(t, nil, append([]string{"__complete"}, strings.Split(line, " ")...)...)
		if !strings.Contains(out, want) {
			t.Errorf("%q offers %q, want %q", line, out, want)
		}
		if strings.HasSuffix(line, "set ") && strings.Contains(out, ":0\n") {
			t.Errorf("%q offers file names: %q", line, out)
		}
	}
}

func TestPostfixJSON(t *testing.T) {
	t.Parallel()
	config := writeConfig(t, "hostname: relay-1.goo.ne.jp\naccess: {networks: [10.0.0.0/8]}\nlisteners: [{address: \"0.0.0.0:2525\"}]\n")
	code, out, errs := run(t, nil, "postfix", "--json", "--config", config, "--name", "relay-a.goo.ne.jp")
	var v struct {
		Commands []string
		Script   string
	}
	if err := json.Unmarshal([]byte(out), &v); code != 0 || err != nil || len(v.Commands) < 3 {
		t.Fatalf("%d %v %s %s", code, err, out, errs)
	}
	for _, c := range v.Commands {
		if strings.HasPrefix(c, "#") || !strings.Contains(v.Script, c) {
			t.Errorf("%q is no command of the script", c)
		}
	}
}
