package split

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"sesrelay/internal/redistest"
)

// Whatever happens to Redis and the ways to it, while four instances set, brake
// and release: no instance that was braked lets mail to SES again before
// somebody has asked for a release, and afterwards all hold the same.
//
// "make test" runs one round of three seconds, "make chaos" many. The same in
// every order, without Redis: TestFleetInDisorder.
func TestFleetChaos(t *testing.T) {
	t.Parallel()
	for round := range uint64(chaosRounds) {
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) { chaos(t, round) })
	}
}

// chaosRound is how long a round lasts at least.
const chaosRound = 3 * time.Second

func chaos(t *testing.T, seed uint64) {
	server := startRedis(t)
	const n = 4
	fleet, ways := make([]*member, n), make([]*redistest.Proxy, n)
	for i := range n {
		var err error
		if ways[i], err = redistest.NewProxy(server.Addr); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(ways[i].Close)
		fleet[i] = join(t, redisClient(t, ways[i].Addr), "")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // for a machine that is busy
	defer cancel()
	var releases atomic.Int64 // asked for
	done := make(chan struct{})
	for i, m := range fleet {
		go func() { defer func() { done <- struct{}{} }(); drive(ctx, t, seed, i, m, &releases) }()
	}
	r := rand.New(rand.NewPCG(seed, 7))
	enough := func() bool { return fleet[0].Current().Version >= 5 && releases.Load() >= 5 }
	for begun := time.Now(); ctx.Err() == nil && (time.Since(begun) < chaosRound || !enough()); {
		way := ways[r.IntN(n)]
		switch r.IntN(6) {
		case 0:
			server.Do("FLUSHALL")
		case 1:
			server.Kill()
			if err := server.Run(); err != nil {
				t.Fatal(err)
			}
		case 2, 3:
			way.Lead("")
		default:
			way.Lead(server.Addr)
		}
		time.Sleep(30 * time.Millisecond)
	}
	if !enough() {
		t.Error("too little has happened to prove anything")
	}
	cancel()
	for range fleet {
		<-done
	}
	for _, way := range ways {
		way.Lead(server.Addr)
	}
	differ := ""
	defer func() {
		if t.Failed() {
			t.Log(differ)
		}
	}()
	patiently(t, 30*time.Second, "all hold the same", func() bool {
		was, err := fleet[0].store.read(t.Context())
		for _, m := range fleet {
			s := m.Current()
			if err != nil || !was.found || !s.State.equal(&was.state) || s.Unsaved {
				differ = fmt.Sprintf("Redis: %v, %+v; an instance: unsaved %v, %+v", err, was.state, s.Unsaved, s.State)
				return false
			}
		}
		return true
	})
	s := fleet[0].Current()
	h, _ := fleet[0].History(t.Context())
	t.Logf("version %d, applied %s, %d changes, %d releases asked for", s.Version, s.Applied(), len(h), releases.Load())
}

// drive changes the split on one instance at random.
func drive(ctx context.Context, t *testing.T, seed uint64, i int, m *member, releases *atomic.Int64) {
	r := rand.New(rand.NewPCG(seed, uint64(100+i)))
	braked := int64(-1) // how many releases had been asked for when this instance was braked
	for ctx.Err() == nil {
		s := m.Current()
		if asked := releases.Load(); s == m.Current() && braked == asked && s.Applied() > 0 {
			t.Errorf("instance %d was braked and applies %s: %+v", i, s.Applied(), s.State)
			return
		}
		switch k := r.IntN(20); {
		case k == 0:
			braked = releases.Load()
			m.Brake("guard", "chaos")
		case k == 1 && s.Brake != nil:
			releases.Add(1)
			m.Release(ctx, s.Version, "fixed", "ops")
		case k < 5:
			m.Set(ctx, s.Version, Percent(r.IntN(100)*100), "step", "ops")
		}
		time.Sleep(5 * time.Millisecond)
	}
}
