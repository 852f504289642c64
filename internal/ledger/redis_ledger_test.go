package ledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"sesrelay/internal/redistest"
	"sesrelay/internal/relay"
)

func server(t testing.TB, start func(dir string) (*redistest.Server, error)) *redistest.Server {
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

func client(t testing.TB, addr string, cluster bool) redis.UniversalClient {
	t.Helper()
	c := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: []string{addr}, IsClusterMode: cluster,
		ContextTimeoutEnabled: true, MaxRetries: -1, DialTimeout: 200 * time.Millisecond})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// empty forgets everything, the scripts too, as a restart would.
func empty(s *redistest.Server) error {
	_, err := s.Do("FLUSHALL")
	_, err2 := s.Do("SCRIPT FLUSH")
	return errors.Join(err, err2)
}

// clock is the time of what is kept in this process.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// fleet is one implementation under test: two instances that share what they
// know, and a way to let time pass.
type fleet struct {
	name    string
	one     relay.Ledger
	two     relay.Ledger
	advance func(t *testing.T, d time.Duration)
	settle  func(t *testing.T) // until what nobody waits for is written
}

const shortWait = time.Second // for another attempt

// fleets are all implementations: the same table runs over each.
func fleets(t *testing.T) []fleet {
	clk := &clock{t: time.Now()}
	memory := relay.NewMemoryLedger(6*time.Hour, 1000, clk.now)
	out := []fleet{{name: "memory", one: memory, two: memory, settle: func(*testing.T) {},
		advance: func(_ *testing.T, d time.Duration) { clk.advance(d) }}}
	for _, cluster := range []bool{false, true} {
		start := single
		if cluster {
			start = redistest.StartCluster
		}
		c := client(t, server(t, start).Addr, cluster)
		one, two := instance(t, c, clk.now), instance(t, c, clk.now)
		out = append(out, fleet{name: "redis, cluster " + strconv.FormatBool(cluster), one: one, two: two,
			advance: func(t *testing.T, d time.Duration) { age(t, c, d); clk.advance(d) },
			settle: func(t *testing.T) {
				for _, l := range []*Ledger{one, two} {
					if err := l.settling.flush(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}})
	}
	return out
}

func instance(t testing.TB, c redis.UniversalClient, now func() time.Time) *Ledger {
	t.Helper()
	l := New(Config{Client: c, Prefix: "test:", TTL: 6 * time.Hour, Entries: 1000, Now: now,
		Wait: shortWait, Timeout: 2 * time.Second, News: 20 * time.Millisecond}, nil)
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	return l
}

// age lets d pass for Redis: every key comes nearer to its end.
func age(t *testing.T, c redis.UniversalClient, d time.Duration) {
	t.Helper()
	ctx := t.Context()
	all, err := c.Keys(ctx, "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range all {
		left, err := c.PTTL(ctx, k).Result()
		if err != nil || left < 0 {
			t.Fatalf("%q never expires: %v, %v", k, left, err)
		}
		if left <= d {
			err = c.Del(ctx, k).Err()
		} else {
			err = c.PExpire(ctx, k, left-d).Err()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func key(n byte) relay.Fingerprint { return relay.Fingerprint{n} }

func claim(t *testing.T, l relay.Ledger, n byte, owner string) relay.Claim {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), shortWait)
	defer cancel()
	c, err := l.Claim(ctx, key(n), owner)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func want(t *testing.T, what string, c relay.Claim, state relay.ClaimState, unknowns int) {
	t.Helper()
	if c.State != state || c.Unknowns != unknowns {
		t.Errorf("%s: %+v; want state %d, %d unknown", what, c, state, unknowns)
	}
}

// TestConformance: what one instance settles another one knows, and each
// implementation gives the same answers.
func TestConformance(t *testing.T) {
	t.Parallel()
	receipt := relay.Receipt{Route: relay.Cuenote, RelayID: "r1", ID: "q1", Text: "2.0.0 Ok: queued as 4F"}
	for _, c := range []struct {
		name string
		run  func(t *testing.T, f *fleet)
	}{
		{"accepted", func(t *testing.T, f *fleet) {
			want(t, "first", claim(t, f.one, 1, "a"), relay.Claimed, 0)
			f.one.Accept(key(1), "a", receipt)
			f.settle(t)
			got := claim(t, f.two, 1, "b")
			want(t, "retry", got, relay.Duplicate, 0)
			if got.Receipt != receipt {
				t.Errorf("%+v", got.Receipt)
			}
			f.advance(t, 6*time.Hour+time.Second)
			want(t, "after its time", claim(t, f.two, 1, "c"), relay.Claimed, 0)
		}},
		{"released", func(t *testing.T, f *fleet) {
			want(t, "first", claim(t, f.one, 2, "a"), relay.Claimed, 0)
			begun := time.Now()
			want(t, "while it runs", claim(t, f.two, 2, "b"), relay.Busy, 0)
			if d := time.Since(begun); d < shortWait-50*time.Millisecond {
				t.Errorf("waited only %s for the attempt that ran", d)
			}
			f.one.Release(key(2), "a")
			f.settle(t)
			want(t, "after the release", claim(t, f.two, 2, "b"), relay.Claimed, 0)
			f.two.Release(key(2), "b")
		}},
		{"a retry waits for the first attempt", func(t *testing.T, f *fleet) {
			claim(t, f.one, 3, "a")
			time.AfterFunc(shortWait/4, func() { f.one.Accept(key(3), "a", receipt) })
			want(t, "retry", claim(t, f.two, 3, "b"), relay.Duplicate, 0)
		}},
		{"unknown", func(t *testing.T, f *fleet) {
			for n := range 3 {
				want(t, "attempt", claim(t, f.one, 4, "a"), relay.Claimed, n)
				f.one.MarkUnknown(key(4), "a", relay.SES)
				f.settle(t)
				begun := time.Now()
				want(t, "until it expires", claim(t, f.two, 4, "b"), relay.Busy, n+1)
				if d := time.Since(begun); d > shortWait-50*time.Millisecond {
					t.Errorf("waited %s for an attempt that has ended", d)
				}
				f.advance(t, claimLife)
			}
			want(t, "the last", claim(t, f.two, 4, "b"), relay.Claimed, 3)
			f.two.Accept(key(4), "b", receipt)
			f.settle(t)
			f.advance(t, 6*time.Hour+time.Second)
			want(t, "acceptance forgets the unknowns", claim(t, f.one, 4, "c"), relay.Claimed, 0)
		}},
		{"unknown at Cuenote is not counted", func(t *testing.T, f *fleet) {
			claim(t, f.one, 5, "a")
			f.one.MarkUnknown(key(5), "a", relay.Cuenote)
			f.settle(t)
			want(t, "until it expires", claim(t, f.two, 5, "b"), relay.Busy, 0)
			f.advance(t, claimLife)
			want(t, "later", claim(t, f.two, 5, "b"), relay.Claimed, 0)
		}},
		{"the owner dies", func(t *testing.T, f *fleet) {
			claim(t, f.one, 6, "dead")
			f.advance(t, claimLife)
			want(t, "after the claim's life", claim(t, f.two, 6, "b"), relay.Claimed, 0)
			f.one.Release(key(6), "dead")
			f.settle(t)
			want(t, "a late release", claim(t, f.two, 6, "c"), relay.Busy, 0)
			f.one.MarkUnknown(key(6), "dead", relay.Cuenote)
			f.settle(t)
			f.two.Release(key(6), "b")
			f.settle(t)
			want(t, "the owner's own release", claim(t, f.two, 6, "c"), relay.Claimed, 0)
		}},
		{"one of many wins", func(t *testing.T, f *fleet) {
			var wg sync.WaitGroup
			won := make(chan string, 40)
			for i := range 20 {
				for _, l := range []relay.Ledger{f.one, f.two} {
					owner := fmt.Sprintf("%d %p", i, l)
					wg.Go(func() {
						if claim(t, l, 7, owner).State == relay.Claimed {
							won <- owner
						}
					})
				}
			}
			wg.Wait()
			if len(won) != 1 {
				t.Errorf("%d owners of one claim", len(won))
			}
		}},
		{"remembered", func(t *testing.T, f *fleet) {
			f.one.Remember(key(8))
			if !f.one.Remembered(key(8)) || f.one.Remembered(key(9)) || f.two.Remembered(key(9)) {
				t.Error("wrong memory")
			}
			for end := time.Now().Add(5 * time.Second); !f.two.Remembered(key(8)); time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("the other instance does not hear of it")
				}
			}
			f.advance(t, rememberLife+time.Second)
			if f.one.Remembered(key(8)) || f.two.Remembered(key(8)) {
				t.Error("remembered for too long")
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, f := range fleets(t) {
				t.Run(f.name, func(t *testing.T) { c.run(t, &f) })
			}
		})
	}
}

// TestFaults: without Redis mail is not held up, each instance protects itself,
// and what was settled meanwhile is known to all afterwards.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		break_, fix func(*redistest.Server, *redistest.Proxy) error
	}{
		{"killed", func(s *redistest.Server, _ *redistest.Proxy) error { s.Kill(); return nil },
			func(s *redistest.Server, _ *redistest.Proxy) error { return s.Run() }},
		{"frozen", func(s *redistest.Server, _ *redistest.Proxy) error { return s.Freeze() },
			func(s *redistest.Server, _ *redistest.Proxy) error { return s.Thaw() }},
		{"cut", func(_ *redistest.Server, p *redistest.Proxy) error { p.Lead(""); return nil },
			func(s *redistest.Server, p *redistest.Proxy) error { p.Lead(s.Addr); return nil }},
		{"paused", func(s *redistest.Server, _ *redistest.Proxy) error {
			_, err := s.Do("CLIENT PAUSE 4000 ALL")
			return err
		},
			func(*redistest.Server, *redistest.Proxy) error { return nil } /* it ends by itself */},
		{"full", func(s *redistest.Server, _ *redistest.Proxy) error {
			_, err := s.Do("CONFIG SET maxmemory 1")
			return err
		},
			func(s *redistest.Server, _ *redistest.Proxy) error {
				_, err := s.Do("CONFIG SET maxmemory 0")
				return err
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := server(t, single)
			p, err := redistest.NewProxy(s.Addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Close)
			open := func() *Ledger {
				l := New(Config{Client: client(t, p.Addr, false), Prefix: "test:", TTL: time.Hour, Entries: 1000}, nil)
				t.Cleanup(func() {
					ctx, cancel := context.WithTimeout(context.Background(), time.Second)
					defer cancel()
					_ = l.Close(ctx)
				})
				return l
			}
			one, two := open(), open()
			want(t, "warm", claim(t, one, 1, "a"), relay.Claimed, 0)
			one.Accept(key(1), "a", relay.Receipt{ID: "before"})
			if err := c.break_(s, p); err != nil {
				t.Fatal(err)
			}
			worst := time.Duration(0)
			for n := byte(10); n < 40; n++ {
				begun := time.Now()
				want(t, "without Redis", claim(t, one, n, "a"), relay.Claimed, 0)
				worst = max(worst, time.Since(begun))
				one.Accept(key(n), "a", relay.Receipt{ID: "meanwhile"})
				want(t, "its own retry", claim(t, one, n, "b"), relay.Duplicate, 0)
			}
			if worst > mailPath+100*time.Millisecond { // the second for a busy machine
				t.Errorf("mail waited %s for Redis", worst)
			}
			if testutil.ToFloat64(one.metrics.alone) == 0 {
				t.Error("nothing is counted")
			}
			if err := c.fix(s, p); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := one.settling.flush(ctx); err != nil {
				t.Fatal(err)
			}
			for n := byte(10); n < 40; n++ {
				for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
					got := claim(t, two, n, "c")
					if got.State == relay.Duplicate && got.Receipt.ID == "meanwhile" {
						break
					}
					if two.Release(key(n), "c"); time.Now().After(end) {
						t.Fatalf("%d: %+v after Redis came back", n, got)
					}
				}
			}
		})
	}
}

// TestEmptied: after FLUSHALL and SCRIPT FLUSH the ledger goes on, and the
// instance that accepted still knows.
func TestEmptied(t *testing.T) {
	t.Parallel()
	s := server(t, single)
	l := instance(t, client(t, s.Addr, false), time.Now)
	claim(t, l, 1, "a")
	l.Accept(key(1), "a", relay.Receipt{ID: "x"})
	if err := errors.Join(l.settling.flush(t.Context()), empty(s)); err != nil {
		t.Fatal(err)
	}
	want(t, "its own", claim(t, l, 1, "b"), relay.Duplicate, 0)
	want(t, "another", claim(t, l, 2, "b"), relay.Claimed, 0)
	l.Accept(key(2), "b", relay.Receipt{ID: "y"})
	if err := l.settling.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := instance(t, client(t, s.Addr, false), time.Now)
	want(t, "another instance", claim(t, other, 2, "c"), relay.Duplicate, 0)
	if n := testutil.ToFloat64(l.metrics.alone); n != 0 {
		t.Errorf("%v claims without Redis, which was there", n)
	}
}

// TestQueueIsBounded: what cannot be written for long is dropped and counted.
// TestRunningElsewhereAndThenSilence: an instance that has heard that another
// one is sending a mail does not send it because Redis falls silent, and goes on
// when the other has ended.
func TestRunningElsewhereAndThenSilence(t *testing.T) {
	t.Parallel()
	s := server(t, single)
	c := client(t, s.Addr, false)
	one := instance(t, client(t, s.Addr, false), time.Now)
	two := New(Config{Client: client(t, s.Addr, false), Prefix: "test:", TTL: time.Hour, Entries: 1000, Wait: 6 * time.Second, Timeout: time.Second}, nil)
	t.Cleanup(func() { _ = two.Close(context.Background()) })
	ends := map[byte]relay.ClaimState{1: relay.Busy, 2: relay.Duplicate, 3: relay.Claimed}
	got := map[byte]chan relay.Claim{}
	for n := range ends {
		want(t, "first", claim(t, one, n, "a"), relay.Claimed, 0)
		got[n] = make(chan relay.Claim, 1)
		go func() {
			c, err := two.Claim(context.Background(), key(n), "b")
			if err != nil {
				t.Error(err)
			}
			got[n] <- c
		}()
	}
	time.Sleep(500 * time.Millisecond) // it has heard what is running
	if err := c.Do(t.Context(), "CLIENT", "PAUSE", "2000", "ALL").Err(); err != nil {
		t.Fatal(err)
	}
	one.Accept(key(2), "a", relay.Receipt{Route: relay.SES, RelayID: "a", ID: "x"}) // written when Redis answers again
	one.Release(key(3), "a")
	for n, end := range ends {
		want(t, fmt.Sprint("behind the silence, mail ", n), <-got[n], end, 0)
	}
	if n := testutil.ToFloat64(two.metrics.alone); n != 0 {
		t.Errorf("%v claims without Redis", n)
	}
	// The claim that the lost answers may have brought is not in the way.
	one.Release(key(1), "a")
	for _, l := range []*Ledger{one, two} {
		if err := l.settling.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want(t, "afterwards", claim(t, one, 1, "c"), relay.Claimed, 0)
}

// TestClaimTwice: the answer to a claim may be lost; asked again, it is the owner's.
func TestClaimTwice(t *testing.T) {
	t.Parallel()
	s := server(t, single)
	l := instance(t, client(t, s.Addr, false), time.Now)
	for range 2 {
		if c, running, err := l.claimOnce(key(1), "a"); err != nil || running || c.State != relay.Claimed {
			t.Fatalf("%+v, %v, %v", c, running, err)
		}
	}
	if _, running, err := l.claimOnce(key(1), "b"); err != nil || !running {
		t.Fatalf("%v, %v", running, err)
	}
}

func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	m := newMetrics(nil)
	s := newSettlements(nil, time.Now, m) // nobody writes
	for range settleQueue + 7 {
		s.add(settlement{op: opRelease})
	}
	if n := testutil.ToFloat64(m.dropped.WithLabelValues("release")); n != 7 {
		t.Errorf("%v dropped; want 7", n)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	clk := &clock{t: time.Unix(1e9, 0)}
	m := newMemory(time.Hour, clk.now)
	for i := range maxRemembered + 1000 {
		m.put(relay.Fingerprint{byte(i), byte(i >> 8), byte(i >> 16)}, clk.now().Add(time.Hour))
	}
	if n := len(m.until); n > maxRemembered {
		t.Errorf("%d remembered", n)
	}
	clk.advance(time.Hour)
	m.put(key(1), clk.now().Add(time.Hour))
	if n := len(m.until); n != 1 {
		t.Errorf("%d are kept that have expired", n-1)
	}
}

// BenchmarkMail is the ledger's cost of one mail: a claim, and its settlement.
func BenchmarkMail(b *testing.B) {
	s := server(b, single)
	for _, clients := range []int{1, 64} {
		b.Run(fmt.Sprintf("%d at once", clients), func(b *testing.B) {
			l := New(Config{Client: client(b, s.Addr, false), Prefix: "bench:", TTL: time.Minute, Entries: 500_000, Timeout: time.Second}, nil)
			defer func() { _ = l.Close(context.Background()) }()
			var mu sync.Mutex
			n := uint64(time.Now().UnixNano())
			next := func() (fp relay.Fingerprint) {
				mu.Lock()
				defer mu.Unlock()
				n++
				copy(fp[:], strconv.FormatUint(n, 16))
				return fp
			}
			b.SetParallelism(max(1, clients/2))
			work := func(more func() bool) {
				for more() {
					fp := next()
					if c, err := l.Claim(b.Context(), fp, "owner-of-the-claim"); err != nil || c.State != relay.Claimed {
						b.Errorf("%+v, %v", c, err)
						return
					}
					l.Accept(fp, "owner-of-the-claim", relay.Receipt{Route: relay.SES, RelayID: "owner-of-the-claim", ID: "0106019abcdef-1234"})
				}
			}
			if clients == 1 {
				work(b.Loop)
				return
			}
			b.RunParallel(func(pb *testing.PB) { work(pb.Next) })
		})
	}
}
