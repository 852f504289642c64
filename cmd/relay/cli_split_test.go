package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestSplitGet(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	code, out, _ := run(t, nil, "split", "get", "--api", api.URL)
	for _, want := range []string{"10 % requested, 24.1 % eligible, - effective", "version     7, by ops", "week 1", "by 2 of 2 instances"} {
		if code != exitDone || !strings.Contains(out, want) {
			t.Errorf("exit %d, no %q in\n%s", code, want, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("colours, and the output is no terminal")
	}
	_, out, _ = run(t, nil, "split", "get", "--json", "--api", api.URL)
	var got map[string]any
	if err := json.Unmarshal([]byte(out), &got); err != nil || got["new_field"] != 1.0 {
		t.Errorf("--json is not the API's answer: %s", out)
	}
}

// A brake is a difference from eligible to effective: what the rules leave to
// SES is measured while nothing goes there.
func TestEligibleUnderTheBrake(t *testing.T) {
	t.Parallel()
	c := newContract(t)
	env := map[string]string{"RELAY_API": "http://" + c.cfg.Load().Admin.Address}
	for _, line := range [][]string{{"split", "set", "100", "--force", "--reason", "test"}, {"brake", "--reason", "test"}} {
		if code, out, errOut := run(t, env, line...); code != exitDone {
			t.Fatalf("%v: exit %d\n%s%s", line, code, out, errOut)
		}
	}
	for range 3 {
		c.mail("taro@goo.ne.jp", "")
	}
	c.mail("", "") // that SES cannot take
	for _, command := range []string{"split get", "status"} {
		if _, out, _ := run(t, env, strings.Fields(command)...); !strings.Contains(out, "100 % requested, 75 % eligible, 0 % effective") {
			t.Errorf("%s:\n%s", command, out)
		}
	}
}

// The figures of one instance are not taken for the fleet's: said on a line of
// its own, where nothing is cut.
func TestWhoseFigures(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	for fleet, want := range map[string]string{
		`{"instances":7,"reporting":1,"up":false}`: "\nfigures     of this instance alone: Redis does not answer\n",
		`{"instances":7,"reporting":5,"up":true}`:  "\nfigures     of 5 of 7 instances\n",
		`{"instances":7,"reporting":7,"up":true}`:  "",
		`null`: "",
	} {
		api.status = strings.Replace(strings.Replace(busyStatus, "ALARMS", "", 1), "{", `{"fleet":`+fleet+`,`, 1)
		for _, command := range []string{"split get", "status"} {
			_, out, _ := run(t, nil, append(strings.Fields(command), "--api", api.URL)...)
			if !strings.Contains(out, want) || want == "" && strings.Contains(out, "figures") {
				t.Errorf("%s with %s:\n%s", command, fleet, out)
			}
		}
	}
}

func TestSplitSet(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	api.behind = 3
	code, out, errOut := run(t, nil, "split", "set", "25.50", "--reason", "week 1", "--api", api.URL)
	if code != exitDone || !strings.Contains(out, "10 % -> 25.5 %") || !strings.Contains(out, "7 -> 8") || !strings.Contains(out, "by 2 of 2") {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
	if got := api.changes(); len(got) != 1 || got[0] != `PUT /v1/split "7" {"reason":"week 1","ses_percent":25.5}` {
		t.Errorf("requests %q", got)
	}
}

func TestSplitSetStale(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	api.rival = true
	code, _, errOut := run(t, nil, "split", "set", "25", "--reason", "it's week 1", "--api", api.URL)
	for _, want := range []string{"ops changed the split from 10 % to 30 %", "week 1", "version 8", `relay split set 25 --reason 'it'\''s week 1'`} {
		if code != exitFailed || !strings.Contains(errOut, want) {
			t.Errorf("exit %d, no %q in\n%s", code, want, errOut)
		}
	}
}

func TestSplitPlan(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	if code, out, _ := run(t, nil, "split", "plan", "25", "--api", api.URL); code != exitDone || !strings.Contains(out, "YES: 25 %") {
		t.Errorf("exit %d\n%s", code, out)
	}
	api.plan = `{"percent":50,"ok":false,"ses_fits":true,"missing":[{"text":"Cuenote carries 400"}]}`
	if code, out, _ := run(t, nil, "split", "plan", "50", "--api", api.URL); code != exitFailed || !strings.Contains(out, "Cuenote carries 400") {
		t.Errorf("exit %d\n%s", code, out)
	}
}

func TestUndo(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	if code, out, errOut := run(t, nil, "split", "undo", "--api", api.URL); code != exitDone || !strings.Contains(out, "7 -> 8") {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
	if got := api.changes(); len(got) != 1 || !strings.HasPrefix(got[0], `POST /v1/split/undo "7"`) {
		t.Errorf("requests %q", got)
	}
}

func TestBrake(t *testing.T) {
	t.Parallel()
	api := newFakeAPI(t)
	if code, _, errOut := run(t, nil, "brake", "release", "--reason", "x", "--api", api.URL); code != exitFailed || !strings.Contains(errOut, "not on") {
		t.Errorf("release without brake: exit %d: %s", code, errOut)
	}
	code, out, _ := run(t, nil, "brake", "--reason", "bounces", "--api", api.URL)
	if code != exitDone || !strings.Contains(out, "BRAKE on") || !strings.Contains(out, "brake release") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if _, out, _ = run(t, nil, "split", "get", "--api", api.URL); !strings.HasPrefix(out, "BRAKE on") {
		t.Errorf("the brake is not the first line of\n%s", out)
	}
	if code, out, errOut := run(t, nil, "brake", "release", "--reason", "good again", "--api", api.URL); code != exitDone || !strings.Contains(out, "BRAKE off") {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
}
