package emf

import "math"

// Units of the specification.
const (
	count        = "Count"
	percent      = "Percent"
	milliseconds = "Milliseconds"
	bytesUnit    = "Bytes"
)

// figure is one line of docs/cloudwatch.md. of returns false when the value is
// not known.
type figure struct {
	name string
	unit string
	of   func(span) (float64, bool)
}

// figures are all metrics, in the order of the document.
var figures = []figure{
	{"Heartbeat", count, func(span) (float64, bool) { return 1, true }},
	{"SendSuccessRate", percent, success("ses")},
	{"SendAttempts", count, counted("relay_attempts_total", upstream("ses"))},
	{"CuenoteSuccessRate", percent, success("cuenote")},
	{"CuenoteAttempts", count, counted("relay_attempts_total", upstream("cuenote"))},
	{"DeliveryDelay", milliseconds, delay("ses")},
	{"CuenoteDeliveryDelay", milliseconds, delay("cuenote")},
	{"BounceRate", percent, reported("bounce")},
	{"ComplaintRate", percent, reported("complaint")},
	{"Throughput", count, counted("relay_messages_total", outcome("accepted"))},
	{"SentSES", count, counted("relay_messages_total", upstream("ses"), outcome("accepted"))},
	{"SentCuenote", count, counted("relay_messages_total", upstream("cuenote"), outcome("accepted"))},
	{"RecipientsSES", count, counted("relay_recipients_total", upstream("ses"), outcome("accepted"))},
	{"Deferred", count, counted("relay_messages_total", outcome("deferred"))},
	{"Rejected", count, counted("relay_messages_total", outcome("rejected"))},
	{"Unknown", count, counted("relay_messages_total", outcome("unknown"))},
	{"Duplicates", count, counted("relay_messages_total", outcome("duplicate"))},
	{"QuotaExhausted", count, counted("relay_quota_exhausted_total")},
	{"QuotaDayUsed", percent, quotaDayUsed},
	{"SplitRequested", percent, gauged("relay_split_requested_percent")},
	{"SplitEffective", percent, gauged("relay_split_effective_percent")},
	{"BreakerOpenSES", count, gauged("relay_breaker_open", upstream("ses"))},
	{"BreakerOpenCuenote", count, gauged("relay_breaker_open", upstream("cuenote"))},
	{"StateDown", count, stateDown},
	{"GuardTrips", count, counted("relay_guard_trips_total")},
	{"CPUUtilization", percent, cpuUsed},
	{"MemoryUtilization", percent, memoryUsed},
	{"MessageMemory", bytesUnit, gauged("relay_memory_bytes")},
	{"Connections", count, gauged("relay_connections")},
}

// values are those of the figures that are known.
func values(s span) []value {
	out := make([]value, 0, len(figures))
	for _, f := range figures {
		if v, ok := f.of(s); ok {
			out = append(out, value{f.name, f.unit, v})
		}
	}
	return out
}

// counted is the difference of counters; not known where the relay has none.
func counted(name string, labels ...label) func(span) (float64, bool) {
	return func(s span) (float64, bool) {
		_, exists := s.now.families[name]
		return s.counter(name, labels...), exists
	}
}

func gauged(name string, labels ...label) func(span) (float64, bool) {
	return func(s span) (float64, bool) { return s.gauge(name, labels...) }
}

// success is the part of an upstream's answers that were acceptances.
func success(route string) func(span) (float64, bool) {
	return func(s span) (float64, bool) {
		const name = "relay_attempts_total"
		return ratio(s.counter(name, upstream(route), outcome("accepted")), s.counter(name, upstream(route)))
	}
}

// reported is what SES's events say, as the guard sees it; NaN without events.
func reported(criterion string) func(span) (float64, bool) {
	return gauged("relay_guard_value", label{"criterion", criterion})
}

// delay is the p95, for which the limits of the migration hold.
func delay(route string) func(span) (float64, bool) {
	return func(s span) (float64, bool) {
		seconds, ok := s.quantile(0.95, "relay_delivery_delay_seconds", upstream(route))
		return math.Round(1000 * seconds), ok
	}
}

// quotaDayUsed is not known without a limit: -1 stands for unlimited.
func quotaDayUsed(s span) (float64, bool) {
	limit, known := s.gauge("relay_ses_quota_day_max")
	used, counts := s.gauge("relay_ses_quota_day_used")
	share, ok := ratio(used, limit)
	return share, ok && known && counts
}

func stateDown(s span) (float64, bool) {
	up, ok := s.gauge("relay_state_up")
	return 1 - up, ok
}

// cpuUsed is in percent of the cores that Go uses.
func cpuUsed(s span) (float64, bool) {
	const name = "process_cpu_seconds_total"
	cores, ok := s.gauge("go_sched_gomaxprocs_threads")
	elapsed := s.now.at.Sub(s.before.at).Seconds()
	if _, exists := s.now.families[name]; !exists || !ok {
		return 0, false
	}
	return ratio(s.counter(name), cores*elapsed)
}

// memoryUsed is in percent of Go's memory limit, which the relay sets from
// limits.memory (or GOMEMLIMIT does); not known where there is none.
func memoryUsed(s span) (float64, bool) {
	limit, limited := s.gauge("go_gc_gomemlimit_bytes")
	used, known := s.gauge("process_resident_memory_bytes")
	if !limited || !known || limit >= math.MaxInt64 {
		return 0, false
	}
	return ratio(used, limit)
}
