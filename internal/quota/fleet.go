package quota

import (
	"context"
	"fmt"
	"time"
)

// Take takes n recipients, waiting for the rate at most Config.MaxWait.
//
// Mail with more recipients than the bucket of the fleet is deep (half a
// second's worth) waits for a full one and leaves the rest as a debt.
func (f *Fleet) Take(ctx context.Context, n int) error {
	if n <= 0 {
		return nil
	}
	begun := time.Now()
	w, err := f.queue(begun, n)
	if w == nil {
		if err == nil {
			f.metrics.wait.Observe(0)
		}
		return err
	}
	f.wake()
	err = f.await(ctx, w)
	if err == nil {
		f.metrics.wait.Observe(time.Since(begun).Seconds())
	}
	return err
}

// queue takes n from the tokens at hand (nil, nil), refuses, or returns what
// waits for the next ones.
func (f *Fleet) queue(now time.Time, n int) (*waiter, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w, err := f.ledger.take(now, n, &f.cfg)
	if w == nil && err == nil && f.ledger.low(now) {
		f.wake()
	}
	return w, err
}

// await waits for a waiter's moment.
func (f *Fleet) await(ctx context.Context, w *waiter) error {
	timer := time.NewTimer(time.Until(w.until))
	defer timer.Stop()
	ready := w.ready
	for {
		select {
		case at := <-ready:
			if at.IsZero() {
				return f.refused(w, "rate", fmt.Errorf("quota: %d recipients would wait longer than quota.max_wait", w.n))
			}
			ready = nil
			timer.Reset(time.Until(at))
		case <-timer.C:
			if f.finish(w) {
				return nil
			}
			return f.refused(w, "rate", fmt.Errorf("quota: %d recipients waited %s for the rate", w.n, w.until.Sub(w.since).Round(time.Millisecond)))
		case <-ctx.Done():
			f.abandon(w)
			return exhausted("rate", fmt.Errorf("quota: wait for %d recipients: %w", w.n, ctx.Err()))
		}
	}
}

// finish ends a wait; false when its tokens never came.
func (f *Fleet) finish(w *waiter) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ledger.leave(w)
}

// abandon ends the wait of a client that has left: its tokens are for others.
func (f *Fleet) abandon(w *waiter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ledger.leave(w) {
		f.ledger.giveBack(w)
	}
}

// refused is the error of a wait that came to nothing; the day is the reason
// when it is spent by now.
func (f *Fleet) refused(w *waiter, class string, err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if dayErr := f.ledger.daySpent(time.Now(), w.n, &f.cfg); dayErr != nil {
		class, err = "day", dayErr
	}
	return exhausted(class, err)
}

// Spent reports, without waiting and without taking, that Take(n) would fail now.
func (f *Fleet) Spent(n int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	return f.ledger.daySpent(now, n, &f.cfg) != nil || f.ledger.wait(now, n, &f.cfg) > patience(&f.cfg)
}

// Refund takes n recipients out of the day's count, as Limiter's.
func (f *Fleet) Refund(n int) {
	if n <= 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ledger.sent -= int64(n)
}

// Throttled slows the fleet down because SES said "Maximum sending rate
// exceeded"; with daily, it stops the fleet because the day's quota is spent.
func (f *Fleet) Throttled(daily bool) {
	f.mu.Lock()
	cut := f.ledger.throttle(time.Now(), daily)
	f.mu.Unlock()
	if cut {
		f.wake()
	}
}

// Reconfigure replaces the configuration; with an error the old one stays.
func (f *Fleet) Reconfigure(cfg Config) error {
	if err := cfg.check(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cfg = cfg
	return nil
}

// Up reports whether Redis answers (relay_state_up).
func (f *Fleet) Up() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.ledger.away
}

// Instances is how many instances share the quota, as last heard.
func (f *Fleet) Instances() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ledger.instances
}

// Status returns the quota of the fleet as it stands. While Redis is away
// RateNow is this instance's share.
func (f *Fleet) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, b := time.Now(), &f.ledger
	s := Status{Known: b.account.Known, Guess: guessed(&f.cfg, b.account), Rate: fullRate(&f.cfg, b.account), DayMax: dayMax(&f.cfg, b.account),
		DayUsed: b.used + float64(b.sent-b.acked), Waiting: b.waiting}
	s.RateNow, s.Share = b.rateNow(now, &f.cfg), b.away && b.instances > 1
	s.Day = b.daySpent(now, 1, &f.cfg) != nil
	s.Spent = s.Day || b.wait(now, 1, &f.cfg) > patience(&f.cfg)
	return s
}
