package relay

import "time"

// shelf keeps values for a fixed time, at most max of them: when it is full the
// oldest goes first. Every put clears away at most a few entries, so that no
// caller holds a lock for longer than that, however many there are. The zero
// shelf is not usable.
//
// A value can have a text. The texts of a block lie behind each other in one
// piece of memory: half a million strings would be half a million objects that
// every garbage collection has to visit.
type shelf[V any] struct {
	start  time.Time // times are counted from here, so that a clock that is set forgets nothing
	life   time.Duration
	max    int
	index  map[shelfKey]int64 // number of the newest entry of a key
	blocks []*shelfBlock[V]   // entries first to next, in order
	spare  *shelfBlock[V]     // emptied, for the next one
	first  int64
	next   int64
}

// shelfBlock is what grows at once.
type shelfBlock[V any] struct {
	entries [blockSize]shelfEntry[V]
	text    []byte // of all entries
}

// shelfKey is the first half of a SHA-256: 128 bits tell more mails apart than
// will ever be sent, and half a million keys stand here twice.
type shelfKey [16]byte

type shelfEntry[V any] struct {
	key   shelfKey
	until time.Duration // since start
	value V
	text  textSpan
}

// textSpan is where an entry's text lies in that of its block.
type textSpan struct{ start, end uint32 }

const (
	blockSize  = 1024 // entries
	clearAtPut = 4    // expired entries that one put clears away
)

func newShelf[V any](life time.Duration, entries int, start time.Time) *shelf[V] {
	return &shelf[V]{start: start, life: life, max: max(1, entries), index: map[shelfKey]int64{}}
}

// get returns the value of a key that has not expired, and its text.
func (s *shelf[V]) get(key Fingerprint, now time.Time) (v V, text string, ok bool) {
	n, ok := s.index[shelfKey(key[:16])]
	if !ok {
		return v, "", false
	}
	b, e := s.at(n)
	if now.Sub(s.start) >= e.until {
		return v, "", false
	}
	return e.value, string(b.text[e.text.start:e.text.end]), true
}

// put keeps a value, and a copy of its text, from now on; an older one of the
// same key is forgotten.
func (s *shelf[V]) put(fp Fingerprint, v V, text []byte, now time.Time) {
	key := shelfKey(fp[:16])
	age := now.Sub(s.start)
	for range clearAtPut {
		if s.first == s.next {
			break
		}
		if _, e := s.at(s.first); e.until > age {
			break
		}
		s.drop()
	}
	if s.next-s.first >= int64(s.max) {
		s.drop()
	}
	if s.next == s.base()+int64(len(s.blocks))*blockSize {
		s.grow()
	}
	b, e := s.at(s.next)
	start := uint32(len(b.text))
	b.text = append(b.text, text...)
	*e = shelfEntry[V]{key, age + s.life, v, textSpan{start, uint32(len(b.text))}}
	s.index[key] = s.next
	s.next++
}

// grow adds a block, with room for texts like those of the last one.
func (s *shelf[V]) grow() {
	b := s.spare
	if s.spare = nil; b == nil {
		b = new(shelfBlock[V])
		if n := len(s.blocks); n > 0 {
			last := len(s.blocks[n-1].text)
			b.text = make([]byte, 0, last+last/16)
		}
	}
	s.blocks = append(s.blocks, b)
}

// forget removes a key. Its entry goes when its turn comes.
func (s *shelf[V]) forget(key Fingerprint) { delete(s.index, shelfKey(key[:16])) }

// drop clears away the oldest entry.
func (s *shelf[V]) drop() {
	b, e := s.at(s.first)
	if s.index[e.key] == s.first { // and not a newer one
		delete(s.index, e.key)
	}
	*e = shelfEntry[V]{}
	s.first++
	if s.first%blockSize == 0 {
		s.blocks[0] = nil
		s.blocks = s.blocks[1:]
		b.text = b.text[:0]
		s.spare = b
	}
}

// base is the number of the first entry of the first block.
func (s *shelf[V]) base() int64 { return s.first - s.first%blockSize }

// at returns the entry of a number, and its block.
func (s *shelf[V]) at(n int64) (*shelfBlock[V], *shelfEntry[V]) {
	n -= s.base()
	b := s.blocks[n/blockSize]
	return b, &b.entries[n%blockSize]
}
