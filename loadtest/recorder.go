package main

import (
	"errors"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// newHistogram takes microseconds, 1 to 10 minutes, to three digits.
func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 600_000_000, 3) }

func record(h *hdrhistogram.Histogram, d time.Duration) {
	h.RecordValue(min(max(d.Microseconds(), 1), 600_000_000))
}

// counts are mails by how their first attempt ended, and what came after it.
type counts struct {
	Started  int `json:"started"`  // taken by a client
	Dropped  int `json:"dropped"`  // start found the waiting room full
	Accepted int `json:"accepted"` // at once, for every recipient
	Deferred int `json:"deferred"` // some recipient got 4xx
	Rejected int `json:"rejected"` // some recipient got 5xx, none 4xx
	Failed   int `json:"failed"`   // no connection, or it broke
	Retries  int `json:"retries"`  // further attempts
	Late     int `json:"late"`     // accepted by a retry
	Open     int `json:"open"`     // given up while some recipient was not accepted
}

// finished is how many first attempts are over.
func (c counts) finished() int { return c.Accepted + c.Deferred + c.Rejected + c.Failed }

// entry is what is known of a mail.
type entry struct {
	accepted, rejected mask
	attempts           uint8
	unknown            bool // some attempt ended between the final dot and its answer
}

// recorder collects what happened to every mail.
type recorder struct {
	mu      sync.Mutex // guards all below
	total   counts
	routes  map[string]int // mails by the relay's reply
	entries []entry        // by sequence number
	errors  map[string]*failure
	latency *hdrhistogram.Histogram // from the scheduled start to the answer, first attempts
	service *hdrhistogram.Histogram // from the real start
	lag     *hdrhistogram.Histogram // between the two: waiting for a client, and the generator's own lateness
	steps   []stepRecord
	second  *hdrhistogram.Histogram // latencies since the last sample

	from time.Time // when the measured time begins
}

// stepRecord is what happened to the mails scheduled in one step.
type stepRecord struct {
	counts
	latency *hdrhistogram.Histogram
	until   time.Time // a second after the step
	within  int       // first attempts that had their answer then
}

// failure is one kind of thing that went wrong.
type failure struct {
	Count   int    `json:"count"`
	Example string `json:"example"`
}

func newRecorder(s schedule) *recorder {
	r := &recorder{
		routes: map[string]int{}, errors: map[string]*failure{}, entries: make([]entry, s.total()),
		latency: newHistogram(), service: newHistogram(), lag: newHistogram(), second: newHistogram(),
		steps: make([]stepRecord, len(s)),
	}
	for i := range r.steps {
		r.steps[i].latency = newHistogram()
	}
	return r
}

// begin sets the times that the steps are judged by.
func (r *recorder) begin(s schedule, start time.Time) {
	r.from = start
	for i := range s {
		r.steps[i].until = start.Add(s.begin(i) + s[i].For + time.Second)
		if s[i].Warm {
			r.from = start.Add(s.begin(i) + s[i].For)
		}
	}
}

// todo is who of a mail's recipients is neither accepted nor rejected yet.
func (r *recorder) todo(seq, recipients int) mask {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := &r.entries[seq]
	return all(recipients) &^ (e.accepted | e.rejected)
}

// start counts a mail that was given to the client side.
func (r *recorder) start(j job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count(j, func(c *counts) { c.Started++ })
}

// drop counts a start that could not happen.
func (r *recorder) drop(j job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count(j, func(c *counts) { c.Dropped++ })
}

func (r *recorder) count(j job, add func(*counts)) {
	add(&r.total)
	add(&r.steps[j.Step].counts)
}

// end records an attempt, and says who still waits for an answer that settles
// the mail. warm keeps it out of the histograms.
func (r *recorder) end(j job, recipients int, o outcome, began, ended time.Time, warm bool) (todo mask) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := &r.entries[j.Seq]
	e.accepted |= o.Accepted
	e.rejected |= o.Rejected
	e.unknown = e.unknown || o.Unknown
	e.attempts++
	todo = all(recipients) &^ (e.accepted | e.rejected)
	if o.Accepted != 0 && o.Route != "" {
		r.routes[o.Route]++
	}
	r.blame(o.Err)
	if j.Attempt > 1 {
		r.count(j, func(c *counts) {
			c.Retries++
			if todo == 0 && e.rejected == 0 {
				c.Late++
			}
		})
		return todo
	}
	r.count(j, func(c *counts) { first(c, o, e, recipients, todo) })
	r.times(j, began, ended, warm)
	return todo
}

// first counts the end of a first attempt.
func first(c *counts, o outcome, e *entry, recipients int, todo mask) {
	var answer *replyError
	switch {
	case e.accepted == all(recipients):
		c.Accepted++
	case todo == 0:
		c.Rejected++
	case errors.As(o.Err, &answer):
		c.Deferred++
	default:
		c.Failed++
	}
}

func (r *recorder) times(j job, began, ended time.Time, warm bool) {
	step := &r.steps[j.Step]
	record(step.latency, ended.Sub(j.Due))
	if ended.Before(step.until) {
		step.within++
	}
	record(r.second, ended.Sub(j.Due))
	if warm {
		return
	}
	record(r.latency, ended.Sub(j.Due))
	record(r.service, ended.Sub(began))
	record(r.lag, began.Sub(j.Due))
}

// giveUp counts a mail that is not tried again.
func (r *recorder) giveUp(j job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count(j, func(c *counts) { c.Open++ })
}

// maxKinds bounds the kinds of failure that are told apart.
const maxKinds = 50

// blame counts a failure under a key without what differs from mail to mail.
// Called with mu held.
func (r *recorder) blame(err error) {
	if err == nil {
		return
	}
	key := kind(err)
	f := r.errors[key]
	if f == nil {
		if len(r.errors) >= maxKinds {
			return
		}
		f = &failure{Example: err.Error()}
		r.errors[key] = f
	}
	f.Count++
}

// snapshot returns the counters, and the latencies since the last snapshot.
func (r *recorder) snapshot() (c counts, p50, p99 float64, routes map[string]int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p50, p99 = quantile(r.second, 50), quantile(r.second, 99)
	r.second.Reset()
	routes = map[string]int{}
	for k, v := range r.routes {
		routes[k] = v
	}
	return r.total, p50, p99, routes
}

// quantile is a percentile in milliseconds; 0 without values.
func quantile(h *hdrhistogram.Histogram, percentile float64) float64 {
	if h.TotalCount() == 0 {
		return 0
	}
	return float64(h.ValueAtPercentile(percentile)) / 1000
}
