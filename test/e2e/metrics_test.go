package e2e

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
)

// contractMetrics are the metrics that CONTRACT.md names. A label value after
// the name is one that has to move too. relay_rollout_phase and
// relay_guard_trips_total belong to the rollout, which comes later.
var contractMetrics = []string{
	`relay_messages_total outcome="accepted"`, `relay_messages_total outcome="duplicate"`, `relay_messages_total outcome="deferred"`,
	`relay_messages_total outcome="rejected"`, `relay_messages_total outcome="unknown"`,
	`relay_messages_total upstream="ses"`, `relay_messages_total upstream="cuenote"`,
	"relay_recipients_total", `relay_route_total upstream="ses"`, `relay_route_total upstream="cuenote"`,
	"relay_upstream_duration_seconds", "relay_transaction_duration_seconds", "relay_delivery_delay_seconds",
	"relay_split_requested_percent", "relay_split_effective_percent", "relay_split_version",
	"relay_ses_quota_rate", "relay_ses_quota_day_max", "relay_ses_quota_day_used", "relay_quota_wait_seconds",
	`relay_quota_exhausted_total action="overflow"`, `relay_quota_exhausted_total action="defer"`,
	`relay_breaker_open upstream="ses"`, `relay_breaker_open upstream="cuenote"`, "relay_ses_errors_total",
	"relay_connections", "relay_connections_rejected_total", "relay_memory_bytes", "relay_ledger_hits_total",
	"relay_state_up",
}

// observed is every value that any process has shown for a time series.
var observed = struct {
	sync.Mutex
	values map[string][]string // by name and labels
}{values: map[string][]string{}}

// scrape notes what /metrics shows now.
func (r *relayProcess) scrape() {
	req, _ := http.NewRequest("GET", "http://"+r.admin+"/metrics", nil)
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return // the process has ended
	}
	defer resp.Body.Close()
	observed.Lock()
	defer observed.Unlock()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		series, value, ok := cutLast(lines.Text(), " ")
		if ok && strings.HasPrefix(series, "relay_") && !slices.Contains(observed.values[series], value) && len(observed.values[series]) < 3 {
			observed.values[series] = append(observed.values[series], value)
		}
	}
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 || strings.HasPrefix(s, "#") {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// judgeMetrics names the metrics of the contract that the whole suite never
// moved. It runs after every test.
func judgeMetrics() (code int) {
	observed.Lock()
	defer observed.Unlock()
	for _, want := range contractMetrics {
		if !moved(want) {
			fmt.Fprintf(os.Stderr, "--- FAIL: no test ever moved %s\n", want)
			code = 1
		}
	}
	return code
}

// moved reports whether a series of the metric has shown two values. A counter
// with labels may exist only once it has counted.
func moved(want string) bool {
	name, label, _ := strings.Cut(want, " ")
	for series, values := range observed.values {
		own, labels, _ := strings.Cut(series, "{")
		suffix := strings.TrimPrefix(own, name)
		if !strings.HasPrefix(own, name) || suffix != "" && suffix != "_count" || !strings.Contains(labels, label) {
			continue
		}
		if len(values) > 1 || strings.HasSuffix(own, "_total") && values[0] != "0" {
			return true
		}
	}
	return false
}
