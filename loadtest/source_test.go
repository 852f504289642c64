package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

func TestAddedTimes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.log")
	log := `{"time":"2026-11-23T10:00:00.5Z","level":"INFO","msg":"transaction","id":"w","duration_ms":900,"upstream_ms":1,"split_version":1}
{"time":"2026-11-23T10:00:02.5Z","level":"INFO","msg":"ready","duration_ms":900,"upstream_ms":1,"x":1}
{"time":"2026-11-23T10:00:03.5Z","level":"INFO","msg":"transaction","id":"a","reply":"250 2.0.0 a","duration_ms":81.5,"upstream_ms":80.25,"split_version":1}
{"time":"2026-11-23T10:00:04.5Z","level":"WARN","msg":"transaction","id":"b","duration_ms":30,"upstream_ms":0,"split_version":1}
not JSON
`
	if err := os.WriteFile(path, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	h, lines, err := addedTimes(path, time.Date(2026, 11, 23, 10, 0, 1, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	if lines != 3 { // the warm-up's is one
		t.Errorf("%d transactions", lines)
	}
	if got := timesOf(h); got.Count != 2 || got.P50 < 1.249 || got.P50 > 1.251 || got.Max < 29.9 || got.Max > 30.1 {
		t.Errorf("%+v", got)
	}
}

func TestReadCounters(t *testing.T) {
	text := `# HELP relay_ses_errors_total Errors.
relay_ses_errors_total{class="throttled"} 3
relay_messages_total{upstream="ses",outcome="unknown"} 1.2e+03
relay_ses_errors_total_created{class="x"} 9
relay_connections 5
`
	got, err := readCounters(strings.NewReader(text), "relay_ses_errors_total", "relay_messages_total")
	if err != nil || len(got) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	if c := got[0]; c.label("class") != "throttled" || c.value != 3 || c.label("las") != "" {
		t.Errorf("%+v", c)
	}
	if c := got[1]; c.label("upstream") != "ses" || c.label("outcome") != "unknown" || c.value != 1200 {
		t.Errorf("%+v", c)
	}
	if _, err := readCounters(strings.NewReader(`m{class="x"} many`), "m"); err == nil {
		t.Error("a value that is no number was taken")
	}
}

func TestAnomalyKinds(t *testing.T) {
	kinds, takenBack := anomalyKinds([]simulator.Anomaly{
		{Kind: simulator.AnomalyTruncated}, {Kind: simulator.AnomalyBareLF}, {Kind: simulator.AnomalyBareLF},
	})
	if takenBack != 1 || sum(kinds) != 2 || kinds[simulator.AnomalyBareLF].Count != 2 {
		t.Errorf("%v, %d", kinds, takenBack)
	}
}

func TestUsageOfThisProcess(t *testing.T) {
	before, err := readUsage(os.Getpid())
	if err != nil {
		t.Skipf("no /proc here: %v", err)
	}
	for begin := time.Now(); time.Since(begin) < 5*time.Second; {
		for i, x := 0, 1; i < 1_000_000; i++ {
			x = x*31 + i
		}
		if now, err := readUsage(os.Getpid()); err != nil {
			t.Fatal(err)
		} else if now.CPU >= before.CPU+50*time.Millisecond {
			if now.RSS < 1<<20 || now.PeakRSS < now.RSS {
				t.Errorf("%+v", now)
			}
			return
		}
	}
	t.Error("5 s of work left no 50 ms of CPU time")
}
