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

// neighbour is a fleet of this instance and others that say what is given.
type neighbour struct {
	fakeFleet
	reports [][]byte
	err     error
	cause   string
	ask     func(about, text string) ([][]byte, []string)
}

func (n *neighbour) Reports(context.Context) ([][]byte, error) { return n.reports, n.err }
func (n *neighbour) Trouble() (string, time.Time)              { return n.cause, epoch }
func (n *neighbour) Ask(_ context.Context, about, text string) ([][]byte, []string) {
	return n.ask(about, text)
}

// withFleet makes an instance that has sent to SES, of a fleet.
func withFleet(t *testing.T, n *neighbour, accepted int) *fixture {
	f := newFixture(t, func(_ *fixture, cfg *Config, _ *Settings) {
		if n != nil {
			cfg.Fleet = n
		}
	})
	for range accepted {
		f.Stats.Observe(record(relay.SES, relay.ResultAccepted))
	}
	return f
}

func (f *fixture) statusNow(t *testing.T) (s Status) {
	t.Helper()
	b, _ := json.Marshal(f.want(f.ask("GET", "/v1/status", ""), 200))
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// Figures of the instances are added up, latency too, and what no relay could
// have written is left out.
func TestFiguresOfTheFleet(t *testing.T) {
	t.Parallel()
	other := newFixture(t)
	for range 300 {
		rec := record(relay.Cuenote, relay.ResultAccepted)
		rec.Attempts[0].Took = time.Second
		other.Stats.Observe(rec)
	}
	other.hops[0].Open, other.hops[0].Because, other.hops[1].InFlight = true, "throttled", 7
	said, err := other.Report()
	if err != nil {
		t.Fatal(err)
	}
	n := &neighbour{fakeFleet: fakeFleet{{ID: "relay-1"}, {ID: "relay-2"}}, reports: [][]byte{said, []byte("x"), []byte(`{"seconds":0}`), []byte(`{"seconds":60,"decided":-1}`)}}
	f := withFleet(t, n, 100)
	f.hops[1].InFlight = 1
	s := f.statusNow(t)
	if s.Fleet == nil || s.Fleet.Instances != 2 || s.Fleet.Reporting != 2 || !s.Fleet.Up {
		t.Fatalf("%+v", s.Fleet)
	}
	near(t, "effective", s.Split.Effective, 25)
	ses, cuenote := s.Upstreams[0], s.Upstreams[1]
	if ses.Messages != 100 || cuenote.Messages != 300 || cuenote.InFlight != 8 {
		t.Errorf("%+v", s.Upstreams)
	}
	if cuenote.P50 == nil || *cuenote.P50 < 900 || *cuenote.P50 > 1100 {
		t.Errorf("the other's latency is lost: %v", cuenote.P50)
	}
	if ses.Breaker != "open" || ses.Because != "throttled, on 1 of 2 instances" {
		t.Errorf("%s: %s", ses.Breaker, ses.Because)
	}
	if len(s.Reasons) != 2 || s.Reasons[0].Messages != 300 {
		t.Errorf("%+v", s.Reasons)
	}
	n.cause = "connection refused"
	n.err = context.DeadlineExceeded
	f = withFleet(t, n, 100)
	if s := f.statusNow(t); s.Fleet.Up || s.Fleet.Reporting != 1 || s.Fleet.Error != "connection refused" || s.Upstreams[1].Messages != 0 {
		t.Errorf("without Redis: %+v, %+v", s.Fleet, s.Upstreams)
	}
	if s := withFleet(t, nil, 1).statusNow(t); s.Fleet != nil {
		t.Errorf("an instance alone: %+v", s.Fleet)
	}
}

// A trace is asked of all instances, and says whom it could not ask.
func TestTraceOfTheFleet(t *testing.T) {
	t.Parallel()
	other := newFixture(t)
	rec := record(relay.SES, relay.ResultAccepted)
	rec.Envelope.ID = "01elsewhere"
	other.Traces.Observe(rec)
	n := &neighbour{fakeFleet: fakeFleet{{ID: "relay-1"}, {ID: "relay-2"}, {ID: "relay-3"}}}
	n.ask = func(about, text string) ([][]byte, []string) {
		return [][]byte{other.Answer(about, text), []byte("x")}, []string{"relay-3 (connection refused)"}
	}
	f := withFleet(t, n, 0)
	b, _ := json.Marshal(f.want(f.ask("GET", "/v1/trace/01elsewhere", ""), 200))
	if text := string(b); !strings.Contains(text, `"id":"01elsewhere"`) || !strings.Contains(text, "relay-3 (connection refused)") {
		t.Error(text)
	}
	if text := fmt.Sprint(f.want(f.ask("GET", "/v1/trace/01nobody", ""), 404)); !strings.Contains(text, "not asked: relay-3") {
		t.Error(text)
	}
	if other.Answer("secrets", "x") != nil {
		t.Error("something else was answered")
	}
}
