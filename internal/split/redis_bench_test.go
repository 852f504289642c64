package split

import (
	"slices"
	"sync"
	"testing"
	"time"
)

// BenchmarkPropagation measures how long a change takes from the call on one
// instance until it is in force on all 16, each with its own connections.
func BenchmarkPropagation(b *testing.B) {
	fleet := fleetOf(b, 16, startRedis(b).Addr)
	var all []time.Duration
	for i := 0; b.Loop(); i++ {
		setter, version := fleet[i%len(fleet)], int64(i)
		begun := time.Now()
		if _, err := setter.Set(b.Context(), version, Percent(i%100*100), "step", "ops"); err != nil {
			b.Fatal(err)
		}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for _, m := range fleet {
			wg.Go(func() {
				for s := m.Current(); s.Version <= version; s = m.Current() {
					<-s.Changed()
				}
				mu.Lock()
				defer mu.Unlock()
				all = append(all, time.Since(begun))
			})
		}
		wg.Wait()
	}
	slices.Sort(all)
	ms := func(q float64) float64 { return float64(all[int(q*float64(len(all)-1))].Microseconds()) / 1000 }
	b.ReportMetric(ms(0.5), "p50-ms")
	b.ReportMetric(ms(0.99), "p99-ms")
	b.ReportMetric(ms(1), "max-ms")
}
