package main

import (
	"context"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"

	"sesrelay/internal/admin"
)

// screen is a terminal of the system's, and what was written to it.
type screen struct {
	tty *os.File

	mu   sync.Mutex
	text strings.Builder
	done chan struct{}
	ptmx *os.File
}

func newScreen(t *testing.T, columns, lines uint16) *screen {
	t.Helper()
	ptmx, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(ptmx, &pty.Winsize{Cols: columns, Rows: lines}); err != nil {
		t.Fatal(err)
	}
	s := &screen{tty: tty, ptmx: ptmx, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		b := make([]byte, 4096)
		for {
			n, err := ptmx.Read(b)
			s.mu.Lock()
			s.text.Write(b[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		ptmx.Write([]byte("\n")) //nolint:errcheck // ends a read of the keyboard, without which Close waits
		tty.Close()
		<-s.done // nobody has the terminal any more
		ptmx.Close()
	})
	return s
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// colour is a sequence that sets a colour or a weight (ECMA-48, SGR).
var colour = regexp.MustCompile("\x1b\\[[0-9;]*m")

// TestColoursOnATerminalOnly: and not there when it cannot or may not.
func TestColoursOnATerminalOnly(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	api.status = strings.Replace(busyStatus, "ALARMS", "", 1)
	for name, k := range map[string]struct {
		env  map[string]string
		want bool
	}{
		"a terminal":      {nil, true},
		"xterm":           {map[string]string{"TERM": "xterm-256color"}, true},
		"NO_COLOR":        {map[string]string{"NO_COLOR": "1", "TERM": "xterm"}, false},
		"an empty one":    {map[string]string{"NO_COLOR": ""}, true}, // https://no-color.org: "and not an empty string"
		"a dumb terminal": {map[string]string{"TERM": "dumb"}, false},
	} {
		s := newScreen(t, 80, 24)
		c := &cli{in: strings.NewReader(""), out: s.tty, err: io.Discard, getenv: func(n string) string { return k.env[n] }}
		if code := execute(t.Context(), c, []string{"status", "--api", api.URL}); code != exitDone {
			t.Fatalf("%s: exit %d", name, code)
		}
		eventually(t, "the status", func() bool { return strings.Contains(s.String(), "null_sender") })
		if got := colour.MatchString(s.String()); got != k.want {
			t.Errorf("%s: colours %v in\n%q", name, got, s.String())
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := &cli{in: strings.NewReader(""), out: w, err: io.Discard, getenv: func(string) string { return "" }}
	if code := execute(t.Context(), c, []string{"status", "--api", api.URL}); code != exitDone {
		t.Fatalf("a pipe: exit %d", code)
	}
	w.Close()
	if out, _ := io.ReadAll(r); strings.Contains(string(out), "\x1b") || len(out) == 0 {
		t.Errorf("a pipe: %q", out)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// TestTopOnATerminal: a picture fits, q ends it, and the terminal is as it was.
func TestTopOnATerminal(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	alarm := `{"level":"warning","text":"the quota of the day is nearly spent, and this sentence is longer than the line","since":"2026-11-23T09:00:00Z"}`
	api.status = strings.Replace(busyStatus, "ALARMS", strings.TrimSuffix(strings.Repeat(alarm+",", 20), ","), 1)
	for _, size := range []struct{ columns, lines uint16 }{{80, 24}, {120, 40}} {
		s := newScreen(t, size.columns, size.lines)
		c := &cli{in: s.tty, out: s.tty, err: io.Discard, getenv: func(string) string { return "" }}
		ended := make(chan int, 1)
		go func() { ended <- execute(t.Context(), c, []string{"top", "--interval", "100ms", "--api", api.URL}) }()
		eventually(t, "the second picture", func() bool {
			return strings.Count(s.String(), screenHome) > 1 && strings.HasSuffix(s.String(), screenClear)
		})
		if _, err := s.ptmx.Write([]byte("q")); err != nil {
			t.Fatal(err)
		}
		select {
		case code := <-ended:
			if code != exitDone {
				t.Errorf("q: exit %d", code)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("q does not end it")
		}
		eventually(t, "the screen as it was", func() bool { return strings.HasSuffix(s.String(), screenLeave) })
		picture := strings.Split(s.String(), screenHome)[1]
		fits(t, picture, int(size.columns), int(size.lines))
		for _, want := range []string{"CRITICAL", "25.25 % requested", "q quits"} {
			if !strings.Contains(colour.ReplaceAllString(picture, ""), want) {
				t.Errorf("%v: no %q in\n%s", size, want, picture)
			}
		}
	}
}

// fits checks that no line is wrapped and none scrolls the first one away.
func fits(t *testing.T, picture string, columns, lines int) {
	t.Helper()
	plain := strings.NewReplacer(lineClear, "", screenClear, "", "\r", "").Replace(colour.ReplaceAllString(picture, ""))
	all := strings.Split(plain, "\n")
	if len(all) > lines {
		t.Errorf("%d lines of %d", len(all), lines)
	}
	for _, line := range all {
		if n := utf8.RuneCountInString(line); n > columns {
			t.Errorf("%d columns of %d: %s", n, columns, line)
		}
	}
}

// TestTopWhenTheRelayGoes: the last picture stays, says that it is old in a
// line that fits, and the relay that comes back is shown again.
func TestTopWhenTheRelayGoes(t *testing.T) {
	t.Parallel()
	url, _ := realAPI(t, admin.Settings{})
	gone := newGate(t, url)
	s := newScreen(t, 80, 24)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := &cli{in: s.tty, out: s.tty, err: io.Discard, getenv: func(string) string { return "" }}
	ended := make(chan int, 1)
	go func() { ended <- execute(ctx, c, []string{"top", "--interval", "100ms", "--api", gone.url}) }()
	eventually(t, "a picture", func() bool { return strings.Contains(s.String(), "q quits") })
	gone.shut.Store(true)
	eventually(t, "the word that it is old", func() bool {
		all := strings.Split(s.String(), screenHome)
		last := all[max(0, len(all)-2)]
		if !strings.Contains(last, "NO ANSWER, this picture is old") {
			return false
		}
		fits(t, last, 80, 24)
		return true
	})
	gone.shut.Store(false)
	before := len(s.String())
	eventually(t, "a new picture", func() bool { return strings.Contains(s.String()[before:], "q quits") })
	cancel()
	if code := <-ended; code != exitDone {
		t.Errorf("exit %d", code)
	}
}
