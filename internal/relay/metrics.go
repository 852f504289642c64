package relay

import (
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	messages    *prometheus.CounterVec
	recipients  *prometheus.CounterVec
	routes      *prometheus.CounterVec
	upstream    *prometheus.HistogramVec
	transaction *prometheus.HistogramVec
	delay       *prometheus.HistogramVec
	attempts    map[attemptKey]prometheus.Counter
	exhausted   *prometheus.CounterVec
	rehearsal   *prometheus.CounterVec
	ledgerHits  prometheus.Counter
}

// Buckets reach from a local answer to the longest deadline.
var durationBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120}

// Buckets of the delivery delay hold the gate (60 s) and the guard (300 s) exactly.
var delayBuckets = []float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600}

func newMetrics(reg prometheus.Registerer, r *Relay) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, []string{"upstream"})
	}
	m := &metrics{
		messages:    counter("relay_messages_total", "Messages by the upstream tried last and how they ended for the client.", "upstream", "outcome"),
		recipients:  counter("relay_recipients_total", "Recipients by the upstream tried last and how they ended for the client.", "upstream", "outcome"),
		routes:      counter("relay_route_total", "Transactions by the route they took and why.", "upstream", "reason"),
		upstream:    histogram("relay_upstream_duration_seconds", "Time an upstream took to answer for one message.", durationBuckets),
		transaction: histogram("relay_transaction_duration_seconds", "Time of a transaction, waiting for the client not counted.", durationBuckets),
		delay:       histogram("relay_delivery_delay_seconds", "Time from the topmost Received line to the upstream's acceptance.", delayBuckets),
		exhausted:   counter("relay_quota_exhausted_total", "Messages that found the sending quota spent, by what was done.", "action"),
		rehearsal:   counter("relay_rehearsal_total", "Mail judged for SES by split.rehearse without being sent there; reason none: SES would have been asked.", "reason"),
		ledgerHits:  prometheus.NewCounter(prometheus.CounterOpts{Name: "relay_ledger_hits_total", Help: "Retries of accepted mail that were answered from the duplicate ledger."}),
	}
	m.attempts = newAttempts(reg)
	reg.MustRegister(m.messages, m.recipients, m.routes, m.upstream, m.transaction, m.delay, m.exhausted, m.rehearsal, m.ledgerHits)
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "relay_memory_bytes", Help: "Message bytes in flight."},
		func() float64 { return float64(r.memory.Used()) }))
	for _, route := range []Route{SES, Cuenote} {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "relay_breaker_open", Help: "1 while the circuit breaker of the upstream is open.",
			ConstLabels: prometheus.Labels{"upstream": string(route)},
		}, func() float64 {
			if open, _ := r.cfg.Load().hop(route).Breaker.Open(); open {
				return 1
			}
			return 0
		}))
		for _, result := range []Result{ResultAccepted, ResultDuplicate, ResultDeferred, ResultRejected, ResultUnknown} {
			m.messages.WithLabelValues(string(route), string(result))
			m.recipients.WithLabelValues(string(route), string(result))
		}
		// Every series exists from the start: an alert on one that does not would never fire.
		for _, reason := range Reasons {
			m.routes.WithLabelValues(string(route), string(reason))
		}
		m.upstream.WithLabelValues(string(route))
		m.transaction.WithLabelValues(string(route))
		m.delay.WithLabelValues(string(route))
	}
	for _, overflow := range []string{"overflow", "defer"} {
		m.exhausted.WithLabelValues(overflow)
	}
	return m
}

// record moves the metrics for one finished transaction.
func (m *metrics) record(rec *Record) {
	route, result := string(rec.Route), string(rec.Result)
	m.messages.WithLabelValues(route, result).Inc()
	m.recipients.WithLabelValues(route, result).Add(float64(len(rec.Recipients)))
	for _, f := range rec.Refused {
		m.recipients.WithLabelValues(route, string(resultOf(f.Reply))).Inc()
	}
	m.routes.WithLabelValues(route, string(rec.Reason)).Inc()
	m.transaction.WithLabelValues(route).Observe(rec.Duration.Seconds())
	for _, a := range rec.Attempts {
		m.upstream.WithLabelValues(string(a.Route)).Observe(a.Took.Seconds())
		if c := m.attempts[attemptKey{a.Route, a.answer()}]; c != nil {
			c.Inc()
		}
	}
	if rec.Result == ResultAccepted && rec.Delay >= 0 {
		m.delay.WithLabelValues(route).Observe(rec.Delay.Seconds())
	}
	if rec.Result == ResultDuplicate {
		m.ledgerHits.Inc()
	}
	if rec.Rehearsal.Judged {
		reason := rec.Rehearsal.Reason
		if reason == "" {
			reason = "none"
		}
		m.rehearsal.WithLabelValues(string(reason)).Inc()
	}
}

// resultOf is the result of a refusal with this reply.
func resultOf(r Reply) Result {
	if r.Permanent() {
		return ResultRejected
	}
	return ResultDeferred
}
