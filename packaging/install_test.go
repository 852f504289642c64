package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// machine is a directory that dpkg takes for a machine of its own.
type machine struct {
	t    *testing.T
	root string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	need(t, "dpkg", "deb-systemd-helper", "systemd-sysusers", "systemd-tmpfiles")
	m := &machine{t, t.TempDir()}
	for _, dir := range []string{"info", "updates", "triggers"} {
		if err := os.MkdirAll(m.path("/var/lib/dpkg/"+dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, m.path("/var/lib/dpkg/status"), "", 0o644)
	return m
}

func (m *machine) path(path string) string { return filepath.Join(m.root, path) }

// dpkg runs it on the machine. The scripts run with DPKG_ROOT instead of
// chroot: the directory holds nothing but the package. As another user than
// root, fakeroot plays root.
func (m *machine) dpkg(args ...string) string {
	m.t.Helper()
	command := append([]string{"dpkg", "--root=" + m.root, "--force-script-chrootless", "--force-not-root", "--force-depends",
		"--force-confold", "--log=" + m.path("/dpkg.log")}, args...)
	if os.Getuid() != 0 {
		need(m.t, "fakeroot")
		command = append([]string{"fakeroot"}, command...)
	}
	return run(m.t, command[0], command[1:]...)
}

// relay runs the installed program with the machine as its root directory.
func (m *machine) relay(args ...string) (string, error) {
	m.t.Helper()
	command := append([]string{"chroot", m.root, "/usr/bin/relay"}, args...)
	if os.Getuid() != 0 {
		need(m.t, "unshare")
		command = append([]string{"unshare", "-r"}, command...)
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (m *machine) state() string {
	return strings.TrimSpace(run(m.t, "dpkg-query", "--admindir="+m.path("/var/lib/dpkg"), "-W", "-f", "${Status} ${Version}", "sesrelay"))
}

func (m *machine) exists(path string) bool {
	_, err := os.Lstat(m.path(path))
	return err == nil
}

func TestInstalledRelayRuns(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	out := m.dpkg("-i", mustPackage(t, "v1.2.3"))
	if got := m.state(); got != "install ok installed 1.2.3" {
		t.Errorf("state: %s", got)
	}
	if !strings.Contains(out, "relay-check --live && systemctl enable --now relay") {
		t.Errorf("the first installation does not say what to do:\n%s", out)
	}
	version, err := m.relay("version")
	if err != nil || !strings.HasPrefix(version, "relay 1.2.3 ") {
		t.Errorf("version: %s %v", version, err)
	}
	check, err := m.relay("check", "--config", "/etc/relay/relay.yaml")
	if err != nil || strings.Contains(check, "warning ") && !strings.Contains(check, "open files") {
		t.Errorf("the shipped configuration does not pass: %v\n%s", err, check)
	}
	if !strings.Contains(read(t, m.path("/etc/passwd")), "relay:x:") {
		t.Error("there is no user relay")
	}
	info, err := os.Stat(m.path("/var/lib/relay"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("/var/lib/relay: %v %v", info, err)
	}
}

// Nothing starts before the administrator says so: neither now nor at the next
// start of the machine.
func TestFirstInstallationEnablesNothing(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.dpkg("-i", mustPackage(t, "v1.2.3"))
	if m.exists("/etc/systemd/system/multi-user.target.wants/relay.service") {
		t.Error("the unit is enabled")
	}
}

func TestUpgradeKeepsWhatTheAdministratorDid(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.dpkg("-i", mustPackage(t, "v1.2.3"))
	const mine = "hostname: relay-7.goo.ne.jp\n"
	write(t, m.path("/etc/relay/relay.yaml"), mine, 0o644)
	write(t, m.path("/var/lib/relay/split.json"), "{}", 0o600)
	wants := m.path("/etc/systemd/system/multi-user.target.wants/relay.service")
	if err := os.MkdirAll(filepath.Dir(wants), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/lib/systemd/system/relay.service", wants); err != nil {
		t.Fatal(err)
	}
	out := m.dpkg("-i", mustPackage(t, "v1.2.4"))
	if got := m.state(); got != "install ok installed 1.2.4" {
		t.Errorf("state: %s", got)
	}
	if got := read(t, m.path("/etc/relay/relay.yaml")); got != mine {
		t.Errorf("the configuration became %q", got)
	}
	if read(t, m.path("/var/lib/relay/split.json")) != "{}" {
		t.Error("the split is gone")
	}
	if _, err := os.Lstat(wants); err != nil {
		t.Error("the upgrade disabled the unit")
	}
	if strings.Contains(out, "enable --now") {
		t.Error("an upgrade speaks of the first start")
	}
}

func TestRemoveKeepsAndPurgeForgets(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.dpkg("-i", mustPackage(t, "v1.2.3"))
	write(t, m.path("/var/lib/relay/split.json"), "{}", 0o600)
	write(t, m.path("/etc/credstore/relay.cuenote-password"), "secret\n", 0o600)
	m.dpkg("--remove", "sesrelay")
	for _, kept := range []string{"/etc/relay/relay.yaml", "/etc/default/relay", "/var/lib/relay/split.json"} {
		if !m.exists(kept) {
			t.Errorf("remove deleted %s", kept)
		}
	}
	if m.exists("/usr/bin/relay") || m.exists("/usr/lib/systemd/system/relay.service") {
		t.Error("remove left the program or the unit")
	}
	m.dpkg("--purge", "sesrelay")
	for _, gone := range []string{"/etc/relay", "/etc/default/relay", "/var/lib/relay", "/usr/share/doc/sesrelay"} {
		if m.exists(gone) {
			t.Errorf("purge left %s", gone)
		}
	}
	if !m.exists("/etc/credstore/relay.cuenote-password") {
		t.Error("purge deleted a secret that is the administrator's")
	}
}
