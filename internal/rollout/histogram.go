package rollout

import (
	"encoding/json"
	"fmt"
	"math"
	"sort"
	"time"
)

// scale are the lower edges of a histogram's buckets, in seconds. Two relays of
// one version count in the same buckets, so that a fleet's can be added up.
type scale []float64

// delayScale has edges at the whole seconds in which Received lines are
// written, and at every limit that somebody would set.
var delayScale = func() (s scale) {
	for v := 0.0; v < 120; v++ {
		s = append(s, v)
	}
	for v := 120.0; v < 600; v += 5 {
		s = append(s, v)
	}
	for v := 600.0; v <= 7200; v += 60 {
		s = append(s, v)
	}
	return s
}()

// latencyScale has ten percent between two edges, from a millisecond to three minutes.
var latencyScale = func() (s scale) {
	s = append(s, 0)
	for v := 0.001; v < 180; v *= 1.1 {
		s = append(s, v)
	}
	return s
}()

// bucket returns the index for a value.
func (s scale) bucket(v float64) int {
	return max(0, sort.Search(len(s), func(i int) bool { return s[i] > v })-1)
}

// Histogram counts durations by the buckets of a scale. The zero value is empty.
type Histogram struct {
	n     []int64
	total int64
}

func (h *Histogram) record(s scale, d time.Duration) { h.add(s.bucket(d.Seconds()), 1) }

func (h *Histogram) add(i int, n int64) {
	if i >= len(h.n) {
		h.n = append(h.n, make([]int64, i+1-len(h.n))...)
	}
	h.n[i] += n
	h.total += n
}

// merge adds o, factor times: -1 takes it away.
func (h *Histogram) merge(o *Histogram, factor int64) {
	if more := len(o.n) - len(h.n); more > 0 { // at once, not bucket by bucket
		h.n = append(h.n, make([]int64, more)...)
	}
	for i, n := range o.n {
		if n != 0 {
			h.add(i, factor*n)
		}
	}
}

// since counts the values in the buckets from d on.
func (h *Histogram) since(s scale, d time.Duration) (n int64) {
	for i := s.bucket(d.Seconds()); i < len(h.n); i++ {
		n += h.n[i]
	}
	return n
}

// rank returns the lower edge of the bucket that holds the k-th smallest value, from 1.
func (h *Histogram) rank(s scale, k int64) float64 {
	for i, n := range h.n {
		if k -= n; k <= 0 {
			return s[min(i, len(s)-1)]
		}
	}
	return s[len(s)-1]
}

// quantile returns the lower edge of the q-quantile's bucket; nil without a value.
func (h *Histogram) quantile(s scale, q float64) *float64 {
	if h.total <= 0 {
		return nil
	}
	v := h.rank(s, max(1, int64(math.Ceil(q*float64(h.total)))))
	return &v
}

func (h *Histogram) quantiles(s scale) Quantiles {
	return Quantiles{P50: h.quantile(s, 0.5), P95: h.quantile(s, 0.95), P99: h.quantile(s, 0.99)}
}

// MarshalJSON writes pairs of bucket and count, without the empty ones.
func (h Histogram) MarshalJSON() ([]byte, error) {
	pairs := [][2]int64{}
	for i, n := range h.n {
		if n != 0 {
			pairs = append(pairs, [2]int64{int64(i), n})
		}
	}
	return json.Marshal(pairs)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (h *Histogram) UnmarshalJSON(b []byte) error {
	var pairs [][2]int64
	if err := json.Unmarshal(b, &pairs); err != nil {
		return err
	}
	*h = Histogram{}
	for _, p := range pairs {
		if p[0] < 0 || p[0] >= int64(max(len(delayScale), len(latencyScale))) || p[1] < 0 {
			return fmt.Errorf("rollout: bucket %d with %d is none", p[0], p[1])
		}
		h.add(int(p[0]), p[1])
	}
	return nil
}
