package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// relayBinary is built once, with the race detector.
var relayBinary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "relay-e2e")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		relayBinary = filepath.Join(dir, "relay")
		build := exec.Command("go", "build", "-race", "-o", relayBinary, "sesrelay/cmd/relay")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the relay: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// relayOptions is what a test sets; the rest of the configuration is the
// contract's default.
type relayOptions struct {
	ses     string // base URL of the SES endpoint
	cuenote string // host:port
	percent string // split.ses_percent; "" = 0
	more    string // further YAML, top level
	smtp    string // listener address; "" = a free port
	admin   string
	state   string // state.file; "" = none
	listen  string // further lines of the listener
}

// relayProcess is a running `relay serve`.
type relayProcess struct {
	*process
	smtp, admin, config string
}

func startRelay(t *testing.T, o relayOptions) *relayProcess {
	t.Helper()
	if o.smtp == "" {
		o.smtp = freePort(t)
	}
	if o.admin == "" {
		o.admin = freePort(t)
	}
	r := &relayProcess{smtp: o.smtp, admin: o.admin, config: filepath.Join(t.TempDir(), "relay.yaml")}
	write(t, r.config, o.yaml())
	r.process = startCommand(t, r.command("serve", "--config", r.config))
	eventually(t, 30*time.Second, "waiting for readyz", func() error {
		select {
		case <-r.done:
			return errors.New("the relay has ended: " + tail(r.out.String(), 20))
		default:
		}
		resp, err := http.Get("http://" + r.admin + "/readyz")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
	return r
}

func (o *relayOptions) yaml() string {
	if o.percent == "" {
		o.percent = "0"
	}
	y := fmt.Sprintf(`hostname: relay-1.goo.ne.jp
listeners:
  - address: %s
    %s
split: {ses_percent: %s}
ses:
  endpoint: %q
  identities: [goo.ne.jp]
cuenote:
  address: %s
state: {file: %q}
admin: {address: %s}
`, o.smtp, o.listen, o.percent, o.ses, o.cuenote, o.state, o.admin)
	return y + o.more
}

// command is the relay's own command line, pointed at this process.
func (r *relayProcess) command(args ...string) *exec.Cmd {
	cmd := exec.Command(relayBinary, args...)
	cmd.Env = append(os.Environ(), "RELAY_API=http://"+r.admin,
		"AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "AWS_EC2_METADATA_DISABLED=true", "NO_COLOR=1")
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
	if s, ok := v.(*string); ok {
		*s = string(body)
		return
	}
	if err := json.Unmarshal(body, v); err != nil {
		t.Fatalf("GET %s: %v\n%s", path, err, body)
	}
}

// kill ends the process as a power failure would.
func (r *relayProcess) kill() {
	r.signal(syscall.SIGKILL)
	<-r.done
}
