package split

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// Keys of another type, or too large to be a split, are damage like any other:
// the last good value stays in force and is written back, with the history.
func TestRedisHoldsSomethingElse(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	client := redisClient(t, server.Addr)
	m := join(t, redisClient(t, server.Addr), "")
	must(t)(m.Set(t.Context(), 0, 1000, "week 1", "ops"))
	historyOf(t, 1, m)
	for _, odd := range []struct {
		what string
		do   func() error
	}{
		{"the state is a list", func() error {
			client.Del(t.Context(), "{test:}split")
			return client.RPush(t.Context(), "{test:}split", "x").Err()
		}},
		{"the state is a hash", func() error {
			client.Del(t.Context(), "{test:}split")
			return client.HSet(t.Context(), "{test:}split", "x", "y").Err()
		}},
		{"the state is very long", func() error {
			return client.Set(t.Context(), "{test:}split", strings.Repeat(" ", 2<<20)+`{"format":1,"version":9,"ses_percent":90,"ceiling":100}`, 0).Err()
		}},
		{"the history is a string", func() error { return client.Set(t.Context(), "{test:}split:history", "x", 0).Err() }},
		{"both are sets", func() error {
			client.Del(t.Context(), "{test:}split", "{test:}split:history")
			client.SAdd(t.Context(), "{test:}split:history", "x")
			return client.SAdd(t.Context(), "{test:}split", "x").Err()
		}},
	} {
		if err := odd.do(); err != nil {
			t.Fatalf("%s: %v", odd.what, err)
		}
		m.store.nudge()
		eventually(t, odd.what+": healed", func() bool {
			state, err := client.Get(t.Context(), "{test:}split").Result()
			lines, err2 := client.LLen(t.Context(), "{test:}split:history").Result()
			return err == nil && err2 == nil && strings.Contains(state, `"version":1,"ses_percent":10,`) && lines == 1
		})
		if s := m.Current(); s.Version != 1 || s.Applied() != 1000 {
			t.Fatalf("%s: %+v", odd.what, s.State)
		}
	}
	must(t)(m.Set(t.Context(), 1, 2000, "week 2", "ops"))
	if h, err := m.History(t.Context()); err != nil || len(h) != 2 {
		t.Errorf("%+v, %v", h, err)
	}
}

// deaf is an instance whose messages are all lost.
type deaf struct{ register }

func (deaf) listen(ctx context.Context, _ func(string)) { <-ctx.Done() }

// A lost message costs one poll.
func TestLostMessages(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	a := join(t, redisClient(t, server.Addr), "")
	store, err := NewRedisStore(redisClient(t, server.Addr), "test:", "")
	if err != nil {
		t.Fatal(err)
	}
	store.shared, store.Settle = deaf{store.shared}, time.Millisecond
	b := &member{Live: newLive(t, store, 0), store: store}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); store.Run(ctx) }()
	defer func() { cancel(); <-ended; store.Close() }()
	must(t)(a.Set(t.Context(), 0, 5000, "week 1", "ops"))
	reach(t, 10*pollEvery, "50 % without a message", at(1, 5000), b)
	must(t)(a.Brake("ops", "stop"))
	reach(t, 10*pollEvery, "the brake without a message", at(1, 0), b)
	// A release asked of one that has not heard of the brake looks in Redis.
	must(t)(a.Release(t.Context(), 1, "fixed", "ops"))
	reach(t, 10*pollEvery, "released", at(2, 5000), b)
	must(t)(a.Brake("ops", "stop again"))
	if _, err := b.Release(t.Context(), 2, "fixed", "ops"); err != nil {
		t.Fatalf("a release right after the brake, elsewhere: %v", err)
	}
}

// Without Redis a brake stays on, and who wants to release it reads what to do.
func TestReleaseWithoutRedis(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	m := join(t, redisClient(t, server.Addr), "")
	must(t)(m.Set(t.Context(), 0, 5000, "week 1", "ops"))
	must(t)(m.Brake("ops", "stop"))
	server.Kill()
	s, err := m.Release(t.Context(), 1, "fixed", "ops")
	if s != nil || !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "bring Redis back and repeat") {
		t.Fatalf("%v", err)
	}
	if strings.Contains(err.Error(), "disk") || m.Current().Applied() != 0 || m.Current().Version != 1 {
		t.Fatalf("%v, %+v", err, m.Current().State)
	}
	if err := server.Run(); err != nil { // empty
		t.Fatal(err)
	}
	wantStored(t, server, `"version":1`)
	must(t)(m.Release(t.Context(), 1, "fixed", "ops"))
	reach(t, 2*time.Second, "released", at(2, 5000), m)
}

// Two instances whose clocks are hours apart: the joined history is in the order
// of the versions, and a brake stands where its clock puts it.
func TestHistoryOfTwoClocks(t *testing.T) {
	t.Parallel()
	at := func(version int64, minute int, action Action) Change {
		return Change{Version: version, At: monday.Add(time.Duration(minute) * time.Minute), Action: action, Who: "ops", Reason: fmt.Sprint(version, action)}
	}
	shared := []Change{at(4, 40, ActionSet), at(3, 150, ActionSet), at(1, 10, ActionSet)} // version 3 by a clock two hours ahead
	own := []Change{at(2, 20, ActionSet), at(4, 45, ActionBrake)}
	for _, got := range [][]Change{union(shared, own), union(union(own, nil), shared)} {
		var versions []int64
		for _, c := range got {
			versions = append(versions, c.Version)
		}
		if !slices.Equal(versions, []int64{4, 4, 3, 2, 1}) || got[0].Action != ActionBrake {
			t.Errorf("%v", got)
		}
	}
}

// The last version that can be counted is followed by none: the others would
// take the next for damage.
func TestVersionsEnd(t *testing.T) {
	t.Parallel()
	store := NewMemoryStore()
	store.state, store.stored = State{Value: Value{Version: maxVersion, SESPercent: 1000}, Ceiling: Full}, true
	l := newLive(t, store, 0)
	for _, p := range []Percent{500, 2000} {
		if _, err := l.Set(t.Context(), maxVersion, p, "r", "w"); !errors.Is(err, ErrRefused) {
			t.Errorf("%v", err)
		}
	}
	if must(t)(l.Brake("ops", "stop")); l.Current().check() != nil || l.Current().Applied() != 0 {
		t.Errorf("%+v", l.Current().State)
	}
}
