package admin

import (
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// A CPU profile outlives the server's timeouts for a request, and is one.
func TestProfileOverTime(t *testing.T) {
	t.Parallel()
	base := serveProfiles(t, newFixture(t), func(s *http.Server) { s.ReadTimeout = 300 * time.Millisecond })
	res, err := http.Get(base + "profile?seconds=1")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("status %d", res.StatusCode)
	}
	unzipped, err := gzip.NewReader(res.Body)
	if err != nil {
		t.Fatalf("no profile: %v", err)
	}
	if b, err := io.ReadAll(unzipped); err != nil || len(b) == 0 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// A server that shuts down does not wait for a profile.
func TestProfileEndsWithServer(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var server *http.Server
	base := serveProfiles(t, f, func(s *http.Server) { server = s })
	done := make(chan error, 1)
	go func() {
		res, err := http.Get(base + "heap?seconds=120")
		if err == nil {
			res.Body.Close()
		}
		done <- err
	}()
	for len(f.profiler) == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("the request was cut: %v", err)
	}
}

func TestProfileRefusals(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.want(f.ask("GET", "/debug/pprof/", ""), 200, "goroutine")
	f.want(f.ask("GET", "/debug/pprof/goroutine?debug=1", ""), 200, "goroutine profile")
	f.want(f.ask("GET", "/debug/pprof/cmdline", ""), 404, "no such profile")
	for _, seconds := range []string{"0", "-1", "121", "NaN", "x"} {
		f.want(f.ask("GET", "/debug/pprof/profile?seconds="+seconds, ""), 422, "seconds")
	}
	f.want(f.ask("POST", "/debug/pprof/heap", "{}"), 405)
	f.profiler <- struct{}{}
	f.want(f.ask("GET", "/debug/pprof/heap", ""), 503, "another profile")
}

// serveProfiles serves the API on loopback and returns the base of its profiles.
func serveProfiles(t *testing.T, f *fixture, change func(*http.Server)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := f.Server()
	change(s)
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return "http://" + l.Addr().String() + "/debug/pprof/"
}
