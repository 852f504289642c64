package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUsageMistakesExit2(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"split":                            "say which: get, history, plan, set, undo",
		"splt":                             "did you mean split?",
		"split gte":                        "did you mean get?",
		"split set":                        "PERCENT is missing",
		"split set 25":                     "--reason is missing",
		"split set 25 --reason":            "flag needs an argument",
		"split set 25.123 --reason x":      "two decimals",
		"split set 101 --reason x":         "more than 100",
		"split set 25% --reason x":         "not a percentage",
		"split set 25 26 --reason x":       `"26" is too much`,
		"split set 25 --reason x --fource": "unknown flag: --fource",
		"split set -- -5 --reason":         "is too much",
		"split plan":                       "PERCENT is missing",
		"brake relase":                     "did you mean release?",
		"brake release":                    "--reason is missing",
		"trace":                            "ID is missing",
		"route test --from a@b.jp":         "--to is missing",
		"route test --to a@b.jp":           "--from is missing",
		"route test --from a@b.jp --to c@d --want xy": "neither ses nor cuenote",
		"token new root alice":                        "write admin, readonly or monitoring",
		"token new admin a:b":                         "letters, digits",
		"status --api ftp://x":                        "not the address of an API",
		"status extra":                                `"extra" is too much`,
		"demo --traffic lots":                         "not a rate",
		"demo --quota 5":                              "not RATE,DAY",
		"demo --smtp 2525":                            "not an address with a port",
		"top --interval 1ms":                          "too short",
		"postfix --servers 0":                         "above 0",
		"serve now":                                   `"now" is too much`,
	} {
		args := strings.Fields(line)
		if strings.HasPrefix(line, "postfix") {
			args = append(args, "--config", emptyConfig(t))
		}
		code, out, errOut := run(t, nil, args...)
		if code != exitUsage || out != "" || !strings.Contains(errOut, want) || !strings.Contains(errOut, "See: relay") {
			t.Errorf("relay %s: exit %d, stdout %q, stderr %q; want 2 and %q", line, code, out, errOut, want)
		}
	}
}

func emptyConfig(t *testing.T) string {
	t.Helper()
	return writeConfig(t, "hostname: relay-1.goo.ne.jp\n")
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "relay.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestServeShowsEveryMistake(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, "limits: {recipients: many}\nlog: {level: loud}\n")
	code, _, errOut := run(t, nil, "serve", "--config", file)
	if code != exitFailed || !strings.Contains(errOut, file+":1:22: limits.recipients") || !strings.Contains(errOut, file+":2:14: log.level") {
		t.Errorf("exit %d: %s", code, errOut)
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	code, _, errOut := run(t, map[string]string{"RELAY_API": gone.URL}, "split", "get")
	if code != exitFailed || !strings.Contains(errOut, "Is the relay running?") || !strings.Contains(errOut, "RELAY_API") {
		t.Errorf("exit %d: %s", code, errOut)
	}
	html := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>hello")) }))
	t.Cleanup(html.Close)
	if code, _, errOut = run(t, nil, "status", "--api", html.URL); code != exitFailed || !strings.Contains(errOut, "not the relay's API") {
		t.Errorf("exit %d: %s", code, errOut)
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer from-file" {
			problem(w, http.StatusUnauthorized, "no valid token")
			return
		}
		problem(w, http.StatusForbidden, "the role readonly may not do this")
	}))
	t.Cleanup(api.Close)
	env := map[string]string{"RELAY_API": api.URL, "RELAY_TOKEN": "from-env"}
	if code, _, errOut := run(t, env, "brake"); code != exitFailed || !strings.Contains(errOut, "relay token new") {
		t.Errorf("401: exit %d: %s", code, errOut)
	}
	if code, _, errOut := run(t, env, "brake", "--token-file", secret); code != exitFailed || !strings.Contains(errOut, "another role") {
		t.Errorf("403: exit %d: %s", code, errOut)
	}
	code, _, errOut := run(t, env, "brake", "--api", "http://192.0.2.1:8025")
	if code != exitUsage || !strings.Contains(errOut, "in the clear") || strings.Contains(errOut, "from-env") {
		t.Errorf("plain http: exit %d: %s", code, errOut)
	}
}

func TestTokenNew(t *testing.T) {
	t.Parallel()
	code, out, errOut := run(t, nil, "token", "new", "admin", "alice")
	line, ok := strings.CutPrefix(strings.TrimSpace(out), "admin:alice:")
	if code != exitDone || !ok || len(line) < 32 || !strings.Contains(errOut, "shown this once") {
		t.Fatalf("exit %d, %q, %q", code, out, errOut)
	}
	code, out, _ = run(t, nil, "token", "new", "monitoring", "prometheus", "--json")
	var got map[string]string
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitDone || got["token"] == "" || strings.Contains(got["line"], got["token"]) {
		t.Errorf("%q: %v", out, err)
	}
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("# tokens\n\n"+got["line"]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := readTokens(file); err != nil {
		t.Errorf("the printed line is not read: %v", err)
	}
	if err := os.WriteFile(file, []byte(got["token"]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := readTokens(file); err == nil || strings.Contains(err.Error(), got["token"]) {
		t.Errorf("a bare token: %v", err)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"version", "--version", "-v"} {
		if code, out, _ := run(t, nil, line); code != exitDone || !strings.HasPrefix(out, "relay ") || !strings.Contains(out, "go1.") {
			t.Errorf("%s: exit %d: %q", line, code, out)
		}
	}
}
