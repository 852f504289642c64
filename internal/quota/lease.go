package quota

import (
	"math"
	"time"
)

// batch is one or more whole mails: n tokens, of which needed have to be there
// before the last of them may go.
type batch struct{ n, needed int }

// question is what an instance reports and asks for.
type question struct {
	rate, depth         float64 // of the fleet's bucket
	few, many           batch   // the mails that wait: some, or more of them
	spare               int     // tokens for mail that is yet to come, when there is plenty
	fewAhead, manyAhead time.Duration
	dayMax              float64
	sent, acked         int64   // recipients since the start, and of them reported
	held                int     // tokens not used and not yet dead
	back                bool    // Redis was away
	known               float64 // the day's count as last heard, in the Redis of an epoch
	epoch               int64
	instances           int
	throttled           signal
}

// signal is SES's own word.
type signal int

const (
	nothing signal = iota
	tooFast
	dayOver
)

// reply is Redis's answer.
type reply struct {
	lent, extra int           // tokens for mail that waits, and for mail to come
	from        time.Duration // until the bucket was empty: token j is there at from + j*gap
	gap         time.Duration // between two tokens
	ahead       time.Duration // for which tokens are lent that only come to be then
	instances   int
	lost        float64 // of the pace
	part        float64 // of the rate that is given out: less while a fleet comes back
	used        float64
	dayUntil    time.Duration
	rate, day   float64 // the account's; 0: nobody knows
	short       bool    // the day has no room
	epoch       int64   // when this Redis was empty, ms
}

// burst is the most that may pass at once: one second's worth, as Limiter's.
func burst(rate float64) int { return max(1, int(rate)) }

// depth is the depth of the fleet's bucket. A token may be used up to leaseLife
// after it was there, so that in one second the tokens of 1.25 seconds may
// pass; another quarter is for the moment when Redis goes away. Together they
// stay within rate + burst.
func depth(rate float64) float64 { return max(1, float64(burst(rate))/2) }

// rest is the time between two questions while tokens are scarce: with it the
// questions of all instances are 6 in 100 recipients.
func rest(rate float64, instances int, patience time.Duration) time.Duration {
	d := time.Duration(float64(instances) / (0.06 * rate) * float64(time.Second))
	return min(max(d, 10*time.Millisecond), 250*time.Millisecond, max(patience/4, 10*time.Millisecond))
}

// patience is how long mail may wait: with a max_wait of nothing, for one
// answer of Redis.
func patience(cfg *Config) time.Duration { return max(cfg.MaxWait, answerTime) }

// whole is the largest batch of whole mails from the front within limit
// tokens, the first mail in any case.
func whole(queue []*waiter, limit, deep float64) (b batch) {
	for _, w := range queue {
		if b.n > 0 && float64(b.n+w.n) > limit {
			break
		}
		b.needed = b.n + enough(w.n, deep)
		b.n += w.n
	}
	return b
}

// enough is how many tokens have to be there for n recipients: mail larger
// than the bucket takes a full one, and what comes next pays its debt.
func enough(n int, deep float64) int { return min(n, max(1, int(deep))) }

// pool is tokens that no mail has taken yet.
type pool struct {
	n     int
	from  time.Time // usable
	until time.Time // dead
}

func live(pools []pool, now time.Time) (n int) {
	for _, p := range pools {
		if now.Before(p.until) {
			n += p.n
		}
	}
	return n
}

// spend takes n tokens that are there now out of the pools; false when they
// are fewer.
func spend(pools []pool, now time.Time, n int) bool {
	usable := 0
	for _, p := range pools {
		if !now.Before(p.from) && now.Before(p.until) {
			usable += p.n
		}
	}
	if usable < n {
		return false
	}
	for i := range pools {
		p := &pools[i]
		if !now.Before(p.from) && now.Before(p.until) {
			used := min(n, p.n)
			p.n -= used
			n -= used
		}
	}
	return true
}

// demand is recipients a second, averaged over some tenths of a second.
type demand struct {
	rate  float64
	since time.Time
	n     int
}

const demandSpan = 200 * time.Millisecond

func (d *demand) add(now time.Time, n int) {
	d.n += n
	if span := now.Sub(d.since); span >= demandSpan {
		weight := 1 - math.Exp(-span.Seconds())
		if span < 5*demandSpan {
			weight = 0.5
		}
		d.rate += weight * (float64(d.n)/span.Seconds() - d.rate)
		d.n, d.since = 0, now
	}
}
