package ledger

import "github.com/redis/go-redis/v9"

// Everything that lives for a time lives by its key's own expiry, so that no
// clock but Redis's counts.
var (
	// claimScript: KEYS flight, unknowns; ARGV owner, life in ms. A claim that the
	// owner has already is his: the answer that told him so may have been lost.
	claimScript = redis.NewScript(`
local unknowns = tonumber(redis.call('GET', KEYS[2]) or '0')
local v = redis.call('GET', KEYS[1])
if not v or v == 'c' .. ARGV[1] then
  redis.call('SET', KEYS[1], 'c' .. ARGV[1], 'PX', ARGV[2])
  return {'free', '', unknowns}
end
local state = string.sub(v, 1, 1)
if state == 'a' then return {'accepted', v, 0} end
if state == 'u' then return {'unknown', '', unknowns} end
if state == 'c' then return {'running', '', unknowns} end
return {'foreign', '', unknowns}`)

	// acceptScript: KEYS flight, unknowns; ARGV "a"+receipt, life in ms. The
	// owner does not matter: accepted is accepted.
	acceptScript = redis.NewScript(`
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[2])
return 1`)

	// releaseScript: KEYS flight; ARGV owner.
	releaseScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) == 'c' .. ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`)

	// unknownScript: KEYS flight, unknowns; ARGV owner, 1 to count, life in ms.
	// The claim keeps its time.
	unknownScript = redis.NewScript(`
if ARGV[2] == '1' then redis.call('INCR', KEYS[2]) end
if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('PEXPIRE', KEYS[2], ARGV[3]) end
if redis.call('GET', KEYS[1]) == 'c' .. ARGV[1] then
  redis.call('SET', KEYS[1], 'u' .. ARGV[1], 'KEEPTTL')
end
return 1`)

	// rememberScript: KEYS remembered; ARGV key, life in ms, how many at most.
	rememberScript = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1`)

	// newsScript: KEYS remembered; ARGV life in ms, since in ms, how many at
	// most. It answers Redis's time and then key and time in turn, oldest first.
	newsScript = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local from = math.max(now - ARGV[1], tonumber(ARGV[2]))
local out = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', from), '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
table.insert(out, 1, string.format('%.0f', now))
return out`)
)
