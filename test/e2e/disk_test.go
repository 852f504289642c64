package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallDisk is a file system of 64 KiB that is full when it should be. It needs
// no privilege: it is mounted in a user's namespace of its own, which a process
// holds and the relay enters. Where the kernel or a container forbids even that,
// the directory is taken away instead: every write fails, but at its first step.
type smallDisk struct {
	dir   string   // as the relay sees it
	seen  string   // as the test sees it
	enter []string // the command line before the relay's; none: it is no disk
}

func newSmallDisk(t *testing.T) *smallDisk {
	t.Helper()
	d := &smallDisk{dir: filepath.Join(t.TempDir(), "disk")}
	d.seen = d.dir
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	// cat ends with this process, whatever becomes of it.
	holder := exec.Command("unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
		`mount -t tmpfs -o size=64k,mode=0700 tmpfs "$0" && echo mounted && exec cat`, d.dir)
	in, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err = holder.Start(); err == nil {
		t.Cleanup(func() {
			in.Close()
			holder.Wait()
		})
		if line, _ := bufio.NewReader(out).ReadString('\n'); line != "mounted\n" {
			err = errors.New("not allowed")
		}
	}
	if err != nil {
		t.Logf("no file system of one's own (%v): the directory of state.file is taken away instead", err)
		return d
	}
	pid := fmt.Sprint(holder.Process.Pid)
	d.seen = "/proc/" + pid + "/root" + d.dir
	d.enter = []string{"nsenter", "--target", pid, "--user", "--mount", "--preserve-credentials"}
	return d
}

// fill leaves no byte free.
func (d *smallDisk) fill(t *testing.T) {
	t.Helper()
	if d.enter == nil {
		if err := os.Rename(d.dir, d.dir+".gone"); err != nil {
			t.Fatal(err)
		}
		d.seen = d.dir + ".gone"
		return
	}
	f, err := os.Create(d.seen + "/ballast")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
}

func (d *smallDisk) empty(t *testing.T) {
	t.Helper()
	if d.enter == nil {
		d.seen = d.dir
		if err := os.Rename(d.dir+".gone", d.dir); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := os.Remove(d.seen + "/ballast"); err != nil {
		t.Fatal(err)
	}
}

// state is what state.file holds, which is whole at every moment.
func (d *smallDisk) state(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(d.seen + "/state")
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(b) {
		t.Errorf("state.file is damaged: %q", b)
	}
	return string(b)
}

// TestDiskFull has the disk of state.file full while mail flows, the split is
// changed and the relay is restarted. All mail goes through. More for SES is
// refused, because a restart would forget it; less is in force, and said to be
// unsaved until there is space.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	h := startHops(t)
	h.mayAbort = true
	disk := newSmallDisk(t)
	s := &stage{hops: h, relay: startRelay(t, relayOptions{ses: h.ses.URL(), cuenote: h.cuenote.Addr(), enter: disk.enter,
		set: settings{"state.file": fmt.Sprintf("%q", disk.dir+"/state")}})}
	s.relay.split(t, "60")
	saved := disk.state(t)

	smtp := s.relay.smtp // it stays through the restart
	a := newAuditor("disk")
	feed, stop := context.WithCancel(t.Context())
	defer stop()
	clients := a.load(feed, 6, 15*time.Millisecond, time.Minute, func() []string { return []string{smtp} })
	disk.fill(t)
	if out := s.relay.refused(t, "split", "set", "80", "--reason", "more", "--force"); !strings.Contains(out, "put the disk of state.file in order") {
		t.Errorf("more for SES: %s", out)
	}
	s.relay.holds(t, 60, false)
	if out, _ := s.relay.command("split", "set", "40", "--reason", "less").CombinedOutput(); !strings.Contains(string(out), "not saved") {
		t.Errorf("less for SES: %s", out)
	}
	s.relay.holds(t, 40, true)
	if v := s.relay.status(t); !v.alarmed("look at the disk of state.file") {
		t.Errorf("no alarm: %v", v.Alarms)
	}
	s.relay.command("brake", "--reason", "full").Run() // the brake is in force, whatever it says of the disk
	s.relay.holds(t, 0, true)
	if s.relay.readyz() != 200 {
		t.Error("not ready without a disk")
	}
	if now := disk.state(t); now != saved {
		t.Errorf("state.file holds %s", now)
	}

	if disk.enter != nil { // without its directory it does not start, and says so
		s.relay.stop(t, 30*time.Second)
		if s.relay.err != nil {
			t.Errorf("it ended with %v", s.relay.err)
		}
		s.relay = s.relay.again(t)
		s.relay.holds(t, 60, false) // what was saved last
		s.relay.command("brake", "--reason", "still full").Run()
		s.relay.holds(t, 0, true)
	}
	disk.empty(t)
	eventually(t, 30*time.Second, "the brake to be saved", func() error {
		if v := s.relay.held(t); v.Unsaved {
			return errors.New("it is not")
		}
		return nil
	})
	stop()
	clients.Wait()
	if extra, refused := a.judge(t, h); extra+refused+a.waiting() > 0 {
		t.Errorf("%d duplicates, %d refused, %d still with their clients", extra, refused, a.waiting())
	}
	if len(a.mails) < 20 {
		t.Errorf("only %d mails: the test shows little", len(a.mails))
	}

	s.relay.kill()
	s.relay = s.relay.again(t)
	s.relay.holds(t, 0, false)
	s.relay.cli(t, "brake", "release", "--reason", "space")
	s.relay.split(t, "80")
	s.relay.kill()
	s.relay = s.relay.again(t)
	s.relay.holds(t, 80, false)
}

// heldSplit is the split in force, and whether a restart would forget it.
type heldSplit struct {
	Applied float64 `json:"applied"`
	Unsaved bool    `json:"unsaved"`
}

func (r *relayProcess) held(t *testing.T) (v heldSplit) {
	t.Helper()
	r.get(t, "/v1/split", &v)
	return v
}

func (r *relayProcess) holds(t *testing.T, percent float64, unsaved bool) {
	t.Helper()
	if v := r.held(t); v != (heldSplit{percent, unsaved}) {
		t.Errorf("the split is %+v, want %g %%, unsaved: %t", v, percent, unsaved)
	}
}
