package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"sesrelay/cmd/relay/internal/config"
)

// freeAddress is a loopback address on which nothing listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// served is a relay that runs in this process from a file.
type served struct {
	*app
	t        *testing.T
	path     string
	mail     string // address of its listener
	log      *lockedBuffer
	stdout   *lockedBuffer
	settings []string // of every file
	stop     context.CancelFunc
}

// serveFile runs a relay whose next hops do not answer, unless a setting names
// others.
func serveFile(t *testing.T, settings ...string) *served {
	t.Helper()
	s := &served{t: t, path: filepath.Join(t.TempDir(), "relay.yaml"), mail: freeAddress(t), log: &lockedBuffer{}, stdout: &lockedBuffer{}}
	s.settings = []string{
		"hostname: relay-1.goo.ne.jp", "ses: {endpoint: http://" + freeAddress(t) + "}", "cuenote: {address: " + freeAddress(t) + "}",
		"admin: {address: " + freeAddress(t) + "}", "drain: {grace: 0s, deadline: 5s}", "state: {file: " + filepath.Join(t.TempDir(), "split.json") + "}",
	}
	for _, line := range settings {
		key, _, _ := strings.Cut(line, " ")
		s.settings = replaced(s.settings, key, line)
	}
	s.write()
	cfg, _, err := config.Load(s.path)
	if err != nil {
		t.Fatal(err)
	}
	level := &slog.LevelVar{}
	ready := make(chan struct{})
	s.app, err = newApp(t.Context(), cfg, newLogger(s.log, "json", level), level, appExtra{
		credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", ""), started: func() { close(ready) }, stdout: s.stdout,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.stop = cancel
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, func() error { return nil }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the end: %v", err)
		}
	})
	select {
	case <-ready:
	case <-time.After(20 * time.Second):
		t.Fatal("the relay does not start")
	}
	return s
}

// write replaces the file: the usual settings, listeners at mail and at more,
// and lines.
func (s *served) write(lines ...string) {
	s.t.Helper()
	all := append([]string{"listeners:", "  - address: " + s.mail}, lines...)
	if err := os.WriteFile(s.path, []byte(strings.Join(append(all, s.settings...), "\n")+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *served) reloads(want string) {
	s.t.Helper()
	before := s.cfg.Load()
	err := s.reload(s.t.Context(), s.path)
	switch {
	case want == "" && err != nil:
		s.t.Errorf("reload: %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		s.t.Errorf("reload: %v, want %q", err, want)
	case want != "" && s.cfg.Load() != before:
		s.t.Errorf("%q: another configuration is in force", want)
	}
}

func listens(address string) bool {
	c, err := net.Dial("tcp", address)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// A file that cannot be applied as a whole is not applied at all: the listener
// that it adds is never opened.
func TestRefusedReloadChangesNothing(t *testing.T) {
	t.Parallel()
	s := serveFile(t)
	added, busy := freeAddress(t), busyAddress(t)
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("admin:a:b\nc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	add := "  - address: " + added
	for want, line := range map[string]string{
		"log.key_file":                          "log: {key_file: /does/not/exist, addresses: full}",
		"unknown key":                           "drian: {}",
		"hostname has changed":                  "", // below
		"address already in use":                "  - address: " + busy,
		"access.users_file: " + bad:             "access: {users_file: " + bad + "}",
		"ca_file":                               "", // below
		"admin.tokens_file " + bad + ": line 1": "",
	} {
		settings := s.settings
		switch want {
		case "hostname has changed":
			s.settings = append([]string{"hostname: other.goo.ne.jp"}, settings[1:]...)
		case "ca_file":
			s.settings = replaced(settings, "cuenote:", "cuenote: {address: 127.0.0.1:9, tls: starttls, ca_file: "+bad+"}")
		case "admin.tokens_file " + bad + ": line 1":
			s.settings = replaced(settings, "admin:", strings.Replace(settings[3], "{", "{tokens_file: "+bad+", ", 1))
		}
		s.write(add, line)
		s.reloads(want)
		if listens(added) || !listens(s.mail) {
			t.Fatalf("%q: the new listener answers: %v, the old one: %v", want, listens(added), listens(s.mail))
		}
		s.settings = settings
	}
	s.write(add)
	s.reloads("")
	if !listens(added) || !listens(s.mail) {
		t.Error("a good file is not applied")
	}
}

func replaced(lines []string, prefix, line string) []string {
	out := append([]string{}, lines...)
	for i, l := range out {
		if strings.HasPrefix(l, prefix) {
			out[i] = line
		}
	}
	return out
}

func busyAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// Who changes split.ses_percent and reloads waits for something that does not
// happen: the log says so, and what to do.
func TestReloadSaysThatTheSplitIsNotMovedByTheFile(t *testing.T) {
	t.Parallel()
	s := serveFile(t)
	s.write("split: {ses_percent: 40}")
	s.reloads("")
	if log := s.log.String(); !strings.Contains(log, "relay split set") || !strings.Contains(log, `"in_force":"0"`) {
		t.Errorf("log: %s", log)
	}
}

// The demo greets when it runs, and not before: with a busy port it says which
// and how to choose another.
func TestDemoOnABusyPort(t *testing.T) {
	t.Parallel()
	for _, o := range []demoOptions{{SMTP: busyAddress(t), HTTP: freeAddress(t)}, {SMTP: freeAddress(t), HTTP: busyAddress(t)}} {
		err := runDemo(t.Context(), o)
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(fmt.Sprint(err), "--smtp") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
