package quota

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// book is what one instance of a fleet knows and holds: tokens, mail that
// waits for them, and the state of the fleet as last heard. It does no I/O; its
// owner's mutex guards it.
type book struct {
	queue   []*waiter // without tokens, oldest first
	waiting int       // recipients, with tokens or without
	pools   []pool
	wanted  demand // what is asked for
	granted demand // what was lent

	sent, acked int64 // recipients since the start, and of them heard by Redis
	asked       int64 // sent at the time of the question under way

	account   account
	pace      pace
	cutAt     time.Time // the pace, by this instance
	dayUntil  time.Time
	used      float64 // of the day, by the fleet, as last heard; without what is lent to this instance
	epoch     int64   // of the Redis that said so
	instances int
	part      float64
	scarce    bool   // all tokens are lent: mail waits for them, not for Redis
	told      signal // for Redis

	away     bool
	awaySent int64     // sent when Redis went away
	zero     time.Time // of this instance's own bucket, while Redis is away
	askAt    time.Time // the last question
	lastGo   time.Time // the last token that was lent to this instance
	lentTo   time.Time // and to the fleet, as last heard
}

// waiter is one mail that waits. ready brings the moment at which it may go,
// the zero time when it may not.
type waiter struct {
	n            int
	since, until time.Time
	at           time.Time // set when it has its tokens
	over         bool      // it has left, or was refused
	ready        chan time.Time
}

func newBook(now time.Time, instances int) book {
	return book{instances: instances, part: 1, away: true, zero: now, wanted: demand{since: now}, granted: demand{since: now}}
}

// take takes n from the tokens at hand, refuses, or returns a waiter.
func (b *book) take(now time.Time, n int, cfg *Config) (*waiter, error) {
	if err := b.daySpent(now, n, cfg); err != nil {
		return nil, exhausted("day", err)
	}
	b.wanted.add(now, n)
	if len(b.queue) == 0 && spend(b.pools, now, n) {
		b.sent += int64(n)
		return nil, nil
	}
	if wait := b.wait(now, n, cfg); wait > patience(cfg) {
		return nil, exhausted("rate", fmt.Errorf("quota: %d recipients would wait %s for %.1f a second, longer than quota.max_wait %s",
			n, wait.Round(time.Millisecond), b.rateNow(now, cfg), cfg.MaxWait))
	}
	w := &waiter{n: n, since: now, until: now.Add(patience(cfg)), ready: make(chan time.Time, 1)}
	b.queue = append(b.queue, w)
	b.waiting += n
	return w, nil
}

// leave ends a waiter's wait, and reports whether it has its tokens.
func (b *book) leave(w *waiter) bool {
	if w.over {
		return false
	}
	if i := slices.Index(b.queue, w); i >= 0 {
		b.queue = slices.Delete(b.queue, i, i+1)
	}
	w.over = true
	b.waiting -= w.n
	return !w.at.IsZero()
}

// giveBack puts the tokens of mail that has gone where others find them.
func (b *book) giveBack(w *waiter) {
	b.sent -= int64(w.n)
	b.pools = append(b.pools, pool{w.n, w.at, w.at.Add(leaseLife)})
}

// wait estimates how long n recipients would wait.
func (b *book) wait(now time.Time, n int, cfg *Config) time.Duration {
	r := b.rateNow(now, cfg)
	if !b.scarce && !b.away {
		return 0
	}
	queued := 0
	for _, w := range b.queue {
		queued += w.n
	}
	if b.away {
		return b.ownGo(now, queued+enough(n, ownDepth(r)), r).Sub(now)
	}
	queued += enough(n, depth(r))
	mine := max(b.granted.rate, r/float64(b.instances))
	return time.Duration(float64(queued) / min(mine, r) * float64(time.Second))
}

// rateNow is the fleet's rate after throttling, or this instance's share while
// Redis is away.
func (b *book) rateNow(now time.Time, cfg *Config) float64 {
	r := fullRate(cfg, b.account) * b.pace.part(now)
	if b.away {
		r /= float64(b.instances)
	}
	return r
}

// daySpent says why n more do not fit into the day; nil when they do. While
// Redis is away each instance keeps to its share of what was left.
func (b *book) daySpent(now time.Time, n int, cfg *Config) error {
	if now.Before(b.dayUntil) {
		return errors.New("quota: SES says that the 24-hour quota is spent")
	}
	limit := dayMax(cfg, b.account)
	if limit < 0 {
		return nil
	}
	left := limit - b.used - float64(b.sent-b.acked)
	if b.away {
		left = (limit-b.used-float64(b.awaySent-b.acked))/float64(b.instances) - float64(b.sent-b.awaySent)
	}
	if float64(n) > left {
		return fmt.Errorf("quota: %d recipients are more than the %.0f left of %.0f in 24 hours", n, max(0, left), limit)
	}
	return nil
}

// throttle notes SES's own word, and reports whether it is news.
func (b *book) throttle(now time.Time, daily bool) bool {
	if daily {
		b.dayUntil, b.told = now.Add(recheckDay), dayOver
		return true
	}
	if now.Sub(b.cutAt) < paceHold {
		return false
	}
	b.cutAt = now
	b.pace = pace{lost: 1 - max(paceFloor, b.pace.part(now)*paceCut), at: now}
	b.pools = nil // SES's bucket is empty: so is ours
	if b.zero.Before(now) {
		b.zero = now
	}
	if b.told == nothing {
		b.told = tooFast
	}
	return true
}

func (b *book) setAccount(a account, sent float64, cfg *Config) {
	b.account = a
	if b.away { // else Redis combines the two counts
		b.used, b.awaySent = sent-float64(b.sent-b.acked), b.sent
	}
	if limit := dayMax(cfg, a); limit < 0 || sent < limit {
		b.dayUntil = time.Time{}
		if b.told == dayOver {
			b.told = nothing // older news
		}
	}
}

// low reports whether the tokens at hand should be made more.
func (b *book) low(now time.Time) bool {
	return !b.away && !b.scarce && live(b.pools, now) < b.spare()/3
}

// spare is how many tokens are kept for mail to come.
func (b *book) spare() int { return int(b.wanted.rate * 0.8 * leaseLife.Seconds()) }
