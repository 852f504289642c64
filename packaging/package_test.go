package packaging

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestPackageHoldsWhatItShould(t *testing.T) {
	need(t, "dpkg-deb")
	t.Parallel()
	path := mustPackage(t, "v1.2.3")
	listing := run(t, "dpkg-deb", "-c", path)
	for _, want := range []string{
		`-rwxr-xr-x root/root .* \./usr/bin/relay$`,
		`-rwxr-xr-x root/root .* \./usr/bin/relay-check$`,
		`-rw-r--r-- root/root .* \./etc/relay/relay\.yaml$`,
		`-rw-r--r-- root/root .* \./etc/default/relay$`,
		`drwx------ root/root .* \./etc/credstore/$`,
		`-rw-r--r-- root/root .* \./usr/lib/systemd/system/relay\.service$`,
		`-rw-r--r-- root/root .* \./usr/lib/sysusers\.d/relay\.conf$`,
		`-rw-r--r-- root/root .* \./usr/lib/tmpfiles\.d/relay\.conf$`,
		`-rw-r--r-- root/root .* \./usr/share/man/man1/relay\.1\.gz$`,
		`-rw-r--r-- root/root .* \./usr/share/bash-completion/completions/relay$`,
		`-rw-r--r-- root/root .* \./usr/share/zsh/vendor-completions/_relay$`,
		`-rw-r--r-- root/root .* \./usr/share/fish/vendor_completions\.d/relay\.fish$`,
		`-rw-r--r-- root/root .* \./usr/share/doc/sesrelay/on-premises\.md$`,
		`-rw-r--r-- root/root .* \./usr/share/doc/sesrelay/operations\.md$`,
		`-rw-r--r-- root/root .* \./usr/share/doc/sesrelay/copyright$`,
		`-rw-r--r-- root/root .* \./usr/share/doc/sesrelay/changelog\.gz$`,
	} {
		if !regexp.MustCompile("(?m)^" + want).MatchString(listing) {
			t.Errorf("no line %s in\n%s", want, listing)
		}
	}
	for line := range strings.Lines(listing) {
		if !strings.Contains(line, " root/root ") || strings.Contains(line, " 0 20") && line[0] == '-' {
			t.Errorf("a file that is not root's, or is empty: %s", line)
		}
	}
}

func TestPackageControl(t *testing.T) {
	need(t, "dpkg-deb")
	t.Parallel()
	path := mustPackage(t, "v1.2.3")
	for field, want := range map[string]string{
		"Package": "sesrelay", "Version": "1.2.3", "Architecture": goarch(t), "Section": "mail", "Priority": "optional",
		"Depends": "systemd (>= 252), init-system-helpers (>= 1.52), ca-certificates",
	} {
		if got := strings.TrimSpace(run(t, "dpkg-deb", "-f", path, field)); got != want {
			t.Errorf("%s: %q, want %q", field, got, want)
		}
	}
	conffiles := run(t, "dpkg-deb", "-I", path, "conffiles")
	if conffiles != "/etc/default/relay\n/etc/relay/relay.yaml\n" && conffiles != "/etc/relay/relay.yaml\n/etc/default/relay\n" {
		t.Errorf("conffiles: %q", conffiles)
	}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		if got := run(t, "dpkg-deb", "-I", path, script); !strings.HasPrefix(got, "#!/bin/sh\n") || !strings.Contains(got, "\nset -e\n") {
			t.Errorf("%s: %s", script, got)
		}
		run(t, "sh", "-n", "deb/"+script)
	}
	run(t, "sh", "-n", "deb/relay-check")
}

func TestSameSourcesSamePackage(t *testing.T) {
	t.Parallel()
	a, err := os.ReadFile(mustPackage(t, "v1.2.3"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := packageOf(t, "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(again)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error("two runs over the same files gave different packages")
	}
}

// Versions in the order in which git describe would give them: each must be an
// upgrade of the one before it.
func TestVersionsGrow(t *testing.T) {
	need(t, "dpkg", "dpkg-deb")
	t.Parallel()
	small := small(t)
	before := "0~"
	for _, v := range []struct{ described, want string }{
		{"cec0747", "0~20261123103320.cec0747"},
		{"cec0747-dirty", "0~20261123103320.cec0747+dirty"},
		{"v0.9.0", "0.9.0"},
		{"v1.0.0-rc.1", "1.0.0~rc.1"},
		{"v1.0.0-rc.1-7-gabc1234", "1.0.0~rc.1+7.gabc1234"},
		{"v1.0.0", "1.0.0"},
		{"v1.0.0-2-gabc1234", "1.0.0+2.gabc1234"},
		{"v1.0.0-12-gabc1234-dirty", "1.0.0+12.gabc1234+dirty"},
		{"1.0.1", "1.0.1"},
	} {
		path, err := packageOf(t, v.described, "-binary", small)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.TrimSpace(run(t, "dpkg-deb", "-f", path, "Version"))
		if got != v.want {
			t.Errorf("%s became %s, want %s", v.described, got, v.want)
		}
		if _, err := tryRun("dpkg", "--compare-versions", before, "lt", got); err != nil {
			t.Errorf("%s is no upgrade of %s", got, before)
		}
		before = got
	}
}

// small is a static program that is quickly packed.
func small(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir+"/main.go", "package main\n\nfunc main() {}\n", 0o644)
	if err := build(dir, dir+"/small", "main.go"); err != nil {
		t.Fatal(err)
	}
	return dir + "/small"
}

func TestPackagesThatAreRefused(t *testing.T) {
	t.Parallel()
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[goarch(t)]
	for _, c := range []struct {
		name, version, want string
		args                []string
	}{
		{"no version", "unknown", "VERSION=1.2.3", nil},
		{"empty version", "", "VERSION=1.2.3", nil},
		{"a version that dpkg would split", "1.2:3", "VERSION=1.2.3", nil},
		{"a commit without a date", "cec0747", "-date", []string{"-date", "0"}},
		{"binary of another architecture", "v1.2.3", "the package for " + other, []string{"-arch", other}},
		{"unknown architecture", "v1.2.3", "amd64 and arm64", []string{"-arch", "riscv64"}},
		{"no program", "v1.2.3", "bad magic", []string{"-binary", "deb/relay.yaml"}},
		{"a program that needs libraries", "v1.2.3", "CGO_ENABLED=0", []string{"-binary", dynamic(t)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, err := packageOf(t, c.version, c.args...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("made %q, error %v, want one with %q", path, err, c.want)
			}
		})
	}
}

// dynamic is a program of this machine that needs libraries.
func dynamic(t *testing.T) string {
	t.Helper()
	const shell = "/bin/sh"
	if _, err := os.Stat(shell); err != nil {
		t.Skip(shell + " is missing")
	}
	return shell
}

// The manual page names every command that the relay has.
func TestManualPageIsComplete(t *testing.T) {
	t.Parallel()
	relay, _ := programs(t)
	manual := read(t, "deb/relay.1")
	commands := regexp.MustCompile(`(?m)^  ([a-z]+) {2,}\S`).FindAllStringSubmatch(run(t, relay, "--help"), -1)
	if len(commands) < 10 {
		t.Fatalf("only %d commands in the help", len(commands))
	}
	for _, c := range commands {
		word := regexp.MustCompile(`(?m)^\.(It Cm|Cm) (.* , )?` + c[1] + `\b`)
		if c[1] != "help" && !word.MatchString(manual) && !regexp.MustCompile(`(?m)^\.It Cm \w+ , `+c[1]).MatchString(manual) {
			t.Errorf("relay.1 does not name %q", c[1])
		}
	}
}

func TestCompletions(t *testing.T) {
	need(t, "dpkg-deb", "bash")
	t.Parallel()
	dir := t.TempDir()
	run(t, "dpkg-deb", "-x", mustPackage(t, "v1.2.3"), dir)
	file := dir + "/usr/share/bash-completion/completions/relay"
	if out := run(t, "bash", "-c", fmt.Sprintf(". %s && complete -p relay", file)); !strings.Contains(out, "relay") {
		t.Errorf("bash has no completion of relay: %s", out)
	}
	if !strings.HasPrefix(read(t, dir+"/usr/share/zsh/vendor-completions/_relay"), "#compdef relay\n") {
		t.Error("the zsh completion is none")
	}
	if !strings.Contains(read(t, dir+"/usr/share/fish/vendor_completions.d/relay.fish"), "complete -c relay") {
		t.Error("the fish completion is none")
	}
}
