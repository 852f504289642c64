package admin

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sesrelay/internal/quota"
	"sesrelay/internal/relay"
	"sesrelay/internal/split"
)

func TestGetAndSetSplit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	res := f.ask("GET", "/v1/split", "")
	v := f.want(res, 200)
	if res.Header.Get("ETag") != `"0"` || v["version"] != 0.0 || v["ses_percent"] != 10.0 || v["requested"] != 10.0 || v["by"] != "message" || v["eligible"] != nil || v["effective"] != nil || v["brake"] != nil {
		t.Errorf("%v, %v", res.Header, v)
	}
	res = f.ask("PUT", "/v1/split", `{"ses_percent":0.01,"reason":"week 1"}`, `If-Match: "0"`)
	v = f.want(res, 200)
	if res.Header.Get("ETag") != `"1"` || v["version"] != 1.0 || v["ses_percent"] != 0.01 || v["reason"] != "week 1" || v["changed_by"] != "local" {
		t.Errorf("%v, %v", res.Header, v)
	}
	if f.live.Current().SESPercent != 1 {
		t.Errorf("in force: %s", f.live.Current().SESPercent)
	}
	v = f.want(f.ask("POST", "/v1/split/undo", `{"reason":"back"}`, `If-Match: "1"`), 200)
	if v["version"] != 2.0 || v["ses_percent"] != 10.0 {
		t.Errorf("%v", v)
	}
	h := f.want(f.ask("GET", "/v1/split/history", ""), 200)["changes"].([]any)
	back := f.want(f.ask("POST", "/v1/split/undo", ""), 200) // as the command: of the split in force
	if back["version"] != 3.0 || back["ses_percent"] != 0.01 || back["reason"] != "undo" {
		t.Errorf("%v", back)
	}
	if len(h) != 2 || h[0].(map[string]any)["action"] != "undo" || h[1].(map[string]any)["reason"] != "week 1" {
		t.Errorf("%v", h)
	}
	if log := f.log.String(); !strings.Contains(log, `"action":"set"`) || !strings.Contains(log, `"requested_before":10,"requested":0.01`) || !strings.Contains(log, `"reason":"week 1"`) {
		t.Errorf("audit: %s", log)
	}
}

func TestSplitRefusals(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.want(f.ask("PUT", "/v1/split", `{"ses_percent":5,"reason":"r"}`, `If-Match: "0"`), 200)
	const good = `{"ses_percent":5,"reason":"r"}`
	for _, c := range []struct {
		name, method, target, body, match string
		status                            int
		word                              string
	}{
		{"no If-Match", "PUT", "/v1/split", good, "", 428, "ETag"},
		{"any", "PUT", "/v1/split", good, "*", 428, "ETag"},
		{"stale", "PUT", "/v1/split", good, `"0"`, 412, "changed meanwhile"},
		{"from the future", "PUT", "/v1/split", good, `"2"`, 412, `"version":1`},
		{"another's tag", "PUT", "/v1/split", good, `"abc"`, 412, "not the ETag"},
		{"a weak tag", "PUT", "/v1/split", good, `W/"1"`, 412, "not the ETag"},
		{"a list without it", "PUT", "/v1/split", good, `"0", "2"`, 412, "changed meanwhile"},
		{"negative", "PUT", "/v1/split", good, `"-1"`, 412, "not the ETag"},
		{"above", "PUT", "/v1/split", `{"ses_percent":100.01,"reason":"r"}`, `"1"`, 422, "0 to 100"},
		{"below", "PUT", "/v1/split", `{"ses_percent":-1,"reason":"r"}`, `"1"`, 422, "0 to 100"},
		{"decimals", "PUT", "/v1/split", `{"ses_percent":1.005,"reason":"r"}`, `"1"`, 422, "two decimals"},
		{"a string", "PUT", "/v1/split", `{"ses_percent":"5","reason":"r"}`, `"1"`, 422, "0 to 100"},
		{"null", "PUT", "/v1/split", `{"ses_percent":null,"reason":"r"}`, `"1"`, 422, "ses_percent is required"},
		{"no value", "PUT", "/v1/split", `{"reason":"r"}`, `"1"`, 422, "ses_percent is required"},
		{"no body", "PUT", "/v1/split", ``, `"1"`, 422, "ses_percent is required"},
		{"no reason", "PUT", "/v1/split", `{"ses_percent":4}`, `"1"`, 422, "reason is required"},
		{"blank reason", "PUT", "/v1/split", `{"ses_percent":4,"reason":" "}`, `"1"`, 422, "reason is required"},
		{"lines in the reason", "PUT", "/v1/split", `{"ses_percent":4,"reason":"a\nb"}`, `"1"`, 422, "one line"},
		{"writing turned round", "PUT", "/v1/split", "{\"ses_percent\":4,\"reason\":\"a\u202eb\"}", `"1"`, 422, "one line"},
		{"unknown field", "PUT", "/v1/split", `{"ses_percent":4,"reason":"r","percent":5}`, `"1"`, 422, "percent"},
		{"an array", "PUT", "/v1/split", `[1]`, `"1"`, 422, ""},
		{"no JSON", "PUT", "/v1/split", `ses_percent=5`, `"1"`, 400, "JSON"},
		{"two values", "PUT", "/v1/split", good + good, `"1"`, 400, "JSON"},
		{"too long", "PUT", "/v1/split", `{"reason":"` + strings.Repeat("x", maxBody) + `"}`, `"1"`, 413, "longer"},
		{"undo with a value", "POST", "/v1/split/undo", good, `"1"`, 422, "PUT"},
		{"stale undo", "POST", "/v1/split/undo", `{"reason":"r"}`, `"0"`, 412, ""},
		{"release without brake", "DELETE", "/v1/brake", `{"reason":"r"}`, `"1"`, 409, "brake is not on"},
		{"release without version", "DELETE", "/v1/brake", `{"reason":"r"}`, "", 428, ""},
	} {
		headers := []string{}
		if c.match != "" {
			headers = append(headers, "If-Match: "+c.match)
		}
		t.Run(c.name, func(t *testing.T) {
			g := *f
			g.t = t
			res := g.ask(c.method, c.target, c.body, headers...)
			g.want(res, c.status, c.word)
			if c.status == 412 && res.Header.Get("ETag") != `"1"` {
				t.Errorf("ETag %q", res.Header.Get("ETag"))
			}
			if s := f.live.Current(); s.Version != 1 || s.SESPercent != 500 {
				t.Errorf("the split moved: %+v", s)
			}
		})
	}
	f.want(f.ask("PUT", "/v1/split", good, `If-Match: "1"`, "Content-Type: text/plain"), 415)
	// As curl -d sends it, with and without its default.
	f.want(f.ask("PUT", "/v1/split", good, `If-Match: "1"`, "Content-Type: application/x-www-form-urlencoded"), 200)
	f.want(f.ask("PUT", "/v1/split", good, `If-Match: "2"`, "Content-Type: "), 200)
}

func TestBrake(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, body := range []string{"", `{"reason":"bounces"}`, "not JSON"} { // it is pulled whatever the body
		v := f.want(f.ask("POST", "/v1/brake", body), 200)
		if v["applied"] != 0.0 || v["requested"] != 10.0 || v["version"] != 0.0 || v["brake"].(map[string]any)["by"] != "local" {
			t.Fatalf("%q: %v", body, v)
		}
	}
	f.want(f.ask("DELETE", "/v1/brake", `{}`, `If-Match: "0"`), 422, "reason")
	v := f.want(f.ask("DELETE", "/v1/brake", `{"reason":"fixed"}`, `If-Match: "0"`), 200)
	if v["applied"] != 10.0 || v["brake"] != nil || v["version"] != 1.0 {
		t.Fatalf("%v", v)
	}
	if log := f.log.String(); !strings.Contains(log, `"action":"brake"`) || !strings.Contains(log, `"applied_before":10,"applied":0`) {
		t.Errorf("audit: %s", log)
	}
}

// A release from a page that is stale does not take off a brake that came after
// it: the version is the same, the names are not.
func TestReleaseNamesItsBrakes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	seen := f.want(f.ask("POST", "/v1/brake", `{"reason":"to be sure"}`), 200)["brakes"].([]any)
	if len(seen) != 1 {
		t.Fatalf("%v", seen)
	}
	release := func(brakes any) string {
		b, _ := json.Marshal(map[string]any{"reason": "fixed", "brakes": brakes})
		return string(b)
	}
	if _, err := f.live.BrakeTo(0, "guard", "rollback: SES accepted 3 %"); err != nil {
		t.Fatal(err)
	}
	f.want(f.ask("DELETE", "/v1/brake", release(seen), `If-Match: "0"`), 412, "guard: rollback")
	f.want(f.ask("DELETE", "/v1/brake", release([]string{}), `If-Match: "0"`), 412)
	now := f.want(f.ask("GET", "/v1/split", ""), 200)
	if now["applied"] != 0.0 || now["brake"] == nil {
		t.Fatalf("%v", now)
	}
	v := f.want(f.ask("DELETE", "/v1/brake", release(now["brakes"]), `If-Match: "0"`), 200)
	if v["brake"] != nil || len(v["brakes"].([]any)) != 0 {
		t.Errorf("%v", v)
	}
}

// An increase that SES cannot carry needs force; a lowering needs nothing.
func TestPlanRefusesAnIncrease(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(_ *fixture, _ *Config, s *Settings) {
		s.Traffic = split.Traffic{PeakPerMinute: 6000, PerDay: 100_000, RecipientsPerMessage: 1}
	})
	v := f.want(f.ask("GET", "/v1/split/plan?percent=50", ""), 200, "50 recipients a second; SES allows 12.6")
	if v["ok"] != false || v["ses_fits"] != false || v["percent"] != 50.0 {
		t.Errorf("%v", v)
	}
	f.want(f.ask("GET", "/v1/split/plan?percent=x", ""), 422, "0 to 100")
	f.want(f.ask("GET", "/v1/split/plan", ""), 422, "0 to 100")
	v = f.want(f.ask("PUT", "/v1/split", `{"ses_percent":50,"reason":"up"}`, `If-Match: "0"`), 409, "37.4 are missing", "force")
	if v["plan"] == nil {
		t.Errorf("no plan: %v", v)
	}
	f.want(f.ask("PUT", "/v1/split", `{"ses_percent":50,"reason":"up"}`, `If-Match: "9"`), 412)
	f.want(f.ask("PUT", "/v1/split?force=0", `{"ses_percent":50,"reason":"up"}`, `If-Match: "0"`), 409)
	f.want(f.ask("PUT", "/v1/split?force=1", `{"ses_percent":50,"reason":"up"}`, `If-Match: "0"`), 200)
	f.want(f.ask("PUT", "/v1/split", `{"ses_percent":60,"reason":"up","force":true}`, `If-Match: "1"`), 200)
	f.want(f.ask("PUT", "/v1/split", `{"ses_percent":40,"reason":"down, still too much"}`, `If-Match: "2"`), 200)
	f.want(f.ask("POST", "/v1/split/undo", `{"reason":"up again"}`, `If-Match: "3"`), 409, "60 %")
	f.want(f.ask("POST", "/v1/split/undo?force=1", `{"reason":"up again"}`, `If-Match: "3"`), 200)
	f.want(f.ask("POST", "/v1/split/undo", `{"reason":"down"}`, `If-Match: "4"`), 200)
}

// A disk that cannot be written refuses an increase, and makes a lowering and
// the brake with a word about it.
func TestUnsavedChanges(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	store, err := split.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	f := newFixture(t, func(f *fixture, cfg *Config, _ *Settings) {
		if f.live, err = split.NewLive(t.Context(), store, split.LiveConfig{Initial: 1000}); err != nil {
			t.Fatal(err)
		}
		cfg.Split = f.live
	})
	block := func() {
		if err := os.MkdirAll(path+".tmp", 0o700); err != nil {
			t.Fatal(err)
		}
	}
	block()
	f.want(f.ask("PUT", "/v1/split", `{"ses_percent":20,"reason":"up"}`, "If-Match: 0"), 503, "was not made")
	block()
	if v := f.want(f.ask("PUT", "/v1/split", `{"ses_percent":5,"reason":"down"}`, "If-Match: 0"), 200); v["unsaved"] != true || v["version"] != 1.0 {
		t.Errorf("%v", v)
	}
	f.want(f.ask("POST", "/v1/brake", ""), 200, `"unsaved":true`, `"applied":0`)
	f.want(f.ask("GET", "/v1/status", ""), 200, "not saved, a restart would forget it")
	if log := f.log.String(); !strings.Contains(log, `"level":"ERROR","msg":"audit","event":"changed"`) {
		t.Errorf("audit: %s", log)
	}
}

func TestFaultsAreNotShown(t *testing.T) {
	t.Parallel()
	if p := asProblem(errors.New("open /var/lib/secret")); p.Status != 500 || strings.Contains(p.Detail, "secret") {
		t.Errorf("%+v", p)
	}
}

// Many clients at one version: one wins, the others are told.
func TestConcurrentPuts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[int]int{}
	for range 20 {
		wg.Go(func() {
			res := f.ask("PUT", "/v1/split", `{"ses_percent":5,"reason":"r"}`, `If-Match: "0"`)
			mu.Lock()
			got[res.StatusCode]++
			mu.Unlock()
		})
	}
	wg.Wait()
	if got[200] != 1 || got[412] != 19 {
		t.Fatalf("%v", got)
	}
}

// What is only a guess is not judged, and a spent day stops an increase.
func TestPlanOfWhatIsKnown(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(_ *fixture, _ *Config, s *Settings) { s.Traffic = split.Traffic{PeakPerMinute: 6000} })
	f.quota = quota.Status{Guess: true, Rate: 0.9, RateNow: 0.9, DayMax: -1}
	v := f.want(f.ask("GET", "/v1/split/plan?percent=50", ""), 200, "GetAccount has not answered")
	if v["ok"] != true || v["capacity"].(map[string]any)["ses_rate"] != 0.0 {
		t.Errorf("a guessed rate: %v", v)
	}
	f.quota = quota.Status{Known: true, Rate: 1000, RateNow: 1000, DayMax: 500, DayUsed: 500, Day: true, Spent: true}
	f.want(f.ask("GET", "/v1/split/plan?percent=50", ""), 200, "spent now: 500 of 500")
	f.want(f.ask("PUT", "/v1/split", `{"ses_percent":50,"reason":"r"}`, `If-Match: "0"`), 409, "spent now")
	f.want(f.ask("PUT", "/v1/split", `{"ses_percent":5,"reason":"r"}`, `If-Match: "0"`), 200) // lower
	if v := f.want(f.ask("GET", "/v1/split/plan?percent=0", ""), 200); v["ok"] != true {
		t.Errorf("nothing for SES: %v", v)
	}
	g := newFixture(t)
	for range 10 {
		g.Stats.Observe(record(relay.SES, relay.ResultAccepted))
	}
	g.want(g.ask("GET", "/v1/split/plan?percent=50", ""), 200, "set traffic.peak_per_minute")
}
