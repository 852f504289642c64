package e2e

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binaries are built once. The tests use the one with the race detector,
// except where they measure memory or only start many processes.
var binaries struct {
	dir   string
	plain func() (string, error)
	race  func() (string, error)
}

func TestMain(m *testing.M) {
	os.Exit(func() int {
		flag.Parse()
		dir, err := os.MkdirTemp("", "relay-e2e")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binaries.dir = dir
		binaries.plain = sync.OnceValues(func() (string, error) { return buildRelay("relay") })
		binaries.race = sync.OnceValues(func() (string, error) { return buildRelay("relay-race", "-race") })
		if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
			flag.Set("test.parallel", "12") // most tests wait for other processes
		}
		code := m.Run()
		if code == 0 && flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.skip").Value.String() == "" {
			code = judgeMetrics()
		}
		return code
	}())
}

func buildRelay(name string, flags ...string) (string, error) {
	path := filepath.Join(binaries.dir, name)
	args := append(append([]string{"build"}, flags...), "-o", path, "sesrelay/cmd/relay")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the relay: %w\n%s", err, out)
	}
	return path, nil
}

// binary returns the relay's path.
func binary(t *testing.T, plain bool) string {
	t.Helper()
	build := binaries.race
	if plain {
		build = binaries.plain
	}
	return built(t, build)
}

func built(t *testing.T, build func() (string, error)) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// relayOptions is what a test sets; the rest of the configuration is the
// contract's default, but for what makes tests slow.
type relayOptions struct {
	ses     string   // base URL of the SES endpoint
	cuenote string   // host:port
	percent string   // split.ses_percent; "" = 0
	smtp    string   // listener address; "" = a free port
	admin   string   // its address; "" = a free port
	set     settings // further keys
	plain   bool     // without the race detector
	env     []string // further environment
	clock   *clock   // its own wall clock; nil = the machine's
	enter   []string // what the command line of the process begins with

	descriptors int // files that it may have open; 0 = as this process
}

func (o *relayOptions) binary(t *testing.T) string {
	t.Helper()
	if o.clock != nil {
		return built(t, clockRelay)
	}
	return binary(t, o.plain)
}

// relayProcess is a running `relay serve`.
type relayProcess struct {
	*process
	binary, smtp, admin, config string
	options                     relayOptions
	token                       string
}

// settings returns the whole configuration.
func (o *relayOptions) settings() settings {
	s := settings{
		"hostname":                "relay-1.goo.ne.jp",
		"listeners":               "[" + listener(o.smtp) + "]",
		"split.ses_percent":       "0",
		"ses.endpoint":            fmt.Sprintf("%q", o.ses),
		"cuenote.address":         fmt.Sprintf("%q", o.cuenote),
		"quota.rate":              "5000",
		"quota.daily":             "1000000",
		"drain.grace":             "0s",
		"admin.address":           fmt.Sprintf("%q", o.admin),
		"breaker.min_requests":    "1000000", // the breaker has its own test
		"breaker.open_for":        "100ms",
		"ses.configuration_set":   configurationSet,
		"ses.identities":          "[goo.ne.jp]",
		"access.networks":         "[127.0.0.0/8]",
		"limits.connections":      "5000",
		"limits.recipients":       "50",
		"limits.message_size":     "40MiB",
		"quota.headroom":          "1",
		"admin.networks.admin":    "[127.0.0.0/8]",
		"admin.networks.readonly": "[127.0.0.0/8]",
	}
	if o.percent != "" {
		s["split.ses_percent"] = o.percent
	}
	return s.with(o.set)
}

// startRelay runs the relay until the test ends, and returns when it is ready.
func startRelay(t *testing.T, o relayOptions) *relayProcess {
	t.Helper()
	r := launchRelay(t, o)
	r.serving(t)
	return r
}

// serving waits until a launched relay is ready, and notes its metrics.
func (r *relayProcess) serving(t *testing.T) {
	t.Helper()
	r.ready(t)
	r.scrape()
	t.Cleanup(r.scrape) // runs before the process is stopped
}

// launchRelay is startRelay that does not wait: many processes start at once.
func launchRelay(t *testing.T, o relayOptions) *relayProcess {
	t.Helper()
	if o.smtp == "" {
		o.smtp = freePort(t)
	}
	if o.admin == "" {
		o.admin = freePort(t)
	}
	r := &relayProcess{binary: o.binary(t), smtp: o.smtp, admin: o.admin, options: o, config: filepath.Join(t.TempDir(), "relay.yaml")}
	write(t, r.config, o.settings().yaml())
	cmd := r.command("serve", "--config", r.config)
	if o.descriptors > 0 {
		cmd.Args = []string{"sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, o.descriptors), r.binary, "serve", "--config", r.config}
		cmd.Path = "/bin/sh"
	}
	if o.enter != nil {
		cmd.Args, cmd.Path = append(o.enter[:len(o.enter):len(o.enter)], cmd.Args...), program(t, o.enter[0])
	}
	r.process = startCommand(t, cmd)
	return r
}

// ready waits until /readyz says so.
func (r *relayProcess) ready(t *testing.T) {
	t.Helper()
	eventually(t, 30*time.Second, "waiting for readyz", func() error {
		select {
		case <-r.done:
			return fatal{errors.New("the relay has ended: " + tail(r.out.String(), 20))}
		default:
		}
		if code := r.readyz(); code != http.StatusOK {
			return fmt.Errorf("status %d", code)
		}
		return nil
	})
}

// readyz returns the status of /readyz; 0 when nobody answers.
func (r *relayProcess) readyz() int {
	resp, err := http.Get("http://" + r.admin + "/readyz")
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// again starts the same configuration after the process has ended.
func (r *relayProcess) again(t *testing.T) *relayProcess {
	t.Helper()
	return startRelay(t, r.options)
}

// reload writes a new configuration and sends SIGHUP. It returns the log line
// that says how it ended.
func (r *relayProcess) reload(t *testing.T, yaml string) string {
	t.Helper()
	before := len(r.out.String())
	write(t, r.config, yaml)
	r.signal(syscall.SIGHUP)
	var said string
	eventually(t, 10*time.Second, "waiting for the reload", func() error {
		for line := range strings.Lines(r.out.String()[before:]) {
			if strings.Contains(line, `"reloaded"`) || strings.Contains(line, `"reload refused`) {
				said = line
				return nil
			}
		}
		return errors.New("the log says nothing about it")
	})
	return said
}

// command is the relay's own command line, pointed at this process.
func (r *relayProcess) command(args ...string) *exec.Cmd {
	cmd := exec.Command(r.binary, args...)
	cmd.Env = append(os.Environ(), "RELAY_API=http://"+r.admin, "RELAY_TOKEN="+r.token,
		"AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "AWS_EC2_METADATA_DISABLED=true", "NO_COLOR=1")
	if c := r.options.clock; c != nil {
		cmd.Env = append(cmd.Env, "TEST_CLOCK="+c.path)
	}
	cmd.Env = append(cmd.Env, r.options.env...)
	return cmd
}

// cli runs one command and returns what it printed; it must succeed.
func (r *relayProcess) cli(t *testing.T, args ...string) string {
	t.Helper()
	out, err := r.command(args...).CombinedOutput()
	if err != nil {
		t.Fatalf("relay %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// split sets the percentage with the command that operators use.
func (r *relayProcess) split(t *testing.T, percent string) {
	t.Helper()
	r.cli(t, "split", "set", percent, "--reason", "test", "--force")
}

// get reads a JSON document of the API.
func (r *relayProcess) get(t *testing.T, path string, v any) {
	t.Helper()
	resp, err := http.Get("http://" + r.admin + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s\n%s", path, resp.Status, body)
	}
	if err := json.Unmarshal(body, v); err != nil {
		t.Fatalf("GET %s: %v\n%s", path, err, body)
	}
}

// kill ends the process as a power failure would.
func (r *relayProcess) kill() {
	r.scrape()
	r.signal(syscall.SIGKILL)
	<-r.done
}
