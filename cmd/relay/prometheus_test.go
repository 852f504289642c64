package main

import (
	"bytes"
	"encoding/json"
	"errors"
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

	"sesrelay/internal/redistest"
	"sesrelay/internal/simulator"
)

// emptyInHealth are the queries, to the letter, that rightly have no answer
// while all is well for a minute, and why. One that has an answer is no exception.
var emptyInHealth = map[string]string{
	splitChanges: "nobody changes the split",
	sesErrors:    "SES refuses nothing",
	`sum by (class) (rate(relay_cuenote_errors_total{job="relay"}[1m])) > 0`: "nor does Cuenote",
	`max(relay_guard_value{job="relay", criterion="bounce"})`:                "rollout.events is none",
	`max(relay_guard_value{job="relay", criterion="complaint"})`:             "rollout.events is none",
}

// Each has an answer once what it is for has happened.
const (
	splitLooks   = `max by (job) (relay_split_version{job="relay"})[1m:15s]`
	splitChanges = `changes(` + splitLooks + `) > 0`
	sesErrors    = `sum by (class) (rate(relay_ses_errors_total{job="relay"}[1m])) > 0`
)

// mayFireInHealth fires here after a second: on a busy machine Redis answers some
// mail too late (100 ms). An operator hears of it after five minutes of that.
const mayFireInHealth = "RelayLedgerAlone warning"

// forLine is how long an alert waits. The waits are shortened for this test and
// nothing else is: promtool tests them beside the rules.
var forLine = regexp.MustCompile(`(?m)^(\s+for: )\w+$`)

// prometheusServer is a real Prometheus that scrapes relays every half second,
// with the rules of infra/observability evaluated as often.
func prometheusServer(t *testing.T, targets ...string) (base string) {
	t.Helper()
	binary, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("prometheus is not installed: apt-get install prometheus")
	}
	dir := t.TempDir()
	files := map[string]string{"prometheus.yaml": "global: {scrape_interval: 500ms, evaluation_interval: 500ms}\nrule_files: [recording.yaml, alerts.yaml]\n" +
		"scrape_configs: [{job_name: relay, static_configs: [{targets: [\"" + strings.Join(targets, "\", \"") + "\"]}]}]\n"}
	for _, name := range []string{"recording.yaml", "alerts.yaml"} {
		text, err := os.ReadFile(observability + "rules/" + name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = forLine.ReplaceAllString(strings.ReplaceAll(string(text), "interval: 30s", "interval: 500ms"), "${1}1s")
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

// ask asks Prometheus's API.
func ask(base, path string, data any) error {
	res, err := http.Get(base + "/api/v1/" + path)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", res.Status, answer.Error)
	}
	return nil
}

// query counts the series with a number. NaN is none: a panel draws nothing there.
func query(base, expr string) (numbers int, err error) {
	var data struct {
		Result []struct{ Value [2]any }
	}
	if err := ask(base, "query?query="+url.QueryEscape(expr), &data); err != nil {
		return 0, err
	}
	for _, s := range data.Result {
		if s.Value[1] != "NaN" {
			numbers++
		}
	}
	return numbers, nil
}

// firing are the alerts that fire, as "name severity".
func firing(t *testing.T, base string) (names []string) {
	t.Helper()
	var data struct {
		Alerts []struct {
			State  string
			Labels map[string]string
		}
	}
	if err := ask(base, "alerts", &data); err != nil {
		t.Fatal(err)
	}
	for _, a := range data.Alerts {
		if a.State == "firing" {
			names = append(names, a.Labels["alertname"]+" "+a.Labels["severity"])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// pair are two relays that share a Redis and the next hops, and the Prometheus
// that watches them.
type pair struct {
	relays     [2]*contract
	prometheus string
	sent       int
}

func newPair(t *testing.T) *pair {
	t.Helper()
	redis, err := redistest.Start(t.TempDir())
	if errors.Is(err, redistest.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(redis.Kill)
	state := "state: {redis: \"redis://" + redis.Addr + "\"}"
	breaker := "drain: {grace: 0s, deadline: 5s}\nbreaker: {min_requests: 40, open_for: 5s}\nsplit: {ses_percent: 100}"
	first := newContractOf(t, simulator.Account{MaxSendRate: 1000, Max24HourSend: 1e6}, state, breaker)
	second := &contract{ses: first.ses, cuenote: first.cuenote, served: serveFile(t, "hostname: relay-2.goo.ne.jp", state, breaker,
		"ses: {endpoint: "+first.ses.URL()+"}", "cuenote: {address: "+first.cuenote.Addr()+"}")}
	p := &pair{relays: [2]*contract{first, second}}
	p.prometheus = prometheusServer(t, p.address(0), p.address(1))
	return p
}

func (p *pair) address(i int) string { return p.relays[i].cfg.Load().Admin.Address }

// mail sends n mails through each relay; one of 16 has no sender, which only
// Cuenote takes.
func (p *pair) mail(n int) {
	received := "Received: from a by b; " + time.Now().Format(time.RFC1123Z) + "\r\n"
	for range n {
		from := "taro@goo.ne.jp"
		if p.sent++; p.sent%16 == 0 {
			from = ""
		}
		for _, r := range p.relays {
			r.mail(from, received)
		}
	}
}

// until sends mail until done, or fails with what is missing.
func (p *pair) until(t *testing.T, mails int, missing func() []string) {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(300 * time.Millisecond) {
		p.mail(mails)
		left := missing()
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d are missing after five minutes:\n%s\nfiring: %v", len(left), strings.Join(left, "\n"), firing(t, p.prometheus))
		}
	}
}

// fires waits until all of the alerts fire.
func (p *pair) fires(t *testing.T, mails int, alerts ...string) {
	t.Helper()
	p.until(t, mails, func() []string {
		now := firing(t, p.prometheus)
		return slices.DeleteFunc(slices.Clone(alerts), func(a string) bool { return slices.Contains(now, a) })
	})
}

// answers waits until a query has numbers.
func (p *pair) answers(t *testing.T, expr string) {
	t.Helper()
	p.until(t, 2, func() []string {
		if n, err := query(p.prometheus, expr); err != nil || n == 0 {
			return []string{fmt.Sprint(expr, ": ", err)}
		}
		return nil
	})
}

// Every panel of every dashboard shows numbers of a fleet that works and every
// recording rule has some, no alert fires; then faults are provoked, and those
// fire that are for them: a real Prometheus scrapes two real relays.
func TestPrometheusWatchesAFleet(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	for i := range p.relays {
		for end := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
			if n, err := query(p.prometheus, `up{instance="`+p.address(i)+`"} == 1`); err == nil && n == 1 {
				break
			}
			if time.Now().After(end) {
				t.Fatal("Prometheus has not seen both relays in a minute")
			}
		}
	}
	p.mail(48)
	exprs, _ := expressions(t)
	maps.DeleteFunc(exprs, func(where, _ string) bool { return strings.HasPrefix(where, "alerts.yaml") })
	p.until(t, 5, func() (missing []string) {
		for _, where := range slices.Sorted(maps.Keys(exprs)) {
			n, err := query(p.prometheus, exprs[where])
			if err != nil {
				t.Fatalf("%s: %v\n in %s", where, err, exprs[where])
			}
			if n == 0 && emptyInHealth[exprs[where]] == "" {
				missing = append(missing, where+"\n in "+exprs[where])
			}
		}
		return missing
	})
	for expr := range emptyInHealth {
		if n, err := query(p.prometheus, expr); err != nil || n > 0 || !slices.Contains(slices.Collect(maps.Values(exprs)), expr) {
			t.Errorf("no exception: %d numbers, %v, or in no dashboard: %s", n, err, expr)
		}
	}
	if now := firing(t, p.prometheus); len(slices.DeleteFunc(now, func(a string) bool { return a == mayFireInHealth })) > 0 {
		t.Errorf("fires though all is well: %v", now)
	}
	for n, err := query(p.prometheus, `job_upstream:relay_attempts:increase5m{upstream="ses"} >= 250`); n == 0; n, err = query(p.prometheus, `job_upstream:relay_attempts:increase5m{upstream="ses"} >= 250`) {
		if p.mail(5); err != nil {
			t.Fatal(err)
		}
	}

	env := map[string]string{"RELAY_API": "http://" + p.address(0)}
	p.answers(t, `count_over_time(`+splitLooks+`)`) // one look at the old version, or there is no change to be seen
	if code, out, errOut := run(t, env, "split", "set", "99.5", "--reason", "test", "--force"); code != exitDone {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	p.answers(t, splitChanges)
	if code, out, errOut := run(t, env, "brake", "--reason", "test"); code != exitDone {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	p.fires(t, 20, "RelayShareMissed warning")
	if code, out, errOut := run(t, env, "brake", "release", "--reason", "test"); code != exitDone {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	if err := p.relays[0].ses.SetOutage(simulator.OutageRefuse); err != nil {
		t.Fatal(err)
	}
	// So many that the failures are 5 % of what was sent in five minutes, also
	// where a slow machine has made all that comes before this long.
	p.fires(t, 40, "RelayBreakerOpen critical", "RelayBreakerOpen warning", "RelaySuccessLow critical", "RelaySuccessLow warning")
	p.answers(t, sesErrors)
	if now := firing(t, p.prometheus); slices.ContainsFunc(now, func(a string) bool {
		return strings.HasPrefix(a, "RelayDown") || strings.HasPrefix(a, "RelayCuenote") || strings.HasPrefix(a, "RelayDeferring")
	}) {
		t.Errorf("fires, and Cuenote takes all mail: %v", now)
	}
	p.relays[1].stop()
	p.fires(t, 0, "RelayDown warning")
	if now := firing(t, p.prometheus); slices.Contains(now, "RelayDown critical") {
		t.Error("one of two relays is gone, and all are said to be")
	}
	p.relays[0].stop()
	p.fires(t, 0, "RelayDown critical")
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
