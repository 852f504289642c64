package admin

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A flood of refused requests cannot flood the log: each caller has an
// allowance, all together have one, and what got no line is counted.
func TestRefusalsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logBuffer{}
		r := newRefusals(slog.New(slog.NewJSONHandler(log, nil)), time.Now)
		allowed := func(n int, caller func(int) string) (got int) {
			for i := range n {
				if r.allow(caller(i)) {
					got++
				}
			}
			return got
		}
		one := func(int) string { return "192.0.2.1" }
		if got := allowed(10_000, one); got != refusalsOfCaller {
			t.Errorf("%d lines of one caller", got)
		}
		if !r.allow("the-readonly") {
			t.Error("one caller's noise hides another")
		}
		many := func(i int) string { return fmt.Sprint("2001:db8::", i) }
		if got := allowed(10_000, many); got != refusalsOfAll-refusalsOfCaller-1 {
			t.Errorf("%d lines of 10,000 callers", got)
		}
		r.mu.Lock()
		callers, whose := len(r.callers), len(r.whose)
		r.mu.Unlock()
		if callers > refusalCallers || whose > refusalCallers {
			t.Errorf("%d and %d callers are remembered", callers, whose)
		}
		if log.String() != "" {
			t.Errorf("summed up at once: %s", log)
		}
		time.Sleep(refusalSummary + time.Second)
		synctest.Wait()
		left := 10_000 - refusalsOfCaller + 10_000 - (refusalsOfAll - refusalsOfCaller - 1)
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, fmt.Sprintf(`"left_out":%d,"callers":%d`, left, refusalCallers)) {
			t.Errorf("want %d left out: %s", left, got)
		}
		time.Sleep(time.Hour)
		if got := allowed(20, one); got != refusalsOfCaller {
			t.Errorf("%d lines after an hour of quiet", got)
		}
		r.stop() // a summary is not lost when the service ends
		if got := log.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, `"left_out":10,"callers":1`) {
			t.Errorf("at the end: %s", got)
		}
		r.stop()
		if strings.Count(log.String(), "\n") != 2 {
			t.Error("summed up twice")
		}
	})
}

// The API itself: ten thousand wrong tokens are a few lines.
func TestFloodOfWrongTokens(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withTokens)
	for range 10_000 {
		if code := f.ask("GET", "/v1/status", "", "Remote: 10.1.2.3:9", "Authorization: Bearer relay_wrong").StatusCode; code != 401 {
			t.Fatal(code)
		}
	}
	f.refused.stop()
	if n := strings.Count(f.log.String(), "\n"); n > 2*refusalsOfCaller || !strings.Contains(f.log.String(), `"left_out":99`) {
		t.Errorf("%d lines:\n%.2000s", n, f.log)
	}
	if f.ask("PUT", "/v1/split", "{}", "Remote: 10.1.2.3:9", "Authorization: Bearer "+f.tokens[Readonly]); !strings.Contains(f.log.String(), "the-readonly") {
		t.Error("a known caller's attempt has no line, for the noise of an unknown one at the same address")
	}
}
