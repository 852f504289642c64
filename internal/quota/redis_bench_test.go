package quota

import (
	"testing"
	"time"
)

// BenchmarkFleetTake is the quota's cost of one mail where tokens are plenty.
func BenchmarkFleetTake(b *testing.B) {
	f := member(b, redisServer(b, single).Addr, false, Config{Rate: 1e9, MaxWait: time.Second})
	together(b, []*Fleet{f})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if f.Spent(1) {
				b.Error("spent")
			}
			if err := f.Take(b.Context(), 1); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkLease is one question to Redis and its answer.
func BenchmarkLease(b *testing.B) {
	f := member(b, redisServer(b, single).Addr, false, Config{Rate: 1e6, MaxWait: time.Second})
	together(b, []*Fleet{f})
	f.mu.Lock()
	q := f.ledger.farewell(time.Now(), &f.cfg)
	f.mu.Unlock()
	for b.Loop() {
		if _, err := f.ask(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
}
