package quota

import "github.com/redis/go-redis/v9"

// leaseScript is everything that an instance and Redis say to each other about
// the quota, in one command: it reports what was sent, asks for tokens, and
// answers with the state of the fleet. Times are milliseconds of Redis's clock.
//
// The bucket is one number: zero, the time at which it is (or will be) empty.
// Its level is (now - zero) x rate, at most the depth; tokens are taken by
// moving zero on. When zero lies in the future, tokens are being lent that only
// come to be then: token j of a lease may be used from zero + j/rate.
//
// The day counts a token from the moment it is lent; those that died unused
// come back with the instance's next report. A report is the sum since the
// instance's start, so that one that is lost or arrives twice does no harm.
//
// KEYS state, minutes, members, reports. ARGV see leaseArgs.
var leaseScript = redis.NewScript(`
local id, rate, depth = ARGV[1], tonumber(ARGV[2]) / 1000, tonumber(ARGV[3])
local few, fewgo, many, manygo, spare = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local fewahead, manyahead = tonumber(ARGV[9]), tonumber(ARGV[10])
local daymax, cum, acked, held = tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14])
local back, known, lastn, throttled, epoch = ARGV[15] == '1', tonumber(ARGV[16]), tonumber(ARGV[17]), ARGV[18], tonumber(ARGV[19])
local MEMBER, SILENCE, HEAL, BEHIND, RECHECK, DAY, SLOTS = 5000, 1500, 3000, 250, 300000, 86400000, 1441

local t = redis.call('TIME')
local now = t[1] * 1000 + t[2] / 1000
local names = {'zero', 'seen', 'heal', 'healfrom', 'healn', 'lost', 'lostat', 'cutat', 'dayuntil', 'own', 'last', 'out', 'others', 'othersat', 'arate', 'aday', 'epoch'}
local got = redis.call('HMGET', KEYS[1], unpack(names))
local s = {}
for i, name in ipairs(names) do s[name] = tonumber(got[i] or '0') end
local fresh = not got[1]
local function str(x) return string.format('%.4f', x) end

-- who is there; after an outage, shares are kept back for those who still use
-- their own because they have not come back yet
if fresh or now - s.seen > SILENCE then
  s.healn = math.max(lastn, redis.call('ZCARD', KEYS[3]))
  s.heal, s.healfrom = now + HEAL, now
end
if fresh then s.epoch = math.floor(now) end
-- Redis's clock was set back, or a replica took over whose clock is behind: what
-- lies in the future would keep everybody waiting until then
if s.seen > now + BEHIND then
  s.zero, s.cutat, s.lostat, s.dayuntil = now, math.min(s.cutat, now), now, math.min(s.dayuntil, now + RECHECK)
  s.heal, s.healfrom = 0, now
  for _, m in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], str(now), '+inf')) do redis.call('ZADD', KEYS[3], str(now), m) end
end
if fresh or back then s.zero = math.max(s.zero, now) end
s.seen = now
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now - MEMBER)) do
  local r = redis.call('HGET', KEYS[4], gone)
  if r then
    local o = tonumber(string.match(r, ' (%S+)$'))
    s.out, s.others, s.othersat = s.out - o, s.others * math.max(0, 1 - (now - s.othersat) / DAY) + o, now
    redis.call('HDEL', KEYS[4], gone)
  end
  redis.call('ZREM', KEYS[3], gone)
end
redis.call('ZADD', KEYS[3], str(now), id)
local n = redis.call('ZCARD', KEYS[3])
local part = 1
if now < s.heal then
  local present = redis.call('ZCOUNT', KEYS[3], str(s.healfrom), '+inf')
  if present < s.healn then part = present / s.healn; n = math.max(n, s.healn) end
end

-- the pace, after SES has said "too fast"
s.lost = math.max(0, s.lost - 0.02 * math.max(0, now - s.lostat) / 1000)
if throttled == '1' and now - s.cutat >= 1000 then
  s.lost = 1 - math.max(0.05, (1 - s.lost) * 0.7)
  s.zero = math.max(s.zero, now)
  s.cutat = now
end
s.lostat = now
if throttled == '2' then s.dayuntil = now + RECHECK end
rate = rate * (1 - s.lost) * part

-- the day
local minute = math.floor(t[1] / 60)
if s.last == 0 or minute - s.last >= SLOTS then
  redis.call('DEL', KEYS[2])
  s.own, s.last = 0, minute
end
if s.last < minute then
  for m = s.last + 1, minute do
    local v = redis.call('HGET', KEYS[2], m - SLOTS)
    if v then
      s.own = s.own - v
      redis.call('HDEL', KEYS[2], m - SLOTS)
    end
  end
  s.last = minute
  for _, k in ipairs(KEYS) do redis.call('EXPIRE', k, 90000) end
end
local others = s.others * math.max(0, math.min(1, 1 - (now - s.othersat) / DAY))
local rec = redis.call('HGET', KEYS[4], id)
local base = acked
if rec then
  local c, o = string.match(rec, '^(%S+) (%S+)$')
  base, s.out = tonumber(c), s.out - tonumber(o)
end
-- what was counted before Redis was emptied stands
if epoch > 0 and epoch ~= s.epoch and known > s.own + others + s.out then
  others = known - s.own - s.out
  s.others, s.othersat = others, now
end
local delta, m = cum - base, s.last
while delta < 0 and s.own > 0 and m > s.last - SLOTS do
  local v = math.min(tonumber(redis.call('HGET', KEYS[2], m) or '0'), -delta)
  if v > 0 then redis.call('HINCRBY', KEYS[2], m, -v) end
  s.own, delta, m = s.own - v, delta + v, m - 1
end
if delta > 0 then
  redis.call('HINCRBY', KEYS[2], s.last, delta)
  s.own = s.own + delta
end

-- the tokens
local room = 1e15
if daymax >= 0 then room = math.floor(daymax - s.own - others - s.out - held) end
if now < s.dayuntil then room = 0 end
s.zero = math.max(s.zero, now - depth / rate)
local from, lent, extra, short = s.zero, 0, 0, 0
if many > 0 and many <= room and s.zero + manygo / rate <= now + manyahead then
  lent = many
elseif few > 0 and few <= room and s.zero + fewgo / rate <= now + fewahead then
  lent = few
elseif few > room then
  short = 1
end
s.zero = s.zero + lent / rate
if lent == many and short == 0 then
  extra = math.max(0, math.min(spare, math.floor((now - s.zero) * rate - depth / 2), room - lent))
  s.zero = s.zero + extra / rate
end
local used = s.own + others + s.out
s.out = s.out + held + lent + extra
redis.call('HSET', KEYS[4], id, string.format('%.0f %.0f', cum, held + lent + extra))
local set = {}
for _, name in ipairs(names) do
  set[#set + 1] = name
  set[#set + 1] = str(s[name])
end
redis.call('HSET', KEYS[1], unpack(set))
return {str(lent), str(extra), str(from - now), string.format('%.7f', 1 / rate), str(s.zero - now), str(n), str(s.lost), str(part),
  str(used), str(math.max(0, s.dayuntil - now)), str(s.arate), str(s.aday), str(short), string.format('%.0f', s.epoch)}`)

// accountScript takes what GetAccount said. KEYS state; ARGV MaxSendRate,
// Max24HourSend, SentLast24Hours. The larger count wins, as in window.
var accountScript = redis.NewScript(`
local t = redis.call('TIME')
local now = string.format('%.4f', t[1] * 1000 + t[2] / 1000)
local own = tonumber(redis.call('HGET', KEYS[1], 'own') or '0')
local out = tonumber(redis.call('HGET', KEYS[1], 'out') or '0')
local others = math.max(0, ARGV[3] - own)
redis.call('HSET', KEYS[1], 'arate', ARGV[1], 'aday', ARGV[2], 'others', string.format('%.4f', others), 'othersat', now)
if tonumber(ARGV[2]) < 0 or own + out + others < tonumber(ARGV[2]) then redis.call('HSET', KEYS[1], 'dayuntil', '0') end
return 1`)

// turnScript takes or prolongs the poller's lease, and notes when: whoever has
// it asks now. KEYS turn; ARGV id, life in ms.
var turnScript = redis.NewScript(`
local holder = redis.call('GET', KEYS[1])
if holder and string.match(holder, '^%S+') ~= ARGV[1] then return 0 end
local t = redis.call('TIME')
redis.call('SET', KEYS[1], string.format('%s %.0f', ARGV[1], t[1] * 1000 + t[2] / 1000), 'PX', ARGV[2])
return 1`)

// leaveScript gives the poller's lease back, no sooner than the time between two
// questions after the last one: that one was answered, and the answer is shared.
// KEYS turn, state; ARGV id, ms between two questions.
var leaveScript = redis.NewScript(`
local holder, asked = string.match(redis.call('GET', KEYS[1]) or '', '^(%S+) (%d+)$')
if holder ~= ARGV[1] then return 0 end
local t = redis.call('TIME')
local rest = ARGV[2] - math.max(0, t[1] * 1000 + t[2] / 1000 - asked)
if rest < 1 or tonumber(redis.call('HGET', KEYS[2], 'arate') or '0') == 0 then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], 'left', 'PX', string.format('%.0f', rest))
return 1`)
