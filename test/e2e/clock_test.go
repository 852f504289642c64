package e2e

import (
	endian "encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Go program without libc asks the kernel for the time, which has one clock
// for all processes. So the relay of these tests is built with a package time
// whose Now adds a number of seconds that stands in a file, mapped into memory:
// what is written there is the time at once. The monotonic clock goes on, as it
// does when a machine's clock is set.

// jumpFile is added to package time.
const jumpFile = `package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

var jumped = new(int64) // seconds

func init() {
	path, ok := syscall.Getenv("TEST_CLOCK")
	if !ok {
		panic("TEST_CLOCK is not set")
	}
	fd, err := syscall.Open(path, syscall.O_RDONLY, 0)
	if err != nil {
		panic("TEST_CLOCK: " + err.Error())
	}
	b, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic("TEST_CLOCK: " + err.Error())
	}
	jumped = (*int64)(unsafe.Pointer(&b[0]))
}

func jump() int64 { return atomic.LoadInt64(jumped) }
`

// edit replaces a text of the standard library, which stands there once.
type edit struct{ pkg, file, was, is string }

var edits = []edit{
	{"time", "time.go", "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n", "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n\tsec += jump()\n"},
	{"os", "file_posix.go", "func (f *File) Sync() error {\n", "func (f *File) Sync() error {\n\tif err := f.syncFault(); err != nil {\n\t\treturn err\n\t}\n"},
	{"os", "file.go", "func Rename(oldpath, newpath string) error {\n", "func Rename(oldpath, newpath string) error {\n\tif err := renameFault(newpath); err != nil {\n\t\treturn err\n\t}\n"},
}

// added are files added to the standard library.
var added = []edit{{"time", "jump.go", "", jumpFile}, {"os", "disk_fault.go", "", diskFaultFile}}

// clockRelay is the binary whose clock can be set, and whose disk can fail (TestDiskFailsLate).
var clockRelay = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	// By a name of one's own: go lets nobody replace files of a toolchain that it
	// has fetched as a module.
	goroot := filepath.Join(binaries.dir, "goroot")
	if err := os.Symlink(strings.TrimSpace(string(out)), goroot); err != nil {
		return "", err
	}
	replace := map[string]string{}
	put := func(e edit, text string) error {
		path := filepath.Join(binaries.dir, e.pkg+"-"+e.file)
		replace[filepath.Join(goroot, "src", e.pkg, e.file)] = path
		return os.WriteFile(path, []byte(text), 0o600)
	}
	for _, e := range edits {
		source, err := os.ReadFile(filepath.Join(goroot, "src", e.pkg, e.file))
		if err != nil {
			return "", err
		}
		if strings.Count(string(source), e.was) != 1 {
			return "", fmt.Errorf("%s/%s of this Go is not the one that this test knows how to change", e.pkg, e.file)
		}
		if err := put(e, strings.Replace(string(source), e.was, e.is, 1)); err != nil {
			return "", err
		}
	}
	for _, e := range added {
		if err := put(e, e.is); err != nil {
			return "", err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(binaries.dir, "overlay.json")
	if err := os.WriteFile(path, overlay, 0o600); err != nil {
		return "", err
	}
	binary := filepath.Join(binaries.dir, "relay-clock")
	// Trimmed paths: what is compiled stays in the cache for the next run.
	build := exec.Command(filepath.Join(goroot, "bin", "go"), "build", "-trimpath", "-overlay", path, "-o", binary, "sesrelay/cmd/relay")
	build.Env = append(os.Environ(), "GOROOT="+goroot, "GOTOOLCHAIN=local")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the relay with another clock: %w\n%s", err, out)
	}
	return binary, nil
})

// clock is the wall clock of one relay.
type clock struct{ path string }

// newClock returns one that is right.
func newClock(t *testing.T) *clock {
	t.Helper()
	c := &clock{filepath.Join(t.TempDir(), "clock")}
	write(t, c.path, strings.Repeat("\x00", 8))
	return c
}

// set makes the clock wrong by d.
func (c *clock) set(t *testing.T, d time.Duration) {
	t.Helper()
	f, err := os.OpenFile(c.path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [8]byte
	endian.NativeEndian.PutUint64(b[:], uint64(int64(d/time.Second)))
	if _, err := f.Write(b[:]); err != nil { // one write of 8 aligned bytes: no reader sees half
		t.Fatal(err)
	}
}
