package main

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// trial runs a load against a server whose time per mail is given, under the
// virtual clock, and returns each mail's latency from its scheduled start.
func trial(t *testing.T, l *openLoop, s schedule, serve func(job) time.Duration) (latency []time.Duration, dropped []int) {
	t.Helper()
	var mu sync.Mutex
	latency = make([]time.Duration, s.total())
	l.send = func(j job) {
		time.Sleep(serve(j))
		mu.Lock()
		defer mu.Unlock()
		latency[j.Seq] = time.Since(j.Due)
	}
	l.dropped = func(j job) { dropped = append(dropped, j.Seq) }
	l.run(t.Context(), s, time.Now())
	l.finish()
	if inFlight, waiting := l.load(); inFlight+waiting != 0 {
		t.Errorf("after the end %d are in flight and %d wait", inFlight, waiting)
	}
	return latency, dropped
}

const ms = time.Millisecond

// TestStallShowsInEveryLatency is what an open loop is for: a server that stands
// still for a second has delayed every mail of that second, and a generator that
// waits for it would have seen one slow mail.
func TestStallShowsInEveryLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serve := func(j job) time.Duration {
			if j.Seq == 0 {
				return time.Second
			}
			return ms
		}
		latency, dropped := trial(t, &openLoop{clients: 1, room: 1000}, schedule{{Rate: 100, For: time.Second}}, serve)
		for seq, got := range latency {
			// Mail n starts at 10n ms, and is served at 1000 + n ms.
			if want := time.Second + time.Duration(seq)*ms - time.Duration(seq)*10*ms; got != want {
				t.Errorf("mail %d took %s from its scheduled start, want %s", seq, got, want)
			}
		}
		if len(dropped) != 0 {
			t.Errorf("dropped %v", dropped)
		}
	})
}

// TestStartsDoNotWait: what is offered does not depend on the answers.
func TestStartsDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var mu sync.Mutex
		var starts []time.Duration
		serve := func(job) time.Duration {
			mu.Lock()
			defer mu.Unlock()
			starts = append(starts, time.Since(begin))
			return time.Hour
		}
		trial(t, &openLoop{clients: 1000, room: 0}, schedule{{Rate: 4, For: time.Second}, {Rate: 2, For: time.Second}}, serve)
		want := []time.Duration{0, 250 * ms, 500 * ms, 750 * ms, 1000 * ms, 1500 * ms}
		if !slices.Equal(starts, want) {
			t.Errorf("started at %v, want %v", starts, want)
		}
	})
}

func TestDroppedStartsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Two clients, each busy for 100 ms; three may wait; 10 ms between starts.
		_, dropped := trial(t, &openLoop{clients: 2, room: 3}, schedule{{Rate: 100, For: 100 * ms}}, func(job) time.Duration { return 100 * ms })
		if want := []int{5, 6, 7, 8, 9}; !slices.Equal(dropped, want) {
			t.Errorf("dropped %v, want %v", dropped, want)
		}
	})
}

func TestRetriesAreNotDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &openLoop{clients: 1, room: 0}
		var attempts []int
		l.dropped = func(j job) { t.Errorf("dropped %v", j) }
		l.send = func(j job) {
			attempts = append(attempts, j.Attempt)
			if late := time.Since(j.Due); late != 0 {
				t.Errorf("attempt %d was %s late", j.Attempt, late)
			}
			if j.Attempt < 3 {
				l.again(j, time.Minute)
			}
		}
		begin := time.Now()
		l.run(t.Context(), schedule{{Rate: 1, For: time.Second}}, begin)
		l.finish()
		if !slices.Equal(attempts, []int{1, 2, 3}) || time.Since(begin) != 2*time.Minute {
			t.Errorf("attempts %v in %s", attempts, time.Since(begin))
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 55*ms)
		defer cancel()
		n := 0
		l := &openLoop{clients: 1, send: func(job) { n++ }, dropped: func(job) {}}
		l.run(ctx, schedule{{Rate: 100, For: time.Hour}}, time.Now())
		l.finish()
		if n != 6 {
			t.Errorf("%d started in 55 ms at 100/s, want 6", n)
		}
	})
}

// TestWaitingRoomKeepsOrder: the oldest mail goes first, also when the room's
// memory is moved.
func TestWaitingRoomKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []int
		serve := func(j job) time.Duration {
			order = append(order, j.Seq)
			return ms
		}
		trial(t, &openLoop{clients: 1, room: 100_000}, schedule{{Rate: 5000, For: time.Second}}, serve)
		if len(order) != 5000 || !slices.IsSorted(order) {
			t.Errorf("%d served, in order: %t", len(order), slices.IsSorted(order))
		}
	})
}

func TestSchedule(t *testing.T) {
	s := schedule{{Rate: 10, For: time.Second, Warm: true}, {Rate: 100, For: 2 * time.Second}}
	var list []arrival
	for a := range s.arrivals() {
		list = append(list, a)
	}
	if len(list) != 210 || s.total() != 210 || s.length() != 3*time.Second || s.measured() != 2*time.Second {
		t.Fatalf("%d arrivals, total %d, length %s, measured %s", len(list), s.total(), s.length(), s.measured())
	}
	if got, want := list[10], (arrival{10, 1, time.Second}); got != want {
		t.Errorf("first of the second step is %v, want %v", got, want)
	}
	if got, want := list[209], (arrival{209, 1, 2990 * ms}); got != want {
		t.Errorf("last is %v, want %v", got, want)
	}
	for at, want := range map[time.Duration]float64{0: 10, 999 * ms: 10, time.Second: 100, 3 * time.Second: 0} {
		if got := s.rateAt(at); got != want {
			t.Errorf("rate at %s is %g, want %g", at, got, want)
		}
	}
}
