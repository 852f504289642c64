package rollout

import (
	"errors"
	"testing"

	"github.com/redis/go-redis/v9"

	"sesrelay/internal/redistest"
)

// TestRedisStore: one of two that change the same state wins, and what is
// stored is what comes back.
func TestRedisStore(t *testing.T) {
	t.Parallel()
	server, err := redistest.Start(t.TempDir())
	if errors.Is(err, redistest.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	t.Cleanup(func() { client.Close() })
	one, two := NewRedisStore(client, "relay:"), NewRedisStore(client, "relay:")
	ctx := t.Context()
	if _, found, err := one.Load(ctx); found || err != nil {
		t.Fatalf("found %v, %v", found, err)
	}
	s := newState(epoch).start(epoch, standard().Steps, Order{Who: "ops", Reason: "week 1"})
	s.Version = 1
	if err := one.Swap(ctx, 0, s); err != nil {
		t.Fatal(err)
	}
	if err := one.Swap(ctx, 0, s); err != nil {
		t.Errorf("the same write, sent again by the client: %v", err)
	}
	got, found, err := two.Load(ctx)
	if err != nil || !found || got.Version != 1 || got.Phase != Gating || got.Reason != "week 1" || len(got.Steps) != 5 {
		t.Fatalf("%+v, %v, %v", got, found, err)
	}
	got.Version, got.Reason = 2, "by two"
	s.Version, s.Reason = 2, "by one"
	if err := two.Swap(ctx, 1, got); err != nil {
		t.Fatal(err)
	}
	if err := one.Swap(ctx, 1, s); !errors.Is(err, ErrStale) {
		t.Errorf("both have won: %v", err)
	}
	client.HSet(ctx, one.key, "state", `{"version":3,"phase":"nonsense"}`)
	if _, _, err := one.Load(ctx); err == nil {
		t.Error("a damaged state was read")
	}
}
