package notify

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/smithy-go"

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
	firstPause = time.Second // doubled after each try
	longPause  = time.Minute // and no longer than this
	keepFor    = time.Hour   // from Tell; a way out that is lost for minutes is what trips a guard
	triesOf    = 5           // of what the target itself refuses
	tryTimeout = 10 * time.Second
)

// Queue tells one target, in order and one at a time, so that a slow one keeps
// no other waiting.
type Queue struct {
	target Target
	log    *slog.Logger
	events chan queued
	pause  time.Duration
}

// queued is an event and when it came.
type queued struct {
	rollout.Event
	at time.Time
}

// NewQueue returns a queue; Run empties it.
func NewQueue(t Target, log *slog.Logger) *Queue {
	return &Queue{t, log, make(chan queued, maxQueue), firstPause}
}

// Tell never blocks.
func (q *Queue) Tell(e rollout.Event) {
	select {
	case q.events <- queued{e, time.Now()}:
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
			if err := q.once(ctx, e.Event); err != nil {
				q.givenUp(e, 1, err)
			}
		default:
			return
		}
	}
}

// deliver tries until the target has taken the event, for keepFor. What the
// target refuses by its word is not kept so long: others wait behind it.
func (q *Queue) deliver(ctx context.Context, e queued) {
	pause := q.pause
	for try := 1; ; try++ {
		err := q.once(context.WithoutCancel(ctx), e.Event)
		if err == nil {
			return
		}
		if ctx.Err() != nil || time.Since(e.at) >= keepFor || try >= triesOf && refused(err) {
			q.givenUp(e, try, err)
			return
		}
		if try == triesOf {
			q.log.Warn("notify: it is tried again for an hour", "target", q.target.Name(), "action", string(e.Action), "error", err.Error())
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, longPause)
	}
}

func (q *Queue) givenUp(e queued, tries int, err error) {
	q.log.Error("notify: given up", "target", q.target.Name(), "action", string(e.Action), "tries", tries, "error", err.Error())
}

// errRefused is an answer that a repetition does not change.
var errRefused = errors.New("refused")

// refused reports whether the target has understood, and does not want it.
func refused(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return errors.Is(err, errRefused) || ok && api.ErrorFault() == smithy.FaultClient && !strings.Contains(api.ErrorCode(), "Throttl")
}

func (q *Queue) once(ctx context.Context, e rollout.Event) error {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	return q.target.Tell(ctx, e)
}
