package relay

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func numbered(n int) (fp Fingerprint) {
	binary.BigEndian.PutUint64(fp[:], uint64(n))
	return fp
}

// textOf is a text for a value, of any length up to 40.
func textOf(n int) string { return strings.Repeat(string(rune('a'+n%26)), n%41) }

// TestShelf compares a shelf with a plain map under random use.
func TestShelf(t *testing.T) {
	t.Parallel()
	type entry struct {
		value int
		until time.Time
		put   int
	}
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		limit := 1 + rnd.IntN(3*blockSize)
		now, puts := time.Unix(1e9, 0), 0
		s := newShelf[int](time.Minute, limit, now)
		want := map[Fingerprint]entry{}
		for range 20_000 {
			now = now.Add(time.Duration(rnd.IntN(40)) * time.Millisecond)
			key := numbered(rnd.IntN(2 * limit))
			switch rnd.IntN(10) {
			case 0:
				s.forget(key)
				delete(want, key)
			case 1, 2, 3:
				got, text, ok := s.get(key, now)
				e, there := want[key]
				if ok && (!there || got != e.value || text != textOf(got) || !now.Before(e.until)) {
					t.Fatalf("seed %d: got %d %q, want %+v at %v", seed, got, text, e, now)
				}
				if !ok && there && now.Before(e.until) && puts-e.put < limit {
					t.Fatalf("seed %d: %v is gone, put %d puts ago of %d", seed, e, puts-e.put, limit)
				}
			default:
				puts++
				s.put(key, puts, []byte(textOf(puts)), now)
				want[key] = entry{puts, now.Add(time.Minute), puts}
			}
			if held := int(s.next - s.first); held > limit || len(s.index) > held || len(s.blocks) > held/blockSize+2 {
				t.Fatalf("seed %d: %d entries, %d keys, %d blocks; limit %d", seed, held, len(s.index), len(s.blocks), limit)
			}
		}
	}
}

// TestShelfEmpties: what has expired goes with the puts that follow, four for one.
func TestShelfEmpties(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	s := newShelf[int](time.Minute, 100_000, now)
	for i := range 10_000 {
		s.put(numbered(i), i, nil, now)
	}
	now = now.Add(time.Hour)
	for i := range 4_000 {
		s.put(numbered(-i), i, nil, now)
	}
	if len(s.index) != 4_000 || len(s.blocks) > 5 {
		t.Errorf("%d keys in %d blocks, want the 4000 new ones", len(s.index), len(s.blocks))
	}
}

func TestPackedReceipt(t *testing.T) {
	t.Parallel()
	for _, r := range []Receipt{{}, {SES, "id1", "0106-x", ""}, {Cuenote, "id2", "", "2.0.0 Ok: queued as 4X"}} {
		if got := unpack(string(appendPacked(nil, r))); got != r {
			t.Errorf("%+v became %+v", r, got)
		}
	}
}

// TestExpiredValueIsGone: a caller that does not look at ok gets nothing old.
func TestExpiredValueIsGone(t *testing.T) {
	start := time.Unix(0, 0)
	s := newShelf[int](time.Minute, 10, start)
	s.put(Fingerprint{1}, 7, []byte("x"), start)
	if v, text, ok := s.get(Fingerprint{1}, start.Add(time.Minute-1)); v != 7 || text != "x" || !ok {
		t.Errorf("within its life: %d, %q, %v", v, text, ok)
	}
	if v, text, ok := s.get(Fingerprint{1}, start.Add(time.Minute)); v != 0 || text != "" || ok {
		t.Errorf("after its life: %d, %q, %v", v, text, ok)
	}
}
