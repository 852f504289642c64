package quota

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"sesrelay/internal/relay"
)

// limiter is what Limiter and Fleet have in common.
type limiter interface {
	relay.Quota
	Status() Status
	SetAccount(max24, maxRate, sent float64)
	Reconfigure(Config) error
}

// TestTwins: one table for the quota of one instance and of a fleet.
func TestTwins(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		cfg  Config
		run  func(t *testing.T, l limiter)
	}{
		{"nothing is nothing", Config{Rate: 1}, func(t *testing.T, l limiter) {
			if err := errors.Join(l.Take(t.Context(), 0), l.Take(t.Context(), -1)); err != nil {
				t.Error(err)
			}
		}},
		{"the rate holds", Config{Rate: 200, MaxWait: 2 * time.Second}, func(t *testing.T, l limiter) {
			begun := time.Now()
			for range 400 {
				if err := l.Take(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
			}
			if d := time.Since(begun); d < 990*time.Millisecond {
				t.Errorf("400 took %s at 200 a second with a burst of 200", d)
			}
		}},
		{"larger than the burst", Config{Rate: 20, MaxWait: 1500 * time.Millisecond}, func(t *testing.T, l limiter) {
			if err := l.Take(t.Context(), 50); err != nil {
				t.Fatalf("mail for 50 at 20 a second never goes: %v", err)
			}
			eventually(t, "its debt is forgotten", func() bool { return l.Spent(1) || l.Take(t.Context(), 1) != nil })
		}},
		{"the wait is bounded", Config{Rate: 50, MaxWait: 300 * time.Millisecond}, func(t *testing.T, l limiter) {
			var wg sync.WaitGroup
			var mu sync.Mutex
			failed := 0
			begun := time.Now()
			for range 200 {
				wg.Go(func() {
					if err := l.Take(t.Context(), 1); err != nil {
						wantExhausted(t, err, "rate")
						mu.Lock()
						failed++
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			if d := time.Since(begun); d > time.Second || failed < 100 {
				t.Errorf("%d of 200 failed after %s", failed, d)
			}
			if s := l.Status(); s.Waiting != 0 {
				t.Errorf("%+v", s)
			}
		}},
		{"a client that leaves", Config{Rate: 5, Day: 1000, MaxWait: 10 * time.Second}, func(t *testing.T, l limiter) {
			for l.Status().Waiting == 0 { // until somebody has to wait
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				done := make(chan error)
				go func() { done <- l.Take(ctx, 5) }()
				err := <-done
				cancel()
				if err != nil {
					wantExhausted(t, err, "rate")
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%v does not say why", err)
					}
					break
				}
			}
			if s := l.Status(); s.Waiting != 0 || math.Mod(s.DayUsed, 5) != 0 {
				t.Errorf("%+v", s)
			}
		}},
		{"headroom", Config{Headroom: .9, MaxWait: time.Second}, func(t *testing.T, l limiter) {
			if s := l.Status(); s.Known || s.Rate != .9 || s.DayMax != Unlimited {
				t.Errorf("%+v", s)
			}
			l.SetAccount(50_000, 14, 100)
			if s := l.Status(); !s.Known || math.Abs(s.Rate-12.6) > 1e-9 || s.DayMax != 50_000 {
				t.Errorf("%+v", s)
			}
			eventually(t, "SES's count does not count", func() bool { return math.Abs(l.Status().DayUsed-100) < 0.01 })
			l.SetAccount(0, 0, -1) // no quota at all
			if err := l.Reconfigure(Config{Rate: 10, Day: 500, Headroom: .5}); err != nil {
				t.Error(err)
			}
			if s := l.Status(); s.Rate != 5 || s.DayMax != 500 {
				t.Errorf("%+v", s)
			}
			if l.Reconfigure(Config{}) == nil {
				t.Error("no headroom was taken")
			}
		}},
		{"day", Config{Rate: 10_000, Day: 100, MaxWait: time.Second}, func(t *testing.T, l limiter) {
			if err := l.Take(t.Context(), 60); err != nil {
				t.Fatal(err)
			}
			if !l.Spent(41) || l.Spent(40) {
				t.Error("Spent does not agree with 40 left")
			}
			wantExhausted(t, l.Take(t.Context(), 41), "day")
			if err := l.Take(t.Context(), 40); err != nil {
				t.Fatal(err)
			}
			wantExhausted(t, l.Take(t.Context(), 1), "day")
			l.Refund(5)
			eventually(t, "the refund is lost", func() bool { return l.Take(t.Context(), 5) == nil })
			wantExhausted(t, l.Take(t.Context(), 1), "day")
			if s := l.Status(); !s.Day || !s.Spent || s.DayUsed != 100 {
				t.Errorf("%+v", s)
			}
		}},
		{"the day according to SES", Config{Rate: 10, Day: 100, MaxWait: time.Second}, func(t *testing.T, l limiter) {
			l.Throttled(true)
			wantExhausted(t, l.Take(t.Context(), 1), "day")
			l.SetAccount(100, 10, 100)
			wantExhausted(t, l.Take(t.Context(), 1), "day")
			eventually(t, "the new day does not begin", func() bool { // GetAccount is asked again and again
				l.SetAccount(100, 10, 90)
				return l.Take(t.Context(), 1) == nil
			})
		}},
		{"too fast", Config{Rate: 100, MaxWait: 2 * time.Second}, func(t *testing.T, l limiter) {
			for range 200 { // all calls in flight are refused at once
				l.Throttled(false)
			}
			if s := l.Status(); s.RateNow < 69.9 || s.RateNow > 73 || s.Rate != 100 {
				t.Errorf("%+v", s)
			}
			eventually(t, "it does not recover", func() bool { return l.Status().RateNow > 75 })
			l.Throttled(false)
			eventually(t, "the second cut is not made", func() bool { return l.Status().RateNow < 60 })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			t.Run("memory", func(t *testing.T) { c.run(t, newLimiter(t, c.cfg)) })
			t.Run("redis", func(t *testing.T) {
				f := member(t, redisServer(t, single).Addr, false, c.cfg)
				together(t, []*Fleet{f})
				c.run(t, f)
			})
			t.Run("without redis", func(t *testing.T) { c.run(t, member(t, "127.0.0.1:1", false, c.cfg)) })
		})
	}
}
