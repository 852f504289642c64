package main

import (
	"iter"
	"math"
	"time"
)

// step is a stretch of time with one arrival rate.
type step struct {
	Rate float64       // mails per second
	For  time.Duration // how long
	Warm bool          // delivered and reconciled, but not in the latencies
}

// arrival is the scheduled start of one mail.
type arrival struct {
	Seq  int           // counts from 0 over the whole schedule
	Step int           // index in the schedule
	At   time.Duration // since the start of the test
}

// schedule is what the generator offers, one step after the other.
type schedule []step

// arrivals yields every arrival in order, evenly spaced within each step.
func (s schedule) arrivals() iter.Seq[arrival] {
	return func(yield func(arrival) bool) {
		seq, begin := 0, time.Duration(0)
		for i, st := range s {
			for k := range st.count() {
				if !yield(arrival{seq, i, begin + time.Duration(float64(k)/st.Rate*float64(time.Second))}) {
					return
				}
				seq++
			}
			begin += st.For
		}
	}
}

// count is how many mails start in the step.
func (s step) count() int { return int(math.Round(s.Rate * s.For.Seconds())) }

// total is how many mails the schedule starts.
func (s schedule) total() (n int) {
	for _, st := range s {
		n += st.count()
	}
	return n
}

// length is the time from the first start to the end of the last step.
func (s schedule) length() (d time.Duration) {
	for _, st := range s {
		d += st.For
	}
	return d
}

// begin is when a step begins.
func (s schedule) begin(i int) time.Duration { return s[:i].length() }

// rateAt is the requested rate at a time since the start; 0 after the end.
func (s schedule) rateAt(at time.Duration) float64 {
	for _, st := range s {
		if at < st.For {
			return st.Rate
		}
		at -= st.For
	}
	return 0
}

// measured is the time of the steps that count.
func (s schedule) measured() (d time.Duration) {
	for _, st := range s {
		if !st.Warm {
			d += st.For
		}
	}
	return d
}
