package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// atEnd runs after all tests.
var atEnd []func()

func TestMain(m *testing.M) {
	code := m.Run()
	for _, f := range atEnd {
		f()
	}
	os.Exit(code)
}

// binary builds the program once.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "console-relay")
	if err != nil {
		return "", err
	}
	atEnd = append(atEnd, func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "relay")
	if out, err := exec.Command("go", "build", "-ldflags", "-X main.version=1.0.0", "-o", path, "sesrelay/cmd/relay").CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the relay: %w\n%s", err, out)
	}
	return path, nil
})

// instance is a relay that a test started.
type instance struct {
	t    *testing.T
	http string // host:port of console and API
	smtp string
	args []string
	cmd  *exec.Cmd
	out  bytes.Buffer
}

// demo starts `relay demo`, as the README does, with mail.
func demo(t *testing.T, args ...string) *instance {
	t.Helper()
	r := &instance{t: t, http: freeAddress(t), smtp: freeAddress(t)}
	r.args = append([]string{"demo", "--http", r.http, "--smtp", r.smtp, "--traffic", "20"}, args...)
	r.start()
	t.Cleanup(r.stop)
	return r
}

// serve starts `relay serve` with tokens before simulated next hops, and
// returns a token of each role. more is appended to the configuration.
func serve(t *testing.T, more string) (*instance, map[string]string) {
	t.Helper()
	h := newHops(t)
	return h.serve("relay-1", more), h.tokens
}

// hops are simulated next hops, and the tokens of the relays before them.
type hops struct {
	t      *testing.T
	ses    *simulator.SES
	cue    *simulator.SMTP
	tokens map[string]string // by role
	file   string            // tokens_file
}

func newHops(t *testing.T) *hops {
	t.Helper()
	h := &hops{t: t, tokens: map[string]string{}, file: filepath.Join(t.TempDir(), "tokens")}
	store := simulator.NewStore(simulator.StoreConfig{})
	var err error
	h.ses, err = simulator.NewSES(simulator.SESConfig{Store: store, ConfigurationSets: []string{"set"}, Credentials: map[string]string{"AKIDTEST": "secret"}, Account: simulator.Account{MaxSendRate: 1000, Max24HourSend: 1e6}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.ses.Close() })
	if h.cue, err = simulator.NewSMTP(simulator.SMTPConfig{Store: store}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.cue.Close() })
	lines := ""
	for _, role := range []string{"readonly", "admin"} {
		token, line := newToken(t, role)
		h.tokens[role], lines = token, lines+line+"\n"
	}
	write(t, h.file, lines)
	return h
}

// serve starts a relay before these next hops.
func (h *hops) serve(name, more string) *instance {
	h.t.Helper()
	r := &instance{t: h.t, http: freeAddress(h.t), smtp: freeAddress(h.t)}
	path := filepath.Join(h.t.TempDir(), "relay.yaml")
	write(h.t, path, fmt.Sprintf(`hostname: %s.goo.ne.jp
listeners: [{address: %q, protocol: smtp, tls: none}]
access: {networks: [127.0.0.0/8]}
ses: {endpoint: %q, configuration_set: set, identities: [goo.ne.jp]}
cuenote: {address: %q}
drain: {grace: 0s}
admin: {address: %q, tokens_file: %q}
%s`, name, r.smtp, h.ses.URL(), h.cue.Addr(), r.http, h.file, more))
	r.args = []string{"serve", "--config", path}
	r.start()
	h.t.Cleanup(r.stop)
	return r
}

func newToken(t *testing.T, role string) (token, line string) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	var stdout bytes.Buffer
	cmd := exec.Command(path, "token", "new", role, role+"-operator", "--json")
	cmd.Stdout = &stdout
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	var v struct{ Token, Line string }
	if err := json.Unmarshal(stdout.Bytes(), &v); err != nil || v.Token == "" || v.Line == "" {
		t.Fatalf("%s: %v", stdout.String(), err)
	}
	return v.Token, v.Line
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (r *instance) base() string { return "http://" + r.http }

func (r *instance) start() {
	r.t.Helper()
	path, err := binary()
	if err != nil {
		r.t.Fatal(err)
	}
	r.cmd = exec.Command(path, r.args...)
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.out
	r.cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=AKIDTEST", "AWS_SECRET_ACCESS_KEY=secret")
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		if res, err := http.Get(r.base() + "/readyz"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	r.stop()
	r.t.Fatalf("the relay is never ready:\n%s", r.out.String())
}

func (r *instance) stop() {
	if r.cmd == nil {
		return
	}
	r.cmd.Process.Signal(syscall.SIGTERM)
	r.cmd.Wait()
	r.cmd = nil
}

// api asks the relay itself, beside the page.
func (r *instance) api(method, path, token, body string, headers ...string) (answer map[string]any) {
	r.t.Helper()
	req, err := http.NewRequest(method, r.base()+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	if err := json.Unmarshal(b, &answer); err != nil || res.StatusCode >= 300 {
		r.t.Fatalf("%s %s: %d %s", method, path, res.StatusCode, b)
	}
	return answer
}

// poll asks until it is told yes, with the patience of every test here.
func poll(yes func() bool) bool {
	for deadline := time.Now().Add(4 * patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if yes() {
			return true
		}
	}
	return false
}

// set moves the split beside the page.
func (r *instance) set(percent int) {
	r.t.Helper()
	version := r.api("GET", "/v1/split", "", "")["version"].(float64)
	r.api("PUT", "/v1/split", "", fmt.Sprintf(`{"ses_percent":%d,"reason":"a test","force":true}`, percent), "If-Match", fmt.Sprintf(`"%.0f"`, version))
}

// applied asks the relay what is in force.
func (r *instance) applied(token string) float64 {
	r.t.Helper()
	return r.api("GET", "/v1/split", token, "")["applied"].(float64)
}

// freeAddress is an address on loopback that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// quotedVersion is the ETag of a split.
func quotedVersion(s map[string]any) string { return fmt.Sprintf(`"%.0f"`, s["version"]) }
