package main

import (
	"context"
	"sync"
	"time"
)

// job is one attempt at a mail.
type job struct {
	arrival
	Due     time.Time // when the attempt is to start; latency counts from here
	Attempt int       // from 1
}

// openLoop starts jobs at their times and never waits for one to end: what it
// offers does not depend on how fast it is served.
type openLoop struct {
	clients int       // jobs in flight at most, as a mail server has only so many client processes
	room    int       // jobs that may wait for a client
	send    func(job) // does the job, and returns when it is over
	dropped func(job) // is told of a start that found the waiting room full

	pending sync.WaitGroup // jobs offered and neither over nor dropped, and retries to come

	mu       sync.Mutex // guards all below
	inFlight int
	waiting  []job // oldest first from head on
	head     int
}

// run offers every arrival at its time, and returns when the last is offered or
// ctx ends. When it is late itself, it offers at once what is due.
func (l *openLoop) run(ctx context.Context, s schedule, start time.Time) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for a := range s.arrivals() {
		due := start.Add(a.At)
		if wait := time.Until(due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return
		}
		l.pending.Add(1)
		l.offer(job{a, due, 1}, false)
	}
}

// again offers a job once more after a delay. It is called from send, before
// the job is over, and is never dropped: it has been accepted into the test.
func (l *openLoop) again(j job, after time.Duration) {
	l.pending.Add(1)
	j.Attempt++
	j.Due = time.Now().Add(after)
	time.AfterFunc(after, func() { l.offer(j, true) })
}

// offer gives the job to a free client or to the waiting room.
func (l *openLoop) offer(j job, always bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.inFlight < l.clients:
		l.inFlight++
		go l.work(j)
	case always || len(l.waiting)-l.head < l.room:
		l.waiting = append(l.waiting, j)
	default:
		l.dropped(j)
		l.pending.Done()
	}
}

// work does jobs until none waits.
func (l *openLoop) work(j job) {
	for more := true; more; {
		l.send(j)
		l.pending.Done()
		j, more = l.next()
	}
}

// next takes the oldest waiting job, or gives the client back.
func (l *openLoop) next() (job, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.head == len(l.waiting) {
		l.inFlight--
		l.waiting, l.head = l.waiting[:0], 0
		return job{}, false
	}
	j := l.waiting[l.head]
	l.head++
	if l.head > 1024 && l.head > len(l.waiting)/2 {
		l.waiting, l.head = append(l.waiting[:0], l.waiting[l.head:]...), 0
	}
	return j, true
}

// load returns how many jobs are with a client and how many wait for one.
func (l *openLoop) load() (inFlight, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inFlight, len(l.waiting) - l.head
}

// finish waits until every job is over, retries included.
func (l *openLoop) finish() { l.pending.Wait() }
