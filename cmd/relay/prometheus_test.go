package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// emptyInHealth are the queries that rightly have no answer while all is well
// for a minute, by a part of their text.
var emptyInHealth = []string{
	"errors_total", "[1h]", "_spent:seconds", "relay_ses_quota_day_max{job=\"relay\"}) > 0", "changes(", "outcome!=",
}

// prometheusServer is a real Prometheus that scrapes a relay every half second,
// with the recording rules of infra/observability evaluated as often.
func prometheusServer(t *testing.T, target string) (base string) {
	t.Helper()
	binary, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("prometheus is not installed: apt-get install prometheus")
	}
	dir := t.TempDir()
	rules, err := os.ReadFile(observability + "rules/recording.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"recording.yaml": strings.Replace(string(rules), "interval: 30s", "interval: 500ms", 1),
		"prometheus.yaml": "global: {scrape_interval: 500ms, evaluation_interval: 500ms}\nrule_files: [recording.yaml]\n" +
			"scrape_configs: [{job_name: relay, static_configs: [{targets: [\"" + target + "\"]}]}]\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := freeAddress(t)
	cmd := exec.CommandContext(t.Context(), binary, "--config.file="+filepath.Join(dir, "prometheus.yaml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--log.level=warn")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return "http://" + address
}

// query asks Prometheus; nil while it does not answer.
func query(t *testing.T, base, expr string) (results int, err error) {
	t.Helper()
	res, err := http.Get(base + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return 0, err
	}
	if answer.Status != "success" {
		return 0, fmt.Errorf("%s: %s", res.Status, answer.Error)
	}
	return len(answer.Data.Result), nil
}

// Every panel of every dashboard shows something of a relay that works: asked
// of a real Prometheus that scrapes a real relay.
func TestDashboardsShowARelay(t *testing.T) {
	t.Parallel()
	c := newContractOf(t, simulator.Account{MaxSendRate: 100, Max24HourSend: 1e6})
	base := prometheusServer(t, c.cfg.Load().Admin.Address)
	scrapes := func() int {
		n, _ := query(t, base, `count_over_time(relay_split_version[5m]) >= 4 and on (job) job_upstream:relay_success:percent5m{upstream="ses"}`)
		return n
	}
	for end := time.Now().Add(60 * time.Second); scrapes() == 0; time.Sleep(300 * time.Millisecond) {
		c.observedMail(1)
		if time.Now().After(end) {
			t.Fatal("Prometheus has no figures after a minute")
		}
	}
	exprs, _ := expressions(t)
	maps.DeleteFunc(exprs, func(where, _ string) bool { return strings.HasPrefix(where, "alerts.yaml") })
	empty := func() (missing []string) {
		for _, where := range slices.Sorted(maps.Keys(exprs)) {
			expr := exprs[where]
			n, err := query(t, base, expr)
			if err != nil {
				t.Fatalf("%s: %v\n in %s", where, err, expr)
			}
			if n == 0 && !mayBeEmpty(expr) {
				missing = append(missing, where+"\n in "+expr)
			}
		}
		return missing
	}
	missing := empty()
	for end := time.Now().Add(30 * time.Second); len(missing) > 0 && time.Now().Before(end); missing = empty() {
		c.observedMail(1)
		time.Sleep(300 * time.Millisecond)
	}
	if len(missing) > 0 {
		t.Errorf("%d panels or rules show nothing:\n%s", len(missing), strings.Join(missing, "\n"))
	}
}

func mayBeEmpty(expr string) bool {
	return slices.ContainsFunc(emptyInHealth, func(part string) bool { return strings.Contains(expr, part) })
}

// The dashboards' queries are PromQL, judged by promtool as a rule file.
func TestDashboardQueriesParse(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed: apt-get install prometheus")
	}
	exprs, _ := expressions(t)
	var b strings.Builder
	b.WriteString("groups:\n- name: dashboards\n  rules:\n")
	for i, where := range slices.Sorted(maps.Keys(exprs)) {
		fmt.Fprintf(&b, "  - {record: \"dashboard:query:%d\", expr: %q, labels: {at: %q}}\n", i, exprs[where], regexp.MustCompile(`[^\w ]`).ReplaceAllString(where, ""))
	}
	file := filepath.Join(t.TempDir(), "dashboards.yaml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(promtool, "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
