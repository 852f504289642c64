package admin

import (
	"net/http"
	"strings"
	"testing"
)

// operation is one method of one path of the description.
type operation struct{ method, path, role string }

// target is the path with something in the place of its parameters.
func (o operation) target() string {
	return strings.NewReplacer("{id}", "nothing", "{file}", "brake.js").Replace(o.path)
}

// served asks in a way that a stream of events ends.
func (o operation) served() string {
	if o.path == "/v1/events" {
		return "HEAD"
	}
	return o.method
}

func described(t *testing.T) (all []operation) {
	t.Helper()
	for path, methods := range readDocument(t).Paths {
		for method, op := range methods {
			all = append(all, operation{strings.ToUpper(method), path, op.Role})
		}
	}
	if len(all) < 15 {
		t.Fatalf("only %d operations are described", len(all))
	}
	return all
}

// TestRolesOfTheDescription walks the published description, not the table that
// the service is built from, and proves the role that it names for each
// operation: one role below is refused, the role itself passes the check, and
// nobody passes from outside of the role's networks, or sent by another site.
func TestRolesOfTheDescription(t *testing.T) {
	t.Parallel()
	const inside = "Remote: 10.1.2.3:999"
	for _, op := range described(t) {
		f := newFixture(t, withTokens)
		ask := func(headers ...string) int { return f.ask(op.served(), op.target(), "", headers...).StatusCode }
		passes := func(code int) bool { return code != 401 && code != 403 }
		if op.role == "anyone" || op.role == "network" {
			if code := ask(inside); code != 200 {
				t.Errorf("%s %s is for %s: %d without a token", op.method, op.path, op.role, code)
			}
			if code := ask("Remote: 192.0.2.9:9"); passes(code) != (op.role == "anyone") {
				t.Errorf("%s %s is for %s: %d from outside", op.method, op.path, op.role, code)
			}
			continue
		}
		need, err := ParseRole(op.role)
		if err != nil {
			t.Fatalf("%s %s: %v", op.method, op.path, err)
		}
		for role := Monitoring; role <= Admin; role++ {
			bearer := "Authorization: Bearer " + f.tokens[role]
			if code := ask(inside, bearer); passes(code) != (role >= need) || code >= 500 {
				t.Errorf("%s %s needs %s: %d for %s", op.method, op.path, need, code, role)
			}
			for _, refused := range [][]string{
				{"Remote: 192.0.2.9:9", bearer},
				{inside, bearer, "Sec-Fetch-Site: cross-site"},
				{inside, bearer, "Sec-Fetch-Site: same-site"},
				{inside, bearer + "x"},
				{inside, "Authorization: " + f.tokens[role]},
				{inside, "Cookie: token=" + f.tokens[role]},
				{inside, "X-Forwarded-For: 127.0.0.1"},
			} {
				if code := ask(refused...); passes(code) {
					t.Errorf("%s %s with %q: %d", op.method, op.path, refused, code)
				}
			}
		}
	}
}

// TestOtherMethods: what the description does not name is not there, for no
// role and by no other method.
func TestOtherMethods(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withTokens)
	bearer := "Authorization: Bearer " + f.tokens[Admin]
	known := map[string]bool{}
	paths := map[string]bool{}
	for _, op := range described(t) {
		known[op.method+" "+op.path], paths[op.path] = true, true
		if op.method == http.MethodGet {
			known["HEAD "+op.path] = true
		}
	}
	for path := range paths {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"} {
			if known[method+" "+path] {
				continue
			}
			res := f.ask(method, operation{path: path}.target(), "", "Remote: 10.1.2.3:9", bearer)
			if res.StatusCode != http.StatusMethodNotAllowed && res.StatusCode != http.StatusNotFound {
				t.Errorf("%s %s: %d", method, path, res.StatusCode)
			}
		}
	}
	if f.live.Current().Version != 0 {
		t.Errorf("something moved the split: version %d", f.live.Current().Version)
	}
}

// TestEveryChangeIsAudited: each operation for the role admin leaves one line
// when it changes something, and one when it is refused, with who and why.
func TestEveryChangeIsAudited(t *testing.T) {
	t.Parallel()
	for _, op := range described(t) {
		if op.role != "admin" || op.method == http.MethodGet { // a profile changes nothing
			continue
		}
		f := newFixture(t, withTokens)
		const inside = "Remote: 10.1.2.3:999"
		lines := func(event string) int { return strings.Count(f.log.String(), `"event":"`+event+`"`) }
		f.ask(op.method, op.target(), `{"reason":"r"}`, inside, "Authorization: Bearer "+f.tokens[Readonly])
		f.ask(op.method, op.target(), `{"reason":"r"}`, inside)
		f.ask(op.method, op.target(), `{"nonsense":`, inside, "Authorization: Bearer "+f.tokens[Admin], "If-Match: 0")
		refused, changed := 3, 0
		if op.path == "/v1/brake" && op.method == "POST" || op.path == "/v1/rollout/abort" { // whatever the body is: the brake is never refused for a slip of the pen
			refused, changed = 2, 1
		}
		if lines("refused") != refused || lines("changed") != changed {
			t.Errorf("%s %s: %d lines about %d refused attempts, %d about changes:\n%s", op.method, op.path, lines("refused"), refused, lines("changed"), f.log)
		}
		for range maxChanges {
			f.changes <- struct{}{}
		}
		f.want(f.ask(op.method, op.target(), `{"reason":"r"}`, inside, "Authorization: Bearer "+f.tokens[Admin]), 503)
		if lines("refused") != refused+1 {
			t.Errorf("%s %s: an attempt that found no place left no line", op.method, op.path)
		}
		if !strings.Contains(f.log.String(), `"who":"the-readonly"`) || !strings.Contains(f.log.String(), `"address":"10.1.2.3"`) {
			t.Errorf("%s %s: the lines do not say who:\n%s", op.method, op.path, f.log)
		}
	}
	f := newFixture(t)
	for i, change := range [][3]string{
		{"PUT", "/v1/split", `{"ses_percent":5,"reason":"r"}`}, {"POST", "/v1/split/undo", `{"reason":"r"}`},
		{"POST", "/v1/brake", `{"reason":"r"}`}, {"DELETE", "/v1/brake", `{"reason":"r"}`},
	} {
		f.want(f.ask(change[0], change[1], change[2], "If-Match: "+etag(f.live.Current().Version)), 200)
		if n := strings.Count(f.log.String(), `"event":"changed"`); n != i+1 {
			t.Errorf("%s %s: %d lines about %d changes", change[0], change[1], n, i+1)
		}
	}
}
