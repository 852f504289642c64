package ses

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestMetricsOfTwoClients: a reload makes a second client beside the first.
func TestMetricsOfTwoClients(t *testing.T) {
	reg := prometheus.NewRegistry()
	first, second := newMetrics(reg), newMetrics(reg)
	first.count(ClassTimeout)
	second.count(ClassTimeout)
	if n := testutil.ToFloat64(first.errors[ClassTimeout]); n != 2 {
		t.Errorf("both clients counted %v, want 2", n)
	}
}
