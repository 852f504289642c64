package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// op is what a settlement does; the set is closed, it is a metric label.
type op string

const (
	opAccept   op = "accept"
	opRelease  op = "release"
	opUnknown  op = "unknown"
	opRemember op = "remember"
)

const (
	settleQueue   = 1 << 16 // settlements that wait for Redis: some minutes' worth, about 20 MiB
	settleLength  = 256     // in one pipeline
	settleTimeout = time.Second
	settlePause   = 250 * time.Millisecond // after a failure
)

// settlement is one change that nobody waits for.
type settlement struct {
	op     op
	script *redis.Script
	keys   []string
	args   []any
	at     time.Time
	done   chan struct{} // set only by flush: closed when all before it is written
}

// settlements writes changes in the order in which they came. What Redis does
// not take is kept and tried again, so that a receipt survives an outage; a
// second writing of the same change does no harm, save that an unknown may be
// counted twice, which sends the mail to Cuenote one attempt earlier.
type settlements struct {
	client  redis.UniversalClient
	now     func() time.Time
	metrics *metrics
	in      chan settlement
}

func newSettlements(client redis.UniversalClient, now func() time.Time, m *metrics) *settlements {
	return &settlements{client: client, now: now, metrics: m, in: make(chan settlement, settleQueue)}
}

// add queues a change; when the queue is full it is dropped and counted.
func (s *settlements) add(c settlement) {
	c.at = s.now()
	select {
	case s.in <- c:
	default:
		s.metrics.dropped.WithLabelValues(string(c.op)).Inc()
	}
}

// flush waits until everything queued so far is written.
func (s *settlements) flush(ctx context.Context) error {
	mark := settlement{done: make(chan struct{})}
	select {
	case s.in <- mark:
	case <-ctx.Done():
		return fmt.Errorf("ledger: %d settlements are not written: %w", len(s.in), ctx.Err())
	}
	select {
	case <-mark.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("ledger: %d settlements are not written: %w", len(s.in)+1, ctx.Err())
	}
}

// run writes until ctx is done.
func (s *settlements) run(ctx context.Context) {
	for {
		select {
		case c := <-s.in:
			s.write(ctx, s.gather(c))
		case <-ctx.Done():
			return
		}
	}
}

// gather adds what else waits.
func (s *settlements) gather(first settlement) []settlement {
	all := []settlement{first}
	for len(all) < settleLength {
		select {
		case c := <-s.in:
			all = append(all, c)
		default:
			return all
		}
	}
	return all
}

// write writes a batch, again and again until Redis has taken it.
func (s *settlements) write(ctx context.Context, batch []settlement) {
	for {
		batch = s.useful(batch)
		if batch = s.try(ctx, batch); len(batch) == 0 {
			return
		}
		timer := time.NewTimer(settlePause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// useful leaves out what no longer matters: a release whose claim has expired.
func (s *settlements) useful(batch []settlement) []settlement {
	out := batch[:0]
	for _, c := range batch {
		if c.op != opRelease || s.now().Sub(c.at) < claimLife {
			out = append(out, c)
		}
	}
	return out
}

// try writes a batch once and returns what has to be written again: all from
// the first change that Redis did not take, as order matters.
func (s *settlements) try(ctx context.Context, batch []settlement) []settlement {
	var calls []call
	for _, c := range batch {
		if c.done == nil {
			calls = append(calls, call{c.script, c.keys, c.args})
		}
	}
	var answers []*redis.Cmd
	if len(calls) > 0 {
		ctx, cancel := context.WithTimeout(ctx, settleTimeout)
		defer cancel()
		answers = evalAll(ctx, s.client, calls)
	}
	for i, c := range batch {
		if c.done != nil {
			close(c.done)
			continue
		}
		err := answers[0].Err()
		answers = answers[1:]
		if err != nil && !s.refused(err) {
			return batch[i:]
		}
		if err != nil {
			s.metrics.dropped.WithLabelValues(string(c.op)).Inc()
		}
	}
	return nil
}

// refused reports whether Redis will never take the change: the script itself
// failed. Everything else (loading, out of memory, a replica, no connection)
// passes.
func (s *settlements) refused(err error) bool {
	var e redis.Error
	if !errors.As(err, &e) {
		return false
	}
	return redis.HasErrorPrefix(err, "WRONGTYPE") || redis.HasErrorPrefix(err, "NOPERM")
}
