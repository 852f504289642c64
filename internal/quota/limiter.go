package quota

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"sesrelay/internal/relay"
)

// Unlimited is a day's quota without end, as GetAccount writes it.
const Unlimited = -1

// sandboxRate is what every account has. It counts until GetAccount has
// answered: more could be too much, and nothing would never find out.
const sandboxRate = 1

// Config sets a Limiter.
type Config struct {
	Rate     float64       // recipients a second; 0: the account's MaxSendRate
	Day      float64       // recipients in 24 hours; 0: the account's Max24HourSend, -1: unlimited
	Headroom float64       // of the rate, above 0 to 1
	MaxWait  time.Duration // for the rate, in Take
}

// check reports every mistake.
func (c *Config) check() error {
	var errs []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	add(!(c.Rate >= 0) || math.IsInf(c.Rate, 1), "quota.rate: %v: write recipients a second, or auto", c.Rate)
	add(!(c.Day >= 0 || c.Day == Unlimited), "quota.daily: %v: write recipients in 24 hours, or auto", c.Day)
	add(!(c.Headroom > 0 && c.Headroom <= 1), "quota.headroom: %v: write a part of the rate, above 0 to 1, such as 0.9", c.Headroom)
	add(c.MaxWait < 0, "quota.max_wait: %s: write a duration of 0 or more", c.MaxWait)
	return errors.Join(errs...)
}

// Limiter is the sending quota of one instance (relay.Quota). It is safe for
// concurrent use.
type Limiter struct {
	metrics *metrics

	mu       sync.Mutex // guards what follows; never held while waiting
	cfg      Config
	account  account
	bucket   *rate.Limiter
	pace     pace
	window   window
	dayUntil time.Time // until then SES has said that the day's quota is spent
	waiting  int       // recipients
}

// account is what GetAccount said last.
type account struct {
	Known bool    `json:"known"`
	Rate  float64 `json:"rate"` // MaxSendRate
	Day   float64 `json:"day"`  // Max24HourSend; -1: unlimited
}

var _ relay.Quota = (*Limiter)(nil)

// New returns a limiter with a full second's worth to send. reg may be nil.
func New(cfg Config, reg prometheus.Registerer) (*Limiter, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	l := &Limiter{cfg: cfg, bucket: rate.NewLimiter(0, 1)}
	now := time.Now()
	l.window = newWindow(now)
	l.resize(now)
	l.bucket = rate.NewLimiter(l.bucket.Limit(), l.bucket.Burst()) // full
	l.metrics = newMetrics(reg, l.Status)
	return l, nil
}

// Reconfigure replaces the configuration; with an error the old one stays.
func (l *Limiter) Reconfigure(cfg Config) error {
	if err := cfg.check(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cfg = cfg
	l.resize(time.Now())
	return nil
}

// unlimitedRate stands for a MaxSendRate of -1, which a real account never
// has: more than any machine sends, and still a number to divide by.
const unlimitedRate = 1e6

// SetAccount brings SendQuota of GetAccount: Max24HourSend and MaxSendRate (-1
// is unlimited), and SentLast24Hours. Values that are no quota are ignored.
func (l *Limiter) SetAccount(max24, maxRate, sent float64) {
	a, ok := readAccount(max24, maxRate, sent)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.account = a
	l.window.reconcile(now, sent)
	if limit := l.dayMax(); limit < 0 || l.window.used(now) < limit {
		l.dayUntil = time.Time{}
	}
	l.resize(now)
}

func readAccount(max24, maxRate, sent float64) (a account, ok bool) {
	if maxRate == Unlimited {
		maxRate = unlimitedRate
	}
	ok = maxRate > 0 && (max24 > 0 || max24 == Unlimited) && sent >= 0
	return account{Known: ok, Rate: maxRate, Day: max24}, ok
}

// fullRate is the rate before throttling, headroom taken off. A configured
// number above the account's own is of no use: SES would throttle it.
func (l *Limiter) fullRate() float64 { return fullRate(&l.cfg, l.account) }

func fullRate(cfg *Config, a account) float64 {
	r := cfg.Rate
	switch {
	case guessed(cfg, a):
		r = sandboxRate
	case r == 0, a.Known && a.Rate < r:
		r = a.Rate
	}
	return r * cfg.Headroom
}

// guessed: the rate is what every account has, for want of anything known.
func guessed(cfg *Config, a account) bool { return cfg.Rate == 0 && !a.Known }

// dayMax is the day's quota; Unlimited while nothing is known.
func (l *Limiter) dayMax() float64 { return dayMax(&l.cfg, l.account) }

func dayMax(cfg *Config, a account) float64 {
	own, theirs := cfg.Day, a.Day
	switch {
	case !a.Known && own == 0:
		return Unlimited
	case !a.Known, theirs == Unlimited && own != 0:
		return own
	case own <= 0:
		return theirs
	}
	return min(own, theirs)
}

// resize sets the bucket to the rate in use. The burst is one second's worth.
func (l *Limiter) resize(now time.Time) {
	r := l.fullRate() * l.pace.part(now)
	if rate.Limit(r) == l.bucket.Limit() {
		return
	}
	l.bucket.SetLimitAt(now, rate.Limit(r))
	l.bucket.SetBurstAt(now, max(1, int(r)))
}

// Take takes n recipients, waiting for the rate at most Config.MaxWait.
//
// Mail with more recipients than the burst waits for a full burst and leaves
// the rest as a debt: SES too lets a call pass while there is any allowance,
// and nothing more until it is repaid.
func (l *Limiter) Take(ctx context.Context, n int) error {
	if n <= 0 {
		return nil
	}
	now := time.Now()
	wait, cancel, err := l.reserve(now, n)
	if err != nil {
		return err
	}
	l.metrics.wait.Observe(wait.Seconds())
	if wait <= 0 {
		return nil
	}
	defer l.addWaiting(-n)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		cancel()
		return exhausted("rate", fmt.Errorf("quota: wait for %d recipients: %w", n, ctx.Err()))
	}
}

// reserve takes n from the day and the rate, or nothing. cancel gives it back
// before the wait is over.
func (l *Limiter) reserve(now time.Time, n int) (wait time.Duration, cancel func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.resize(now)
	if err := l.daySpent(now, n); err != nil {
		return 0, nil, exhausted("day", err)
	}
	burst := l.bucket.Burst()
	first := l.bucket.ReserveN(now, min(n, burst))
	if wait = first.DelayFrom(now); wait > l.cfg.MaxWait {
		first.CancelAt(now)
		return 0, nil, exhausted("rate", fmt.Errorf("quota: %d recipients would wait %s for %.1f a second, longer than quota.max_wait %s",
			n, wait.Round(time.Millisecond), float64(l.bucket.Limit()), l.cfg.MaxWait))
	}
	held := []*rate.Reservation{first}
	for rest := n - burst; rest > 0; rest -= burst {
		held = append(held, l.bucket.ReserveN(now, min(rest, burst)))
	}
	l.window.add(now, int64(n))
	if wait > 0 {
		l.waiting += n
	}
	return wait, func() { l.cancel(held, n) }, nil
}

func (l *Limiter) cancel(held []*rate.Reservation, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for i := len(held) - 1; i >= 0; i-- { // newest first: x/time/rate gives back less when later ones stand
		held[i].CancelAt(now)
	}
	l.window.add(now, int64(-n))
}

func (l *Limiter) addWaiting(n int) {
	l.mu.Lock()
	l.waiting += n
	l.mu.Unlock()
}

// daySpent says why n more do not fit into the day; nil when they do.
func (l *Limiter) daySpent(now time.Time, n int) error {
	if now.Before(l.dayUntil) {
		return errors.New("quota: SES says that the 24-hour quota is spent")
	}
	limit := l.dayMax()
	if used := l.window.used(now); limit >= 0 && used+float64(n) > limit {
		return fmt.Errorf("quota: %d recipients and %.0f in the last 24 hours are more than %.0f", n, used, limit)
	}
	return nil
}

func exhausted(class string, err error) error {
	return &relay.Error{Outcome: relay.NotAccepted, Kind: relay.Exhausted, Class: class, Reply: relay.ReplyThrottled, Err: err}
}

// Spent reports, without waiting and without taking, that Take(n) would fail now.
func (l *Limiter) Spent(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.resize(now)
	if l.daySpent(now, n) != nil {
		return true
	}
	lacking := float64(min(n, l.bucket.Burst())) - l.bucket.TokensAt(now)
	return lacking > l.cfg.MaxWait.Seconds()*float64(l.bucket.Limit())
}

// Refund takes n recipients out of the day's count. The rate is not given back:
// SES may have counted the call, and a second later it has grown again anyway.
func (l *Limiter) Refund(n int) {
	if n <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.window.add(time.Now(), int64(-n))
}

// Throttled slows down because SES said "Maximum sending rate exceeded"; with
// daily, because it said that the day's quota is spent: then nothing is taken
// until GetAccount shows room, or some minutes have passed.
func (l *Limiter) Throttled(daily bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if daily {
		l.dayUntil = now.Add(recheckDay)
		return
	}
	if !l.pace.cut(now) {
		return
	}
	l.resize(now)
	if left := int(l.bucket.TokensAt(now)); left > 0 {
		l.bucket.ReserveN(now, left) // SES's bucket is empty: so is ours
	}
}
