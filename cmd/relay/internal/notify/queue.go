package notify

import (
	"context"
	"log/slog"
	"time"

	"sesrelay/internal/rollout"
)

// Target is a place that is told.
type Target interface {
	Name() string
	Tell(ctx context.Context, e rollout.Event) error
}

// Bounds of the telling.
const (
	maxQueue   = 100
	tries      = 5
	firstPause = time.Second // doubled after each try
	tryTimeout = 10 * time.Second
)

// Queue tells one target, in order and one at a time, so that a slow one keeps
// no other waiting.
type Queue struct {
	target Target
	log    *slog.Logger
	events chan rollout.Event
	pause  time.Duration
}

// NewQueue returns a queue; Run empties it.
func NewQueue(t Target, log *slog.Logger) *Queue {
	return &Queue{t, log, make(chan rollout.Event, maxQueue), firstPause}
}

// Tell never blocks.
func (q *Queue) Tell(e rollout.Event) {
	select {
	case q.events <- e:
	default:
		q.log.Error("notify: too many wait, one is dropped", "target", q.target.Name(), "action", string(e.Action))
	}
}

// Run tells until ctx ends; what waits then gets one try each.
func (q *Queue) Run(ctx context.Context) {
	for {
		select {
		case e := <-q.events:
			q.deliver(ctx, e)
		case <-ctx.Done():
			q.drain()
			return
		}
	}
}

// lastWords bounds the tries at the end of the process.
const lastWords = 2 * time.Second

func (q *Queue) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	for {
		select {
		case e := <-q.events:
			q.once(ctx, e)
		default:
			return
		}
	}
}

func (q *Queue) deliver(ctx context.Context, e rollout.Event) {
	pause := q.pause
	for try := 1; ; try++ {
		err := q.once(context.WithoutCancel(ctx), e)
		if err == nil {
			return
		}
		if try == tries || ctx.Err() != nil {
			q.log.Error("notify: given up", "target", q.target.Name(), "action", string(e.Action), "tries", try, "error", err.Error())
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause *= 2
	}
}

func (q *Queue) once(ctx context.Context, e rollout.Event) error {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	return q.target.Tell(ctx, e)
}
