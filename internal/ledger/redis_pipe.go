package ledger

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	lookupWorkers = 2   // pipelines on their way at once
	pipeLength    = 128 // questions in one pipeline
	pipeQueue     = 4096
	pauseAfter    = 500 * time.Millisecond // without Redis, after it did not answer
)

// errAway is the answer while Redis is known not to answer.
var errAway = errors.New("redis does not answer")

// pipe sends the questions of many callers in few pipelines. After a failure
// nobody waits for Redis again until the pause is over.
type pipe struct {
	client  redis.UniversalClient
	timeout time.Duration
	in      chan *question
	begun   time.Time
	pause   atomic.Int64 // until so many nanoseconds after begun, whatever becomes of the wall clock; 0: Redis answers
}

// question is one script to run. done is closed when reply and err are set.
type question struct {
	script *redis.Script
	keys   []string
	args   []any
	until  time.Time
	done   chan struct{}
	reply  any
	err    error
}

func newPipe(client redis.UniversalClient, timeout time.Duration) *pipe {
	return &pipe{client: client, timeout: timeout, in: make(chan *question, pipeQueue), begun: time.Now()}
}

// eval runs a script and waits for its answer, at most the pipe's timeout.
func (p *pipe) eval(script *redis.Script, keys []string, args ...any) (any, error) {
	if !p.mayAsk() {
		return nil, errAway
	}
	q := &question{script: script, keys: keys, args: args, until: time.Now().Add(p.timeout), done: make(chan struct{})}
	select {
	case p.in <- q:
	default:
		return nil, errors.New("too many wait for redis")
	}
	timer := time.NewTimer(p.timeout)
	defer timer.Stop()
	select {
	case <-q.done:
		return q.reply, q.err
	case <-timer.C:
		p.failed()
		return nil, errAway
	}
}

// mayAsk lets one caller through when a pause is over, and everybody when it
// got an answer.
func (p *pipe) mayAsk() bool {
	until := p.pause.Load()
	if until == 0 {
		return true
	}
	age := time.Since(p.begun)
	return int64(age) >= until && p.pause.CompareAndSwap(until, int64(age+pauseAfter))
}

func (p *pipe) failed() { p.pause.Store(int64(time.Since(p.begun) + pauseAfter)) }

// run sends pipelines until ctx is done.
func (p *pipe) run(ctx context.Context) {
	for {
		select {
		case q := <-p.in:
			p.send(ctx, p.gather(q))
		case <-ctx.Done():
			p.pause.Store(1<<63 - 1)
			return
		}
	}
}

// gather adds what else waits.
func (p *pipe) gather(first *question) []*question {
	all := []*question{first}
	for len(all) < pipeLength {
		select {
		case q := <-p.in:
			all = append(all, q)
		default:
			return all
		}
	}
	return all
}

func (p *pipe) send(ctx context.Context, all []*question) {
	now := time.Now()
	fresh := all[:0]
	for _, q := range all {
		if now.Before(q.until) { // else its caller has left: no claim without an owner
			fresh = append(fresh, q)
		}
	}
	if len(fresh) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	scripts := make([]call, len(fresh))
	for i, q := range fresh {
		scripts[i] = call{q.script, q.keys, q.args}
	}
	answers := evalAll(ctx, p.client, scripts)
	heard := false
	for i, a := range answers {
		q := fresh[i]
		q.reply, q.err = a.Result()
		heard = heard || !lost(q.err)
		close(q.done)
	}
	if heard {
		p.pause.Store(0)
		return
	}
	p.failed()
}

// call is one script with what it needs.
type call struct {
	script *redis.Script
	keys   []string
	args   []any
}

// evalAll runs scripts in one pipeline, in order. Redis knows them by their
// hash; those that it does not know (after a restart) have not run, and are
// sent a second time with their text.
func evalAll(ctx context.Context, client redis.UniversalClient, calls []call) []*redis.Cmd {
	out := make([]*redis.Cmd, len(calls))
	_, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, c := range calls {
			out[i] = c.script.EvalSha(ctx, p, c.keys, c.args...)
		}
		return nil
	})
	if err == nil {
		return out
	}
	var unknown []int
	for i, cmd := range out {
		if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
			unknown = append(unknown, i)
		}
	}
	if len(unknown) == 0 {
		return out
	}
	_, _ = client.Pipelined(ctx, func(p redis.Pipeliner) error { // each answer carries its own error
		for _, i := range unknown {
			out[i] = calls[i].script.Eval(ctx, p, calls[i].keys, calls[i].args...)
		}
		return nil
	})
	return out
}

// lost reports whether an error is not Redis's own answer about this command.
// A server that is loading, out of memory or a replica answers, but is no use;
// a key of another type is about one mail.
func lost(err error) bool {
	return err != nil && !errors.Is(err, redis.Nil) && !redis.HasErrorPrefix(err, "WRONGTYPE")
}
