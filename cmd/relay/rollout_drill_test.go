package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// TestDrill is the short form of relay rollout drill: throttling, an outage,
// bounces and silence, each answered within the stated 15 s (silence: after its
// no_data_max of 10 s), and nothing goes to SES by the old share afterwards.
func TestDrill(t *testing.T) {
	t.Parallel()
	code, out, errOut := run(t, nil, "rollout", "drill", "--rate", "60", "--warm", "4s", "--json")
	if code != exitDone {
		t.Fatalf("exit %d: %s\n%s", code, errOut, out)
	}
	var results []drillResult
	if err := json.Unmarshal([]byte(out), &results); err != nil || len(results) != 4 {
		t.Fatalf("%v: %s", err, out)
	}
	for _, r := range results {
		if !r.OK || r.From != 100 || r.To != 50 || r.After != 0 || r.Took > r.Allowed {
			t.Errorf("%+v", r)
		}
		t.Logf("%s: %.1f s: %s", r.Fault, r.Took, r.Text)
	}
}

func TestDrillUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--fault", "fire"}, {"--rate", "0"}, {"--rate", "NaN"}} {
		code, _, errOut := run(t, nil, append([]string{"rollout", "drill"}, args...)...)
		if code != exitUsage || !strings.Contains(errOut, "relay rollout drill") {
			t.Errorf("%v: exit %d, %s", args, code, errOut)
		}
	}
	if code, _, errOut := run(t, nil, "rollout", "drill", "--config", "/nonexistent.yaml"); code != exitFailed {
		t.Errorf("exit %d, %s", code, errOut)
	}
}

// TestDrillThatFails: what is not answered in time is said, in words, as JSON
// and by the exit code, which is what a job that runs the drill looks at.
func TestDrillThatFails(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"--json"}} {
		code, out, errOut := run(t, nil, append([]string{"rollout", "drill", "--fault", "outage", "--rate", "60", "--warm", "1s", "--within", "1ms"}, args...)...)
		if code != exitFailed || !strings.Contains(errOut, "1 of 1 faults were not answered") {
			t.Errorf("%v: exit %d: %s", args, code, errOut)
		}
		if !strings.Contains(out, "the split was not put back in time") {
			t.Errorf("%v: %s", args, out)
		}
		if args == nil && !strings.Contains(out, "FAILED") {
			t.Errorf("%s", out)
		}
	}
}

// Mails of a share that is no whole number are counted too: their tag is not
// how the number is written.
func TestSentAtStep(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	mail := func(after time.Duration, tag string) simulator.Record {
		return simulator.Record{Time: at.Add(after), SES: &simulator.SESInfo{Tags: map[string]string{"relay-step": tag}}}
	}
	mails := []simulator.Record{mail(-time.Second, "12_5"), mail(time.Second, "12_5"), mail(time.Second, "10")}
	if n := sentAtStep(mails, at, 1250); n != 1 {
		t.Errorf("%d mails of 12.5 %%", n)
	}
}
