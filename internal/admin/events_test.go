package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/relay"
)

// listen opens the stream over a real connection and returns its events.
func listen(t *testing.T, f *fixture, server *httptest.Server, header http.Header) (<-chan [2]string, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	res, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	out := make(chan [2]string, 100)
	go func() {
		defer close(out)
		defer res.Body.Close()
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 1<<20)
		name := ""
		for lines.Scan() {
			if n, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				name = n
			}
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				out <- [2]string{name, data}
			}
		}
	}()
	return out, cancel
}

func serve(t *testing.T, f *fixture) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.Config = f.Server()
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func next(t *testing.T, events <-chan [2]string, name string) string {
	t.Helper()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				t.Fatalf("the stream ended before %s", name)
			}
			if e[0] == name {
				return e[1]
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("no %s", name)
		}
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rec := record(relay.SES, relay.ResultAccepted)
	f.Traces.Observe(rec)
	events, cancel := listen(t, f, serve(t, f), http.Header{})
	defer cancel()
	var s Status
	if err := json.Unmarshal([]byte(next(t, events, "status")), &s); err != nil || s.Split.Version != 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	if data := next(t, events, "transactions"); !strings.Contains(data, `"id":"id-1"`) || strings.Contains(data, "hanako") {
		t.Errorf("%s", data)
	}
	begun := time.Now()
	if _, err := f.live.Set(t.Context(), 0, 2500, "r", "ops"); err != nil {
		t.Fatal(err)
	}
	for s.Split.Version != 1 {
		if err := json.Unmarshal([]byte(next(t, events, "status")), &s); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("the change was told after %s", time.Since(begun))
	for range 50 {
		f.Traces.Observe(rec)
	}
	var tl tail
	if err := json.Unmarshal([]byte(next(t, events, "transactions")), &tl); err != nil {
		t.Fatal(err)
	}
	for seen := uint64(len(tl.Records)) + tl.Skipped; seen < 50; { // the burst may fall into two ticks
		var more tail
		if err := json.Unmarshal([]byte(next(t, events, "transactions")), &more); err != nil {
			t.Fatal(err)
		}
		seen += uint64(len(more.Records)) + more.Skipped
	}
	if len(tl.Records) > maxTail {
		t.Errorf("%d records in one event", len(tl.Records))
	}
}

// A token that is taken away ends the stream that it opened.
func TestEventsEndWithTheToken(t *testing.T) {
	t.Parallel()
	var settings Settings
	f := newFixture(t, withTokens, func(_ *fixture, _ *Config, s *Settings) {
		s.Networks[Readonly] = loopback
		settings = *s
	})
	events, cancel := listen(t, f, serve(t, f), http.Header{"Authorization": {"Bearer " + f.tokens[Readonly]}})
	defer cancel()
	next(t, events, "status")
	settings.Tokens = &Tokens{}
	f.Reconfigure(settings)
	for range events { // until it is closed
	}
}

func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for range maxStreams {
		f.streams <- struct{}{}
	}
	f.want(f.ask("GET", "/v1/events", ""), 503, "too many streams")
}

// A stream outlives the times that bound every other request.
func TestEventsOutliveTheReadTimeout(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := httptest.NewUnstartedServer(nil)
	s.Config = f.Server()
	s.Config.ReadTimeout, s.Config.WriteTimeout = 100*time.Millisecond, 100*time.Millisecond
	s.Start()
	defer s.Close()
	events, cancel := listen(t, f, s, http.Header{})
	defer cancel()
	for range 3 {
		next(t, events, "status")
	}
}

// A console that is open does not hold up the shutdown.
func TestShutdownEndsStreams(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	server := serve(t, f)
	events, cancel := listen(t, f, server, http.Header{})
	defer cancel()
	next(t, events, "status")
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	if err := server.Config.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	for range events { // until it is closed
	}
}
