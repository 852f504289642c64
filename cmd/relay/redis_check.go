package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/cmd/relay/internal/finding"
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
func checkRedis(ctx context.Context, cfg *config.Config) []finding.Finding {
	if cfg.State.Redis == "" {
		return nil
	}
	tag := split.HashTag(cfg.State.Prefix)
	cli := redisCLI(cfg.State.Redis)
	reach := finding.Run("look at state.redis, its password, and whether this machine may connect there", cli+" ping")
	allow := finding.Run("the ACL user needs the keys and channels of state.prefix, and EVAL (docs/operations.md has all that it needs)",
		fmt.Sprintf("%s ACL SETUSER %s '~%s*' '&%s*' +eval +evalsha +publish +subscribe +time +set +get +del", cli, redisUser(cfg.State.Redis), tag, tag))
	ctx, cancel := context.WithTimeout(ctx, liveTimeout/3)
	defer cancel()
	client, err := fleet.Dial(cfg.State.Redis)
	if err != nil {
		return one(finding.Fail("redis", err.Error(), reach))
	}
	defer client.Close()
	begun := time.Now()
	if err := client.Ping(ctx).Err(); err != nil {
		return one(finding.Fail("redis", err.Error(), reach))
	}
	took := time.Since(begun)
	if err := checkScript.Run(ctx, client, []string{tag + "check"}).Err(); err != nil {
		return one(finding.Fail("redis scripts", err.Error(), allow))
	}
	if err := client.Publish(ctx, tag+"split", "").Err(); err != nil {
		return one(finding.Fail("redis messages", err.Error(), allow))
	}
	return []finding.Finding{
		finding.OK("redis", fmt.Sprintf("answers in %s, runs scripts under %s", took.Round(10*time.Microsecond), tag)),
		checkEviction(ctx, client, cli),
	}
}

// redisCLI is redis-cli towards an address, without its password: who types the
// command is asked for it, or has REDISCLI_AUTH.
func redisCLI(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "redis-cli -u redis://HOST:6379"
	}
	return "redis-cli -u " + shellWord((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String())
}

func redisUser(address string) string {
	if u, err := url.Parse(address); err == nil && u.User.Username() != "" {
		return shellWord(u.User.Username())
	}
	return "default"
}

// checkEviction warns of a Redis that forgets by itself what the fleet relies on.
func checkEviction(ctx context.Context, client redis.UniversalClient, cli string) finding.Finding {
	const name = "redis maxmemory-policy"
	info, err := client.Info(ctx, "memory").Result()
	if err != nil {
		return finding.OK(name, "not readable for this user")
	}
	policy := ""
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, "maxmemory_policy:"); ok {
			policy = strings.TrimSpace(v)
		}
	}
	switch {
	case policy == "":
		return finding.OK(name, "not told")
	case policy != "noeviction":
		return finding.Warning(name, policy+": a full Redis forgets what the fleet counts on (the quota's day, receipts, perhaps the split)",
			finding.Run("a full Redis should refuse, and the relay goes on without it", cli+" CONFIG SET maxmemory-policy noeviction"))
	}
	return finding.OK(name, policy)
}
