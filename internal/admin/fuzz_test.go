package admin

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// FuzzAPI sends any request: as nobody and as somebody who may only look
// nothing moves; as an admin only what has the version in force moves, and no
// request is a fault of the relay.
func FuzzAPI(f *testing.F) {
	for pattern, s := range samples {
		method, _, _ := strings.Cut(pattern, " ")
		f.Add(method, s.target, s.body, "0", "application/json")
		f.Add(method, s.target, s.body+"x", `"0"`, "")
		f.Add("POST", s.target, s.body, "*", "text/plain")
	}
	f.Add("PUT", "/v1/split", `{"ses_percent":1e400,"reason":"r"}`, "0", "application/json")
	f.Add("PUT", "/v1/split", `{"ses_percent":-0,"reason":"\u0000\r\n","force":1}`, `W/"0", "1"`, "application/json; charset=x")
	f.Add("GET", "/v1/split/plan?percent=NaN&peak=1e999", "", "", "")
	f.Add("POST", "/v1/route-test", `{"from":"\"a>\"@b","to":"<@a,@b:c@d>","client":"::1%eth0","size":-1}`, "", "application/json")
	f.Add("GET", "/v1/trace/%2e%2e%2f%00", "", "", "")
	f.Fuzz(func(t *testing.T, method, target, body, match, kind string) {
		if method == "" || strings.ContainsFunc(method, func(r rune) bool { return r < 'A' || r > 'Z' }) || !strings.HasPrefix(target, "/") {
			return // net/http's own parser has refused it
		}
		fix := newFixture(t, withTokens)
		for _, role := range []Role{0, Monitoring, Readonly, Admin} {
			r, ok := request(method, target, body)
			if !ok || r.URL.Path == "/v1/events" || strings.HasPrefix(r.URL.Path, "/debug/") {
				return // these need a real connection, and have their own tests
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond) // a stream of events ends
			r = r.WithContext(ctx)
			r.RemoteAddr, r.Host = "10.1.2.3:9", "127.0.0.1:8025"
			r.Header.Set("Content-Type", kind)
			r.Header.Set("If-Match", match)
			if role > 0 {
				r.Header.Set("Authorization", "Bearer "+fix.tokens[role])
			}
			before := fix.live.Current()
			w := httptest.NewRecorder()
			fix.ServeHTTP(w, r)
			cancel()
			now := fix.live.Current()
			moved := now.Version != before.Version || now.Applied() != before.Applied()
			if w.Code >= 500 && w.Code != 503 || moved && (role != Admin || w.Code != 200) || !now.SESPercent.Valid() || !now.Applied().Valid() {
				t.Fatalf("%s %s %q as %v: %d, from %+v to %+v: %s", method, target, body, role, w.Code, before, now, w.Body)
			}
		}
	})
}

// request makes a request, or reports that no server would hand it on.
func request(method, target, body string) (r *http.Request, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return httptest.NewRequest(method, target, strings.NewReader(body)), true
}
