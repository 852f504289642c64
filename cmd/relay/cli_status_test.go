package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"sesrelay/internal/rollout"
)

// busyStatus has more than fits on a screen, and hostile texts.
const busyStatus = `{"instance":"relay-1","version":"0.2","ready":true,
 "split":{"version":12345,"ses_percent":25.25,"by":"message","reason":"a very long reason that goes on and on and on and on and on and on until the end of the line","changed_by":"operations-team","changed_at":"2026-11-23T09:00:00Z","eligible":24.11111,"effective":23.9,
  "instances":[{"id":"relay-1.goo.ne.jp","version":12345},{"id":"relay-2.goo.ne.jp","version":12344},{"id":"relay-3.goo.ne.jp","version":12345},{"id":"relay-4.goo.ne.jp","version":12345},{"id":"relay-5.goo.ne.jp","version":12345},{"id":"relay-6.goo.ne.jp","version":12345},{"id":"relay-7.goo.ne.jp","version":12345}]},
 "upstreams":[{"name":"ses","rate":416.7,"success":99.987,"p50_ms":120.4,"p99_ms":1450,"breaker":"closed","in_flight":55},
              {"name":"cuenote","rate":1250.2,"success":99.5,"p50_ms":80,"p99_ms":400,"breaker":"open","breaker_reason":"dial failures\u001b[2J","in_flight":1}],
 "quota":{"rate":450,"used":416.7,"day_max":5500000,"day_used":1234567},
 "alarms":[ALARMS],
 "reasons":[{"upstream":"cuenote","reason":"null_sender","messages":12000},{"upstream":"cuenote","reason":"split","messages":1},{"upstream":"ses","reason":"split","messages":1}]}`

func TestStatusFitsTheScreen(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	alarm := `{"level":"warning","text":"the quota of the day is nearly spent, and this sentence is longer than the line","since":"2026-11-23T09:00:00Z"}`
	api.status = strings.Replace(busyStatus, "ALARMS", strings.TrimSuffix(strings.Repeat(alarm+",", 20), ","), 1)
	code, out, errOut := run(t, nil, "status", "--api", api.URL)
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(lines) > 23 {
		t.Errorf("%d lines, and the prompt takes one of 24", len(lines))
	}
	for _, line := range lines {
		if utf8.RuneCountInString(line) > 80 {
			t.Errorf("%d columns: %s", utf8.RuneCountInString(line), line)
		}
	}
	if code != exitDone || !strings.HasPrefix(out, "CRITICAL  cuenote is left alone") || strings.Contains(out, "\x1b") {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
	for _, want := range []string{"25.25 % requested", "24.11 % eligible", "relay-2.goo.ne.jp v12344 (behind)", "null_sender 12,000", "1,234,567 of 5,500,000 in 24 hours (22.45 %)", "1.5 s", "more: relay status --json"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestStatusSaysTheWorstFirst(t *testing.T) {
	t.Parallel()
	split := `"split":{"version":1,"ses_percent":5,"instances":[{"id":"a","version":1}]}`
	for _, row := range []struct{ status, want string }{
		{`{"ready":true,` + split + `}`, "OK  SES gets 5 % of the mail, applied by 1 instance"},
		{`{"ready":false,` + split + `}`, "WARNING  this instance is not ready"},
		{`{"ready":true,"draining":true,` + split + `}`, "WARNING  this instance is draining"},
		{`{"ready":true,"split":{"version":2,"instances":[{"id":"a","version":1}]}}`, "WARNING  the split is not applied everywhere: by 0 of 1"},
		{`{"ready":true,"split":{"version":2,"unsaved":true}}`, "WARNING  the split is not saved"},
		{`{"ready":true,"alarms":[{"level":"warning","text":"look here"}],` + split + `}`, "WARNING  look here"},
		{`{"ready":true,"alarms":[{"level":"warning","text":"a"},{"level":"critical","text":"fire"}],` + split + `}`, "CRITICAL  fire"},
		{`{"ready":false,"split":{"version":2,"brake":{"by":"ops","reason":"bounces","at":"2026-11-23T09:00:00Z"}}}`, "WARNING  the brake is on"},
	} {
		api := newFakeAPI(t)
		api.status = row.status
		code, out, errOut := run(t, nil, "status", "--api", api.URL)
		if code != exitDone || !strings.HasPrefix(out, row.want) {
			t.Errorf("exit %d, got\n%s%swant %s", code, out, errOut, row.want)
		}
	}
}

// An alarm ends with what to do: it is cut only where the screen has no room.
func TestStatusShowsWholeAlarms(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	long := "no sender domain may go to SES (SignatureDoesNotMatch), all mail takes Cuenote: relay check --live says what to DO"
	one := `{"level":"critical","text":"` + long + `"}`
	api.status = `{"ready":true,"alarms":[` + one + `,` + one + `],"split":{"version":1,"instances":[{"id":"a","version":1}]}}`
	_, out, _ := run(t, nil, "status", "--api", api.URL)
	if n := strings.Count(out, " DO\n"); n != 3 { // the headline and two alarms
		t.Errorf("%d times to its end:\n%s", n, out)
	}
	api.status = strings.Replace(api.status, one, one+strings.Repeat(","+one, 20), 1)
	if _, out, _ = run(t, nil, "status", "--api", api.URL); strings.Count(out, "\n") > 23 || !strings.Contains(out, "more: relay status --json") {
		t.Errorf("more than a screen:\n%s", out)
	}
}

func TestTopWithoutTerminalPrintsOnce(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	api.status = `{"ready":true,"split":{"version":1,"instances":[{"id":"a","version":1}]}}`
	code, out, _ := run(t, nil, "top", "--api", api.URL)
	if code != exitDone || !strings.HasPrefix(out, "OK") || strings.Contains(out, "\x1b") {
		t.Errorf("exit %d\n%q", code, out)
	}
}

func TestStatusShowsTheRehearsal(t *testing.T) {
	t.Parallel()
	eligible := 70.0
	v := &rollout.RehearsalView{Judged: 10, Fit: 7, Eligible: &eligible, Reasons: map[string]int64{"content": 1, "size": 2}}
	if got := strings.Join(rehearsalLines(v), "|"); got != "rehearsal   70 % of 10 messages could go to SES, size 2, content 1" {
		t.Error(got)
	}
	if got := rehearsalLines(&rollout.RehearsalView{}); got != nil {
		t.Errorf("%q", got)
	}
	f := newFakeAPI(t)
	f.status = `{"split":{"version":7,"ses_percent":0}}`
	f.rollout = `{"phase":"idle","rehearsal":{"judged":10,"fit":7,"eligible":70,"reasons":{"size":3}}}`
	if code, out, errOut := run(t, map[string]string{"RELAY_API": f.URL}, "status"); code != exitDone || !strings.Contains(out, "rehearsal   70 % of 10 messages could go to SES, size 3") {
		t.Errorf("exit %d: %s%s", code, out, errOut)
	}
}
