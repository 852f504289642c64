package ledger

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	alone   prometheus.Counter
	dropped *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		alone: prometheus.NewCounter(prometheus.CounterOpts{Name: "relay_ledger_alone_total",
			Help: "Claims that this instance decided without Redis, because it did not answer in time."}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "relay_ledger_dropped_total",
			Help: "Settlements of claims that never reached Redis, because it was away for too long."}, []string{"op"}),
	}
	for _, o := range []op{opAccept, opRelease, opUnknown, opRemember} {
		m.dropped.WithLabelValues(string(o))
	}
	if reg != nil {
		reg.MustRegister(m.alone, m.dropped)
	}
	return m
}
