// Package redistest runs real redis-server processes for tests, and a TCP proxy
// that loses the way to one.
package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ErrMissing: there is no redis-server on this machine.
var ErrMissing = errors.New("redis-server is not installed (Debian and Ubuntu: apt-get install redis-server)")

// Server is one redis-server process on a port of loopback.
type Server struct {
	Addr    string
	TLSAddr string // of StartTLS
	dir     string
	args    []string
	file    string // configuration, for Sentinel
	cmd     *exec.Cmd
	gone    chan struct{} // closed when cmd has ended
}

// Start runs redis-server in dir, without persistence, and waits until it
// answers. More arguments are appended.
func Start(dir string, args ...string) (*Server, error) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return nil, ErrMissing
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	s := &Server{Addr: addr, dir: dir, args: args}
	return s, s.Run()
}

// StartCluster runs one redis-server in cluster mode that owns all slots.
func StartCluster(dir string) (*Server, error) {
	s, err := Start(dir, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-require-full-coverage", "no")
	if err != nil {
		return s, err
	}
	if _, err := s.Do("CLUSTER ADDSLOTSRANGE 0 16383"); err != nil {
		return s, err
	}
	return s, s.Until("CLUSTER INFO", "cluster_state:ok")
}

// StartTLS runs one redis-server that speaks TLS on a second port.
func StartTLS(dir, certFile, keyFile string) (*Server, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	s, err := Start(dir, "--tls-port", port, "--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-ca-cert-file", certFile, "--tls-auth-clients", "no")
	if s != nil {
		s.TLSAddr = addr
	}
	return s, err
}

// StartSentinel runs a Sentinel that alone decides, within a second or two, that
// the master at an address is gone.
func StartSentinel(dir, name, master string) (*Server, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		return nil, ErrMissing
	}
	host, port, _ := net.SplitHostPort(master)
	s := &Server{Addr: addr, dir: dir, file: filepath.Join(dir, "sentinel.conf")}
	conf := fmt.Sprintf("sentinel monitor %[1]s %[2]s %[3]s 1\nsentinel down-after-milliseconds %[1]s 500\nsentinel failover-timeout %[1]s 2000\n", name, host, port)
	if err := os.WriteFile(s.file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	return s, s.Run()
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// Run starts the process, again after Kill, on the same port and empty.
func (s *Server) Run() error {
	_, port, _ := net.SplitHostPort(s.Addr)
	args := append([]string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.dir}, s.args...)
	if s.file != "" { // Sentinel keeps its state in its own configuration
		args = []string{s.file, "--sentinel", "--port", port, "--bind", "127.0.0.1", "--dir", s.dir}
	}
	s.cmd = exec.Command("redis-server", args...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log strings.Builder
	s.cmd.Stdout, s.cmd.Stderr = &log, &log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.gone = make(chan struct{})
	go func(cmd *exec.Cmd, gone chan struct{}) { cmd.Wait(); close(gone) }(s.cmd, s.gone)
	if err := s.Until("PING", "PONG"); err != nil {
		s.Kill()
		return fmt.Errorf("%w\n%s", err, log.String())
	}
	return nil
}

// Until repeats a command until its answer holds text.
func (s *Server) Until(command, text string) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		answer, err := s.Do(command)
		if err == nil && strings.Contains(answer, text) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("redis-server at %s: %s: %q, %w", s.Addr, command, answer, err)
		}
		select {
		case <-s.gone:
			return errors.New("redis-server has ended")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Once sends a command, and returns an error when its answer lacks text.
func (s *Server) Once(command, text string) error {
	answer, err := s.Do(command)
	if err == nil && !strings.Contains(answer, text) {
		err = fmt.Errorf("redis-server at %s: %s: %q", s.Addr, command, answer)
	}
	return err
}

// Do sends one inline command and returns the answer's first kilobytes.
func (s *Server) Do(command string) (string, error) {
	c, err := net.DialTimeout("tcp", s.Addr, time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	if _, err := fmt.Fprintf(c, "%s\r\n", command); err != nil {
		return "", err
	}
	b := make([]byte, 4096)
	n, err := bufio.NewReader(c).Read(b)
	if err == nil && n > 0 && b[0] == '-' {
		err = errors.New(strings.TrimSpace(string(b[1:n])))
	}
	return string(b[:n]), err
}

// Freeze stops the process without ending it: connections stay, and nothing
// answers.
func (s *Server) Freeze() error { return s.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (s *Server) Thaw() error { return s.cmd.Process.Signal(syscall.SIGCONT) }

// Kill ends the process; Run starts it again.
func (s *Server) Kill() {
	s.cmd.Process.Signal(os.Kill)
	<-s.gone
}
