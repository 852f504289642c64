package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What PutLogEvents may answer. "store" says whether the lines are written.
func throttled(w http.ResponseWriter, _ func()) { awsError(w, 400, "ThrottlingException") }
func tooMany(w http.ResponseWriter, _ func())   { w.WriteHeader(429) }
func denied(w http.ResponseWriter, _ func())    { awsError(w, 400, "AccessDeniedException") }
func storedThen500(w http.ResponseWriter, store func()) {
	store()
	awsError(w, 500, "InternalFailure")
}
func unavailable(w http.ResponseWriter, _ func()) { awsError(w, 503, "ServiceUnavailableException") }
func storedThenReset(w http.ResponseWriter, store func()) {
	store()
	panic(http.ErrAbortHandler)
}
func alreadyAccepted(w http.ResponseWriter, store func()) {
	store()
	awsError(w, 400, "DataAlreadyAcceptedException")
}
func tooOld(w http.ResponseWriter, store func()) {
	store()
	answerJSON(w, map[string]any{"rejectedLogEventsInfo": map[string]any{"tooOldLogEventEndIndex": 1, "tooNewLogEventStartIndex": 2}})
}

// Each line is in the group, or in the error bucket, and in both only where
// nobody can know.
func TestLogOutcomes(t *testing.T) {
	t.Parallel()
	type script = []func(http.ResponseWriter, func())
	for name, c := range map[string]struct {
		script       script
		written      int // of the three lines
		kept         int
		outcome      string
		puts         int
		missingGroup bool
	}{
		"accepted":         {script{nil, nil}, 3, 0, "", 2, false},
		"throttled":        {script{throttled, tooMany, throttled}, 3, 0, "", 5, false},
		"denied":           {script{denied}, 0, 3, "refused", 1, false},
		"500 after all":    {script{nil, storedThen500}, 3, 3, "unknown", 2, false},
		"reset":            {script{nil, storedThenReset}, 3, 3, "unknown", 2, false},
		"503":              {script{nil, unavailable}, 0, 3, "unknown", 2, false},
		"already accepted": {script{nil, alreadyAccepted}, 3, 0, "", 2, false},
		"some rejected":    {script{nil, tooOld}, 3, 2, "refused", 2, false},
		"no group":         {script{}, 0, 3, "refused", 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFakeAWS()
			f.script = c.script
			if c.missingGroup {
				delete(f.groups, groupNames[2])
			}
			h, metrics := start(t, f, func(s *settings) { s.eventGroup, s.rawGroup = "", "" })
			payload, ids := firehose([]byte(`{"eventType":"Send"}`), []byte(`{"eventType":"Bounce"}`), []byte(`{"eventType":"Delivery"}`))
			answer, _ := invoke(t, h, payload)
			checkAnswer(t, answer, ids)
			if got := len(f.lines(groupNames[2])); got != c.written {
				t.Errorf("%d lines written, want %d", got, c.written)
			}
			if f.puts != c.puts {
				t.Errorf("%d calls, want %d", f.puts, c.puts)
			}
			kept := 0
			if c.kept > 0 {
				for row := range strings.Lines(f.object(t, "logs-failed").body) {
					var l failedLine
					if err := json.Unmarshal([]byte(row), &l); err != nil || l.Outcome != c.outcome || l.Group != groupNames[2] || l.RecordID == "" || l.Message == "" || l.At == 0 {
						t.Errorf("%v: %s", err, row)
					}
					kept++
				}
			}
			if kept != c.kept || !strings.Contains(metrics.String(), fmt.Sprintf(`"LogLinesFailed":%d`, c.kept)) {
				t.Errorf("%d lines kept, want %d; %s", kept, c.kept, metrics)
			}
			// Firehose repeats the invocation: nothing is written or kept again.
			before := f.puts
			invoke(t, h, payload)
			if got := len(f.lines(groupNames[2])); got != c.written || f.puts != before {
				t.Errorf("repeated: %d lines, want %d; %d calls more", got, c.written, f.puts-before)
			}
			if c.kept > 0 {
				f.object(t, "logs-failed")
			}
		})
	}
}

// One log stream a day and container, by the day in Japan.
func TestLogStreamName(t *testing.T) {
	t.Parallel()
	f := newFakeAWS()
	h, _ := start(t, f, nil)
	payload, _ := firehose([]byte(`{"eventType":"Send"}`))
	invoke(t, h, payload)
	want := time.Now().In(h.zone).Format("2006/01/02/")
	for group, streams := range f.groups {
		for name := range streams {
			if len(streams) != 1 || !strings.HasPrefix(name, want) || len(name) != len(want)+16 {
				t.Errorf("%s: stream %q", group, name)
			}
		}
	}
}

func TestBatches(t *testing.T) {
	t.Parallel()
	now := time.Now()
	random := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct{ lines, size, spread int }{ // spread in hours
		{0, 0, 1}, {1, 1, 1}, {10_000, 60, 1}, {10_001, 10, 1}, {25_000, 20, 1}, {500, 4000, 1}, {9, maxLineBytes, 1}, {2000, 500, 200}, {3, 10, 0},
	} {
		var in []line
		for i := range c.lines {
			at := now.Add(-time.Duration(random.Int64N(int64(c.spread)*int64(time.Hour) + 1)))
			in = append(in, line{at: placed(at, now), recordID: fmt.Sprint(i), message: strings.Repeat("x", 1+random.IntN(max(1, c.size)))})
		}
		seen := map[string]bool{}
		for _, batch := range batches(in) {
			var events []fakeLine
			for _, l := range batch {
				if seen[l.recordID] {
					t.Fatalf("line %s twice", l.recordID)
				}
				seen[l.recordID] = true
				events = append(events, fakeLine{l.at.UnixMilli(), l.message})
			}
			if wrong := wrongBatch(events, now); wrong != "" {
				t.Fatalf("%+v: %s", c, wrong)
			}
		}
		if len(seen) != c.lines {
			t.Fatalf("%+v: %d lines", c, len(seen))
		}
	}
}

func TestPlaced(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct{ at, want time.Time }{
		{now, now}, {time.Time{}, now}, {now.Add(-time.Hour), now.Add(-time.Hour)},
		{now.Add(-20 * 24 * time.Hour), now.Add(-13*24*time.Hour - 23*time.Hour)}, {now.Add(5 * time.Hour), now.Add(110 * time.Minute)},
	} {
		if got := placed(c.at, now); !got.Equal(c.want) {
			t.Errorf("%v: got %v, want %v", c.at, got, c.want)
		}
	}
}

// A line over 256 KiB loses its headers, and then all but its ids.
func TestMessage(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 300<<10)
	headers := `{"eventType":"send","mail":{"messageId":"m","headers":["` + big + `"],"tags":{"relay-step":["10"]}}}`
	if got, want := message([]byte(headers)), `{"eventType":"send","mail":{"messageId":"m","tags":{"relay-step":["10"]}},"reduced":true}`; got != want {
		t.Errorf("got %.200s", got)
	}
	other := `{"eventType":"send","recordId":"r","mail":{"messageId":"m"},"x":"` + big + `"}`
	if got, want := message([]byte(other)), fmt.Sprintf(`{"eventType":"send","length":%d,"mail":{"messageId":"m"},"recordId":"r","reduced":true}`, len(other)); got != want {
		t.Errorf("got %.200s", got)
	}
	if got := message([]byte("a\xffb")); got != "a\uFFFDb" {
		t.Errorf("%q", got)
	}
	if got := message([]byte(strings.Repeat("\xff", maxLineBytes))); len(got) > maxLineBytes {
		t.Errorf("%d bytes", len(got))
	}
}

func TestWritten(t *testing.T) {
	t.Parallel()
	w := newWritten(10)
	for i := range 1000 {
		w.add(fmt.Sprint(i))
		if !w.has(fmt.Sprint(i)) || i >= 10 && !w.has(fmt.Sprint(i-9)) {
			t.Fatalf("forgot %d or before", i)
		}
	}
	if w.has("0") || len(w.now)+len(w.previous) > 20 {
		t.Errorf("grows: %d", len(w.now)+len(w.previous))
	}
	w.add("")
	if w.has("") {
		t.Error("a record without id counts as written")
	}
}
