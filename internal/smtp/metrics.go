package smtp

import "github.com/prometheus/client_golang/prometheus"

// Reasons of relay_connections_rejected_total.
const (
	rejectedFull       = "connections"
	rejectedClientFull = "connections_per_client"
	rejectedAccess     = "access"
	rejectedProxy      = "proxy"
	rejectedTLS        = "tls"
	rejectedEarly      = "early"
	rejectedDraining   = "draining"
)

type metrics struct {
	connections prometheus.Gauge
	rejected    *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "relay_connections", Help: "Open client connections.",
		}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_connections_rejected_total", Help: "Client connections that were closed before their greeting.",
		}, []string{"reason"}),
	}
	for _, reason := range []string{rejectedFull, rejectedClientFull, rejectedAccess, rejectedProxy, rejectedTLS, rejectedEarly, rejectedDraining} {
		m.rejected.WithLabelValues(reason)
	}
	if r != nil {
		r.MustRegister(m.connections, m.rejected)
	}
	return m
}
