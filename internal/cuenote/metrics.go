package cuenote

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of all clients of one registerer together: a reload makes a new
// Client while the old one still finishes its transactions.
type metrics struct {
	idle, busy prometheus.Gauge
	errors     *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (metrics, error) {
	connections := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "relay_cuenote_connections",
		Help: "Connections to Cuenote: idle in the pool, or busy with a mail transaction.",
	}, []string{"state"})
	errs := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "relay_cuenote_errors_total",
		Help: "Answers of Cuenote that were no acceptance, per recipient or message, by class.",
	}, []string{"class"})
	if r != nil {
		var err error
		if connections, err = register(r, connections); err != nil {
			return metrics{}, err
		}
		if errs, err = register(r, errs); err != nil {
			return metrics{}, err
		}
	}
	for _, class := range classes {
		errs.WithLabelValues(class)
	}
	return metrics{idle: connections.WithLabelValues("idle"), busy: connections.WithLabelValues("busy"), errors: errs}, nil
}

// register returns the collector that is registered under c's name: c, or the
// one of an earlier client.
func register[C prometheus.Collector](r prometheus.Registerer, c C) (C, error) {
	err := r.Register(c)
	if already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if earlier, ok := already.ExistingCollector.(C); ok {
			return earlier, nil
		}
	}
	return c, err
}
