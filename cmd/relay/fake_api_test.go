package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// run types a command line and returns what it wrote.
func run(t *testing.T, env map[string]string, args ...string) (code int, out, errOut string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c := &cli{in: strings.NewReader(""), out: &stdout, err: &stderr, getenv: func(name string) string { return env[name] }}
	code = execute(t.Context(), c, args)
	return code, stdout.String(), stderr.String()
}

// fakeAPI is a relay's API as CONTRACT.md describes it.
type fakeAPI struct {
	*httptest.Server

	mu       sync.Mutex // guards what follows
	percent  float64
	version  int
	behind   int    // instances that have not yet followed, one fewer at each look
	brake    string // JSON of the brake, "" = off
	plan     string // JSON of the plan
	status   string // JSON of the status
	rollout  string // JSON of the rollout, "" = the relay has none
	rival    bool   // somebody changes the split before each PUT
	requests []string
}

func newFakeAPI(t *testing.T) *fakeAPI {
	t.Helper()
	f := &fakeAPI{version: 7, percent: 10, plan: `{"percent":25,"ok":true,"ses_fits":true,"missing":[],"unknown":[]}`}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/split", func(w http.ResponseWriter, _ *http.Request) { f.writeSplit(w) })
	mux.HandleFunc("PUT /v1/split", f.put)
	mux.HandleFunc("POST /v1/split/undo", f.put)
	mux.HandleFunc("POST /v1/brake", func(w http.ResponseWriter, _ *http.Request) {
		f.brake = `{"by":"ops","reason":"test","at":"2026-11-23T10:00:00Z"}`
		f.writeSplit(w)
	})
	mux.HandleFunc("DELETE /v1/brake", func(w http.ResponseWriter, r *http.Request) {
		f.brake = ""
		f.put(w, r)
	})
	mux.HandleFunc("GET /v1/split/plan", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, f.plan) })
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, f.status) })
	mux.HandleFunc("GET /v1/rollout", func(w http.ResponseWriter, r *http.Request) {
		if f.rollout == "" {
			http.NotFound(w, r)
			return
		}
		writeJSON(w, f.rollout)
	})
	mux.HandleFunc("POST /v1/rollout/{order}", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, f.rollout) })
	mux.HandleFunc("GET /v1/rollout/report", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, `{"stages":[]}`) })
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		f.requests = append(f.requests, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", r.Method, r.URL, r.Header.Get("If-Match"), body)))
		r.Body = io.NopCloser(bytes.NewReader(body))
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

// put changes the split under If-Match, as the API must.
func (f *fakeAPI) put(w http.ResponseWriter, r *http.Request) {
	var in struct {
		SESPercent *float64 `json:"ses_percent"`
		Reason     string   `json:"reason"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Reason == "" {
		problem(w, http.StatusUnprocessableEntity, "a reason is required")
		return
	}
	if f.rival {
		f.version, f.percent, f.rival = f.version+1, 30, false
	}
	switch r.Header.Get("If-Match") {
	case "":
		problem(w, http.StatusPreconditionRequired, "If-Match is missing")
		return
	case fmt.Sprintf(`"%d"`, f.version):
	default:
		problem(w, http.StatusPreconditionFailed, "the split has changed meanwhile")
		return
	}
	if in.SESPercent != nil {
		f.percent = *in.SESPercent
	}
	f.version++
	f.writeSplit(w)
}

func (f *fakeAPI) writeSplit(w http.ResponseWriter) {
	second := f.version
	if f.behind > 0 {
		second, f.behind = f.version-1, f.behind-1
	}
	brake := ""
	if f.brake != "" {
		brake = `,"brake":` + f.brake
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%d"`, f.version))
	writeJSON(w, fmt.Sprintf(`{"version":%d,"ses_percent":%g,"by":"message","reason":"week 1","changed_by":"ops",
		"changed_at":"2026-11-23T09:00:00Z","requested":%g,"eligible":24.1,"effective":null%s,
		"instances":[{"id":"relay-1","version":%d},{"id":"relay-2","version":%d}],"new_field":1}`,
		f.version, f.percent, f.percent, brake, f.version, second))
}

func writeJSON(w http.ResponseWriter, s string) {
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, s)
}

func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"title":%q,"status":%d,"detail":%q}`, http.StatusText(status), status, detail)
}

// changes returns the requests that change something.
func (f *fakeAPI) changes() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, r := range f.requests {
		if !strings.HasPrefix(r, "GET ") {
			out = append(out, r)
		}
	}
	return out
}
