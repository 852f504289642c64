package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A SIGHUP while the relay drains, from a log rotation perhaps, does not end
// it: what is in flight is finished.
func TestHangupWhileDraining(t *testing.T) {
	s := serveFile(t, "drain: {grace: 300ms, deadline: 5s}")
	s.stop()
	waitFor(t, "the drain begins", func() bool { return s.draining.Load() })
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil { // without a handler: the end of this test
		t.Fatal(err)
	}
	waitFor(t, "the drain ends", func() bool { return strings.Contains(s.log.String(), `"drained"`) })
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in time: " + what)
		}
	}
}

// A file that cannot be replaced leaves nothing beside it.
func TestWriteFileLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target := filepath.Join(dir, "quota")
	if err := os.MkdirAll(filepath.Join(target, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(target, []byte("x")); err == nil {
		t.Fatal("a directory was replaced")
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.tmp")); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
