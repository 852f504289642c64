package quota

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"sesrelay/internal/relay"
)

func newLimiter(t *testing.T, cfg Config) *Limiter {
	t.Helper()
	if cfg.Headroom == 0 {
		cfg.Headroom = 1
	}
	l, err := New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func take(t *testing.T, l *Limiter, n int) {
	t.Helper()
	if err := l.Take(t.Context(), n); err != nil {
		t.Fatalf("take %d: %v", n, err)
	}
}

func wantExhausted(t *testing.T, err error, class string) {
	t.Helper()
	e, ok := errors.AsType[*relay.Error](err)
	if !ok || e.Kind != relay.Exhausted || e.Outcome != relay.NotAccepted || e.Class != class || e.Reply != relay.ReplyThrottled || e.Signal != relay.SignalNone {
		t.Fatalf("%v; want exhausted %s", err, class)
	}
}

// grant is recipients let through at one moment.
type grant struct {
	at time.Time
	n  int
}

// load runs clients that take as fast as they are let, for d, and returns
// their grants in order.
func load(ctx context.Context, l *Limiter, clients int, d time.Duration, size func(*rand.Rand) int) []grant {
	var mu sync.Mutex
	var all []grant
	var wg sync.WaitGroup
	end := time.Now().Add(d)
	for c := range clients {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(c), 1))
			for time.Now().Before(end) {
				n := size(rng)
				if err := l.Take(ctx, n); err != nil {
					time.Sleep(10 * time.Millisecond)
					continue
				}
				mu.Lock()
				all = append(all, grant{time.Now(), n})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	sort.Slice(all, func(i, j int) bool { return all[i].at.Before(all[j].at) })
	return all
}

func most(grants []grant, span time.Duration) (n int) {
	from, sum := 0, 0
	for _, g := range grants {
		sum += g.n
		for g.at.Sub(grants[from].at) >= span {
			sum -= grants[from].n
			from++
		}
		n = max(n, sum)
	}
	return n
}

func total(grants []grant) (n int) {
	for _, g := range grants {
		n += g.n
	}
	return n
}

// Over any second never more than the rate and the burst; with demand, nearly
// all of it.
func TestRateHoldsAndIsUsed(t *testing.T) {
	t.Parallel()
	for _, r := range []float64{1, 12.6, 90, 1500} {
		for name, size := range map[string]func(*rand.Rand) int{
			"singles": func(*rand.Rand) int { return 1 },
			"mixed":   func(g *rand.Rand) int { return 1 + g.IntN(max(1, int(r)/2)) },
		} {
			t.Run(fmt.Sprint(r, " ", name), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					l := newLimiter(t, Config{Rate: r, MaxWait: 2 * time.Second})
					const seconds = 20
					grants := load(t.Context(), l, 40, seconds*time.Second, size)
					burst := math.Max(1, math.Floor(r))
					if got := float64(most(grants, time.Second)); got > r+burst+1e-6 {
						t.Errorf("%v in one second; rate %v, burst %v", got, r, burst)
					}
					if got := float64(total(grants)); got < 0.97*r*seconds {
						t.Errorf("%v of %v used", got, r*seconds)
					}
				})
			})
		}
	}
}

func TestBigMailLeavesADebt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Config{Rate: 10, MaxWait: 2 * time.Second})
		begun := time.Now()
		take(t, l, 50) // the full burst is there: at once
		if d := time.Since(begun); d != 0 {
			t.Errorf("waited %s", d)
		}
		if s := l.Status(); !l.Spent(1) || !s.Spent || s.Day {
			t.Error("nothing is owed")
		}
		wantExhausted(t, l.Take(t.Context(), 1), "rate")
		time.Sleep(4100*time.Millisecond - 2*time.Second)
		take(t, l, 1)
		if d := time.Since(begun); d < 4100*time.Millisecond || d > 4101*time.Millisecond {
			t.Errorf("the debt of 40 and 1 more took %s", d)
		}
	})
}

func TestWaitIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Config{Rate: 10, MaxWait: time.Second})
		take(t, l, 10)
		begun := time.Now()
		if l.Spent(10) {
			t.Error("10 more take a second, which is allowed")
		}
		take(t, l, 10)
		if d := time.Since(begun); d < 999*time.Millisecond || d > time.Second+time.Millisecond {
			t.Errorf("waited %s", d)
		}
		var failed int
		var wg sync.WaitGroup
		var mu sync.Mutex
		for range 30 {
			wg.Go(func() {
				if err := l.Take(t.Context(), 1); err != nil {
					wantExhausted(t, err, "rate")
					mu.Lock()
					failed++
					mu.Unlock()
				}
			})
		}
		synctest.Wait()
		if s := l.Status(); s.Waiting != 10 || failed != 20 {
			t.Errorf("%d wait, %d failed at once", s.Waiting, failed)
		}
		wg.Wait()
		if s := l.Status(); s.Waiting != 0 {
			t.Errorf("%d still wait", s.Waiting)
		}
	})
}

// A client that leaves while waiting uses nothing up.
func TestCancelledWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Config{Rate: 10, Day: 1000, MaxWait: 2 * time.Second})
		take(t, l, 10)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Take(ctx, 25) }()
		synctest.Wait()
		cancel()
		err := <-done
		wantExhausted(t, err, "rate")
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v does not say why", err)
		}
		if s := l.Status(); s.DayUsed != 10 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
		begun := time.Now()
		take(t, l, 10)
		if d := time.Since(begun); d > time.Second+time.Millisecond {
			t.Errorf("the 25 that left still count: waited %s", d)
		}
	})
}

func TestHeadroomAndAccount(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name             string
		cfg              Config
		account          []float64 // max24, rate, sent
		rate, day, spent float64
	}{
		{"auto, nothing known", Config{Headroom: .9}, nil, .9, -1, 0},
		{"auto", Config{Headroom: .9}, []float64{50_000, 14, 100}, 12.6, 50_000, 100},
		{"unlimited", Config{Headroom: .9}, []float64{-1, 14, 100}, 12.6, -1, 100},
		{"fixed", Config{Rate: 10, Day: 500, Headroom: .5}, nil, 5, 500, 0},
		{"fixed below the account", Config{Rate: 10, Day: 500, Headroom: .9}, []float64{50_000, 14, 0}, 9, 500, 0},
		{"fixed above the account", Config{Rate: 1000, Day: 500_000, Headroom: .9}, []float64{50_000, 14, 0}, 12.6, 50_000, 0},
		{"fixed unlimited, account not", Config{Day: -1, Headroom: 1}, []float64{200, 1, 0}, 1, 200, 0},
		{"fixed, account unlimited", Config{Day: 300, Headroom: 1}, []float64{-1, 5, 0}, 5, 300, 0},
		{"no quota at all is ignored", Config{Headroom: 1}, []float64{0, 0, 0}, 1, -1, 0},
		{"not a number", Config{Headroom: 1}, []float64{math.NaN(), 5, 0}, 1, -1, 0},
		{"negative", Config{Headroom: 1}, []float64{-7, 5, 0}, 1, -1, 0},
	} {
		l := newLimiter(t, c.cfg)
		if c.account != nil {
			l.SetAccount(c.account[0], c.account[1], c.account[2])
		}
		if s := l.Status(); math.Abs(s.Rate-c.rate) > 1e-9 || s.DayMax != c.day || math.Abs(s.DayUsed-c.spent) > 1e-3 {
			t.Errorf("%s: %+v", c.name, s)
		}
	}
}

func TestDayQuota(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Config{Rate: 1000, Day: 100})
		take(t, l, 60)
		if !l.Spent(41) || l.Spent(40) {
			t.Error("Spent does not agree with 40 left")
		}
		wantExhausted(t, l.Take(t.Context(), 41), "day")
		take(t, l, 40)
		wantExhausted(t, l.Take(t.Context(), 1), "day")
		l.Refund(5)
		take(t, l, 5)
		wantExhausted(t, l.Take(t.Context(), 1), "day")
		time.Sleep(24 * time.Hour)
		wantExhausted(t, l.Take(t.Context(), 1), "day")
		time.Sleep(time.Minute)
		take(t, l, 100)
	})
}

func TestDayQuotaSpentAccordingToSES(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Config{Rate: 10, Day: 100})
		l.Throttled(true)
		if s := l.Status(); !l.Spent(1) || !s.Spent || !s.Day {
			t.Error("not spent")
		}
		wantExhausted(t, l.Take(t.Context(), 1), "day")
		l.SetAccount(100, 10, 100)
		wantExhausted(t, l.Take(t.Context(), 1), "day")
		l.SetAccount(100, 10, 90)
		take(t, l, 1)
		l.Throttled(true)
		time.Sleep(recheckDay - 1)
		wantExhausted(t, l.Take(t.Context(), 1), "day")
		time.Sleep(time.Nanosecond)
		take(t, l, 1) // without an answer of GetAccount, mail tries again
	})
}

func TestThrottledSlowsDownAndRecovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Config{Rate: 100, MaxWait: 2 * time.Second})
		for range 200 { // all calls in flight are refused at once
			l.Throttled(false)
		}
		if s := l.Status(); math.Abs(s.RateNow-70) > 1e-6 || s.Rate != 100 {
			t.Fatalf("%+v", s)
		}
		begun := time.Now()
		take(t, l, 7)
		if d := time.Since(begun); d < 90*time.Millisecond {
			t.Errorf("the burst was not given up: %s", d)
		}
		time.Sleep(5 * time.Second)
		if s := l.Status(); math.Abs(s.RateNow-80) > 0.5 {
			t.Errorf("%+v", s)
		}
		time.Sleep(time.Minute)
		if s := l.Status(); s.RateNow != 100 {
			t.Errorf("%+v", s)
		}
	})
}

func TestSnapshotRestore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, Config{})
		l.SetAccount(1000, 500, 40)
		take(t, l, 1)
		time.Sleep(time.Hour)
		take(t, l, 300)
		b, err := l.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		again := newLimiter(t, Config{})
		if err := again.Restore(b); err != nil {
			t.Fatal(err)
		}
		was, is := l.Status(), again.Status()
		if is.DayMax != 1000 || is.Rate != 500 || !is.Known || math.Abs(is.DayUsed-was.DayUsed) > 1e-6 || is.DayUsed < 338 {
			t.Fatalf("%+v became %+v", was, is)
		}
		time.Sleep(24 * time.Hour)
		if s := again.Status(); s.DayUsed != 0 {
			t.Fatalf("%+v", s)
		}
	})
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "{}", "null", `{"format":2}`, `{"format":1,"minutes":[[1,1]]}`, `{"format":1,"minutes":[[99999999,-1]]}`,
		`{"format":1,"minutes":[[99999999,9223372036854775807]]}`, `{"format":1,"account":{"known":true,"rate":0,"day":5}}`, `{"format":1,"others":-1}`} {
		l := newLimiter(t, Config{Day: 10})
		if err := l.Restore([]byte(bad)); err == nil || !strings.Contains(err.Error(), "not used") || l.Status().DayUsed != 0 {
			t.Errorf("%s: %v", bad, err)
		}
	}
	l := newLimiter(t, Config{})
	future := fmt.Sprintf(`{"format":1,"minutes":[[%d,5],[%d,7]]}`, time.Now().Unix()/60+3*slots, time.Now().Unix()/60-2*slots)
	if err := l.Restore([]byte(future)); err != nil || l.Status().DayUsed != 5 {
		t.Errorf("a wrong clock: %v, %+v", err, l.Status())
	}
}

func TestConfigMistakes(t *testing.T) {
	t.Parallel()
	_, err := New(Config{Rate: -1, Day: -2, Headroom: 0, MaxWait: -1}, nil)
	if err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("not every mistake at once: %v", err)
	}
	l := newLimiter(t, Config{Rate: 10})
	for _, bad := range []Config{{Headroom: 1.1}, {Headroom: math.NaN()}, {Headroom: 1, Rate: math.Inf(1)}, {Headroom: 1, Rate: math.NaN()}} {
		if l.Reconfigure(bad) == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	if err := l.Reconfigure(Config{Rate: 20, Headroom: .5}); err != nil || l.Status().Rate != 10 {
		t.Errorf("%v, %+v", err, l.Status())
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	l, err := New(Config{Rate: 10, Day: 100, Headroom: .9, MaxWait: time.Second}, reg)
	if err != nil {
		t.Fatal(err)
	}
	take(t, l, 3)
	const want = `
# HELP relay_ses_quota_day_max Recipients that SES allows in 24 hours; -1: unlimited.
# TYPE relay_ses_quota_day_max gauge
relay_ses_quota_day_max 100
# HELP relay_ses_quota_day_used Recipients sent to SES in the last 24 hours.
# TYPE relay_ses_quota_day_used gauge
relay_ses_quota_day_used 3
# HELP relay_ses_quota_rate Recipients a second that are let through to SES now.
# TYPE relay_ses_quota_rate gauge
relay_ses_quota_rate 9
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "relay_ses_quota_day_max", "relay_ses_quota_day_used", "relay_ses_quota_rate"); err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(l.metrics.wait); n != 1 {
		t.Errorf("%d wait histograms", n)
	}
}

func BenchmarkSpentAndTake(b *testing.B) {
	l, err := New(Config{Rate: 1e9, Headroom: 1}, nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if l.Spent(1) || l.Take(b.Context(), 1) != nil {
			b.Fatal("exhausted")
		}
	}
}
