package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/internal/fleet"
	"sesrelay/internal/split"
)

// checkScript does what all scripts of the relay do: it reads the clock, and
// writes and reads below the prefix.
var checkScript = redis.NewScript(`
redis.call('SET', KEYS[1], redis.call('TIME')[1], 'PX', 1000)
local got = redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[1])
return got`)

// checkRedis asks Redis for what the relay needs of it.
func checkRedis(ctx context.Context, cfg *config.Config) []finding {
	if cfg.State.Redis == "" {
		return nil
	}
	const fix = "look at state.redis, whether this machine may connect there, and the ACL user: it needs the keys and channels of state.prefix, and EVAL (see docs/operations.md)"
	ctx, cancel := context.WithTimeout(ctx, liveTimeout/3)
	defer cancel()
	client, err := fleet.Dial(cfg.State.Redis)
	if err != nil {
		return []finding{{levelFail, "redis", err.Error(), fix}}
	}
	defer client.Close()
	tag := split.HashTag(cfg.State.Prefix)
	begun := time.Now()
	if err := client.Ping(ctx).Err(); err != nil {
		return []finding{{levelFail, "redis", err.Error(), fix}}
	}
	took := time.Since(begun)
	if err := checkScript.Run(ctx, client, []string{tag + "check"}).Err(); err != nil {
		return []finding{{levelFail, "redis scripts", err.Error(), fix}}
	}
	if err := client.Publish(ctx, tag+"split", "").Err(); err != nil {
		return []finding{{levelFail, "redis messages", err.Error(), fix}}
	}
	return []finding{
		{Level: levelOK, Name: "redis", Detail: fmt.Sprintf("answers in %s, runs scripts under %s", took.Round(10*time.Microsecond), tag)},
		checkEviction(ctx, client),
	}
}

// checkEviction warns of a Redis that forgets by itself what the fleet relies on.
func checkEviction(ctx context.Context, client redis.UniversalClient) finding {
	const name = "redis maxmemory-policy"
	info, err := client.Info(ctx, "memory").Result()
	if err != nil {
		return finding{Level: levelOK, Name: name, Detail: "not readable for this user"}
	}
	policy := ""
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, "maxmemory_policy:"); ok {
			policy = strings.TrimSpace(v)
		}
	}
	switch {
	case policy == "":
		return finding{Level: levelOK, Name: name, Detail: "not told"}
	case policy != "noeviction":
		return finding{levelWarning, name, policy + ": a full Redis forgets what the fleet counts on (the quota's day, receipts, perhaps the split)",
			"set maxmemory-policy noeviction: a full Redis then refuses, and the relay goes on without it"}
	}
	return finding{Level: levelOK, Name: name, Detail: policy}
}
