package packaging

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const unit = "systemd/relay.service"

// exposure is the score that systemd-analyze security may give, times ten (0
// safe, 100 unsafe). It gives 1.1; what is left is the network itself, the
// host's root directory and /proc/sys, see the unit.
const exposure = 12

func TestUnitIsValid(t *testing.T) {
	need(t, "systemd-analyze", "dpkg-deb")
	t.Parallel()
	dir := t.TempDir()
	run(t, "dpkg-deb", "-x", mustPackage(t, "v1.2.3"), dir)
	// systemd-analyze wants the programs where the unit says they are.
	text := strings.ReplaceAll(read(t, dir+"/usr/lib/systemd/system/relay.service"), "=/usr/bin/relay", "="+dir+"/usr/bin/relay")
	file := filepath.Join(dir, "relay.service")
	write(t, file, text, 0o644)
	// A key that is misspelt is a message only, not an exit code.
	out, err := tryRun("systemd-analyze", "verify", "--man=no", file)
	if err != nil || strings.TrimSpace(out) != "" {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

func TestUnitExposure(t *testing.T) {
	need(t, "systemd-analyze")
	t.Parallel()
	out, err := tryRun("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold="+strconv.Itoa(exposure), unit)
	if err != nil {
		t.Fatal(err)
	}
	i := strings.Index(out, "Overall exposure level")
	if i < 0 {
		t.Fatalf("no score in\n%s", out)
	}
	t.Log(strings.TrimSpace(out[i:]))
}

// settings are the unit's lines; a key that stands twice keeps its last value.
func settings(t *testing.T) map[string]string {
	t.Helper()
	m := map[string]string{}
	for line := range strings.Lines(read(t, unit)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			m[key] = value
		}
	}
	return m
}

// defaults are the relay's own, from the schema that its code generates.
func defaults(t *testing.T) func(section, key string) string {
	t.Helper()
	var schema struct {
		Properties map[string]struct {
			Properties map[string]struct{ Default any }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "../docs/configuration.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	return func(section, key string) string {
		switch v := schema.Properties[section].Properties[key].Default.(type) {
		case string:
			return v
		case float64:
			return strconv.Itoa(int(v))
		}
		t.Fatalf("the schema has no default of %s.%s", section, key)
		return ""
	}
}

// The limits of the unit leave room for those of the configuration.
func TestUnitFitsTheDefaults(t *testing.T) {
	t.Parallel()
	set, value := settings(t), defaults(t)
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	files := number(value("limits", "connections")) + number(value("cuenote", "connections")) + number(value("ses", "max_in_flight")) + 100
	if have := number(set["LimitNOFILE"]); have < files {
		t.Errorf("LimitNOFILE=%d, but the defaults need %d", have, files)
	}
	memory := number(strings.TrimSuffix(value("limits", "memory"), "MiB"))
	const beside, sockets = 96, 256 // MiB: what the collector adds to limits.memory, and the kernel's buffers
	if have := 1024 * number(strings.TrimSuffix(set["MemoryMax"], "G")); have < memory+beside+sockets {
		t.Errorf("MemoryMax=%s, but the defaults need %d MiB", set["MemoryMax"], memory+beside+sockets)
	}
	deadline, err := time.ParseDuration(value("drain", "deadline"))
	if err != nil {
		t.Fatal(err)
	}
	stop, err := time.ParseDuration(set["TimeoutStopSec"])
	if err != nil {
		t.Fatal(err)
	}
	if stop < deadline+5*time.Second {
		t.Errorf("TimeoutStopSec=%v would kill a relay that drains for %v", stop, deadline)
	}
}

// What the documents promise of the unit.
func TestUnitSettings(t *testing.T) {
	t.Parallel()
	set := settings(t)
	for key, want := range map[string]string{
		"Type": "exec", "User": "relay", "KillSignal": "SIGTERM", "KillMode": "mixed", "Restart": "on-failure",
		"RestartForceExitStatus": "SIGHUP", "StateDirectory": "relay", "ProtectSystem": "strict", "NoNewPrivileges": "yes",
		"CapabilityBoundingSet": "", "LogRateLimitIntervalSec": "0", "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
	} {
		if got, ok := set[key]; !ok || got != want {
			t.Errorf("%s=%s, want %s", key, got, want)
		}
	}
	if v, ok := set["ProcSubset"]; ok {
		t.Errorf("ProcSubset=%s hides net.core.somaxconn: Go would listen with a backlog of 128", v)
	}
	for _, name := range []string{"relay.cuenote-password", "relay.aws-credentials", "relay.aws-key", "relay.log-key", "relay.fleet-secret"} {
		if !strings.Contains(read(t, unit), "\nLoadCredential="+name+"\n") {
			t.Errorf("no LoadCredential=%s", name)
		}
	}
	if !strings.Contains(read(t, unit), "\nEnvironmentFile=-/etc/credstore/relay.env\n") {
		t.Error("no file for the password in state.redis that root alone reads")
	}
}

// relay-check gives root what the unit gives the service.
func TestRelayCheckHasTheServicesEnvironment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/relay", "#!/bin/sh\nenv\necho ARGUMENTS=$*\nulimit -n\n", 0o755)
	write(t, dir+"/default", "AWS_PROFILE=mine\n", 0o644)
	write(t, dir+"/env", "REDIS_PASSWORD=secret\n", 0o600)
	script := strings.NewReplacer("/usr/bin/relay", dir+"/relay", "/etc/default/relay", dir+"/default", "/etc/credstore/relay.env", dir+"/env").Replace(read(t, "deb/relay-check"))
	write(t, dir+"/relay-check", script, 0o755)
	cmd := exec.Command(dir+"/relay-check", "--live", "--json")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"CREDENTIALS_DIRECTORY=/etc/credstore\n", "AWS_CONFIG_FILE=/etc/relay/aws.config\n", "AWS_PROFILE=mine\n", "REDIS_PASSWORD=secret\n",
		"AWS_SHARED_CREDENTIALS_FILE=/etc/credstore/relay.aws-credentials\n",
		"ARGUMENTS=check --config /etc/relay/relay.yaml --live --json\n",
	} {
		if !strings.Contains("\n"+string(out), "\n"+want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
