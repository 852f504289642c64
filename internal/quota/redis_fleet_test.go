package quota

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"sesrelay/internal/redistest"
)

func redisServer(t testing.TB, start func(dir string) (*redistest.Server, error)) *redistest.Server {
	t.Helper()
	s, err := start(t.TempDir())
	if errors.Is(err, redistest.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

func single(dir string) (*redistest.Server, error) { return redistest.Start(dir) }

func redisClient(t testing.TB, addr string, cluster bool) redis.UniversalClient {
	t.Helper()
	c := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: []string{addr}, IsClusterMode: cluster,
		ContextTimeoutEnabled: true, MaxRetries: -1, DialTimeout: 200 * time.Millisecond})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

var runs sync.Map // how often a test has named an instance

func member(t testing.TB, addr string, cluster bool, cfg Config) *Fleet {
	t.Helper()
	if cfg.Headroom == 0 {
		cfg.Headroom = 1
	}
	n, _ := runs.LoadOrStore(t.Name(), new(int))
	*n.(*int)++
	f, err := NewFleet(cfg, FleetConfig{Client: redisClient(t, addr, cluster), Prefix: "test:", ID: fmt.Sprint("i", *n.(*int))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = f.Close(ctx)
	})
	return f
}

// eventually waits for a condition, at most ten seconds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

func together(t testing.TB, all []*Fleet) {
	t.Helper()
	eventually(t, "the instances do not see each other", func() bool {
		for _, f := range all {
			if !f.Up() || f.Instances() != len(all) {
				return false
			}
		}
		return true
	})
}

// counter is what SES counts: recipients by the time of their arrival.
type counter struct {
	mu     sync.Mutex
	grants []grant
}

func (c *counter) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.grants = append(c.grants, grant{time.Now(), n})
}

// since returns what arrived from a time on.
func (c *counter) since(t time.Time) (out []grant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.grants {
		if !g.at.Before(t) {
			out = append(out, g)
		}
	}
	return out
}

// demandOn lets mail come to an instance, evenly, rate recipients a second,
// until ctx is done. Nobody waits for anybody.
func demandOn(ctx context.Context, wg *sync.WaitGroup, f *Fleet, ses *counter, rate float64, size func() int) {
	wg.Go(func() {
		var mails sync.WaitGroup
		defer mails.Wait()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		due, last := 0.0, time.Now()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				due += rate * now.Sub(last).Seconds()
				last = now
			}
			for due >= 1 {
				n := size()
				due -= float64(n)
				if f.Spent(n) {
					continue // Cuenote takes it
				}
				mails.Go(func() {
					if f.Take(context.Background(), n) == nil {
						ses.add(n)
					}
				})
			}
		}
	})
}

func one() int { return 1 }

// questions is how many questions Redis has answered.
func questions(t *testing.T, s *redistest.Server) int {
	t.Helper()
	info, err := s.Do("INFO commandstats")
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for line := range strings.Lines(info) {
		for _, name := range []string{"evalsha", "eval"} {
			if rest, ok := strings.CutPrefix(line, "cmdstat_"+name+":calls="); ok {
				digits, _, _ := strings.Cut(rest, ",")
				n, err := strconv.Atoi(digits)
				if err != nil {
					t.Fatal(err)
				}
				total += n
			}
		}
	}
	return total
}

// TestFleetSharesTheRate: eight instances, most of the mail on two of them.
func TestFleetSharesTheRate(t *testing.T) {
	for _, c := range []struct {
		name  string
		parts []float64 // of the rate that come to each instance
		size  func() int
	}{
		{"skewed", []float64{1.2, .5, .05, .05, .01, .01, .005, 0}, one},
		{"one has all", []float64{1.5, 0, 0, 0, 0, 0, 0, 0}, one},
		{"even", []float64{.2, .2, .2, .2, .2, .2, .2, .2}, one},
		{"several recipients", []float64{1.2, .5, .05, .05, .01, .01, .005, 0}, func() int { return 1 + rand.N(10) }},
	} {
		if testing.Short() && c.name != "skewed" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			const limit = 1000.0
			span := 6 * time.Second
			if testing.Short() {
				span = 3 * time.Second
			}
			s := redisServer(t, single)
			var all []*Fleet
			for range c.parts {
				all = append(all, member(t, s.Addr, false, Config{Rate: limit, MaxWait: 2 * time.Second}))
			}
			together(t, all)
			ses := &counter{}
			ctx, stop := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for i, f := range all {
				demandOn(ctx, &wg, f, ses, c.parts[i]*limit, c.size)
			}
			time.Sleep(time.Second) // the first second is a start, not full load
			for try := 1; ; try++ { // a machine with too much to do has moments in which it cannot
				from, before := time.Now(), questions(t, s)
				time.Sleep(span)
				asked, took := questions(t, s)-before, time.Since(from)
				sent := 0
				for _, g := range ses.since(from) {
					if g.at.Sub(from) < took {
						sent += g.n
					}
				}
				used := float64(sent) / (limit * took.Seconds())
				t.Logf("%.1f %% used, %.1f questions per 1,000 recipients", 100*used, 1000*float64(asked)/float64(sent))
				if used >= 0.97 && 1000*asked <= 100*sent {
					break
				}
				if try == 6 {
					t.Error("the rate was never used, or Redis was asked too often")
					break
				}
			}
			stop()
			wg.Wait()
			if worst := most(ses.since(time.Time{}), time.Second); float64(worst) > limit+float64(burst(limit)) {
				t.Errorf("%d in one second", worst)
			}
		})
	}
}
