package rollout

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	decisions *prometheus.CounterVec
	trips     *prometheus.CounterVec
}

// newMetrics registers what is counted, and c as the source of what is shown.
// Every series exists from the start: an alert on one that does not would never
// fire.
func newMetrics(reg prometheus.Registerer, c *Controller) *metrics {
	m := &metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "relay_rollout_decisions_total",
			Help: "Decisions about the rollout that this instance has recorded."}, []string{"action"}),
		trips: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "relay_guard_trips_total",
			Help: "Times that this instance's guard has put the split back, by each criterion that called for it."}, []string{"reason"}),
	}
	for _, a := range Actions {
		m.decisions.WithLabelValues(string(a))
	}
	for _, n := range Names {
		m.trips.WithLabelValues(string(n))
	}
	if reg != nil {
		reg.MustRegister(m.decisions, m.trips, &gauges{c})
	}
	return m
}

// gauges show the view.
type gauges struct{ c *Controller }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	phaseDesc   = describe("relay_rollout_phase", "1 for the phase of the rollout.", "phase")
	stepDesc    = describe("relay_rollout_step_percent", "Share of SES of the step in force, in percent.")
	leadDesc    = describe("relay_rollout_controller", "1 where the rollout is decided.")
	armedDesc   = describe("relay_guard_armed", "1 while the guard may put the split back.")
	blindDesc   = describe("relay_guard_blind", "1 while what SES reports later is not read.")
	guardValue  = describe("relay_guard_value", "What the guard sees in its window, in percent or seconds; NaN without figures.", "criterion")
	guardLimit  = describe("relay_guard_limit", "Where the guard acts.", "criterion")
	gateValue   = describe("relay_gate_value", "What the gate sees of the step in force, in percent or seconds; NaN without figures.", "criterion")
	gateLimit   = describe("relay_gate_limit", "What the gate asks for.", "criterion")
	gaugesDescs = []*prometheus.Desc{phaseDesc, stepDesc, leadDesc, armedDesc, blindDesc, guardValue, guardLimit, gateValue, gateLimit}
)

// Describe implements prometheus.Collector.
func (g *gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range gaugesDescs {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	v := g.c.view.Load()
	put := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for _, p := range Phases {
		put(phaseDesc, one(p == v.Phase), string(p))
	}
	put(stepDesc, v.Percent.Float())
	put(leadDesc, one(v.Controller.Here))
	put(armedDesc, one(v.Guard.Armed))
	put(blindDesc, one(v.Guard.BlindToDelivery))
	set := g.c.settings.Load()
	guard, gate := set.Guard.limits(), set.Gate.limits()
	for name, limit := range guard {
		put(guardValue, valueOf(&v.Guard.Judgement, name), string(name))
		put(guardLimit, limit, string(name))
	}
	for name, limit := range gate {
		put(gateValue, valueOf(&v.Gate.Judgement, name), string(name))
		put(gateLimit, limit, string(name))
	}
}

// valueOf is what a judgement says of a criterion; NaN when that was not
// judged: the series is there all the same.
func valueOf(j *Judgement, name Name) float64 {
	for _, c := range j.Criteria {
		if c.Name == name && c.Value != nil {
			return *c.Value
		}
	}
	return math.NaN()
}

// limits are those of each criterion of a gate, in its unit.
func (g *Gate) limits() map[Name]float64 {
	return map[Name]float64{Acceptance: g.SuccessMin, Success: g.SuccessMin, Delay: g.DelayMax.Seconds(), Bounce: g.BounceMax}
}

// limits are those of each criterion of a guard.
func (g *Guard) limits() map[Name]float64 {
	return map[Name]float64{Acceptance: g.SuccessMin, Success: g.SuccessMin, Delay: g.DelayMax.Seconds(), Bounce: g.BounceMax,
		Complaint: g.ComplaintMax, NoData: g.NoDataMax.Seconds()}
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
