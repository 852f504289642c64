package ledger

import (
	"sync"
	"time"

	"sesrelay/internal/relay"
)

// maxRemembered bounds the failover memory, here and in Redis. It grows only
// where SES refuses mail that Cuenote takes for a part of the recipients.
const maxRemembered = 100_000

// memory is the failover memory of one instance.
type memory struct {
	now  func() time.Time
	life time.Duration

	mu    sync.RWMutex // guards what follows
	until map[relay.Fingerprint]time.Time
	swept time.Time
}

func newMemory(life time.Duration, now func() time.Time) *memory {
	return &memory{now: now, life: life, until: map[relay.Fingerprint]time.Time{}, swept: now()}
}

// put keeps a key until a time; a later one that it has stays.
func (m *memory) put(key relay.Fingerprint, until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if len(m.until) >= maxRemembered || now.Sub(m.swept) > m.life/2 {
		m.sweep(now)
	}
	if until.After(m.until[key]) {
		m.until[key] = until
	}
}

// sweep forgets what has expired, and when that is not enough, anything.
func (m *memory) sweep(now time.Time) {
	m.swept = now
	for k, until := range m.until {
		if !now.Before(until) {
			delete(m.until, k)
		}
	}
	for k := range m.until {
		if len(m.until) < maxRemembered {
			return
		}
		delete(m.until, k)
	}
}

func (m *memory) has(key relay.Fingerprint) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	until, ok := m.until[key]
	return ok && m.now().Before(until)
}
