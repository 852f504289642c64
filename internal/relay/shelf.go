package relay

import "time"

// shelf keeps values for a fixed time, at most max of them: when it is full the
// oldest goes first. Every put clears away at most a few entries, so that no
// caller holds a lock for longer than that, however many there are. The zero
// shelf is not usable.
type shelf[V any] struct {
	start  time.Time // times are counted from here, so that a clock that is set forgets nothing
	life   time.Duration
	max    int
	index  map[shelfKey]int64 // number of the newest entry of a key
	blocks [][]shelfEntry[V]  // entries first to next, in order, blockSize to a block
	first  int64
	next   int64
}

// shelfKey is the first half of a SHA-256: 128 bits tell more mails apart than
// will ever be sent, and half a million keys stand here twice.
type shelfKey [16]byte

type shelfEntry[V any] struct {
	key   shelfKey
	until time.Duration // since start
	value V
}

const (
	blockSize  = 1024 // entries: what grows at once
	clearAtPut = 4    // expired entries that one put clears away
)

func newShelf[V any](life time.Duration, entries int, start time.Time) *shelf[V] {
	return &shelf[V]{start: start, life: life, max: max(1, entries), index: map[shelfKey]int64{}}
}

// get returns the value of a key that has not expired.
func (s *shelf[V]) get(key Fingerprint, now time.Time) (v V, ok bool) {
	n, ok := s.index[shelfKey(key[:16])]
	if !ok {
		return v, false
	}
	e := s.at(n)
	if now.Sub(s.start) >= e.until {
		return v, false
	}
	return e.value, true
}

// put keeps a value from now on; an older one of the same key is forgotten.
func (s *shelf[V]) put(fp Fingerprint, v V, now time.Time) {
	key := shelfKey(fp[:16])
	age := now.Sub(s.start)
	for range clearAtPut {
		if s.first < s.next && s.at(s.first).until <= age {
			s.drop()
		}
	}
	if s.next-s.first >= int64(s.max) {
		s.drop()
	}
	if s.next == s.base()+int64(len(s.blocks))*blockSize {
		s.blocks = append(s.blocks, make([]shelfEntry[V], blockSize))
	}
	*s.at(s.next) = shelfEntry[V]{key, age + s.life, v}
	s.index[key] = s.next
	s.next++
}

// forget removes a key. Its entry goes when its turn comes.
func (s *shelf[V]) forget(key Fingerprint) { delete(s.index, shelfKey(key[:16])) }

// drop clears away the oldest entry.
func (s *shelf[V]) drop() {
	e := s.at(s.first)
	if s.index[e.key] == s.first { // and not a newer one
		delete(s.index, e.key)
	}
	*e = shelfEntry[V]{}
	s.first++
	if s.first%blockSize == 0 {
		s.blocks[0] = nil
		s.blocks = s.blocks[1:]
	}
}

// base is the number of the first entry of the first block.
func (s *shelf[V]) base() int64 { return s.first - s.first%blockSize }

func (s *shelf[V]) at(n int64) *shelfEntry[V] {
	n -= s.base()
	return &s.blocks[n/blockSize][n%blockSize]
}
