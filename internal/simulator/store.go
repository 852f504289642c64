package simulator

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"sync"
	"time"
)

// StoreConfig sets what a Store keeps; the zero value suits tests and the demo.
type StoreConfig struct {
	MaxRecords    int    // newest records kept; 0 = 100,000
	MaxBytes      int64  // message bytes kept, all records together; 0 = 256 MiB
	MaxIDs        int    // different test ids whose copies are counted; 0 = 5,000,000
	DiscardBodies bool   // keep hash, size, envelope and test id only: for load tests
	IDHeader      string // header that names a mail across retries; "" = X-Test-Id
}

// Store holds what the hops accepted: the newest records within its bounds, and counters that are never cut.
// One Store may serve several hops. All methods may be called from any goroutine.
type Store struct {
	cfg StoreConfig

	mu      sync.Mutex // guards all below; held for a few map writes per mail
	ring    []Record   // oldest at head; grows to MaxRecords, then wraps
	head    int
	kept    int
	bytes   int64
	totals  map[string]*tally // by upstream
	ids     map[string]int    // accepted copies by test id, over both upstreams
	idsLost int64             // mails whose id was not counted since MaxIDs was reached
	changed chan struct{}     // closed and replaced at every record while somebody waits
}

// tally is what is counted for one upstream.
type tally struct {
	messages, recipients, bytes int64
	perSecond                   map[int64]int64 // recipients accepted, by Unix second
}

// NewStore returns an empty Store.
func NewStore(cfg StoreConfig) *Store {
	if cfg.MaxRecords <= 0 {
		cfg.MaxRecords = 100_000
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = 256 << 20
	}
	if cfg.MaxIDs <= 0 {
		cfg.MaxIDs = 5_000_000
	}
	if cfg.IDHeader == "" {
		cfg.IDHeader = "X-Test-Id"
	}
	s := &Store{cfg: cfg}
	s.Reset()
	return s
}

// Reset forgets every record and sets every counter to zero.
func (s *Store) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ring, s.head, s.kept, s.bytes = nil, 0, 0, 0
	s.totals = map[string]*tally{UpstreamSES: newTally(), UpstreamCuenote: newTally()}
	s.ids, s.idsLost = map[string]int{}, 0
	s.wake()
}

func newTally() *tally { return &tally{perSecond: map[int64]int64{}} }

// add records a mail. raw is copied unless owned says that the caller will not use it again.
func (s *Store) add(r Record, raw []byte, owned bool) {
	r.Size, r.SHA256, r.TestID = len(raw), sha256.Sum256(raw), headerValue(raw, s.cfg.IDHeader)
	if !s.cfg.DiscardBodies {
		if !owned {
			raw = bytes.Clone(raw)
		}
		r.Raw = raw
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count(&r)
	s.push(r)
	s.wake()
}

// count adds to the counters. Called with mu held.
func (s *Store) count(r *Record) {
	t := s.totals[r.Upstream]
	t.messages++
	t.recipients += int64(len(r.To))
	t.bytes += int64(r.Size)
	t.add(r.Time.Unix(), int64(len(r.To)))
	if r.TestID == "" {
		return
	}
	if _, known := s.ids[r.TestID]; !known && len(s.ids) >= s.cfg.MaxIDs {
		s.idsLost++
		return
	}
	s.ids[r.TestID]++
}

// maxSeconds bounds perSecond at two days and more: enough to judge a rolling 24 hours.
const maxSeconds = 200_000

func (t *tally) add(second, recipients int64) {
	if len(t.perSecond) >= maxSeconds {
		maps.DeleteFunc(t.perSecond, func(at, _ int64) bool { return at < second-maxSeconds/2 })
	}
	t.perSecond[second] += recipients
}

// push appends to the ring and drops the oldest records beyond the bounds. Called with mu held.
func (s *Store) push(r Record) {
	for s.kept > 0 && (s.kept >= s.cfg.MaxRecords || s.bytes+int64(len(r.Raw)) > s.cfg.MaxBytes) {
		s.bytes -= int64(len(s.ring[s.head].Raw))
		s.ring[s.head] = Record{}
		s.head = (s.head + 1) % len(s.ring)
		s.kept--
	}
	if s.kept == len(s.ring) {
		s.grow()
	}
	s.ring[(s.head+s.kept)%len(s.ring)] = r
	s.kept++
	s.bytes += int64(len(r.Raw))
}

// grow doubles the ring, up to MaxRecords, and puts its oldest record at index 0. Called with mu held.
func (s *Store) grow() {
	ring := make([]Record, min(max(2*len(s.ring), 64), s.cfg.MaxRecords))
	n := copy(ring, s.ring[s.head:])
	copy(ring[n:], s.ring[:s.head])
	s.ring, s.head = ring, 0
}

// wake tells every waiter that something changed. Called with mu held.
func (s *Store) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// change returns a channel that is closed at the next record. Called with mu held.
func (s *Store) change() <-chan struct{} {
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// at returns the i-th oldest record. Called with mu held.
func (s *Store) at(i int) *Record { return &s.ring[(s.head+i)%len(s.ring)] }

// Totals are counters of one upstream since the start or the last Reset; they survive the ring.
type Totals struct {
	Messages   int64 `json:"messages"`
	Recipients int64 `json:"recipients"`
	Bytes      int64 `json:"bytes"`
}

// Totals returns the counters of one upstream.
func (s *Store) Totals(upstream string) Totals {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.totals[upstream]
	if t == nil {
		return Totals{}
	}
	return Totals{Messages: t.messages, Recipients: t.recipients, Bytes: t.bytes}
}

// PerSecond returns the recipients that one upstream accepted, by Unix second of the hop's Clock. Seconds without
// mail are absent.
func (s *Store) PerSecond(upstream string) map[int64]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.totals[upstream]
	if t == nil {
		return nil
	}
	return maps.Clone(t.perSecond)
}

// MaxPerSecond returns the largest number of recipients that one upstream accepted in one second, and that second.
func (s *Store) MaxPerSecond(upstream string) (recipients int64, second time.Time) {
	for at, n := range s.PerSecond(upstream) {
		if n > recipients {
			recipients, second = n, time.Unix(at, 0)
		}
	}
	return recipients, second
}
