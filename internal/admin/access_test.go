package admin

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
)

// sample is a request for each route; "{version}" becomes the split's.
var samples = map[string]struct {
	target, body string
	moves        bool // needs If-Match
	ok           int
}{
	"GET /healthz":          {"/healthz", "", false, 200},
	"GET /readyz":           {"/readyz", "", false, 200},
	"GET /{$}":              {"/", "", false, 200},
	"GET /console/{file}":   {"/console/console.css", "", false, 200},
	"GET /metrics":          {"/metrics", "", false, 200},
	"GET /v1/openapi.json":  {"/v1/openapi.json", "", false, 200},
	"GET /v1/status":        {"/v1/status", "", false, 200},
	"GET /v1/split":         {"/v1/split", "", false, 200},
	"GET /v1/split/plan":    {"/v1/split/plan?percent=5", "", false, 200},
	"GET /v1/split/history": {"/v1/split/history", "", false, 200},
	"GET /v1/trace/{id}":    {"/v1/trace/nothing", "", false, 404},
	"GET /v1/events":        {"/v1/events", "", false, 200},
	"POST /v1/route-test":   {"/v1/route-test", `{"from":"a@goo.ne.jp","to":"b@example.jp"}`, false, 200},
	"PUT /v1/split":         {"/v1/split", `{"ses_percent":5,"reason":"r"}`, true, 200},
	"POST /v1/split/undo":   {"/v1/split/undo", `{"reason":"r"}`, true, 200},
	"POST /v1/brake":        {"/v1/brake", "", false, 200},
	"DELETE /v1/brake":      {"/v1/brake", `{"reason":"r"}`, true, 200},

	"GET /v1/rollout":          {"/v1/rollout", "", false, 200},
	"GET /v1/rollout/report":   {"/v1/rollout/report", "", false, 200},
	"POST /v1/rollout/start":   {"/v1/rollout/start", `{"reason":"r"}`, false, 200},
	"POST /v1/rollout/pause":   {"/v1/rollout/pause", "", false, 200},
	"POST /v1/rollout/resume":  {"/v1/rollout/resume", `{"reason":"r"}`, false, 200},
	"POST /v1/rollout/promote": {"/v1/rollout/promote", `{"reason":"r"}`, false, 200},
	"POST /v1/rollout/abort":   {"/v1/rollout/abort", "", false, 200},

	"GET /debug/pprof/{$}":       {"/debug/pprof/", "", false, 200},
	"GET /debug/pprof/{profile}": {"/debug/pprof/heap", "", false, 200},
}

// The whole matrix: every route by every role, from inside and outside of the
// role's networks, with no token and with a wrong one.
func TestRoleMatrix(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withTokens)
	inside, outside := "Remote: 10.1.2.3:999", "Remote: 192.0.2.9:999"
	for _, route := range f.routes() {
		s, ok := samples[route.Pattern]
		if !ok {
			t.Errorf("%s has no sample", route.Pattern)
			continue
		}
		method, _, _ := strings.Cut(route.Pattern, " ")
		if route.Pattern == "GET /v1/events" {
			method = "HEAD" // the same route, without the stream
		}
		try := func(want int, headers ...string) {
			t.Helper()
			before := f.live.Current().Version
			if s.moves {
				headers = append(headers, "If-Match: "+strconv.FormatInt(before, 10))
			}
			res := f.ask(method, s.target, s.body, headers...)
			if res.StatusCode != want {
				t.Errorf("%s with %v: %d, want %d", route.Pattern, headers[:1], res.StatusCode, want)
			}
			if want >= 400 && f.live.Current().Version != before {
				t.Errorf("%s with %v was refused and moved the split", route.Pattern, headers)
			}
			if want == 401 && res.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: 401 without WWW-Authenticate", route.Pattern)
			}
		}
		noToken, wrongToken, far := 401, 401, 403
		switch route.Role {
		case Anyone:
			noToken, wrongToken, far = s.ok, s.ok, s.ok
		case Network:
			noToken, wrongToken = s.ok, s.ok
		}
		try(noToken, inside)
		try(wrongToken, inside, "Authorization: Bearer relay_wrong")
		try(wrongToken, inside, "Authorization: Basic "+f.tokens[Admin])
		for role := Monitoring; role <= Admin; role++ {
			want := s.ok
			if role < route.Role {
				want = 403
			}
			bearer := "Authorization: Bearer " + f.tokens[role]
			if want == 200 && s.moves && strings.Contains(route.Pattern, "undo") {
				f.ask("PUT", "/v1/split", `{"ses_percent":9,"reason":"so that undo has something"}`, inside, bearer, "If-Match: "+strconv.FormatInt(f.live.Current().Version, 10))
			}
			try(far, outside, bearer)
			if route.Role >= Monitoring {
				try(403, inside, bearer, "Sec-Fetch-Site: cross-site", "Origin: https://evil.example", "X-Only: "+method)
			}
			try(want, inside, bearer)
		}
		if route.Role == Admin {
			try(403, "Remote: 10.2.0.1:1", "Authorization: Bearer "+f.tokens[Admin]) // in 10/8, not in admin's network
		}
	}
	if len(samples) != len(f.routes()) {
		t.Errorf("%d samples, %d routes", len(samples), len(f.routes()))
	}
}

// Without tokens_file loopback is served, and nothing that only looks like it.
func TestWithoutTokens(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.want(f.ask("GET", "/v1/split", ""), 200)
	f.want(f.ask("GET", "/v1/split", "", "Host: localhost:8025"), 200)
	f.want(f.ask("GET", "/v1/split", "", "Remote: [::ffff:127.0.0.1]:5"), 200)
	f.want(f.ask("GET", "/", ""), 200, "<title>SES relay")
	for name, header := range map[string]string{
		"another address":    "Remote: 10.0.0.1:5",
		"no address":         "Remote: @",
		"rebinding":          "Host: evil.example:8025",
		"rebinding to local": "Host: 127.0.0.1.evil.example",
		"no host":            "Host: ",
		"proxy":              "X-Forwarded-For: 127.0.0.1",
		"proxy, RFC 7239":    "Forwarded: for=127.0.0.1",
		"IPv6, not listed":   "Remote: [::1]:5",
	} {
		for _, target := range []string{"/v1/split", "/metrics", "/nowhere", "/"} {
			if res := f.ask("GET", target, "", header); res.StatusCode != 403 {
				t.Errorf("%s, %s: %d", name, target, res.StatusCode)
			}
		}
	}
	f.want(f.ask("GET", "/healthz", "", "Remote: 10.0.0.1:5", "Host: 10.9.9.9:8025"), 200)
	f.want(f.ask("PUT", "/v1/split", `{"ses_percent":1,"reason":"r"}`, "If-Match: 0", "Origin: https://evil.example"), 403, "another site")
	f.want(f.ask("PUT", "/v1/split", `{"ses_percent":1,"reason":"r"}`, "If-Match: 0", "Sec-Fetch-Site: cross-site"), 403, "another site")
	f.want(f.ask("PUT", "/v1/split", `{"ses_percent":1,"reason":"r"}`, "If-Match: 0", "Origin: http://127.0.0.1:8025"), 200)
}

// Without tokens, the networks still say which role loopback has.
func TestLoopbackRoleByNetwork(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(_ *fixture, _ *Config, s *Settings) {
		s.Networks = map[Role][]netip.Prefix{Readonly: loopback}
	})
	f.want(f.ask("GET", "/v1/split", ""), 200)
	f.want(f.ask("PUT", "/v1/split", `{"ses_percent":1,"reason":"r"}`, "If-Match: 0"), 403, "needs role admin")
	f.want(f.ask("POST", "/v1/brake", ""), 403)
}

// An empty tokens_file lets nobody in; it is not the same as none.
func TestEmptyTokensFile(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(_ *fixture, _ *Config, s *Settings) { s.Tokens = &Tokens{} })
	f.want(f.ask("GET", "/v1/split", ""), 401)
	f.want(f.ask("GET", "/v1/split", "", "Authorization: Bearer "), 401)
}

func TestRefusalsAreAudited(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withTokens)
	f.want(f.ask("PUT", "/v1/split", `{"ses_percent":50,"reason":"r"}`, "Remote: 10.1.2.3:9", "Authorization: Bearer "+f.tokens[Readonly]), 403)
	f.want(f.ask("GET", "/v1/split", "", "Remote: 10.1.2.3:9", "Authorization: Bearer "+f.tokens[Readonly]+"x"), 401)
	f.want(f.ask("PUT", "/v1/split", `{"ses_percent":500,"reason":"r"}`, "Remote: 10.1.2.3:9", "If-Match: 0", "Authorization: Bearer "+f.tokens[Admin]), 422)
	log := f.log.String()
	for _, want := range []string{`"who":"the-readonly"`, `"role":"readonly"`, `"status":403`, `"status":401`, `"address":"10.1.2.3"`, `"status":422`, `"who":"the-admin"`} {
		if !strings.Contains(log, want) {
			t.Errorf("%s is not in the audit log:\n%s", want, log)
		}
	}
	for _, secret := range f.tokens {
		if strings.Contains(log, secret) {
			t.Errorf("a token is in the log")
		}
	}
	if n := strings.Count(log, `"event":"refused"`); n != 3 {
		t.Errorf("%d lines", n)
	}
}

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, target := range []string{"/", "/console/main.js", "/v1/split", "/nowhere", "/metrics"} {
		h := f.ask("GET", target, "").Header
		if !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") || !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") ||
			h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" || h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", target, h)
		}
	}
}

func TestUnknownPathsAndMethods(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.want(f.ask("GET", "/v2/split", ""), 404, "openapi.json")
	f.want(f.ask("GET", "//v1/split", ""), 404)
	f.want(f.ask("GET", "/v1/../v1/split", ""), 404)
	f.want(f.ask("GET", "/console/console.js", ""), 404)
	res := f.ask("PATCH", "/v1/split", "{}")
	f.want(res, 405)
	if allow := res.Header.Get("Allow"); !strings.Contains(allow, "PUT") || !strings.Contains(allow, "GET") {
		t.Errorf("Allow: %q", allow)
	}
	g := newFixture(t, withTokens)
	g.want(g.ask("GET", "/v2/split", "", "Remote: 10.1.2.3:9"), 401) // nobody learns what exists
}

func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for range maxRequests {
		f.requests <- struct{}{}
	}
	f.want(f.ask("GET", "/v1/split", ""), http.StatusServiceUnavailable, "too many")
	f.want(f.ask("GET", "/healthz", ""), http.StatusOK)
	f.want(f.ask("POST", "/v1/brake", ""), http.StatusOK) // nobody who may only look stands before it
	for range maxChanges {
		f.changes <- struct{}{}
	}
	f.want(f.ask("POST", "/v1/brake", ""), http.StatusServiceUnavailable, "too many")
}
