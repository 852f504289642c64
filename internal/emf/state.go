package emf

import (
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// state is the registry at one moment.
type state struct {
	at       time.Time
	families map[string]*dto.MetricFamily
}

// gather reads the registry. What one collector could not say is missing, and
// the rest counts: the error is for the log.
func gather(g prometheus.Gatherer, at time.Time) (state, error) {
	list, err := g.Gather()
	s := state{at: at, families: make(map[string]*dto.MetricFamily, len(list))}
	for _, f := range list {
		s.families[f.GetName()] = f
	}
	return s, err
}

// label is a pair that a series must have.
type label struct{ name, value string }

func upstream(name string) label { return label{"upstream", name} }
func outcome(name string) label  { return label{"outcome", name} }

// series calls f for each series of a metric that has all the labels.
func (s state) series(name string, labels []label, f func(*dto.Metric)) {
	for _, m := range s.families[name].GetMetric() {
		if hasLabels(m, labels) {
			f(m)
		}
	}
}

func hasLabels(m *dto.Metric, labels []label) bool {
	for _, want := range labels {
		if !slices.ContainsFunc(m.GetLabel(), func(p *dto.LabelPair) bool {
			return p.GetName() == want.name && p.GetValue() == want.value
		}) {
			return false
		}
	}
	return true
}

// counter adds up the counters with the labels.
func (s state) counter(name string, labels ...label) (sum float64) {
	s.series(name, labels, func(m *dto.Metric) { sum += m.GetCounter().GetValue() })
	return sum
}

// gauge returns the gauge with the labels; false when there is none.
func (s state) gauge(name string, labels ...label) (v float64, ok bool) {
	s.series(name, labels, func(m *dto.Metric) { v, ok = m.GetGauge().GetValue(), true })
	return v, ok
}

// buckets returns how many observations a histogram with the labels has up to
// each bound, all that are above the last bound not among them.
func (s state) buckets(name string, labels ...label) map[float64]float64 {
	out := map[float64]float64{}
	s.series(name, labels, func(m *dto.Metric) {
		for _, b := range m.GetHistogram().GetBucket() {
			out[b.GetUpperBound()] += float64(b.GetCumulativeCount())
		}
	})
	return out
}

func (s state) observations(name string, labels ...label) (n float64) {
	s.series(name, labels, func(m *dto.Metric) { n += float64(m.GetHistogram().GetSampleCount()) })
	return n
}

// span is what happened between two states.
type span struct{ before, now state }

func (s span) counter(name string, labels ...label) float64 {
	return s.now.counter(name, labels...) - s.before.counter(name, labels...)
}

func (s span) gauge(name string, labels ...label) (float64, bool) {
	return s.now.gauge(name, labels...)
}

// ratio is a part of a whole, in percent; false without a whole.
func ratio(part, whole float64) (float64, bool) {
	if !(whole > 0) {
		return 0, false
	}
	return 100 * part / whole, true
}

// quantile returns the q-quantile of the span's observations, straight between
// the bounds of a bucket; false without observations. Above the last bound it
// is that bound.
func (s span) quantile(q float64, name string, labels ...label) (float64, bool) {
	total := s.now.observations(name, labels...) - s.before.observations(name, labels...)
	if !(total > 0) {
		return 0, false
	}
	now, before := s.now.buckets(name, labels...), s.before.buckets(name, labels...)
	rank, lower, below := q*total, 0.0, 0.0
	for _, bound := range slices.Sorted(maps.Keys(now)) {
		count := now[bound] - before[bound]
		if count >= rank && count > below {
			return lower + (bound-lower)*(rank-below)/(count-below), true
		}
		lower, below = bound, count
	}
	return lower, true
}
