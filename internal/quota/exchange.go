package quota

import (
	"time"
)

// While Redis is away: how far ahead this instance lends to itself, and how
// often.
const (
	ownAhead = 30 * time.Millisecond
	ownPause = 10 * time.Millisecond
)

// next returns the question to ask now, if one is due, and how long to sleep.
// While Redis is away it lends from this instance's own share.
func (b *book) next(now time.Time, cfg *Config, asking bool) (q question, due bool, sleep time.Duration) {
	defer func() {
		if b.away && len(b.queue) > 0 {
			sleep = min(sleep, ownPause)
		}
	}()
	b.pools = livePools(b.pools, now)
	b.wanted.add(now, 0)
	b.granted.add(now, 0)
	if b.away {
		b.lendOwn(now, cfg)
	}
	if asking {
		late := b.askAt.Add(answerTime + answerSlack).Sub(now)
		if late <= 0 {
			b.unheard(now, cfg)
			late = beat
		}
		return q, false, late
	}
	if wait := b.askAt.Add(b.interval(now, cfg)).Sub(now); wait > 0 && !b.askAt.IsZero() {
		return q, false, wait
	}
	b.askAt = now
	return b.question(now, cfg), true, beat
}

// interval is the time from the last question to the next.
func (b *book) interval(now time.Time, cfg *Config) time.Duration {
	r := b.rateNow(now, cfg)
	switch {
	case b.away:
		return retryAway
	case b.told != nothing:
		return 0
	case len(b.queue) > 0 && b.scarce:
		return rest(r*b.part, b.instances, patience(cfg))
	case len(b.queue) > 0:
		return 0
	case b.low(now):
		return 20 * time.Millisecond
	}
	return beat
}

func (b *book) question(now time.Time, cfg *Config) question {
	full := fullRate(cfg, b.account)
	r := full * b.pace.part(now) * b.part
	pause := rest(r, b.instances, patience(cfg))
	q := question{rate: full, depth: depth(full * b.pace.part(now)), dayMax: dayMax(cfg, b.account), sent: b.sent, acked: b.acked, held: live(b.pools, now),
		back: b.away, known: b.used, epoch: b.epoch, instances: b.instances, throttled: b.told,
		fewAhead: min(3*pause, patience(cfg)), manyAhead: 2 * pause}
	if len(b.queue) > 0 {
		q.fewAhead = min(q.fewAhead, b.queue[len(b.queue)-1].until.Sub(now))
	}
	q.many = whole(b.queue, r*2*pause.Seconds(), q.depth)
	q.few = whole(b.queue, r*pause.Seconds()/float64(b.instances), q.depth)
	q.spare = max(0, b.spare()-q.held)
	b.asked, b.told = b.sent, nothing
	return q
}

// farewell is the last report: it asks for nothing.
func (b *book) farewell(now time.Time, cfg *Config) question {
	b.queue, b.pools = nil, nil
	q := b.question(now, cfg)
	q.spare = 0
	return q
}

// heard takes the answer to the question that was sent at a time. Redis read
// its clock between sent and heard: tokens are used as if that was at the end,
// and die as if it was at the beginning.
func (b *book) heard(sent, now time.Time, r reply, cfg *Config) {
	b.away = false
	b.acked, b.used, b.epoch, b.instances, b.part = b.asked, r.used, r.epoch, max(1, r.instances), max(0.01, r.part)
	if b.told != tooFast {
		b.pace.lost, b.pace.at = r.lost, now
	}
	if r.rate > 0 {
		b.account = account{Known: true, Rate: r.rate, Day: r.day}
	}
	if b.told != dayOver {
		b.dayUntil = time.Time{}
		if r.dayUntil > 0 {
			b.dayUntil = now.Add(r.dayUntil)
		}
	}
	b.lentTo = now.Add(r.ahead)
	lent := r.lent + r.extra
	b.granted.add(now, lent)
	used := b.hand(now.Add(r.from), r.gap, r.lent, cfg)
	if left := lent - used; left > 0 {
		there := now.Add(r.from + time.Duration(lent)*r.gap)
		b.pools = append(b.pools, pool{left, later(there, now), sent.Add(max(0, r.from+time.Duration(lent)*r.gap) + leaseLife)})
	}
	if r.short {
		b.refuseAll()
	}
	b.scarce = len(b.queue) > 0 || r.ahead > 0
}

// hand gives lent tokens to those who wait, oldest first; token j is there at
// from + j*gap. It returns how many it gave.
func (b *book) hand(from time.Time, gap time.Duration, lent int, cfg *Config) (used int) {
	deep := depth(b.rateNow(from, cfg))
	for len(b.queue) > 0 {
		w := b.queue[0]
		at := from.Add(time.Duration(used+enough(w.n, deep)) * gap)
		if at.After(w.until) {
			b.refuse()
			continue
		}
		if w.n > lent-used {
			break
		}
		used += w.n
		b.admit(at)
	}
	return used
}

// admit lets the first in the queue go at a time.
func (b *book) admit(at time.Time) {
	w := b.queue[0]
	b.queue[0], b.queue = nil, b.queue[1:]
	w.at = at
	b.sent += int64(w.n)
	b.lastGo = later(b.lastGo, at)
	w.ready <- at
}

// refuse ends the wait of the first in the queue.
func (b *book) refuse() {
	w := b.queue[0]
	b.queue[0], b.queue = nil, b.queue[1:]
	w.over = true
	b.waiting -= w.n
	w.ready <- time.Time{}
}

func (b *book) refuseAll() {
	for len(b.queue) > 0 {
		b.refuse()
	}
}

// unheard notes that Redis did not answer. Tokens in hand may be used until
// they die; the instance's own bucket starts empty after the last that the fleet was lent.
func (b *book) unheard(now time.Time, cfg *Config) {
	if b.away {
		return
	}
	b.away, b.scarce, b.awaySent = true, false, b.sent
	b.zero = later(now, later(b.lastGo, b.lentTo))
	for _, p := range b.pools {
		b.zero = later(b.zero, p.until)
	}
	b.lendOwn(now, cfg)
}

// ownDepth is the depth of this instance's own bucket.
func ownDepth(share float64) float64 { return max(1, share*leaseLife.Seconds()) }

// ownGo is when this instance's own bucket has n tokens.
func (b *book) ownGo(now time.Time, n int, share float64) time.Time {
	zero := later(b.zero, now.Add(-seconds(ownDepth(share)/share)))
	return later(now, zero.Add(seconds(float64(n)/share)))
}

// lendOwn gives this instance's share to those who wait, a little ahead: when
// Redis is back, the fleet's tokens must not come on top of many of these.
func (b *book) lendOwn(now time.Time, cfg *Config) {
	share := b.rateNow(now, cfg)
	for len(b.queue) > 0 {
		w := b.queue[0]
		at := b.ownGo(now, enough(w.n, ownDepth(share)), share)
		if at.After(now.Add(ownAhead)) && !at.After(w.until) {
			return
		}
		if at.After(w.until) || b.daySpent(now, w.n, cfg) != nil {
			b.refuse()
			continue
		}
		b.zero = later(b.zero, now.Add(-seconds(ownDepth(share)/share))).Add(seconds(float64(w.n) / share))
		b.admit(at)
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func livePools(pools []pool, now time.Time) []pool {
	kept := pools[:0]
	for _, p := range pools {
		if p.n > 0 && now.Before(p.until) {
			kept = append(kept, p)
		}
	}
	return kept
}
