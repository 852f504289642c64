package relay

import "github.com/prometheus/client_golang/prometheus"

// attemptKey is one series of relay_attempts_total.
type attemptKey struct {
	route  Route
	answer string
}

// answers are the values of the label outcome, of which all but accepted
// lower an upstream's success.
var answers = []string{"accepted", "rejected", "exhausted", "unavailable", "unknown"}

// newAttempts makes the counter from which an upstream's success is computed.
// A mail that failed over counts at both: relay_messages_total shows only how
// it ended.
func newAttempts(reg prometheus.Registerer) map[attemptKey]prometheus.Counter {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "relay_attempts_total",
		Help: "Answers of an upstream to one message, the client's own faults not counted."}, []string{"upstream", "outcome"})
	reg.MustRegister(vec)
	m := map[attemptKey]prometheus.Counter{}
	for _, route := range []Route{SES, Cuenote} {
		for _, answer := range answers {
			m[attemptKey{route, answer}] = vec.WithLabelValues(string(route), answer)
		}
	}
	return m
}

// answer is what the attempt says of the upstream; "" when it says nothing: the
// mail was the client's own fault, or the client is gone.
func (a *Attempt) answer() string {
	switch {
	case a.Outcome == Accepted:
		return "accepted"
	case a.Outcome == Unknown:
		return "unknown"
	}
	switch AsError(a.Err).Kind {
	case Rejected:
		return "rejected"
	case Exhausted:
		return "exhausted"
	case ClientFault:
		return ""
	}
	return "unavailable"
}
