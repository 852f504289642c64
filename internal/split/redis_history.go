package split

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"
)

// restoreScript replaces the history by one that has more lines, when it is
// still the one that was read.
//
//	KEYS history
//	ARGV its length and newest line; lines, newest first
var restoreScript = redis.NewScript(`
if redis.call('LLEN', KEYS[1]) .. (redis.call('LINDEX', KEYS[1], 0) or '') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
for i = 2, #ARGV do redis.call('RPUSH', KEYS[1], ARGV[i]) end
return 1`)

// shareHistory returns the fleet's history, newest first, after Redis was given
// the lines that only this instance has: those it wrote while Redis was away,
// and all of them when Redis was emptied.
func (s *RedisStore) shareHistory(ctx context.Context, head string) ([]Change, error) {
	got, err := s.readHistory(ctx)
	if err != nil {
		return nil, err
	}
	all := union(got, s.mirror.last().History)
	if len(all) == len(got) {
		return got, nil
	}
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	args := append([]any{head}, lines(all)...)
	done, err := restoreScript.Run(ctx, s.client, []string{s.keyHistory}, args...).Int()
	if err == nil && done == 0 {
		s.nudge() // it has grown meanwhile
	}
	if s.note(err) != nil {
		return nil, fmt.Errorf("redis: restore the history: %w", err)
	}
	return all, nil
}

// union returns the changes of both, newest first. What is older than a full
// history has been dropped for good.
func union(shared, own []Change) []Change {
	seen := make(map[string]bool, len(shared))
	for _, c := range shared {
		seen[c.key()] = true
	}
	all := slices.Clone(shared)
	for _, c := range own {
		if !seen[c.key()] && (len(shared) < MaxHistory || c.At.After(shared[len(shared)-1].At)) {
			all = append(all, c)
		}
	}
	if len(all) > len(shared) {
		slices.SortStableFunc(all, func(a, b Change) int { return b.At.Compare(a.At) })
	}
	return all[:min(len(all), MaxHistory)]
}

// key tells a change from every other.
func (c *Change) key() string {
	return fmt.Sprint(c.Version, c.At.UnixNano(), c.Action, c.Who)
}

// lines are changes as the history keeps them.
func lines(changes []Change) []any {
	out := make([]any, 0, len(changes))
	for _, c := range changes {
		if b, err := json.Marshal(c); err == nil {
			out = append(out, string(b))
		}
	}
	return out
}

// readHistory returns the fleet's changes, newest first. A line that no relay
// has written is left out.
func (s *RedisStore) readHistory(ctx context.Context) ([]Change, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	all, err := s.client.LRange(ctx, s.keyHistory, 0, MaxHistory-1).Result()
	if s.note(err) != nil {
		return nil, fmt.Errorf("redis: read the history: %w", err)
	}
	out := make([]Change, 0, len(all))
	for _, line := range all {
		var c Change
		if json.Unmarshal([]byte(line), &c) != nil || !c.Before.Valid() || !c.After.Valid() {
			continue
		}
		c.Who, c.Reason = shorten(c.Who, "unknown"), shorten(c.Reason, "no reason given")
		out = append(out, c)
	}
	return out, nil
}
