package quota

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"sesrelay/internal/redistest"
)

func empty(s *redistest.Server) error {
	_, err := s.Do("FLUSHALL")
	_, err2 := s.Do("SCRIPT FLUSH")
	return errors.Join(err, err2)
}

// TestFleetWithoutRedis: mail goes on at the shares, never above the quota in
// sum, and everything is as before when Redis is back.
func TestFleetWithoutRedis(t *testing.T) {
	const limit, instances = 400.0, 4
	for _, c := range []struct {
		name        string
		break_, fix func(*redistest.Server, *redistest.Proxy) error
		answers     bool // Redis is never away
	}{
		{"killed", func(s *redistest.Server, _ *redistest.Proxy) error { s.Kill(); return nil },
			func(s *redistest.Server, _ *redistest.Proxy) error { return s.Run() }, false},
		{"frozen", func(s *redistest.Server, _ *redistest.Proxy) error { return s.Freeze() },
			func(s *redistest.Server, _ *redistest.Proxy) error { return s.Thaw() }, false},
		{"cut", func(_ *redistest.Server, p *redistest.Proxy) error { p.Lead(""); return nil },
			func(s *redistest.Server, p *redistest.Proxy) error { p.Lead(s.Addr); return nil }, false},
		{"full", func(s *redistest.Server, _ *redistest.Proxy) error {
			_, err := s.Do("CONFIG SET maxmemory 1")
			return err
		},
			func(s *redistest.Server, _ *redistest.Proxy) error {
				_, err := s.Do("CONFIG SET maxmemory 0")
				return err
			}, false},
		{"emptied", func(s *redistest.Server, _ *redistest.Proxy) error { return empty(s) },
			func(s *redistest.Server, _ *redistest.Proxy) error { return empty(s) }, true},
	} {
		if testing.Short() && c.name != "killed" {
			continue // 8 s each
		}
		t.Run(c.name, func(t *testing.T) {
			s := redisServer(t, single)
			p, err := redistest.NewProxy(s.Addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Close)
			var all []*Fleet
			for range instances {
				all = append(all, member(t, p.Addr, false, Config{Rate: limit, Day: 1e6, MaxWait: time.Second}))
			}
			together(t, all)
			ses := &counter{}
			ctx, stop := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for _, f := range all {
				demandOn(ctx, &wg, f, ses, limit/2, one)
			}
			time.Sleep(1500 * time.Millisecond)
			if err := c.break_(s, p); err != nil {
				t.Fatal(err)
			}
			broken := time.Now()
			time.Sleep(3 * time.Second)
			meanwhile := float64(total(ses.since(broken))) / (limit * time.Since(broken).Seconds())
			if !c.answers && all[0].Up() {
				t.Error("Redis is said to answer")
			}
			if err := c.fix(s, p); err != nil {
				t.Fatal(err)
			}
			together(t, all)
			time.Sleep(3500 * time.Millisecond) // shares are kept back for 3 s
			last := time.Now()
			time.Sleep(time.Second)
			after := float64(total(ses.since(last))) / (limit * time.Since(last).Seconds())
			stop()
			wg.Wait()
			worst := most(ses.since(time.Time{}), time.Second)
			t.Logf("%.0f %% used without Redis, %.0f %% afterwards, at most %d in a second", 100*meanwhile, 100*after, worst)
			if meanwhile < 0.7 || after < 0.9 {
				t.Errorf("%.0f %% used without Redis, %.0f %% afterwards", 100*meanwhile, 100*after)
			}
			if float64(worst) > limit+float64(burst(limit)) {
				t.Errorf("%d in one second", worst)
			}
			sent := float64(total(ses.since(time.Time{})))
			eventually(t, "the day's count is not what was sent", func() bool {
				used := all[0].Status().DayUsed
				return used >= sent && used <= sent*1.02+limit/4
			})
		})
	}
}

// TestFleetLosesAnInstance: what a dead instance had borrowed dies with its
// lease, and the others have the whole rate.
func TestFleetLosesAnInstance(t *testing.T) {
	const limit = 500.0
	s := redisServer(t, single)
	p, err := redistest.NewProxy(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	cfg := Config{Rate: limit, MaxWait: time.Second}
	all := []*Fleet{member(t, s.Addr, false, cfg), member(t, s.Addr, false, cfg), member(t, p.Addr, false, cfg)}
	together(t, all)
	ses, dead := &counter{}, &counter{}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i, f := range all {
		demandOn(ctx, &wg, f, []*counter{ses, ses, dead}[i], limit, one)
	}
	time.Sleep(time.Second)
	p.Lead("") // for Redis it is dead; what it sends by its own share does not count here
	time.Sleep(1500 * time.Millisecond)
	from := time.Now()
	time.Sleep(2 * time.Second)
	used := float64(total(ses.since(from))) / (limit * time.Since(from).Seconds())
	stop()
	wg.Wait()
	if used < 0.95 {
		t.Errorf("the others have only %.0f %% of the rate", 100*used)
	}
}

// TestRedisClockSetBack: an hour, by a step of its clock or by a failover. What
// Redis has noted then lies in the future. Mail goes on at the rate, and SES's
// word that it was too fast does not last longer.
func TestRedisClockSetBack(t *testing.T) {
	t.Parallel()
	const limit = 200.0
	s := redisServer(t, single)
	cfg := Config{Rate: limit, Day: 1e6, MaxWait: time.Second}
	all := []*Fleet{member(t, s.Addr, false, cfg), member(t, s.Addr, false, cfg)}
	together(t, all)
	for range 300 {
		if err := all[0].Take(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	used := all[0].Status().DayUsed
	// One script, so that nobody speaks in between.
	const later = `local f = {'zero','seen','cutat','lostat','heal','healfrom'}
for _, n in ipairs(f) do redis.call('HINCRBYFLOAT', KEYS[1], n, 3600000) end
for _, m in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do redis.call('ZINCRBY', KEYS[2], 3600000, m) end
return 1`
	client := redisClient(t, s.Addr, false)
	keys := fleetKeys("test:")
	if err := client.Eval(t.Context(), later, []string{keys[0], keys[2]}).Err(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // what was lent before is over
	began, got := time.Now(), 0
	for time.Since(began) < 3*time.Second {
		for _, f := range all {
			if f.Take(t.Context(), 1) == nil {
				got++
			}
		}
	}
	if took := time.Since(began).Seconds(); float64(got) > limit*(took+1) {
		t.Errorf("%d recipients in %.1f s at %.0f a second", got, took, limit)
	}
	if got < 50 { // a machine with too much to do has no more time than for these
		t.Errorf("only %d recipients in 3 s: the quota waits for the old time", got)
	}
	// The pace must not be reckoned from a negative time: that made it -7,092 a second.
	if now := all[0].Status(); now.DayUsed < used || now.RateNow != limit || now.Share {
		t.Errorf("%+v, the day's count was %v", now, used)
	}
	if n := all[0].Instances(); n != 2 {
		t.Errorf("%d instances", n)
	}
	client.ZAdd(t.Context(), keys[2], redis.Z{Score: 1, Member: "dead"}) // and who is gone is still noticed
	eventually(t, "a dead instance stays", func() bool {
		n, err := client.ZCard(t.Context(), keys[2]).Result()
		return err == nil && n == 2
	})
}

// TestFleetDay: the day's quota holds for all together, and outlives every
// instance.
func TestFleetDay(t *testing.T) {
	t.Parallel()
	for _, cluster := range []bool{false, true} {
		start := single
		if cluster {
			start = redistest.StartCluster
		}
		s := redisServer(t, start)
		cfg := Config{Rate: 10_000, Day: 300, MaxWait: time.Second}
		all := []*Fleet{member(t, s.Addr, cluster, cfg), member(t, s.Addr, cluster, cfg), member(t, s.Addr, cluster, cfg)}
		together(t, all)
		ses := &counter{}
		var wg sync.WaitGroup
		for _, f := range all {
			for range 20 {
				wg.Go(func() {
					for range 20 {
						if f.Take(t.Context(), 1) == nil {
							ses.add(1)
						}
					}
				})
			}
		}
		wg.Wait()
		// Tokens that died unused come back with the next reports.
		eventually(t, "the day is never used up", func() bool {
			for _, f := range all {
				if f.Take(t.Context(), 1) == nil {
					ses.add(1)
				}
			}
			return total(ses.since(time.Time{})) >= 300
		})
		if n := total(ses.since(time.Time{})); n != 300 {
			t.Errorf("%d of 300 in a day", n)
		}
		wantExhausted(t, all[0].Take(t.Context(), 1), "day")
		all[1].Refund(7)
		for _, f := range all {
			if err := f.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		again := member(t, s.Addr, cluster, cfg)
		eventually(t, "the count did not outlive the instances", func() bool { u := again.Status().DayUsed; return u > 292.9 && u < 293.1 })
		if !again.Spent(8) || again.Spent(7) {
			t.Errorf("%+v", again.Status())
		}
	}
}

// TestFleetDayOutlivesRedis: a Redis that comes back empty hears the count
// from the instances.
func TestFleetDayOutlivesRedis(t *testing.T) {
	t.Parallel()
	s := redisServer(t, single)
	cfg := Config{Rate: 10_000, Day: 1000, MaxWait: time.Second}
	one, two := member(t, s.Addr, false, cfg), member(t, s.Addr, false, cfg)
	together(t, []*Fleet{one, two})
	for range 10 {
		if err := errors.Join(one.Take(t.Context(), 50), two.Take(t.Context(), 30)); err != nil {
			t.Fatal(err)
		}
	}
	// What one keeps in hand for the next second counts for the other, and dies
	// unused with Redis: at rest nobody keeps any.
	client, state := redisClient(t, s.Addr, false), fleetKeys("test:")[0]
	rest := time.Now()
	for end := rest.Add(30 * time.Second); time.Since(rest) < 2500*time.Millisecond; time.Sleep(2 * time.Millisecond) {
		out, err := client.HGet(t.Context(), state, "out").Float64()
		if err != nil || out != 0 || one.Status().DayUsed != 800 || two.Status().DayUsed != 800 {
			rest = time.Now()
		}
		if rest.After(end) {
			t.Fatalf("the instances do not agree on 800: %v kept, %v, %+v, %+v", out, err, one.Status(), two.Status())
		}
	}
	s.Kill()
	eventually(t, "nobody notices", func() bool { return !one.Up() && !two.Up() })
	if err := one.Take(t.Context(), 90); err != nil {
		t.Errorf("its share of the rest, 100, was refused: %v", err)
	}
	wantExhausted(t, one.Take(t.Context(), 11), "day")
	if err := s.Run(); err != nil {
		t.Fatal(err)
	}
	together(t, []*Fleet{one, two})
	eventually(t, "the count is lost", func() bool { return one.Status().DayUsed >= 889 && two.Status().DayUsed >= 889 })
	eventually(t, "what was lent and died is counted", func() bool { return two.Status().DayUsed < 891 })
}

// TestFleetAgrees: what one instance hears of SES holds for all.
func TestFleetAgrees(t *testing.T) {
	t.Parallel()
	s := redisServer(t, single)
	cfg := Config{MaxWait: time.Second}
	one, two := member(t, s.Addr, false, cfg), member(t, s.Addr, false, cfg)
	together(t, []*Fleet{one, two})
	if !one.Turn() || two.Turn() || !one.Turn() {
		t.Error("the lease of the poller does not stay with one")
	}
	one.SetAccount(50_000, 14, 123)
	eventually(t, "the account is not passed on", func() bool {
		s := two.Status()
		return s.Known && s.Rate == 14 && s.DayMax == 50_000 && s.DayUsed > 122 && s.DayUsed <= 123
	})
	one.Throttled(false)
	eventually(t, "the pace is not passed on", func() bool { r := two.Status().RateNow; return r > 9.7 && r < 13 })
	two.Throttled(true)
	eventually(t, "the end of the day is not passed on", func() bool { return one.Status().Day })
	wantExhausted(t, one.Take(t.Context(), 1), "day")
	two.SetAccount(50_000, 14, 200)
	eventually(t, "the new day is not passed on", func() bool { return !one.Status().Day && !two.Status().Day })
	s.Kill()
	if !two.Turn() {
		t.Error("without Redis nobody polls")
	}
}

// TestFleetOfOneWithoutRedis: an instance that never heard of Redis sends.
func TestFleetOfOneWithoutRedis(t *testing.T) {
	t.Parallel()
	f := member(t, "127.0.0.1:1", false, Config{Rate: 1000, MaxWait: time.Second})
	begun := time.Now()
	for range 300 {
		if err := f.Take(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	if d := time.Since(begun); d < 40*time.Millisecond { // a quarter second's worth is there at once at the most
		t.Errorf("300 took %s at 1,000 a second", d)
	}
}

// TestTurnIsLeft: a poller that stops leaves its turn to others, and not before
// SES may be asked again: a restart is no reason to ask twice.
func TestTurnIsLeft(t *testing.T) {
	t.Parallel()
	s := redisServer(t, single)
	client := redisClient(t, s.Addr, false)
	one, two, three := member(t, s.Addr, false, Config{}), member(t, s.Addr, false, Config{}), member(t, s.Addr, false, Config{})
	if !one.Turn() || two.Turn() {
		t.Fatal("the lease of the poller does not stay with one")
	}
	if err := one.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !two.Turn() {
		t.Error("SES has never answered, and nobody may ask")
	}
	two.SetAccount(50_000, 14, 123)
	for _, f := range []*Fleet{three, two} {
		if err := f.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	four := member(t, s.Addr, false, Config{})
	if four.Turn() {
		t.Error("SES is asked again at once")
	}
	key := fleetKeys("test:")[4]
	left, err := client.PTTL(t.Context(), key).Result()
	if err != nil || left < turnRest/2 || left > turnRest {
		t.Errorf("the turn is free in %v (%v), not after the rest of %v", left, err, turnRest)
	}
	if err := client.PExpire(t.Context(), key, time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the turn is free", four.Turn)
}
