package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sesrelay/internal/admin"
	"sesrelay/internal/mask"
	"sesrelay/internal/quota"
	"sesrelay/internal/relay"
	"sesrelay/internal/split"
)

// realAPI is the API that serve runs, on a split of its own. Two mails have
// passed it.
func realAPI(t *testing.T, settings admin.Settings) (url string, live *split.Live) {
	t.Helper()
	live, err := split.NewLive(t.Context(), split.NewMemoryStore(), split.LiveConfig{Initial: 1000})
	if err != nil {
		t.Fatal(err)
	}
	router, err := split.NewRouter(live, split.Config{Identities: []string{"goo.ne.jp"}, Rules: []split.Rule{
		{Name: "docomo", RecipientDomain: "docomo.ne.jp", Route: "cuenote"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	limiter, err := quota.New(quota.Config{Rate: 500, Day: 1_000_000, Headroom: 0.9}, nil)
	if err != nil {
		t.Fatal(err)
	}
	masker, err := mask.New(mask.Masked, []byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	stats, traces := admin.NewStats(nil, nil), admin.NewTraces(10)
	for _, rec := range passedMails() {
		stats.Observe(rec)
		traces.Observe(rec)
	}
	settings.Networks = map[admin.Role][]netip.Prefix{}
	for _, role := range []admin.Role{admin.Admin, admin.Readonly, admin.Monitoring} {
		settings.Networks[role] = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}
	api := httptest.NewServer(admin.New(admin.Config{
		Instance: "relay-1", Version: "test", Split: live, Router: router, Quota: limiter.Status,
		Upstreams: func() []admin.Upstream {
			return []admin.Upstream{{Name: relay.SES, InFlight: 3}, {Name: relay.Cuenote}}
		},
		Ready: func() (bool, bool) { return true, false },
		Stats: stats, Traces: traces, Masker: func() admin.Masker { return masker },
		Gatherer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
	}, settings))
	t.Cleanup(api.Close)
	return api.URL, live
}

func passedMails() []*relay.Record {
	from, _ := relay.ParseAddress("news@goo.ne.jp", false)
	to, _ := relay.ParseAddress("taro@example.jp", false)
	sent := &relay.Record{
		Envelope:   relay.Envelope{ID: "01sent", ReversePath: from, Client: relay.Client{Addr: netip.MustParseAddr("10.1.2.3"), HELO: "mx1"}},
		Recipients: []relay.Address{to}, Eligible: true, Route: relay.SES, Reason: relay.ReasonSplit, Result: relay.ResultAccepted,
		Reply: relay.Reply{Code: 250, Enhanced: [3]int{2, 0, 0}, Text: "01sent accepted by ses 0100-abc"}, Receipt: relay.Receipt{Route: relay.SES, RelayID: "01sent", ID: "0100-abc"},
		Attempts: []relay.Attempt{{Route: relay.SES, Outcome: relay.Accepted, Took: 120 * time.Millisecond}}, Size: 8192, Ended: time.Now(), QueueID: "4Z1",
	}
	lost := *sent
	lost.Envelope.ID, lost.Result, lost.Receipt = "01lost", relay.ResultUnknown, relay.Receipt{}
	lost.Reply, lost.Err = relay.ReplyLocalError, errors.New("ses: reset after the request to taro@example.jp")
	lost.Attempts = []relay.Attempt{{Route: relay.SES, Outcome: relay.Unknown, Class: "reset", Took: time.Second, Err: relay.AsError(lost.Err)}}
	return []*relay.Record{sent, &lost}
}

// TestCommandsAgainstTheAPI types every command against the API that serve runs.
func TestCommandsAgainstTheAPI(t *testing.T) {
	t.Parallel()
	url, live := realAPI(t, admin.Settings{Traffic: split.Traffic{PeakPerMinute: 100000, PerDay: 5300000, RecipientsPerMessage: 1}})
	env := map[string]string{"RELAY_API": url}
	for _, step := range []struct {
		line string
		code int
		want []string
	}{
		{"split get", 0, []string{"10 % requested", "by configuration", "by 1 of 1 instances"}},
		{"split history", 0, []string{"no change yet"}},
		{"split undo", 1, []string{"no earlier value"}},
		{"split set 12.5 --reason week-1", 0, []string{"10 % -> 12.5 %", "version     0 -> 1"}},
		{"split set 50 --reason week-2", 1, []string{"SES cannot carry 50 %", "relay split set 50 --reason 'week-2' --force"}},
		{"split plan 50", 1, []string{"NO: 50 %", "2,650,000", "450", "missing"}},
		{"split plan 15", 0, []string{"YES: 15 %", "250"}},
		{"split set 50 --reason week-2 --force", 0, []string{"12.5 % -> 50 %"}},
		{"split undo --reason back", 0, []string{"50 % -> 12.5 %", "2 -> 3"}},
		{"split undo", 1, []string{"SES cannot carry 50 %", "relay split undo --reason 'undo' --force"}},
		{"brake --reason bounces", 0, []string{"BRAKE on", "12.5 % is asked for"}},
		{"brake", 0, []string{"BRAKE on"}},
		{"status", 0, []string{"WARNING", "0 % applied", "no reason given", "relay-1 v3"}},
		{"brake release --reason good", 0, []string{"BRAKE off", "0 % -> 12.5 %"}},
		{"brake release --reason good", 1, []string{"the brake is not on"}},
		{"split history --limit 2", 0, []string{"release", "local", "older ones"}},
		{"split history", 0, []string{"week-1", "week-2", "undo", "brake"}},
		{"status", 0, []string{"12.5 % requested", "100 % effective", "50 %", "cuenote", "1,000,000"}},
		{"top", 0, []string{"12.5 % requested"}},
		{"trace 01sent", 0, []string{"ACCEPTED", "01sent accepted by ses 0100-abc", "its queue id 4Z1", "ses: accepted after 120 ms", "8,192 bytes"}},
		{"trace 0100-abc", 0, []string{"relay id    01sent"}},
		{"trace 01lost", 0, []string{"UNKNOWN", "ses: unknown after 1 s (reset)"}},
		{"trace 01none", 1, []string{"no instance remembers 01none"}},
		{"route test --from a@goo.ne.jp --to b@docomo.ne.jp --want cuenote", 0, []string{"cuenote, by a rule (rule docomo)"}},
		{"route test --from a@goo.ne.jp --to b@docomo.ne.jp --want ses", 1, []string{"NO: wanted ses"}},
		{"route test --from <> --to b@example.jp", 0, []string{"cuenote, a null sender"}},
		{"route test --from a@goo.ne.jp --to b@example.jp --client 10.0.0.1 --size 100", 0, []string{"SES share of such mail: 12.5 %"}},
		{"route test --from a@goo.ne.jp --to nobody", 1, []string{"write an address such as"}},
	} {
		code, out, errOut := run(t, env, strings.Fields(step.line)...)
		for _, want := range step.want {
			if code != step.code || !strings.Contains(out+errOut, want) {
				t.Errorf("relay %s: exit %d, want %d and %q in\n%s%s", step.line, code, step.code, want, out, errOut)
			}
		}
		if strings.Contains(out+errOut, "taro@") {
			t.Errorf("relay %s shows an address:\n%s%s", step.line, out, errOut)
		}
	}
	if got := live.Current(); got.SESPercent != 1250 || got.Brake != nil {
		t.Errorf("the split is %s, brake %v", got.SESPercent, got.Brake)
	}
}

// TestJSONIsTheAPIsAnswer: --json is one JSON value and nothing else.
func TestJSONIsTheAPIsAnswer(t *testing.T) {
	t.Parallel()
	url, _ := realAPI(t, admin.Settings{})
	for line, key := range map[string]string{
		"split get": "ses_percent", "split set 20 --reason x": "version", "split plan 20": "ok", "split history": "changes",
		"brake": "applied", "status": "upstreams", "top": "upstreams", "trace 01sent": "records",
		"route test --from a@goo.ne.jp --to b@example.jp": "route",
	} {
		code, out, errOut := run(t, nil, append(strings.Fields(line), "--json", "--api", url)...)
		var v map[string]any
		if err := json.Unmarshal([]byte(out), &v); err != nil || code != exitDone || errOut != "" || v[key] == nil {
			t.Errorf("relay %s --json: exit %d, %v, no %q in\n%s%s", line, code, err, key, out, errOut)
		}
	}
}

// TestRoles: a token is sent, and a refusal says which token would do.
func TestRoles(t *testing.T) {
	t.Parallel()
	token, line, err := admin.NewToken(admin.Readonly, "viewer")
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := admin.ParseTokens(strings.NewReader(line))
	if err != nil {
		t.Fatal(err)
	}
	url, _ := realAPI(t, admin.Settings{Tokens: tokens})
	env := map[string]string{"RELAY_API": url}
	if code, _, errOut := run(t, env, "split", "get"); code != exitFailed || !strings.Contains(errOut, "--token-file") {
		t.Errorf("without a token: exit %d: %s", code, errOut)
	}
	env["RELAY_TOKEN"] = token
	if code, _, errOut := run(t, env, "split", "get"); code != exitDone {
		t.Errorf("with a token: exit %d: %s", code, errOut)
	}
	if code, _, errOut := run(t, env, "brake"); code != exitFailed || !strings.Contains(errOut, "needs role admin") {
		t.Errorf("readonly brakes: exit %d: %s", code, errOut)
	}
}
