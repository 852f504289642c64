package simulator

import (
	"slices"
	"testing"
	"time"
)

func TestLatency(t *testing.T) {
	t.Parallel()
	const n = 20_000
	draw := func(l Latency) []time.Duration {
		rng, list := newRand(1), make([]time.Duration, n)
		for i := range list {
			list[i] = l.draw(rng)
		}
		slices.Sort(list)
		return list
	}
	near := func(got, want time.Duration) bool { return got > want*9/10 && got < want*11/10 }
	d := draw(Latency{P50: 100 * time.Millisecond, P99: 400 * time.Millisecond})
	if !near(d[n/2], 100*time.Millisecond) || !near(d[n*99/100], 400*time.Millisecond) {
		t.Errorf("lognormal: p50 %v, p99 %v", d[n/2], d[n*99/100])
	}
	if d := draw(Latency{P50: time.Second}); d[0] != time.Second || d[n-1] != time.Second {
		t.Errorf("lognormal without spread: %v to %v", d[0], d[n-1])
	}
	d = draw(Latency{Min: 10 * time.Millisecond, Max: 20 * time.Millisecond})
	if d[0] < 10*time.Millisecond || d[n-1] > 20*time.Millisecond || !near(d[n/2], 15*time.Millisecond) {
		t.Errorf("uniform: %v, %v, %v", d[0], d[n/2], d[n-1])
	}
	if d := draw(Latency{Fixed: time.Second}); d[0] != time.Second || d[n-1] != time.Second {
		t.Errorf("fixed: %v to %v", d[0], d[n-1])
	}
}
