package admin

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"sesrelay/internal/relay"
)

// figures are the slots of the last five minutes, added up.
type figures struct {
	decided, eligible int64
	routes            [2]routeSlot
	recent            [2]routeSlot  // of the last minute
	recentTime        time.Duration // that recent covers
	reasons           map[reasonKey]int64
}

func (s *Stats) figures() figures {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.steady()
	n := now.UnixNano() / int64(slotTime)
	f := figures{reasons: map[reasonKey]int64{}}
	for i := range f.routes {
		f.routes[i].latency = newLatency()
	}
	for i := range s.slots {
		sl := &s.slots[i]
		if sl.reasons == nil || sl.number <= n-slots || sl.number > n {
			continue
		}
		f.decided += sl.decided
		f.eligible += sl.eligible
		for k, v := range sl.reasons {
			f.reasons[k] += v
		}
		for r := range sl.routes {
			f.routes[r].add(&sl.routes[r])
			if sl.number > n-rateSlots {
				f.recent[r].add(&sl.routes[r])
			}
		}
	}
	f.recentTime = now.Sub(time.Unix(0, (n-rateSlots+1)*int64(slotTime)))
	f.recentTime = max(time.Second, min(f.recentTime, now.Sub(s.begun)))
	return f
}

func (r *routeSlot) add(o *routeSlot) {
	r.messages += o.messages
	r.accepted += o.accepted
	r.recipients += o.recipients
	r.attempts += o.attempts
	r.successes += o.successes
	if r.latency != nil && o.latency != nil {
		r.latency.Merge(o.latency)
	}
}

func (f *figures) shares() Shares {
	return Shares{
		Eligible:  percentOf(f.eligible, f.decided),
		Effective: percentOf(f.routes[0].accepted, f.routes[0].accepted+f.routes[1].accepted),
	}
}

// percentOf is nil without a whole: no mail is not 0 %.
func percentOf(part, whole int64) *float64 {
	if whole == 0 {
		return nil
	}
	p := 100 * float64(part) / float64(whole)
	return &p
}

// UpstreamView is what one upstream did in the last minutes.
type UpstreamView struct {
	Name     relay.Route `json:"name"`
	Rate     float64     `json:"rate"`     // messages a second, over the last minute
	Messages int64       `json:"messages"` // tried here last, over five minutes
	Attempts int64       `json:"attempts"` // answers of the upstream
	Success  *float64    `json:"success"`  // percent of them; null without any
	P50      *float64    `json:"p50_ms"`
	P99      *float64    `json:"p99_ms"`
	Breaker  string      `json:"breaker"` // closed or open
	Because  string      `json:"breaker_reason"`
	InFlight int64       `json:"in_flight"`
}

func (f *figures) upstream(u Upstream) UpstreamView {
	v := UpstreamView{Name: u.Name, Breaker: "closed", Because: u.Because, InFlight: u.InFlight}
	if u.Open {
		v.Breaker = "open"
	}
	i, ok := routeIndex(u.Name)
	if !ok {
		return v
	}
	r := &f.routes[i]
	v.Rate = float64(f.recent[i].messages) / f.recentTime.Seconds()
	v.Messages, v.Attempts = r.messages, r.attempts
	v.Success = percentOf(r.successes, r.attempts)
	v.P50, v.P99 = quantile(r.latency, 50), quantile(r.latency, 99)
	return v
}

// quantile returns milliseconds; nil without a value.
func quantile(h *hdrhistogram.Histogram, q float64) *float64 {
	if h.TotalCount() == 0 {
		return nil
	}
	ms := float64(h.ValueAtQuantile(q)) * float64(latencyUnit) / float64(time.Millisecond)
	return &ms
}

// ReasonCount counts why mail took its route, over five minutes.
type ReasonCount struct {
	Upstream relay.Route  `json:"upstream"`
	Reason   relay.Reason `json:"reason"`
	Messages int64        `json:"messages"`
}

// reasonCounts returns the largest first.
func (f *figures) reasonCounts() []ReasonCount {
	out := make([]ReasonCount, 0, len(f.reasons))
	for k := range maps.Keys(f.reasons) {
		out = append(out, ReasonCount{k.route, k.reason, f.reasons[k]})
	}
	slices.SortFunc(out, func(a, b ReasonCount) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.Upstream, b.Upstream), cmp.Compare(a.Reason, b.Reason))
	})
	return out
}
