package admin

import (
	"math"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/prometheus/client_golang/prometheus"

	"sesrelay/internal/relay"
	"sesrelay/internal/split"
)

// The windows of what is shown: five minutes in slots of ten seconds for
// shares, success and latency, of which the last minute for rates.
const (
	slotTime  = 10 * time.Second
	slots     = 30
	rateSlots = 6
)

// Latency is kept in tenths of a millisecond up to two minutes, to two digits.
const (
	latencyUnit = 100 * time.Microsecond
	latencyMax  = int64(2 * time.Minute / latencyUnit)
)

// Stats turns the relay's records into the figures of the last minutes.
type Stats struct {
	now func() time.Time

	mu      sync.Mutex // guards what follows
	begun   time.Time
	slots   [slots + 1]slot // the one under way among them
	minutes minutes
}

// slot is what happened in ten seconds.
type slot struct {
	number   int64 // since 1970, in slots
	decided  int64 // messages with a route, duplicates not counted
	eligible int64 // of those, left to SES by the requested split and the rules
	routes   [2]routeSlot
	reasons  map[reasonKey]int64
}

type routeSlot struct {
	messages   int64 // tried here last
	accepted   int64
	recipients int64 // of accepted messages
	attempts   int64 // answers that say something about the upstream
	successes  int64
	latency    *hdrhistogram.Histogram // of attempts
}

type reasonKey struct {
	route  relay.Route
	reason relay.Reason
}

// routeIndex is closed: a record without a route counts nowhere.
func routeIndex(r relay.Route) (int, bool) {
	switch r {
	case relay.SES:
		return 0, true
	case relay.Cuenote:
		return 1, true
	}
	return 0, false
}

// NewStats returns empty figures. reg may be nil; now nil is time.Now.
func NewStats(reg prometheus.Registerer, now func() time.Time) *Stats {
	if now == nil {
		now = time.Now
	}
	s := &Stats{now: now, begun: now()}
	if reg != nil {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "relay_split_effective_percent",
			Help: "Share of the accepted mail that SES accepted, over five minutes; NaN without mail."}, s.effective))
	}
	return s
}

// Observe counts a finished transaction. It is quick, and the record is not kept.
func (s *Stats) Observe(rec *relay.Record) {
	i, ok := routeIndex(rec.Route)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.steady()
	sl := s.slot(now)
	for _, a := range rec.Attempts {
		sl.attempt(a)
	}
	if rec.Result == relay.ResultDuplicate {
		return // it was counted when it was sent
	}
	sl.decided++
	if rec.Eligible || rec.Held { // the brake is a difference from eligible to effective, not from requested
		sl.eligible++
	}
	sl.reasons[reasonKey{rec.Route, rec.Reason}]++
	sl.routes[i].messages++
	if rec.Result == relay.ResultAccepted {
		sl.routes[i].accepted++
		sl.routes[i].recipients += int64(len(rec.Recipients))
		s.minutes.add(now, int64(len(rec.Recipients)))
	}
}

// attempt counts one answer of an upstream. The client's own faults say
// nothing about it.
func (sl *slot) attempt(a relay.Attempt) {
	i, ok := routeIndex(a.Route)
	if !ok || a.Err != nil && relay.AsError(a.Err).Kind == relay.ClientFault {
		return
	}
	r := &sl.routes[i]
	r.attempts++
	if a.Outcome == relay.Accepted {
		r.successes++
	}
	if r.latency == nil {
		r.latency = newLatency()
	}
	// The value is within the histogram's range: it cannot fail.
	_ = r.latency.RecordValue(min(latencyMax, max(1, int64(a.Took/latencyUnit))))
}

func newLatency() *hdrhistogram.Histogram { return hdrhistogram.New(1, latencyMax, 2) }

// slot returns the slot of now, emptied when it held an older time.
func (s *Stats) slot(now time.Time) *slot {
	n := now.UnixNano() / int64(slotTime)
	sl := &s.slots[n%int64(len(s.slots))]
	if sl.number != n || sl.reasons == nil {
		for i := range sl.routes {
			h := sl.routes[i].latency
			if h != nil {
				h.Reset()
			}
			sl.routes[i] = routeSlot{latency: h}
		}
		sl.number, sl.decided, sl.eligible, sl.reasons = n, 0, 0, map[reasonKey]int64{}
	}
	return sl
}

// Shares are percentages of the mail of the last five minutes; nil without mail.
type Shares struct {
	Eligible  *float64
	Effective *float64
}

// Shares returns what the rules left to SES, and what SES accepted.
func (s *Stats) Shares() Shares {
	f := s.figures()
	return f.shares()
}

func (s *Stats) effective() float64 {
	if p := s.Shares().Effective; p != nil {
		return *p
	}
	return math.NaN()
}

// steady is the time on a clock that was right when the process began: one that
// is set must not empty the figures, or fill one minute with the mail of hours.
func (s *Stats) steady() time.Time { return s.begun.Add(s.Age()) }

// Age is how long figures have been collected.
func (s *Stats) Age() time.Duration { return s.now().Sub(s.begun) }

// Traffic returns what was measured since the start, at most over 24 hours. A
// day's volume is 0, not known, before a day is over.
func (s *Stats) Traffic() split.Traffic {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.minutes.traffic(s.steady(), s.begun)
}
