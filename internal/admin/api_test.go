package admin

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sesrelay/internal/mask"
	"sesrelay/internal/quota"
	"sesrelay/internal/relay"
	"sesrelay/internal/split"
)

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// fixture is an API with everything around it.
type fixture struct {
	*API
	t      *testing.T
	live   *split.Live
	log    *logBuffer
	quota  quota.Status
	hops   []Upstream
	ready  bool
	drain  bool
	tokens map[Role]string
	rolls  *fakeRollout
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

type option func(*fixture, *Config, *Settings)

// withTokens gives each role a token, accepted from 10.0.0.0/8; admin's from
// 10.1.0.0/16 only.
func withTokens(f *fixture, _ *Config, s *Settings) {
	f.tokens = map[Role]string{}
	var file strings.Builder
	for r := Monitoring; r <= Admin; r++ {
		secret, line, err := NewToken(r, "the-"+r.String())
		if err != nil {
			f.t.Fatal(err)
		}
		f.tokens[r] = secret
		file.WriteString(line + "\n")
	}
	var err error
	if s.Tokens, err = ParseTokens(strings.NewReader(file.String())); err != nil {
		f.t.Fatal(err)
	}
	ten := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	s.Networks = map[Role][]netip.Prefix{Monitoring: ten, Readonly: ten, Admin: {netip.MustParsePrefix("10.1.0.0/16")}}
}

func newFixture(t *testing.T, options ...option) *fixture {
	t.Helper()
	f := &fixture{t: t, log: &logBuffer{}, ready: true, quota: quota.Status{Known: true, Rate: 12.6, RateNow: 12.6, DayMax: 50_000},
		hops: []Upstream{{Name: relay.SES}, {Name: relay.Cuenote}}}
	cfg := Config{Instance: "relay-1", Version: "test"}
	settings := Settings{Networks: map[Role][]netip.Prefix{Monitoring: loopback, Readonly: loopback, Admin: loopback}}
	reg := prometheus.NewRegistry()
	var err error
	if f.live, err = split.NewLive(t.Context(), split.NewMemoryStore(), split.LiveConfig{Initial: 1000, Registerer: reg}); err != nil {
		t.Fatal(err)
	}
	router, err := split.NewRouter(f.live, split.Config{Identities: []string{"goo.ne.jp"}, Rules: []split.Rule{{Name: "pin", RecipientDomain: "docomo.ne.jp", Route: "cuenote"}}})
	if err != nil {
		t.Fatal(err)
	}
	masker, err := mask.New(mask.Masked, []byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Split, cfg.Router, cfg.Gatherer = f.live, router, reg
	cfg.Quota = func() quota.Status { return f.quota }
	cfg.Upstreams = func() []Upstream { return f.hops }
	cfg.Ready = func() (bool, bool) { return f.ready, f.drain }
	cfg.Stats, cfg.Traces = NewStats(reg, nil), NewTraces(100)
	cfg.Masker = func() Masker { return masker }
	cfg.Log = slog.New(slog.NewJSONHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	f.rolls = &fakeRollout{}
	cfg.Rollout = f.rolls
	for _, o := range options {
		o(f, &cfg, &settings)
	}
	f.API = New(cfg, settings)
	return f
}

// ask makes a request; headers are "Name: value". Host is 127.0.0.1:8025 and
// the caller 127.0.0.1 unless a "Remote:" header says otherwise.
func (f *fixture) ask(method, target, body string, headers ...string) *http.Response {
	f.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host, r.RemoteAddr = "127.0.0.1:8025", "127.0.0.1:40000"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		switch name {
		case "Remote":
			r.RemoteAddr = value
		case "Host":
			r.Host = value
		default:
			r.Header.Set(name, value)
		}
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w.Result()
}

func (f *fixture) want(res *http.Response, status int, words ...string) map[string]any {
	f.t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	if res.StatusCode != status {
		f.t.Errorf("status %d, want %d: %s", res.StatusCode, status, b)
	}
	for _, w := range words {
		if !strings.Contains(string(b), w) {
			f.t.Errorf("%q is not in %s", w, b)
		}
	}
	if status >= 400 && res.Header.Get("Content-Type") != "application/problem+json" {
		f.t.Errorf("a refusal of type %q", res.Header.Get("Content-Type"))
	}
	var v map[string]any
	if strings.Contains(res.Header.Get("Content-Type"), "json") {
		if err := json.Unmarshal(b, &v); err != nil {
			f.t.Errorf("%v: %s", err, b)
		}
		if status >= 400 && v["status"] != float64(status) {
			f.t.Errorf("a problem that says %v under %d", v["status"], status)
		}
	}
	return v
}

func record(route relay.Route, result relay.Result) *relay.Record {
	return &relay.Record{
		Envelope:   relay.Envelope{ID: "id-1", ReversePath: relay.Address{Local: "taro.yamada", Domain: "goo.ne.jp"}, Client: relay.Client{Addr: netip.MustParseAddr("192.0.2.7"), HELO: "mx"}},
		Recipients: []relay.Address{{Local: "hanako", Domain: "docomo.ne.jp"}}, Route: route, Reason: relay.ReasonSplit, Eligible: route == relay.SES, Result: result,
		Receipt: relay.Receipt{Route: route, RelayID: "id-1", ID: "ses-message-id"}, Reply: relay.ReplyRecipientOK, Fingerprint: relay.Fingerprint{1, 2, 3},
		Attempts: []relay.Attempt{{Route: route, Outcome: relay.Accepted, Took: 80 * time.Millisecond}}, Duration: 90 * time.Millisecond, Delay: -1, Ended: time.Now(),
	}
}
