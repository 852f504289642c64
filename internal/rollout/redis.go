package rollout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"sesrelay/internal/split"
)

// redisTimeout bounds a command: a Redis that is frozen looks like one that is gone.
const redisTimeout = 250 * time.Millisecond

// swapScript replaces the state when its version is still the one that was read.
//
//	KEYS the state and its version, a hash; ARGV old version, new version, new state
var swapScript = redis.NewScript(`
local was = redis.call('HGET', KEYS[1], 'version') or '0'
if was ~= ARGV[1] then
	if was == ARGV[2] and redis.call('HGET', KEYS[1], 'state') == ARGV[3] then return 1 end
	return 0
end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'state', ARGV[3])
return 1`)

// RedisStore keeps the state for a fleet, beside the split. A Redis that has
// lost it gets it back from the instances, which each hold the last one: see
// Controller.load.
type RedisStore struct {
	client redis.UniversalClient
	key    string
}

var _ Store = (*RedisStore)(nil)

// NewRedisStore returns the store under a prefix, which is state.prefix.
func NewRedisStore(client redis.UniversalClient, prefix string) *RedisStore {
	return &RedisStore{client, split.HashTag(prefix) + "rollout"}
}

// Load implements Store.
func (r *RedisStore) Load(ctx context.Context) (State, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	raw, err := r.client.HGet(ctx, r.key, "state").Bytes()
	if errors.Is(err, redis.Nil) {
		return State{}, false, nil
	}
	if err != nil {
		return State{}, false, fmt.Errorf("redis: read the rollout: %w", err)
	}
	s, err := decode(raw)
	return s, err == nil, err
}

// Swap implements Store.
func (r *RedisStore) Swap(ctx context.Context, old int64, next State) error {
	raw, err := json.Marshal(next)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	done, err := swapScript.Run(ctx, r.client, []string{r.key}, old, next.Version, raw).Int()
	if err != nil {
		return fmt.Errorf("redis: write the rollout: %w", err)
	}
	if done == 0 {
		return ErrStale
	}
	return nil
}
