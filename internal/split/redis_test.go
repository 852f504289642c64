package split

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"sesrelay/internal/redistest"
)

// The client's own log would fill the tests': it tells of every lost connection.
var _ = func() bool { logging.Disable(); return true }()

// startRedis runs a redis-server for one test.
func startRedis(t testing.TB) *redistest.Server {
	t.Helper()
	s, err := redistest.Start(t.TempDir())
	if errors.Is(err, redistest.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

func redisClient(t testing.TB, addr string) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, DialTimeout: redisTimeout, DialerRetries: 1, MaxRetries: 1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}})
	t.Cleanup(func() { c.Close() })
	return c
}

// member is one instance of a fleet.
type member struct {
	*Live
	store *RedisStore
	stop  func()
}

// join starts an instance. It is stopped at the end of the test, or by stop.
func join(t testing.TB, client redis.UniversalClient, file string) *member {
	t.Helper()
	store, err := NewRedisStore(client, "test:", file)
	if err != nil {
		t.Fatal(err)
	}
	store.Settle = time.Millisecond
	live, err := NewLive(context.Background(), store, LiveConfig{Initial: 4200})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); store.Run(ctx) }()
	m := &member{Live: live, store: store}
	m.stop = func() {
		cancel()
		<-ended
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(m.stop)
	return m
}

func fleetOf(t testing.TB, n int, addr string) []*member {
	all := make([]*member, n)
	for i := range all {
		all[i] = join(t, redisClient(t, addr), "")
	}
	return all
}

// reach waits until an instance applies a state, woken by its changes.
func reach(t testing.TB, within time.Duration, what string, ok func(*Snapshot) bool, members ...*member) {
	t.Helper()
	deadline := time.After(within)
	for i, m := range members {
		for s := m.Current(); !ok(s); s = m.Current() {
			select {
			case <-s.Changed():
			case <-deadline:
				t.Fatalf("after %s instance %d is not at %s: version %d, requested %s, applied %s, brake %+v, unsaved %v", within, i, what,
					s.Version, s.SESPercent, s.Applied(), s.Brake, s.Unsaved)
			}
		}
	}
}

func at(version int64, applied Percent) func(*Snapshot) bool {
	return func(s *Snapshot) bool { return s.Version == version && s.Applied() == applied && !s.Unsaved }
}

func TestFleetSetUndoBrakeRelease(t *testing.T) {
	t.Parallel()
	fleetScenario(t, func(t *testing.T) redis.UniversalClient { return redisClient(t, startRedis(t).Addr) })
}

func TestFleetInCluster(t *testing.T) {
	t.Parallel()
	s, err := redistest.StartCluster(t.TempDir())
	if errors.Is(err, redistest.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	fleetScenario(t, func(t *testing.T) redis.UniversalClient {
		c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.Addr}, ContextTimeoutEnabled: true})
		t.Cleanup(func() { c.Close() })
		return c
	})
}

func fleetScenario(t *testing.T, client func(*testing.T) redis.UniversalClient) {
	c := client(t)
	fleet := []*member{join(t, c, ""), join(t, c, ""), join(t, c, "")}
	a, b := fleet[0], fleet[1]
	reach(t, time.Second, "the configuration's 42 %, nothing stored", func(s *Snapshot) bool { return s.Version == 0 && s.Applied() == 4200 }, fleet...)
	must(t)(a.Set(t.Context(), 0, 1000, "week 1", "ops"))
	reach(t, 2*time.Second, "10 %", at(1, 1000), fleet...)
	must(t)(b.Set(t.Context(), 1, 5000, "week 2", "ops"))
	if _, err := a.Set(t.Context(), 1, 9000, "late", "ops"); !errors.Is(err, ErrStale) {
		t.Fatalf("two changes to one version: %v", err)
	}
	must(t)(a.Undo(t.Context(), 2, "bounces", "ops")) // a may not have heard of 2 yet
	reach(t, 2*time.Second, "10 % again", at(3, 1000), fleet...)
	must(t)(b.Brake("guard", "bounces"))
	reach(t, 2*time.Second, "the brake", at(3, 0), fleet...)
	must(t)(a.Set(t.Context(), 3, 2000, "under the brake", "ops"))
	reach(t, 2*time.Second, "the brake still", at(4, 0), fleet...)
	must(t)(fleet[2].Release(t.Context(), 4, "fixed", "ops"))
	reach(t, 2*time.Second, "20 %", at(5, 2000), fleet...)
	for _, m := range fleet {
		h, err := m.History(t.Context())
		if err != nil || len(h) != 6 {
			t.Fatalf("%d changes, %v", len(h), err)
		}
		if h[0].Action != ActionRelease || h[2].Action != ActionBrake || h[2].Who != "guard" || h[5].Reason != "week 1" || h[5].Before != 4200 || h[5].After != 1000 {
			t.Errorf("%+v", h)
		}
	}
}

// Of many changes on many instances to one version one wins.
func TestFleetConcurrentChanges(t *testing.T) {
	t.Parallel()
	fleet := fleetOf(t, 4, startRedis(t).Addr)
	won := make(chan int64, 100)
	done := make(chan struct{})
	for i, m := range fleet {
		go func() {
			for n := range 15 {
				v := m.Current().Version
				if _, err := m.Set(context.Background(), v, Percent(i*100+n), "race", fmt.Sprint(i)); err == nil {
					won <- v + 1
				} else if !errors.Is(err, ErrStale) {
					t.Error(err)
				}
			}
			done <- struct{}{}
		}()
	}
	for range fleet {
		<-done
	}
	close(won)
	seen := map[int64]bool{}
	for v := range won {
		if seen[v] {
			t.Errorf("version %d was given twice", v)
		}
		seen[v] = true
	}
	last := int64(len(seen))
	reach(t, 2*time.Second, "the last version", func(s *Snapshot) bool { return s.Version == last }, fleet...)
	h, _ := fleet[0].History(t.Context())
	for i := range len(h) - 1 {
		if h[i].Before != h[i+1].After || h[i].Version != h[i+1].Version+1 {
			t.Fatalf("%+v after %+v", h[i], h[i+1])
		}
	}
}

// A Redis that was emptied gets back what the instances hold, history and all,
// and never a value of the configuration.
func TestRedisEmptied(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"FLUSHALL", "restart"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			server := startRedis(t)
			fleet := fleetOf(t, 3, server.Addr)
			must(t)(fleet[0].Set(t.Context(), 0, 1000, "week 1", "ops"))
			must(t)(fleet[0].Set(t.Context(), 1, 2500, "week 2", "ops"))
			must(t)(fleet[0].Brake("ops", "stop"))
			reach(t, 2*time.Second, "the brake", at(2, 0), fleet...)
			historyOf(t, 3, fleet...)
			if how == "restart" {
				server.Kill()
				if err := server.Run(); err != nil {
					t.Fatal(err)
				}
			} else if _, err := server.Do("FLUSHALL"); err != nil {
				t.Fatal(err)
			}
			wantStored(t, server, `"version":2,"ses_percent":25`)
			late := join(t, redisClient(t, server.Addr), "")
			reach(t, 2*time.Second, "what the fleet holds", at(2, 0), append(fleet, late)...)
			historyOf(t, 3, late)
			if h, err := late.History(t.Context()); err != nil || len(h) != 3 || h[2].Reason != "week 1" {
				t.Errorf("%+v, %v", h, err)
			}
		})
	}
}

// historyOf waits until the instances hold a history of n lines themselves.
func historyOf(t *testing.T, n int, members ...*member) {
	t.Helper()
	for _, m := range members {
		eventually(t, "the history's copy", func() bool { return len(m.store.mirror.last().History) == n })
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	patiently(t, 4*time.Second, what, ok)
}

func patiently(t *testing.T, patience time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// wantStored waits until Redis holds a state with a text in it.
func wantStored(t *testing.T, server *redistest.Server, text string) {
	t.Helper()
	eventually(t, "stored: "+text, func() bool {
		got, err := server.Do("GET {test:}split")
		return err == nil && strings.Contains(got, text)
	})
}

// Without Redis: mail goes on as before, no increase, lowering and brake here,
// and all of it reaches the fleet afterwards.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"killed", "frozen", "cut"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			server := startRedis(t)
			proxy, err := redistest.NewProxy(server.Addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(proxy.Close)
			fleet := fleetOf(t, 2, proxy.Addr)
			a, b := fleet[0], fleet[1]
			must(t)(a.Set(t.Context(), 0, 5000, "week 1", "ops"))
			reach(t, 2*time.Second, "50 %", at(1, 5000), fleet...)
			back := away(t, how, server, proxy)
			eventually(t, "Redis is seen to be away", func() bool { up, _ := a.store.Up(); return !up })

			begun := time.Now()
			if _, err := a.Set(t.Context(), 1, 6000, "up", "ops"); !errors.Is(err, ErrRefused) {
				t.Fatalf("increase: %v", err)
			}
			s, err := a.Set(t.Context(), 1, 3000, "down", "ops")
			if !errors.Is(err, ErrNotSaved) || s.Version != 2 || s.Applied() != 3000 || !s.Unsaved {
				t.Fatalf("lowering: %+v, %v", s, err)
			}
			braking := time.Now()
			changed := s.Changed()
			local := b.Current().Changed()
			go b.Brake("guard", "bounces")
			select {
			case <-local:
			case <-time.After(time.Second):
			}
			if b.Current().Applied() != 0 || time.Since(braking) >= redisTimeout { // before Redis could be given up
				t.Errorf("brake: %s after %s", b.Current().Applied(), time.Since(braking))
			}
			if took := time.Since(begun); took > 3*time.Second {
				t.Errorf("three changes without Redis took %s", took)
			}
			select {
			case <-changed:
				t.Fatal("a brake has come through a Redis that is away")
			default:
			}
			back()
			reach(t, 4*time.Second, "both, joined", func(s *Snapshot) bool {
				return s.Version == 2 && s.SESPercent == 3000 && s.Applied() == 0 && !s.Unsaved
			}, fleet...)
			historyOf(t, 3, fleet...)
			if up, err := a.store.Up(); !up {
				t.Error(err)
			}
			must(t)(a.Release(t.Context(), 2, "fixed", "ops"))
			reach(t, 2*time.Second, "released", at(3, 3000), fleet...)
		})
	}
}

// away takes Redis away and returns what brings it back.
func away(t *testing.T, how string, server *redistest.Server, proxy *redistest.Proxy) (back func()) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	switch how {
	case "killed":
		server.Kill()
		return func() { check(server.Run()) }
	case "frozen":
		check(server.Freeze())
		return func() { check(server.Thaw()) }
	}
	proxy.Lead("")
	return func() { proxy.Lead(server.Addr) }
}

// An increase that a frozen Redis finds in its buffers afterwards is not made:
// its operator was told that it was not.
func TestFrozenRedisDoesNotRaiseLater(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	fleet := fleetOf(t, 2, server.Addr)
	m := fleet[0]
	must(t)(m.Set(t.Context(), 0, 1000, "week 1", "ops"))
	reach(t, 2*time.Second, "10 %", at(1, 1000), fleet...)
	was, err := m.store.read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Freeze(); err != nil {
		t.Fatal(err)
	}
	next := was.state
	next.Version, next.SESPercent = 2, 9000
	if err := m.store.replace(t.Context(), was, next, nil); !errors.Is(err, errSilent) {
		t.Fatalf("%v", err)
	}
	time.Sleep(lateAfter) // on Redis's clock; nothing can be awaited of a process that is stopped
	if err := server.Thaw(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "Redis is back", func() bool { _, err := m.store.read(t.Context()); return err == nil })
	if now, err := m.store.read(t.Context()); err != nil || now.state.Version != 1 {
		t.Fatalf("%+v, %v", now, err)
	}
	reach(t, time.Second, "10 % still", at(1, 1000), fleet...)
}

// Two masters after a failover hold different values under one version: the
// lower wins everywhere.
func TestTwoMastersHealToTheLower(t *testing.T) {
	t.Parallel()
	for _, heal := range []string{"to the lower", "to the higher"} {
		t.Run(heal, func(t *testing.T) {
			t.Parallel()
			one, two := startRedis(t), startRedis(t)
			way := make([]*redistest.Proxy, 2)
			fleet := make([]*member, 2)
			for i := range way {
				var err error
				if way[i], err = redistest.NewProxy(one.Addr); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(way[i].Close)
				fleet[i] = join(t, redisClient(t, way[i].Addr), "")
			}
			must(t)(fleet[0].Set(t.Context(), 0, 1000, "common", "ops"))
			reach(t, 2*time.Second, "10 %", at(1, 1000), fleet...)
			way[1].Lead(two.Addr)
			wantStored(t, two, `"version":1`) // written back by the second instance
			must(t)(fleet[0].Set(t.Context(), 1, 3000, "on one side", "ops"))
			must(t)(fleet[1].Set(t.Context(), 1, 7000, "on the other", "ops"))
			if heal == "to the lower" {
				way[1].Lead(one.Addr)
			} else {
				way[0].Lead(two.Addr)
			}
			reach(t, 4*time.Second, "the lower value", at(2, 3000), fleet...)
			for _, s := range []*redistest.Server{map[string]*redistest.Server{"to the lower": one, "to the higher": two}[heal]} {
				wantStored(t, s, `"version":2,"ses_percent":30`)
			}
		})
	}
}

// The file holds what the fleet held: a start without Redis finds it, and a
// start without either is at 0.
func TestRestartWithoutRedis(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	file := filepath.Join(t.TempDir(), "state")
	m := join(t, redisClient(t, server.Addr), file)
	other := join(t, redisClient(t, server.Addr), "")
	must(t)(other.Set(t.Context(), 0, 3300, "week 1", "ops"))
	reach(t, 2*time.Second, "33 %", at(1, 3300), m)
	historyOf(t, 1, m)
	m.stop()
	other.stop()
	server.Kill()

	again := join(t, redisClient(t, server.Addr), file)
	if s := again.Current(); s.Version != 1 || s.Applied() != 3300 {
		t.Fatalf("%+v", s.State)
	}
	if h, err := again.History(t.Context()); err != nil || len(h) != 1 {
		t.Fatalf("%+v, %v", h, err)
	}
	bare := join(t, redisClient(t, server.Addr), "")
	if s := bare.Current(); s.Version != 0 || s.Applied() != 0 {
		t.Fatalf("neither Redis nor a file: %+v", s.State)
	}
	if _, err := again.Brake("ops", "without anybody"); !errors.Is(err, ErrNotSaved) {
		t.Fatal(err)
	}
	again.stop()
	braked := join(t, redisClient(t, server.Addr), file)
	if s := braked.Current(); s.Applied() != 0 || s.Brake == nil {
		t.Fatalf("the brake was forgotten: %+v", s.State)
	}
	if err := server.Run(); err != nil {
		t.Fatal(err)
	}
	reach(t, 4*time.Second, "the file's value and brake, from the fleet", at(1, 0), bare, braked)
}

// What somebody else has written into Redis changes nothing, and is replaced.
func TestDamagedRedis(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	client := redisClient(t, server.Addr)
	m := join(t, redisClient(t, server.Addr), "")
	must(t)(m.Set(t.Context(), 0, 1000, "week 1", "ops"))
	for _, bad := range []string{
		"", "x", "{}", `{"format":1}`, `{"format":1,"version":9,"ses_percent":101,"ceiling":100}`,
		`{"format":1,"version":-1,"ses_percent":10,"ceiling":100}`,
		`{"format":1,"version":9223372036854775807,"ses_percent":10,"ceiling":100}`,
		`{"format":1,"version":9,"ses_percent":10,"ceiling":0}`,
		`{"format":1,"version":9,"ses_percent":10,"ceiling":100,"lifted":[{"origin":"a","number":1,"version":10}]}`,
		`{"format":1,"version":9,"ses_percent":10,"ceiling":100,"lifted":[{"origin":"","number":1,"version":9}]}`,
		`{"format":1,"version":9,"ses_percent":10,"ceiling":100,"pulls":[{"origin":"a","number":1,"ceiling":0}]}`,
		`{"format":1,"version":9,"ses_percent":10,"ceiling":0,"brake":{"by":"x","reason":"r","at":"2026-11-23T09:00:00Z"},"pulls":[{"origin":"a","number":0,"ceiling":0}]}`,
		`{"format":1,"version":9,"ses_percent":10,"ceiling":0,"brake":{"by":"x","reason":"r","at":"2026-11-23T09:00:00Z"},"pulls":[{"origin":"a","number":1,"ceiling":0,"by":"two\nlines"}]}`,
		`{"format":1,"version":9,"ses_percent":10,"ceiling":100,"reason":"two\nlines"}`,
		`{"format":1,"version":9,"ses_percent":"10","ceiling":100}`,
		`{"format":1,"version":9,"ses_percent":10,"ceiling":100,"brake":{"by":"x","reason":"r","at":"2026-11-23T09:00:00Z"}}`,
	} {
		if err := client.Set(t.Context(), "{test:}split", bad, 0).Err(); err != nil {
			t.Fatal(err)
		}
		client.Publish(t.Context(), "{test:}split", bad)
		wantStored(t, server, `"version":1,"ses_percent":10,`)
		if s := m.Current(); s.Version != 1 || s.Applied() != 1000 {
			t.Fatalf("%s: %+v", bad, s.State)
		}
	}
	// A newer relay's state stays, and is not understood.
	newer := `{"format":2,"share":"all"}`
	if err := client.Set(t.Context(), "{test:}split", newer, 0).Err(); err != nil {
		t.Fatal(err)
	}
	m.store.nudge()
	eventually(t, "it is said", func() bool { _, err := m.store.Up(); return errors.Is(err, errNewer) })
	if got, _ := client.Get(t.Context(), "{test:}split").Result(); got != newer {
		t.Fatalf("replaced by %s", got)
	}
	if _, err := m.Set(t.Context(), 1, 2000, "up", "ops"); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "newer relay") {
		t.Fatal(err)
	}
	if s := m.Current(); s.Version != 1 || s.Applied() != 1000 {
		t.Fatalf("%+v", s.State)
	}
}

// A Redis that answers with refusals is a Redis that is away.
func TestRedisRefuses(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	m := join(t, redisClient(t, server.Addr), "")
	must(t)(m.Set(t.Context(), 0, 1000, "week 1", "ops"))
	if _, err := server.Do("CONFIG SET maxmemory 1"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Set(t.Context(), 1, 2000, "up", "ops"); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "OOM") {
		t.Fatalf("increase: %v", err)
	}
	if s, err := m.Brake("ops", "stop"); !errors.Is(err, ErrNotSaved) || s.Applied() != 0 || !strings.Contains(err.Error(), "OOM") {
		t.Fatalf("brake: %v", err)
	}
	if _, err := server.Do("CONFIG SET maxmemory 0"); err != nil {
		t.Fatal(err)
	}
	wantStored(t, server, `"ceiling":0`)
	reach(t, 2*time.Second, "saved", at(1, 0), m)
}

// A brake pulled elsewhere and told past Redis is the same brake: one release
// takes it off everywhere.
func TestTakeBrake(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	fleet := fleetOf(t, 3, server.Addr)
	must(t)(fleet[0].Set(t.Context(), 0, 5000, "week 1", "ops"))
	reach(t, 2*time.Second, "50 %", at(1, 5000), fleet...)
	server.Kill()
	fleet[0].store.Tell = func(_ context.Context, p Pull, version int64) error {
		for _, m := range fleet[1:] {
			m.TakeBrake(p)
		}
		return nil
	}
	if _, err := fleet[0].Brake("ops", "stop"); !errors.Is(err, ErrNotSaved) {
		t.Fatal(err)
	}
	reach(t, time.Second, "the brake", func(s *Snapshot) bool { return s.Applied() == 0 }, fleet...)
	if err := server.Run(); err != nil {
		t.Fatal(err)
	}
	reach(t, 4*time.Second, "shared", at(1, 0), fleet...)
	must(t)(fleet[1].Release(t.Context(), 1, "fixed", "ops"))
	reach(t, 2*time.Second, "released", at(2, 5000), fleet...)
}

// What an instance was told while Redis is away outlives its restart.
func TestToldBrakeOutlivesRestart(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	file := filepath.Join(t.TempDir(), "state")
	m := join(t, redisClient(t, server.Addr), file)
	must(t)(m.Set(t.Context(), 0, 5000, "week 1", "ops"))
	server.Kill()
	m.TakeBrake(Pull{Origin: "other", Number: 1, Brake: Brake{By: "guard", Reason: "bounces", At: time.Now()}})
	eventually(t, "the copy", func() bool { return m.store.mirror.last().State.Brake != nil })
	m.stop()
	again := join(t, redisClient(t, server.Addr), file)
	if s := again.Current(); s.Version != 1 || s.Applied() != 0 {
		t.Fatalf("%+v", s.State)
	}
}

func TestHashTag(t *testing.T) {
	t.Parallel()
	for prefix, want := range map[string]string{"relay:": "{relay:}", "": "{relay:}", "{a}b:": "{a}b:", "a{b}": "a{b}", "{}x": "{{}x}", "a{": "{a{}"} {
		if got := HashTag(prefix); got != want {
			t.Errorf("%q: %q, want %q", prefix, got, want)
		}
	}
}
