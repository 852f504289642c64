package admin

import (
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Bounds of the audit lines about refused attempts. Whoever can reach the port
// can make one per request, and a full disk or a paid log service is damage,
// too. Each caller has its own allowance, so that one who makes noise does not
// hide another; what is left out is counted and said.
const (
	refusalsOfCaller = 10              // lines at once of one caller, then one every refusalEvery
	refusalEvery     = 6 * time.Second //
	refusalsOfAll    = 100             // lines at once, all callers together, then refusalRate a second
	refusalRate      = 5
	refusalCallers   = 1000 // remembered
	refusalSummary   = 30 * time.Second
)

// refusals says which refused attempts get a line of their own.
type refusals struct {
	log *slog.Logger
	now func() time.Time

	mu      sync.Mutex // guards what follows
	all     *rate.Limiter
	callers map[string]*rate.Limiter
	left    int             // attempts without a line since the last summary
	whose   map[string]bool // and their callers, some of them
	timer   *time.Timer     // writes the next summary; nil while nothing is left out
}

func newRefusals(log *slog.Logger, now func() time.Time) *refusals {
	return &refusals{log: log, now: now, all: rate.NewLimiter(refusalRate, refusalsOfAll),
		callers: map[string]*rate.Limiter{}, whose: map[string]bool{}}
}

// allow reports whether the attempt of a caller gets its line.
func (r *refusals) allow(caller string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if r.caller(caller, now).AllowN(now, 1) && r.all.AllowN(now, 1) {
		return true
	}
	r.left++
	if len(r.whose) < refusalCallers {
		r.whose[caller] = true
	}
	if r.timer == nil {
		r.timer = time.AfterFunc(refusalSummary, r.summarise)
	}
	return false
}

func (r *refusals) caller(name string, now time.Time) *rate.Limiter {
	if l := r.callers[name]; l != nil {
		return l
	}
	if len(r.callers) >= refusalCallers {
		r.forget(now)
	}
	l := rate.NewLimiter(rate.Every(refusalEvery), refusalsOfCaller)
	r.callers[name] = l
	return l
}

// forget drops the callers that have been quiet; when all are noisy, the bound
// for all together is what is left.
func (r *refusals) forget(now time.Time) {
	for name, l := range r.callers {
		if l.TokensAt(now) >= refusalsOfCaller {
			delete(r.callers, name)
		}
	}
	if len(r.callers) >= refusalCallers {
		clear(r.callers)
	}
}

// summarise writes how many attempts got no line.
func (r *refusals) summarise() {
	r.mu.Lock()
	n, callers := r.left, len(r.whose)
	r.left, r.timer = 0, nil
	clear(r.whose)
	r.mu.Unlock()
	if n > 0 {
		r.log.Warn("audit", "event", "refused", "left_out", n, "callers", callers)
	}
}

// stop writes what a summary would still have said.
func (r *refusals) stop() {
	r.mu.Lock()
	if r.timer != nil {
		r.timer.Stop()
	}
	r.mu.Unlock()
	r.summarise()
}
