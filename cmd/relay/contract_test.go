package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// The names that users, dashboards and outside tests rely on stand here
// literally: a change of one of them is a change for all of those.

// contract is a relay with simulated next hops, asked from outside.
type contract struct {
	*served
	ses     *simulator.SES
	cuenote *simulator.SMTP
}

func newContract(t *testing.T) *contract {
	t.Helper()
	return newContractOf(t, simulator.Account{MaxSendRate: 100, Max24HourSend: 3})
}

// newContractOf is newContract with another sending quota.
func newContractOf(t *testing.T, account simulator.Account, settings ...string) *contract {
	t.Helper()
	store := simulator.NewStore(simulator.StoreConfig{})
	hop, err := simulator.NewSES(simulator.SESConfig{Store: store, Account: account})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hop.Close)
	next, err := simulator.NewSMTP(simulator.SMTPConfig{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(next.Close)
	settings = append([]string{"ses: {endpoint: " + hop.URL() + "}", "cuenote: {address: " + next.Addr() + "}"}, settings...)
	return &contract{ses: hop, cuenote: next, served: serveFile(t, settings...)}
}

// api asks and returns the answer, read.
func (c *contract) api(method, path, body string, headers ...string) (*http.Response, string) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, "http://"+c.cfg.Load().Admin.Address+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return res, string(b)
}

// want asks and returns the JSON, which must have the fields.
func (c *contract) want(status int, method, path, body string, headers []string, fields ...string) map[string]any {
	c.t.Helper()
	res, text := c.api(method, path, body, headers...)
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil || res.StatusCode != status {
		c.t.Fatalf("%s %s: %d %s, want %d", method, path, res.StatusCode, text, status)
	}
	kind := "application/json"
	if status >= 400 {
		kind, fields = "application/problem+json", append(fields, "type", "title", "status", "detail")
	}
	if got := res.Header.Get("Content-Type"); got != kind {
		c.t.Errorf("%s %s: %s, want %s", method, path, got, kind)
	}
	for _, f := range fields {
		if _, ok := v[f]; !ok {
			c.t.Errorf("%s %s: no field %q in %s", method, path, f, text)
		}
	}
	return v
}

// mail sends one and returns the final reply.
func (c *contract) mail(from, header string) string {
	c.t.Helper()
	return c.submit(250, from, header+"From: <taro@goo.ne.jp>\r\nMessage-ID: <"+fmt.Sprint(time.Now().UnixNano())+"@goo.ne.jp>\r\n\r\nhi\r\n")
}

// submit sends a message and returns the final reply: to the last recipient when
// that was refused, else to the data. want is its code, or its first digit.
func (c *contract) submit(want int, from, content string, more ...string) string {
	c.t.Helper()
	conn, err := textproto.Dial("tcp", c.served.mail)
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	say := func(want int, line string) string {
		if line != "" {
			err = conn.PrintfLine("%s", line)
		}
		if err != nil {
			c.t.Fatal(err)
		}
		code, text, err := conn.ReadResponse(want)
		if err != nil {
			c.t.Fatalf("%q: %v", line, err)
		}
		return fmt.Sprintf("%d %s", code, text)
	}
	say(220, "")
	say(250, "EHLO mx-1.goo.ne.jp")
	say(250, "MAIL FROM:<"+from+">")
	say(250, "RCPT TO:<hanako@docomo.ne.jp>")
	for _, to := range more {
		say(5, "RCPT TO:<"+to+">")
	}
	say(354, "DATA")
	return say(want, content+".")
}

func TestContractHTTP(t *testing.T) {
	t.Parallel()
	c := newContract(t)
	split := []string{"version", "ses_percent", "by", "reason", "changed_by", "changed_at", "requested", "eligible", "effective", "instances"}

	v := c.want(200, "GET", "/v1/split", "", nil, split...)
	if i := v["instances"].([]any)[0].(map[string]any); i["id"] != "relay-1.goo.ne.jp" || i["version"] != 0.0 {
		t.Errorf("instances: %v", i)
	}
	res, _ := c.api("GET", "/v1/split", "")
	if etag := res.Header.Get("ETag"); etag != `"0"` {
		t.Errorf("ETag %s", etag)
	}
	const set = `{"ses_percent":25,"reason":"week 1"}`
	match := func(version int) []string { return []string{fmt.Sprintf(`If-Match: "%d"`, version)} }
	c.want(428, "PUT", "/v1/split", set, nil)
	c.want(412, "PUT", "/v1/split", set, match(7))
	c.want(412, "PUT", "/v1/split", set, []string{`If-Match: "stale"`})
	for _, bad := range []string{`{"ses_percent":101,"reason":"r"}`, `{"ses_percent":-1,"reason":"r"}`, `{"ses_percent":0.001,"reason":"r"}`, `{"ses_percent":25}`, `{"reason":"r"}`} {
		c.want(422, "PUT", "/v1/split", bad, match(0))
	}
	v = c.want(200, "PUT", "/v1/split", set, match(0), split...)
	if v["version"] != 1.0 || v["ses_percent"] != 25.0 || v["requested"] != 25.0 || v["reason"] != "week 1" || v["by"] != "message" {
		t.Errorf("after a change: %v", v)
	}
	if _, err := time.Parse(time.RFC3339Nano, fmt.Sprint(v["changed_at"])); err != nil {
		t.Errorf("changed_at: %v", err)
	}
	c.want(200, "GET", "/v1/split/plan?percent=50", "", nil, "percent", "ok", "missing")
	c.want(422, "GET", "/v1/split/plan?percent=x", "", nil)
	v = c.want(200, "GET", "/v1/split/history", "", nil, "changes")
	change := v["changes"].([]any)[0].(map[string]any)
	for _, f := range []string{"at", "who", "action", "reason", "before", "after", "version"} {
		if _, ok := change[f]; !ok {
			t.Errorf("history: no %q in %v", f, change)
		}
	}
	if v = c.want(200, "POST", "/v1/split/undo", `{"reason":"back"}`, match(1), split...); v["ses_percent"] != 0.0 {
		t.Errorf("undo: %v", v)
	}
	if v = c.want(200, "POST", "/v1/brake", "", nil, split...); v["brake"] == nil || v["version"] != 2.0 {
		t.Errorf("brake: %v", v)
	}
	c.want(428, "DELETE", "/v1/brake", `{"reason":"r"}`, nil)
	if v = c.want(200, "DELETE", "/v1/brake", `{"reason":"r"}`, match(2), split...); v["brake"] != nil || v["version"] != 3.0 {
		t.Errorf("release: %v", v)
	}
	c.want(200, "GET", "/v1/status", "", nil, "split", "upstreams", "quota", "alarms")
	c.want(200, "POST", "/v1/route-test", `{"from":"taro@goo.ne.jp","to":"hanako@docomo.ne.jp"}`, nil, "route", "reason", "rule", "text")
	c.want(404, "GET", "/v1/trace/unknown", "", nil)
	c.want(404, "GET", "/v1/unknown", "", nil)
	c.want(405, "PATCH", "/v1/split", "", nil)
	c.want(200, "GET", "/v1/openapi.json", "", nil, "openapi", "paths")
	for path, kind := range map[string]string{"/": "text/html", "/metrics": "text/plain", "/healthz": "application/json", "/readyz": "application/json"} {
		if res, _ := c.api("GET", path, ""); res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), kind) {
			t.Errorf("GET %s: %d %s", path, res.StatusCode, res.Header.Get("Content-Type"))
		}
	}
	c.wantEvents()
}

// wantEvents reads until both events have come.
func (c *contract) wantEvents() {
	c.t.Helper()
	res, err := http.Get("http://" + c.cfg.Load().Admin.Address + "/v1/events")
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	if kind := res.Header.Get("Content-Type"); kind != "text/event-stream" {
		c.t.Errorf("events: %s", kind)
	}
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if lines.Text() == "event: status" {
			return
		}
	}
	c.t.Error("no event: status")
}

// Postfix's log names both ends by these replies, and the relay id finds the
// transaction again.
func TestContractRepliesAndTrace(t *testing.T) {
	t.Parallel()
	c := newContract(t)
	reply := c.mail("taro@goo.ne.jp", "")
	m := regexp.MustCompile(`^250 2\.0\.0 (\S+) accepted by cuenote: (.+)$`).FindStringSubmatch(reply)
	if m == nil {
		t.Fatal(reply)
	}
	if v := c.want(200, "GET", "/v1/trace/"+m[1], "", nil, "records"); len(v["records"].([]any)) != 1 {
		t.Errorf("%v", v)
	}
	c.want(200, "PUT", "/v1/split", `{"ses_percent":100,"reason":"r","force":true}`, []string{`If-Match: "0"`})
	reply = c.mail("taro@goo.ne.jp", "")
	m = regexp.MustCompile(`^250 2\.0\.0 (\S+) accepted by ses (\S+)$`).FindStringSubmatch(reply)
	if m == nil {
		t.Fatal(reply)
	}
	for _, id := range m[1:] {
		c.want(200, "GET", "/v1/trace/"+id, "", nil, "records")
	}
	if got := c.ses.Store().Count(); got != 2 {
		t.Errorf("%d mails at the next hops", got)
	}
}

func TestContractMetrics(t *testing.T) {
	t.Parallel()
	c := newContract(t)
	received := "Received: from a by b; " + time.Now().Format(time.RFC1123Z) + "\r\n"
	c.mail("taro@goo.ne.jp", received)
	c.want(200, "PUT", "/v1/split", `{"ses_percent":100,"reason":"r","force":true}`, []string{`If-Match: "0"`})
	for range 4 { // the fourth finds the day's quota spent
		c.mail("taro@goo.ne.jp", received)
	}
	res, text := c.api("GET", "/metrics", "")
	if res.StatusCode != 200 {
		t.Fatal(text)
	}
	got := metricLabels(text)
	for name, labels := range map[string]string{
		"relay_messages_total": "outcome,upstream", "relay_recipients_total": "outcome,upstream", "relay_route_total": "reason,upstream",
		"relay_upstream_duration_seconds": "upstream", "relay_transaction_duration_seconds": "upstream", "relay_delivery_delay_seconds": "upstream",
		"relay_split_requested_percent": "", "relay_split_effective_percent": "", "relay_split_version": "",
		"relay_ses_quota_rate": "", "relay_ses_quota_day_max": "", "relay_ses_quota_day_used": "",
		"relay_quota_wait_seconds": "", "relay_quota_exhausted_total": "action",
		"relay_breaker_open": "upstream", "relay_ses_errors_total": "class",
		"relay_connections": "", "relay_connections_rejected_total": "reason", "relay_memory_bytes": "",
		"relay_state_up": "", "relay_ledger_hits_total": "",
	} {
		if have, ok := got[name]; !ok || have != labels {
			t.Errorf("%s{%s}: there is %t {%s}", name, labels, ok, have)
		}
	}
	for _, outcome := range []string{"accepted", "duplicate", "deferred", "rejected", "unknown"} {
		for _, upstream := range []string{"ses", "cuenote"} {
			if want := fmt.Sprintf(`relay_messages_total{outcome=%q,upstream=%q} `, outcome, upstream); !strings.Contains(text, want) {
				t.Errorf("no %s", want)
			}
		}
	}
	if !strings.Contains(text, `relay_delivery_delay_seconds_bucket{upstream="ses",le="600"} 3`) {
		t.Error("the buckets of the delay do not reach 600 s")
	}
	if n := c.ses.SentLast24Hours(); n != 3 {
		t.Errorf("SES took %d recipients of 3", n)
	}
}

var sample = regexp.MustCompile(`(?m)^(relay_[a-z0-9_]+?)(?:_bucket|_sum|_count)?(?:\{([^}]*)\})? `)

// metricLabels returns the label names of each metric, sorted.
func metricLabels(text string) map[string]string {
	kinds := map[string]map[string]bool{}
	for _, m := range sample.FindAllStringSubmatch(text, -1) {
		if kinds[m[1]] == nil {
			kinds[m[1]] = map[string]bool{}
		}
		for pair := range strings.SplitSeq(m[2], ",") {
			if name, _, ok := strings.Cut(pair, "="); ok && name != "le" {
				kinds[m[1]][name] = true
			}
		}
	}
	out := map[string]string{}
	for name, labels := range kinds {
		out[name] = strings.Join(slices.Sorted(maps.Keys(labels)), ",")
	}
	return out
}
