package split

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func savedFile(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "state")
	s, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	must(t)(newLive(t, s, 0).Set(t.Context(), 0, 2500, "week 1", "ops"))
	return path
}

func TestDamagedFile(t *testing.T) {
	t.Parallel()
	good, err := os.ReadFile(savedFile(t))
	if err != nil {
		t.Fatal(err)
	}
	text := string(good)
	odd, err := encodeState(record{State: State{Ceiling: Full, Value: Value{Version: 1, SESPercent: 2500}}})
	if err != nil {
		t.Fatal(err)
	}
	resum := func(from, to string) string {
		raw := strings.Replace(string(odd), from, to, 1)
		a, b := strings.Index(raw, `"record":`)+9, len(raw)-1
		return `{"format":1,"sha256":"` + sum([]byte(raw[a:b])) + `","record":` + raw[a:b] + "}"
	}
	for name, c := range map[string]struct{ content, want string }{
		"empty":                    {"", "damaged"},
		"cut":                      {text[:len(text)/2], "damaged"},
		"zeros":                    {strings.Repeat("\x00", len(text)), "damaged"},
		"not JSON":                 {"ses_percent: 25\n", "damaged"},
		"other JSON":               {"{}", "damaged"},
		"a digit changed":          {strings.Replace(text, `"ses_percent":25`, `"ses_percent":95`, 1), "sum does not match"},
		"newer format":             {strings.Replace(text, `"format":1`, `"format":2`, 1), "start the newer relay again"},
		"out of range, right sum":  {resum(`"ses_percent":25`, `"ses_percent":250`), "damaged"},
		"version, right sum":       {resum(`"version":1`, `"version":-1`), "damaged"},
		"unknown field, right sum": {resum(`"ceiling"`, `"floor":1,"ceiling"`), "damaged"},
		"ceiling without brake":    {resum(`"ceiling":100`, `"ceiling":50`), "do not agree"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "state")
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := OpenFile(path)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "split.ses_percent") {
				t.Fatalf("%v; want %q, the path and what to do", err, c.want)
			}
			if b, _ := os.ReadFile(path); string(b) != c.content {
				t.Fatal("the file was touched")
			}
		})
	}
}

func TestUnusablePath(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := OpenFile(filepath.Join(dir, "missing", "state")); err == nil || !strings.Contains(err.Error(), "must exist") {
		t.Errorf("missing directory: %v", err)
	}
	if _, err := OpenFile(dir); err == nil {
		t.Error("a directory was taken for a file")
	}
}

// The real error path: the second file cannot be made.
func TestFileThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	path := savedFile(t)
	s, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l := newLive(t, s, 0)
	if err := os.Mkdir(path+".tmp", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Set(t.Context(), 1, 5000, "up", "ops"); !errors.Is(err, ErrRefused) {
		t.Fatalf("increase: %v", err)
	}
	os.Mkdir(path+".tmp", 0o700) // the refused write removed it
	if _, err := l.Set(t.Context(), 1, 1000, "down", "ops"); !errors.Is(err, ErrNotSaved) {
		t.Fatalf("lowering: %v", err)
	}
	wantState(t, l, 2, 1000, 1000)
	os.Remove(path + ".tmp")
	if err := l.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := decodeState(b); err != nil || r.State.SESPercent != 1000 || r.State.Version != 2 {
		t.Fatalf("%+v, %v", r.State, err)
	}
	if i, _ := os.Stat(path); i.Mode().Perm() != 0o600 {
		t.Errorf("mode %s", i.Mode())
	}
}

// TestKilled kills a process in a loop of changes, again and again. The file
// must hold the last version that was reported as made, or the one after it.
func TestKilled(t *testing.T) {
	if path := os.Getenv("SPLIT_TEST_WRITER"); path != "" {
		writeUntilKilled(path)
	}
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	last := int64(0)
	for round := range 12 {
		reported := runAndKill(t, path, 3+5*round)
		s, err := OpenFile(path)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		l := newLive(t, s, 7777)
		got := l.Current()
		s.Close()
		if got.Version < max(reported, last) || got.Version > reported+1 || got.SESPercent != Percent(got.Version)%(Full+1) {
			t.Fatalf("round %d: version %d with %s is stored, %d was reported", round, got.Version, got.SESPercent, reported)
		}
		last = got.Version
	}
}

// runAndKill starts a writer and kills it, without warning, after it has
// reported n versions. It returns the last one reported.
func runAndKill(t *testing.T, path string, n int) (reported int64) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), "SPLIT_TEST_WRITER="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for i := 0; lines.Scan(); i++ {
		if _, err := fmt.Sscanf(lines.Text(), "version %d", &reported); err != nil {
			t.Fatalf("writer: %q", lines.Text())
		}
		if i == n {
			cmd.Process.Kill() // SIGKILL
		}
	}
	cmd.Wait()
	return reported
}

func writeUntilKilled(path string) {
	ctx := context.Background()
	s, err := OpenFile(path)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	l, err := NewLive(ctx, s, LiveConfig{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for {
		v := l.Current().Version
		if _, err := l.Set(ctx, v, Percent(v+1)%(Full+1), "loop", "writer"); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("version", v+1)
	}
}

func FuzzDecodeState(f *testing.F) {
	b, err := encodeState(record{State: State{Ceiling: Full, Value: Value{Version: 3, SESPercent: 2500}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"format":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodeState(b); err == nil && r.State.check() != nil {
			t.Fatalf("%q is taken", b)
		}
	})
}
