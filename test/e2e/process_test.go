package e2e

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program that a test started, and nothing else.
type process struct {
	cmd  *exec.Cmd
	out  *output
	done chan struct{}
	err  error
}

// output collects what a process prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// start runs a program until the test ends; its output is shown when the test fails.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	return startCommand(t, exec.Command(name, args...))
}

func startCommand(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, out: &output{}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.out, p.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.stop(t, 20*time.Second)
		if t.Failed() {
			t.Logf("output of %s:\n%s", filepath.Base(cmd.Path), tail(p.out.String(), 60))
		}
	})
	return p
}

// signal sends a signal to the process.
func (p *process) signal(s syscall.Signal) { p.cmd.Process.Signal(s) }

// stop ends the process: SIGTERM, and SIGKILL when it does not go.
func (p *process) stop(t *testing.T, patience time.Duration) {
	t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
		p.signal(syscall.SIGKILL)
		<-p.done
		t.Errorf("%s had to be killed", filepath.Base(p.cmd.Path))
	}
}

// tail returns the last n lines.
func tail(s string, n int) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// eventually waits until ok returns nil. It polls: what is awaited happens in
// another process, which has no other way to tell.
func eventually(t *testing.T, patience time.Duration, what string, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// freePort returns an address on loopback that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// program finds a program that the test needs. It is a skip on a machine
// without it, and a failure under CI, where scripts/need.sh has installed it.
func program(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range []string{"/usr/sbin", root(t) + "/.cache/venv/bin"} {
		if path := filepath.Join(dir, name); isFile(path) {
			return path
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed: run scripts/need.sh test", name)
	}
	return path
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// root is the top of the repository.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// listening waits until somebody accepts connections at addr.
func listening(t *testing.T, addr string, p *process) {
	t.Helper()
	eventually(t, 30*time.Second, "waiting for "+addr, func() error {
		select {
		case <-p.done:
			return errors.New("the process has ended: " + tail(p.out.String(), 20))
		default:
		}
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
		}
		return err
	})
}

// within returns a context that ends with the test, or earlier.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
