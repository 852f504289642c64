package simulator

import (
	"strings"
	"sync"
	"time"
)

// Account is the state of the simulated SES account: what an operator, AWS or a reviewer may change at any time.
// The zero value is a healthy production account without a quota.
type Account struct {
	MaxSendRate          float64  `json:"max_send_rate"`          // recipients per second; 0 or -1 = unlimited
	Max24HourSend        float64  `json:"max_24_hour_send"`       // recipients in rolling 24 hours; 0 or -1 = unlimited
	SendingPaused        bool     `json:"sending_paused"`         // SendingEnabled is false, sending gives SendingPausedException
	Suspended            bool     `json:"suspended"`              // EnforcementStatus is SHUTDOWN, sending gives AccountSuspendedException
	Probation            bool     `json:"probation"`              // EnforcementStatus is PROBATION; sending goes on
	Sandbox              bool     `json:"sandbox"`                // ProductionAccessEnabled is false: recipients must be verified too
	SuppressNothing      bool     `json:"suppress_nothing"`       // the account does not use its suppression list
	SetSuppressesNothing bool     `json:"set_suppresses_nothing"` // nor does any configuration set, whatever the account does
	PausedConfigSets     []string `json:"paused_config_sets"`     // configuration sets whose sending is switched off
}

func (a Account) enforcement() string {
	switch {
	case a.Suspended:
		return "SHUTDOWN"
	case a.Probation:
		return "PROBATION"
	default:
		return "HEALTHY"
	}
}

// account holds the Account and what was sent by it.
type account struct {
	mu     sync.Mutex // guards all below
	now    Account
	rate   bucket // of recipients
	calls  bucket // of every call but sending
	window window
}

// take asks for n recipients at the given time. Real SES lets a call pass for several recipients while any allowance
// is left, and refuses until the debt is repaid.
func (a *account) take(at time.Time, n int) (apiError, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.now.Max24HourSend > 0 && a.window.sum(at) >= int64(a.now.Max24HourSend) {
		return errDailyQuota, false
	}
	if a.now.MaxSendRate > 0 && !a.rate.take(at, a.now.MaxSendRate, max(a.now.MaxSendRate, 1), float64(n)) {
		return errThrottled, false
	}
	a.window.add(at, int64(n))
	return apiError{}, true
}

// call asks for one call of the account-wide API allowance.
func (a *account) call(at time.Time, rate float64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls.take(at, rate, apiBurst, 1)
}

func (a *account) get() Account {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.now
}

func (a *account) sent(at time.Time) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.window.sum(at)
}

func (a *account) set(state Account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now = state
}

// bucket is a token bucket that starts full and may go below zero.
type bucket struct {
	tokens float64
	last   time.Time
}

// take passes while one whole token is left, and takes n: what is missing is a debt. The comparison leaves room for
// the rounding of sums of fractions.
func (b *bucket) take(at time.Time, rate, burst, n float64) bool {
	if b.last.IsZero() {
		b.tokens, b.last = burst, at
	}
	if at.After(b.last) { // callers read the clock before they get the lock
		b.tokens, b.last = b.tokens+at.Sub(b.last).Seconds()*rate, at
	}
	b.tokens = min(b.tokens, burst)
	if b.tokens < 1-1e-6 {
		return false
	}
	b.tokens -= n
	return true
}

// day is the length of the window over which SES counts Max24HourSend.
const day = 24 * 60 * 60

// window sums recipients over the last 24 hours, by the second.
type window struct {
	seconds []slot // oldest first
	total   int64
}

type slot struct {
	second int64
	n      int64
}

func (w *window) add(at time.Time, n int64) {
	w.total += n
	if last := len(w.seconds) - 1; last >= 0 && w.seconds[last].second >= at.Unix() {
		w.seconds[last].n += n
		return
	}
	w.seconds = append(w.seconds, slot{at.Unix(), n})
}

func (w *window) sum(at time.Time) int64 {
	old := 0
	for old < len(w.seconds) && w.seconds[old].second <= at.Unix()-day {
		w.total -= w.seconds[old].n
		old++
	}
	w.seconds = w.seconds[old:]
	return w.total
}

// identities are the verified ones; nil means that every domain is.
type identities []string

// verified tells whether the address itself, its domain or a domain above it is a verified identity. SES takes the
// subdomains of a verified domain as verified.
func (list identities) verified(address string) bool {
	if list == nil {
		return true
	}
	domain := domainOf(address)
	for _, id := range list {
		if strings.EqualFold(id, address) || (!strings.Contains(id, "@") && inDomain(domain, id)) {
			return true
		}
	}
	return false
}

func domainOf(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

func inDomain(domain, parent string) bool {
	if strings.EqualFold(domain, parent) {
		return true
	}
	n := len(domain) - len(parent) - 1
	return n >= 0 && domain[n] == '.' && strings.EqualFold(domain[n+1:], parent)
}
