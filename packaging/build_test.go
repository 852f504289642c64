package packaging

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// date stands for the time of the commit.
const date = "1795430000"

var built struct {
	dir        string // of all tests together
	once       sync.Once
	relay, deb string // programs: the relay, and the one that writes packages
	err        error
}

func TestMain(m *testing.M) {
	var err error
	if built.dir, err = os.MkdirTemp("", "packaging-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(built.dir)
	os.Exit(code)
}

// programs builds both, once.
func programs(t *testing.T) (relay, deb string) {
	t.Helper()
	built.once.Do(func() {
		built.relay, built.deb = filepath.Join(built.dir, "relay"), filepath.Join(built.dir, "deb")
		built.err = errors.Join(
			build("..", built.relay, "-tags", "grpcnotrace", "-trimpath", "-ldflags", "-s -w -X main.version=1.2.3", "./cmd/relay"),
			build("deb", built.deb, "."))
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.relay, built.deb
}

func build(dir, out string, args ...string) error {
	cmd := exec.Command("go", append([]string{"build", "-o", out}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build in %s: %w\n%s", dir, err, b)
	}
	return nil
}

// As make builds it, the binary holds nothing that calls methods by name: the
// linker would keep every exported method then, 19 MB of them.
func TestBinaryIsLean(t *testing.T) {
	t.Parallel()
	relay, _ := programs(t)
	info, err := os.Stat(relay)
	if err != nil {
		t.Fatal(err)
	}
	if size := info.Size(); size > 32_000_000 {
		t.Errorf("%d bytes: look for reflect.Value.MethodByName with go build -ldflags=-dumpdep, text/template first", size)
	}
}

// packageOf makes a package of the version in a directory of its own.
func packageOf(t *testing.T, version string, args ...string) (path string, err error) {
	t.Helper()
	relay, deb := programs(t)
	cmd := exec.Command(deb, append([]string{"-sources", "..", "-binary", relay, "-host-binary", relay,
		"-version", version, "-date", date, "-out", t.TempDir(), "-arch", goarch(t)}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

var packages struct {
	sync.Mutex
	paths map[string]string // by version
}

// mustPackage makes the package of a version once for all tests.
func mustPackage(t *testing.T, version string) string {
	t.Helper()
	packages.Lock()
	defer packages.Unlock()
	if path, ok := packages.paths[version]; ok {
		return path
	}
	path, err := packageOf(t, version, "-out", built.dir)
	if err != nil {
		t.Fatal(err)
	}
	if packages.paths == nil {
		packages.paths = map[string]string{}
	}
	packages.paths[version] = path
	return path
}

// goarch is what this machine's packages are for; Go and Debian agree on both
// names that there are.
func goarch(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(run(t, "go", "env", "GOARCH"))
}

// need skips without a program that only Debian and its relatives have.
func need(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(name + " is not installed")
		}
	}
}

// run returns what a command prints; a failure ends the test.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := tryRun(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tryRun(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
