package quota

import (
	"context"
	"sync"
	"testing"
	"time"
)

// TestScarceTokensReachEverybody: an instance of three whose neighbours always
// have tokens lent some way ahead. Its oldest mail has waited almost as long as
// it may, and comes too late for what is there ahead; younger mail does not.
func TestScarceTokensReachEverybody(t *testing.T) {
	t.Parallel()
	const limit, wait = 60.0, time.Second
	s := redisServer(t, single)
	cfg := Config{Rate: limit, MaxWait: wait}
	all := []*Fleet{member(t, s.Addr, false, cfg), member(t, s.Addr, false, cfg), member(t, s.Addr, false, cfg)}
	together(t, all)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() {
		client, key := redisClient(t, s.Addr, false), fleetKeys("test:")[:1]
		ahead := 5 * rest(limit, len(all), wait) / 2
		const taken = `local t = redis.call('TIME')
local zero = t[1] * 1000 + t[2] / 1000 + ARGV[1]
if zero > tonumber(redis.call('HGET', KEYS[1], 'zero')) then redis.call('HSET', KEYS[1], 'zero', string.format('%.4f', zero)) end
return 1`
		for ctx.Err() == nil {
			if err := client.Eval(ctx, taken, key, ahead.Milliseconds()).Err(); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
			time.Sleep(2 * time.Millisecond)
		}
	})
	ses := &counter{}
	demandOn(ctx, &wg, all[0], ses, limit/2, one) // more than its third
	time.Sleep(3 * wait / 2)                      // its oldest mail has waited
	from := time.Now()
	time.Sleep(4 * wait)
	stop()
	wg.Wait()
	got := total(ses.since(from))
	t.Logf("%d recipients in %v", got, time.Since(from).Round(time.Millisecond))
	if got < 20 { // a third of the rate are 80
		t.Errorf("%d recipients in %v: the instance starves", got, time.Since(from))
	}
}
