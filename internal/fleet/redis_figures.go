package fleet

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// maxPublished bounds what one instance publishes under one kind, in bytes.
const maxPublished = 64 << 10

// publishScript keeps what an instance says of a kind.
//
//	KEYS the kind; ARGV run, what it says, milliseconds to live
var publishScript = redis.NewScript(`
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1`)

// publishedScript answers what the instances that live have said of a kind,
// run and text in turn, and drops what the others have.
//
//	KEYS the kind; when each instance said that it lives
var publishedScript = redis.NewScript(`
local out = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
	if redis.call('ZSCORE', KEYS[2], all[i]) then
		out[#out + 1] = all[i]
		out[#out + 1] = all[i + 1]
	else
		redis.call('HDEL', KEYS[1], all[i])
	end
end
return out`)

// holdScript takes a lease or prolongs one's own. KEYS it; ARGV run, life in ms.
var holdScript = redis.NewScript(`
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`)

// publishedLife is how long what was published outlives the last to publish.
const publishedLife = time.Minute

// Publish gives the other instances what this one counts, under the name of
// its kind. What was published before is replaced. It takes 250 ms at most.
func (f *Fleet) Publish(ctx context.Context, kind string, b []byte) error {
	if len(b) > maxPublished {
		return fmt.Errorf("fleet: %d bytes of %s are more than %d", len(b), kind, maxPublished)
	}
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	r := f.registry
	if err := publishScript.Run(ctx, r.client, []string{r.tag + "said:" + kind}, f.self.Run, b, publishedLife.Milliseconds()).Err(); err != nil {
		return fmt.Errorf("redis: publish %s: %w", kind, err)
	}
	return nil
}

// Published returns what the other instances that live have published of a
// kind, by Instance.Run. It takes 250 ms at most.
func (f *Fleet) Published(ctx context.Context, kind string) (map[string][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	r := f.registry
	words, err := publishedScript.Run(ctx, r.client, []string{r.tag + "said:" + kind, r.keys[1]}).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("redis: read %s: %w", kind, err)
	}
	out := make(map[string][]byte, len(words)/2)
	for i := 0; i+1 < len(words) && len(out) < maxInstances; i += 2 {
		if words[i] != f.self.Run && len(words[i+1]) <= maxPublished {
			out[words[i]] = []byte(words[i+1])
		}
	}
	return out, nil
}

// Hold takes the lease of a name for a time, or prolongs this instance's own,
// and reports whether it holds it. While Redis is away nobody does.
func (f *Fleet) Hold(ctx context.Context, name string, life time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	r := f.registry
	mine, err := holdScript.Run(ctx, r.client, []string{r.tag + "lease:" + name}, f.self.Run, life.Milliseconds()).Int()
	if err != nil {
		return false, fmt.Errorf("redis: lease %s: %w", name, err)
	}
	return mine == 1, nil
}
