package relay

import (
	"sync"
	"sync/atomic"
)

// Budget bounds the message bytes in flight, all sessions together. Nobody
// waits for it: many sessions that hold a half-read message each and wait for
// the others would never end.
type Budget struct {
	limit int64
	used  atomic.Int64
}

// smallRequest is what may take the last sixteenth of a budget: when large mails
// from everybody have spent the rest, ordinary mail still goes through.
const smallRequest = 256 << 10

// NewBudget returns a budget of limit bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Reserve takes n bytes, or reports false and takes nothing.
func (b *Budget) Reserve(n int64) bool {
	limit := b.limit
	if n > smallRequest {
		limit -= limit / 16
	}
	for {
		used := b.used.Load()
		if used+n > limit {
			return false // without having been in anybody's way
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// Free gives n bytes back.
func (b *Budget) Free(n int64) { b.used.Add(-n) }

// Used returns the bytes taken now.
func (b *Budget) Used() int64 { return b.used.Load() }

// bufferClasses are the sizes of pooled buffers; the first holds a mail of 8 KiB
// with its header. Larger ones are left to the garbage collector: they are rare,
// and a pool of them would pin memory.
var bufferClasses = [...]int{12 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20}

var bufferPools [len(bufferClasses)]sync.Pool

// bufferSize returns the capacity of the buffer that takeBuffer(n) gives.
func bufferSize(n int64) int64 {
	for _, size := range bufferClasses {
		if n <= int64(size) {
			return int64(size)
		}
	}
	return n
}

// nextSize returns the size to grow to from a full buffer of n bytes.
func nextSize(n int64) int64 {
	if n < int64(bufferClasses[len(bufferClasses)-1]) {
		return bufferSize(n + 1)
	}
	return 2 * n
}

// takeBuffer returns an empty buffer with room for at least n bytes.
func takeBuffer(n int) []byte {
	for i, size := range bufferClasses {
		if n > size {
			continue
		}
		if p, ok := bufferPools[i].Get().(*[]byte); ok {
			return (*p)[:0]
		}
		return make([]byte, 0, size)
	}
	return make([]byte, 0, n)
}

// giveBuffer puts a buffer of takeBuffer back.
func giveBuffer(b []byte) {
	for i, size := range bufferClasses {
		if cap(b) == size {
			b = b[:0]
			bufferPools[i].Put(&b)
			return
		}
	}
}
