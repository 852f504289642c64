package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/relay"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.want(f.ask("GET", "/healthz", ""), 200, "alive")
	f.want(f.ask("GET", "/readyz", ""), 200, "ready")
	f.ready = false
	f.want(f.ask("GET", "/readyz", ""), 503, "starting")
	f.drain = true
	f.want(f.ask("GET", "/readyz", ""), 503, "draining")
	f.want(f.ask("GET", "/healthz", ""), 200)
}

// fakeFleet is a fixed list of instances.
type fakeFleet []Instance

func (f fakeFleet) Instances() []Instance                                    { return f }
func (f fakeFleet) Look(context.Context) []Instance                          { return f }
func (f fakeFleet) Reports(context.Context) ([][]byte, error)                { return nil, nil }
func (f fakeFleet) Ask(context.Context, string, string) ([][]byte, []string) { return nil, nil }
func (f fakeFleet) Trouble() (string, time.Time)                             { return "", time.Time{} }

func TestStatus(t *testing.T) {
	t.Parallel()
	c := &clock{epoch}
	f := newFixture(t, func(_ *fixture, cfg *Config, _ *Settings) {
		cfg.Now = c.Now
		cfg.Stats = NewStats(nil, c.Now)
		cfg.Fleet = fakeFleet{{ID: "relay-1", Version: 1}, {ID: "relay-2"}}
		cfg.Alarms = func() []Alarm { return []Alarm{{critical, "from elsewhere", epoch.Add(-time.Hour)}} }
	})
	status := func() (s Status) {
		t.Helper()
		v := f.want(f.ask("GET", "/v1/status", ""), 200)
		b, _ := json.Marshal(v)
		if err := json.Unmarshal(b, &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	texts := func(s Status) string { return fmt.Sprint(s.Alarms) }
	if s := status(); len(s.Alarms) != 1 || s.Instance != "relay-1" || !s.Ready || len(s.Upstreams) != 2 || s.Quota.Rate != 12.6 {
		t.Errorf("%+v", s)
	}
	// A new split is not hidden by the status that was just made.
	f.want(f.ask("PUT", "/v1/split", `{"ses_percent":20,"reason":"r"}`, "If-Match: 0"), 200)
	if s := status(); s.Split.Version != 1 || !strings.Contains(texts(s), "1 of 2 instances do not apply version 1") {
		t.Errorf("%+v", s)
	}
	for i := range 1000 {
		rec := record(relay.SES, relay.ResultAccepted)
		if i < 20 {
			rec.Attempts[0].Outcome = relay.Unknown
		}
		f.Stats.Observe(rec)
	}
	c.now = c.now.Add(10 * time.Second)
	s := status()
	if !strings.Contains(texts(s), "{warning ses accepted 98.00 % of 1000 messages") {
		t.Errorf("%s", texts(s))
	}
	f.hops[0] = Upstream{Name: relay.SES, Open: true, Because: "paused"}
	f.quota.Spent, f.quota.Day, f.quota.RateNow, f.quota.Known = true, true, 6, false
	f.want(f.ask("POST", "/v1/brake", `{"reason":"bounces"}`), 200)
	c.now = c.now.Add(time.Second)
	s = status()
	for _, want := range []string{"the brake is on: SES gets 0 % instead of 20 % (local: bounces)", "{critical the breaker of ses is open: paused", "{critical the 24-hour quota of SES is spent",
		"SES throttles: 6.0 recipients a second instead of 12.6", "until GetAccount answers"} {
		if !strings.Contains(texts(s), want) {
			t.Errorf("%q is not in %s", want, texts(s))
		}
	}
	if s.Alarms[0].Text != "from elsewhere" || s.Alarms[len(s.Alarms)-1].Level != warning {
		t.Errorf("not the worst first: %s", texts(s))
	}
	opened := c.now
	c.now = c.now.Add(time.Minute)
	for _, a := range status().Alarms {
		if strings.Contains(a.Text, "breaker") && !a.Since.Equal(opened) {
			t.Errorf("since %s, not %s", a.Since, opened)
		}
	}
	f.hops[0].Open = false
	c.now = c.now.Add(time.Minute)
	if s := status(); strings.Contains(texts(s), "breaker") {
		t.Errorf("%s", texts(s))
	}
	// Behind a rollback the requested share is lowered, too.
	f.want(f.ask("PUT", "/v1/split", `{"ses_percent":0,"reason":"r"}`, "If-Match: 1"), 200)
	c.now = c.now.Add(time.Second)
	if s := status(); !strings.Contains(texts(s), "the brake is on: SES gets no more than 0 % (local: bounces)") {
		t.Errorf("%s", texts(s))
	}
}

func TestUnknownDayQuotaIsNotUnlimited(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.quota.Known, f.quota.DayMax = false, -1
	f.want(f.ask("GET", "/v1/status", ""), 200, `"day_max":0`)
	f.want(f.ask("GET", "/v1/split/plan?percent=50", ""), 200, `"ses_day":0`)
}

func TestMetricsAreServed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.want(f.ask("GET", "/metrics", ""), 200, "relay_split_requested_percent 10", "relay_split_version 0", "relay_split_effective_percent")
}
