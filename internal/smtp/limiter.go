package smtp

import (
	"sync"
	"time"
)

// maxNames bounds what a limiter remembers.
const maxNames = 10_000

// limiter counts failures by name. A name may fail burst times, and gets one
// back per interval.
type limiter struct {
	burst    float64
	interval time.Duration

	mu    sync.Mutex // guards what follows
	names map[string]failures
}

type failures struct {
	count float64 // at the time of the last failure
	at    time.Time
}

func newLimiter(burst int, interval time.Duration) *limiter {
	return &limiter{burst: float64(burst), interval: interval, names: map[string]failures{}}
}

// allow reports whether name may try.
func (l *limiter) allow(name string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left(l.names[name], now) < l.burst
}

// fail counts a failure.
func (l *limiter) fail(name string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.names) >= maxNames {
		l.forget(now)
	}
	l.names[name] = failures{l.left(l.names[name], now) + 1, now}
}

// left is how many failures still count.
func (l *limiter) left(f failures, now time.Time) float64 {
	return max(0, f.count-float64(now.Sub(f.at))/float64(l.interval))
}

// forget drops the names whose failures no longer count, and half of the
// others when that is not enough.
func (l *limiter) forget(now time.Time) {
	for name, f := range l.names {
		if l.left(f, now) <= 0 {
			delete(l.names, name)
		}
	}
	for name := range l.names {
		if len(l.names) <= maxNames/2 {
			break
		}
		delete(l.names, name)
	}
}
