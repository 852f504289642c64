package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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
		p.checkRaces(t)
		if t.Failed() {
			t.Logf("output of %s:\n%s", filepath.Base(cmd.Path), digest(p.out.String()))
		}
	})
	return p
}

// checkRaces fails the test for what the race detector found, and for panics.
func (p *process) checkRaces(t *testing.T) {
	t.Helper()
	for _, word := range []string{"WARNING: DATA RACE", "panic in ", "panic: ", "fatal error: "} {
		if out := p.out.String(); strings.Contains(out, word) {
			t.Errorf("%s: %q in the output", filepath.Base(p.cmd.Path), word)
		}
	}
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
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// digestLines bounds each part of a digest.
const digestLines = 6

// logLine is what a digest shows of a log line.
type logLine struct {
	Time                                                                  time.Time
	Level, Msg, ID, Outcome, Upstream, Reason, Reply, Error, Err, Warning string
}

func (l *logLine) String() string {
	s := l.Time.Format("05.000 ") + l.Msg
	for _, v := range []string{l.ID, l.Outcome, l.Upstream, l.Reason, l.Reply, l.Warning, l.Error, l.Err} {
		if v != "" && !strings.Contains(s, v) {
			s += " | " + v[:min(len(v), 150)]
		}
	}
	return s
}

// digest shortens a process's output for a failed test: first what is no log
// line at all (panics, races), then errors, then warnings, then what is no
// transaction. Accepted mail is only counted.
func digest(out string) string {
	var odd, errs, warnings, rest []string
	accepted := 0
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		var l logLine
		switch json.Unmarshal([]byte(line), &l); {
		case l.Level == "":
			odd = append(odd, line)
		case l.Level == "ERROR":
			errs = append(errs, l.String())
		case l.Level == "WARN":
			warnings = append(warnings, l.String())
		case l.Msg == "transaction":
			accepted++
		default:
			rest = append(rest, l.String())
		}
	}
	var b strings.Builder
	part := func(name string, lines []string, keep int) {
		if len(lines) == 0 {
			return
		}
		b.WriteString("-- " + name + " (" + strconv.Itoa(len(lines)) + ")\n")
		for _, line := range lines[max(0, len(lines)-keep):] {
			b.WriteString(line + "\n")
		}
	}
	part("not in the log's form", odd, 60)
	part("errors", errs, digestLines)
	part("warnings", warnings, digestLines)
	part("other", rest, digestLines)
	b.WriteString("-- transactions at info: " + strconv.Itoa(accepted))
	return b.String()
}

// fatal is an error that eventually does not wait for the end of.
type fatal struct{ error }

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
		if _, hopeless := errors.AsType[fatal](err); hopeless || time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

var lastPort atomic.Int32

// freePort returns an address on loopback that nobody listens on. It lies
// below the ports that the system gives to outgoing connections, so that a
// killed process finds its port free again.
func freePort(t *testing.T) string {
	t.Helper()
	lastPort.CompareAndSwap(0, int32(10000+os.Getpid()%180*100))
	for range 1000 {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(lastPort.Add(1))))
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
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
			return fatal{errors.New("the process has ended: " + tail(p.out.String(), 20))}
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
