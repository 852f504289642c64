package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"sesrelay/internal/split"
)

// Times of the heartbeats.
const (
	beatEvery    = time.Second
	goneAfter    = 3 * time.Second // without a heartbeat, by Redis's clock
	redisTimeout = 250 * time.Millisecond
)

// beatScript says that an instance lives, drops those that have not said so
// for too long, and answers all that live.
//
//	KEYS who is there; when each said so
//	ARGV run, "" to ask only; what it says, "" to leave; microseconds to live
var beatScript = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
if ARGV[1] ~= '' and ARGV[2] ~= '' then
	redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
	redis.call('ZADD', KEYS[2], now, ARGV[1])
elseif ARGV[1] ~= '' then
	redis.call('HDEL', KEYS[1], ARGV[1])
	redis.call('ZREM', KEYS[2], ARGV[1])
end
-- Redis's clock was set back: one that died before would live until it is that late again
for _, run in ipairs(redis.call('ZRANGE', KEYS[2], '(' .. string.format('%.0f', now), '+inf', 'BYSCORE')) do
	redis.call('ZADD', KEYS[2], now, run)
end
for _, run in ipairs(redis.call('ZRANGE', KEYS[2], '-inf', '(' .. string.format('%.0f', now - ARGV[3]), 'BYSCORE')) do
	redis.call('HDEL', KEYS[1], run)
	redis.call('ZREM', KEYS[2], run)
end
return redis.call('HVALS', KEYS[1])`)

// registry is the list of instances in Redis.
type registry struct {
	client redis.UniversalClient
	keys   []string
	secret string // its key
	tag    string // what all keys begin with
}

// New returns an instance's view of its fleet. Nothing is asked of Redis until
// Run. The prefix is state.prefix.
func New(client redis.UniversalClient, prefix string, cfg Config) *Fleet {
	tag := split.HashTag(prefix)
	return newFleet(&registry{client, []string{tag + "instances", tag + "instances:seen"}, tag + "secret", tag}, cfg)
}

// say writes what an instance says, "" to leave, and returns all that live.
func (r *registry) say(ctx context.Context, run, says string) ([]Instance, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	all, err := beatScript.Run(ctx, r.client, r.keys, run, says, goneAfter.Microseconds()).StringSlice()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("redis: heartbeat: %w", err)
	}
	out := make([]Instance, 0, len(all))
	for _, text := range all {
		var i Instance
		if json.Unmarshal([]byte(text), &i) == nil && i.check() == nil && len(out) < maxInstances {
			out = append(out, i)
		}
	}
	return out, nil
}

// secretScript gives Redis a secret when it has none, or something that is none,
// and answers the one that it has. KEYS secret; ARGV an offer.
var secretScript = redis.NewScript(`
local s = redis.pcall('GET', KEYS[1])
if type(s) == 'string' and #s >= 16 and #s <= 200 then return s end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]`)

// share makes the secret the fleet's.
func (r *registry) share(ctx context.Context, s *keyring) error {
	if s.given() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	k, err := secretScript.Run(ctx, r.client, []string{r.secret}, s.offer()).Text()
	if err != nil {
		return fmt.Errorf("redis: the fleet's secret: %w", err)
	}
	s.took(k)
	return nil
}
