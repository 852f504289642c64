package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// buildDir holds the relay that the smoke tests run.
var buildDir string

// TestMain lets this program be the sink process, as the real one is.
func TestMain(m *testing.M) {
	if os.Getenv("LOADTEST_MAIN") == "1" {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(func() int {
		var err error
		if buildDir, err = os.MkdirTemp("", "relay-loadtest-binary"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(buildDir)
		return m.Run()
	}())
}

var relayBinary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(buildDir, "relay")
	if out, err := exec.Command("go", "build", "-o", path, "sesrelay/cmd/relay").CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the relay: %w\n%s", err, out)
	}
	return path, nil
})

// smoke runs a scenario with real processes, and returns its result.
func smoke(t *testing.T, args ...string) *result {
	t.Helper()
	relay, err := relayBinary()
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	root := newRoot()
	var printed bytes.Buffer
	root.SetOut(&printed)
	// What a busy machine may miss is off; that every mail arrives once is not.
	root.SetArgs(append(args, "--relay", relay, "--out", out, "--quiet",
		"--ses-latency", "5ms", "--cuenote-latency", "5ms", "--clients", "200", "--warmup", "400ms"))
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, &printed)
	}
	b, err := os.ReadFile(filepath.Join(out, args[0]+".json"))
	if err != nil {
		t.Fatal(err)
	}
	r := new(result)
	if err := json.Unmarshal(b, r); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(out, args[0]+".html"))
	if err != nil || !strings.Contains(string(page), "every threshold held") {
		t.Errorf("the report: %v", err)
	}
	return r
}

func off(names ...string) (args []string) {
	for _, name := range names {
		args = append(args, "--threshold", name+"=off")
	}
	return args
}

// TestSmoke: three seconds of 100k, small, with real processes.
func TestSmoke(t *testing.T) {
	t.Parallel()
	r := smoke(t, append([]string{"100k", "--rate", "150", "--for", "3s", "--recipients", "1:3,4:1", "--sizes", "2KiB,20KiB"},
		off("added-p99", "relay-cores", "split", "rate")...)...)
	want := 15 + 450 - 6 // warm-up rises by quarters: 100 ms each at 37.5, 75, 112.5 and 150/s
	if got := r.Mails.Started; got < want-6 || got > want+40 {
		t.Errorf("%d mails started", got)
	}
	rec := r.Reconciliation
	if rec.By != "recipient" || rec.Mails != r.Mails.Started || rec.Delivered != rec.Accepted || rec.Accepted <= rec.Mails {
		t.Errorf("%+v", rec)
	}
	if r.Split.SES == 0 || r.Split.Cuenote == 0 || r.Added.Count < 400 || len(r.Samples) < 2 {
		t.Errorf("split %+v, %d lines of the relay's log, %d samples", r.Split, r.Added.Count, len(r.Samples))
	}
	if relay := r.process("relay"); relay.CPU == 0 || relay.PeakMiB < 5 {
		t.Errorf("relay: %+v", relay)
	}
}

// TestSmokeLMTP: TLS, AUTH and one answer for each recipient.
func TestSmokeLMTP(t *testing.T) {
	t.Parallel()
	r := smoke(t, append([]string{"100k", "--rate", "60", "--for", "2s", "--protocol", "lmtp", "--tls", "starttls", "--auth", "--recipients", "3", "--clients", "20"},
		off("added-p99", "relay-cores", "split", "rate")...)...)
	if rec := r.Reconciliation; rec.Accepted != 3*rec.Mails || rec.Delivered != rec.Accepted || rec.Mails < 100 {
		t.Errorf("%+v", rec)
	}
}

// TestSmokeSplitChange: the command, and its effect seen in the deliveries.
func TestSmokeSplitChange(t *testing.T) {
	t.Parallel()
	r := smoke(t, append([]string{"split-change", "--rate", "150", "--for", "4s"}, off("rate", "effect")...)...)
	if len(r.Changes) != 4 {
		t.Fatalf("%d changes", len(r.Changes))
	}
	for _, c := range r.Changes {
		// So few mails do not show the moment well; judge_test.go has more.
		if c.EffectSeconds < 0 || c.EffectSeconds > 10 || c.CommandSeconds <= 0 {
			t.Errorf("%+v", c)
		}
	}
}

// TestSmokeFleet: one of three is killed and comes back; nothing is lost, and
// what was in flight there may be left open by so few attempts.
func TestSmokeFleet(t *testing.T) {
	t.Parallel()
	r := smoke(t, append([]string{"fleet", "--rate", "100", "--for", "6s", "--attempts", "2", "--backoff", "1s"},
		off("rate", "split", "failing", "notice", "open", "unconfirmed")...)...)
	if r.Fleet == nil || r.Fleet.AwaySeconds < 1.5 || r.Fleet.AwaySeconds > 10 {
		t.Fatalf("%+v", r.Fleet)
	}
	if len(r.PerInstance) != 3 || min(r.PerInstance[0], r.PerInstance[1], r.PerInstance[2]) == 0 {
		t.Errorf("transactions of each: %v", r.PerInstance)
	}
	if redis := r.process("redis"); redis.PeakMiB == 0 || r.RedisPerMail == 0 {
		t.Errorf("redis: %+v, %v commands a mail", redis, r.RedisPerMail)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{"100k", "--rate", "0"}, {"100k", "--sizes", "x"}, {"100k", "--relay", "/nowhere"}, {"100k", "--threshold", "nothing=1"},
		{"100k", "--auth"}, {"100k", "--nonsense"}, {"100k", "--ses-latency", "soon"}, {"direct", "--clients", "0"}, {"100k", "--instances", "0"},
	} {
		if code := run(args); code != exitUsage {
			t.Errorf("%v: exit code %d, want %d", args, code, exitUsage)
		}
	}
}
