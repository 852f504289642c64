package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// diskFaultFile is added to package os: what stands in the file $TEST_DISK says
// which step of replacing a file fails, and behind a blank which file. Letters:
//
//	f F  fsync of a file (ENOSPC, EIO); what was written is lost, as a kernel may lose it
//	r    rename (ENOSPC)
//	d D  fsync of a directory (ENOSPC, EIO)
//	x    fsync of a directory once, then of files
const diskFaultFile = `package os

import (
	"sync/atomic"
	"syscall"
)

var second atomic.Bool // x has had its directory

// faultOf says what is to fail, if it is about name.
func faultOf(name string, dir bool) (letters string) {
	path, ok := syscall.Getenv("TEST_DISK")
	if !ok {
		return ""
	}
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer syscall.Close(fd)
	var b [4096]byte
	n, _ := syscall.Read(fd, b[:])
	for i := range max(n, 0) {
		if b[i] != ' ' {
			continue
		}
		about := string(b[i+1 : n])
		if dir {
			name += "/"
			if len(about) >= len(name) && about[:len(name)] == name {
				return string(b[:i])
			}
		} else if len(name) >= len(about) && name[:len(about)] == about {
			return string(b[:i])
		}
	}
	return ""
}

func (f *File) syncFault() error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	failed := syscall.Errno(0)
	for _, c := range faultOf(f.name, fi.IsDir()) {
		switch {
		case c == 'd' && fi.IsDir(), c == 'f' && !fi.IsDir(), c == 'x' && second.Load() && !fi.IsDir():
			failed = syscall.ENOSPC
		case c == 'D' && fi.IsDir(), c == 'F' && !fi.IsDir():
			failed = syscall.EIO
		case c == 'x' && fi.IsDir() && !second.Swap(true):
			failed = syscall.EIO
		}
	}
	if failed == 0 {
		return nil
	}
	if !fi.IsDir() {
		f.Truncate(fi.Size() / 2)
	}
	return &PathError{Op: "sync", Path: f.name, Err: failed}
}

func renameFault(to string) error {
	for _, c := range faultOf(to, false) {
		if c == 'r' {
			return &LinkError{"rename", to, to, syscall.ENOSPC}
		}
	}
	return nil
}
`

// savedSplit is what a restart would find.
func savedSplit(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Record struct {
			State struct {
				Percent json.Number `json:"ses_percent"`
			} `json:"state"`
		} `json:"record"`
	}
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatalf("state.file is damaged: %q", b)
	}
	return f.Record.State.Percent.String()
}

// TestDiskFailsLate has the disk of state.file take every byte and say only
// afterwards that it is full or broken: at fsync, at the rename, at fsync of the
// directory. More for SES is refused, less is in force, mail flows on, and a restart
// has the old state or the new one.
func TestDiskFailsLate(t *testing.T) {
	t.Parallel()
	for _, k := range []struct{ name, fault, afterwards string }{
		{"full at fsync", "f", "60"}, {"broken at fsync", "F", "60"}, {"full at the rename", "r", "60"},
		{"full at the directory", "d", "40"}, {"broken at the directory", "D", "40"},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			h := startHops(t)
			h.mayAbort = true
			dir := t.TempDir()
			state, control := filepath.Join(dir, "state"), filepath.Join(t.TempDir(), "disk")
			fails := func(fault string) { write(t, control, fault+" "+state) }
			fails("-")
			r := startRelay(t, relayOptions{ses: h.ses.URL(), cuenote: h.cuenote.Addr(), clock: newClock(t), env: []string{"TEST_DISK=" + control},
				set: settings{"state.file": fmt.Sprintf("%q", state)}})
			smtp := r.smtp // it stays through the restarts
			restart := func() {
				r.kill()
				r = r.again(t)
			}
			r.split(t, "60")
			saved, _ := os.ReadFile(state)
			a := newAuditor("late")
			feed, stop := context.WithCancel(t.Context())
			defer stop()
			clients := a.load(feed, 2, 50*time.Millisecond, time.Minute, func() []string { return []string{smtp} })

			fails(k.fault)
			if out := r.refused(t, "split", "set", "80", "--reason", "more", "--force"); !strings.Contains(out, "put the disk of state.file in order") {
				t.Errorf("more for SES: %s", out)
			}
			r.holds(t, 60, false)
			if now, _ := os.ReadFile(state); string(now) != string(saved) {
				t.Errorf("a refused change is in the file: %s", now)
			}
			restart()
			r.holds(t, 60, false)

			if out, _ := r.command("split", "set", "40", "--reason", "less").CombinedOutput(); !strings.Contains(string(out), "not saved") {
				t.Errorf("less for SES: %s", out)
			}
			r.holds(t, 40, true)
			if v := r.status(t); !v.alarmed("look at the disk of state.file") {
				t.Error("no alarm")
			}
			if got := savedSplit(t, state); got != k.afterwards {
				t.Errorf("a restart would find %s, want %s", got, k.afterwards)
			}
			restart()
			if got := fmt.Sprint(r.held(t).Applied); got != k.afterwards {
				t.Errorf("it restarted with %s, want %s", got, k.afterwards)
			}

			fails("-")
			r.split(t, "50")
			restart()
			r.holds(t, 50, false)
			eventually(t, time.Minute, "mail", func() error {
				if n := a.numbered(); n < 20 {
					return fmt.Errorf("%d mails", n)
				}
				return nil
			})
			stop()
			clients.Wait()
			if _, refused := a.judge(t, h); refused > 0 {
				t.Errorf("%d of %d mails refused", refused, len(a.mails))
			}
			if left, _ := filepath.Glob(dir + "/*.tmp"); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// TestRefusedChangeLeavesTheFile: the refused state had reached the file before
// the disk failed, and could not be taken out again at once. That is made up
// for by itself, so that no restart puts more on SES than anybody was told.
func TestRefusedChangeLeavesTheFile(t *testing.T) {
	t.Parallel()
	h := startHops(t)
	state, control := filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "disk")
	r := startRelay(t, relayOptions{ses: h.ses.URL(), cuenote: h.cuenote.Addr(), clock: newClock(t), env: []string{"TEST_DISK=" + control},
		set: settings{"state.file": fmt.Sprintf("%q", state)}})
	r.split(t, "60")
	write(t, control, "x "+state)
	r.refused(t, "split", "set", "80", "--reason", "more", "--force")
	r.holds(t, 60, false)
	if got := savedSplit(t, state); got != "80" {
		t.Fatalf("the file holds %s: the test shows nothing", got)
	}
	write(t, control, "- "+state)
	eventually(t, 30*time.Second, "the file to hold what is in force", func() error {
		if got := savedSplit(t, state); got != "60" {
			return errors.New("it holds " + got)
		}
		return nil
	})
}
