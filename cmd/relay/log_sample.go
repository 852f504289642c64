package main

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// sampler thins info lines out under load: of each class, so many in each
// second of the clock are written. What is left out is counted and stands in
// the next line of its class, so that adding up still gives the whole.
// Warnings and errors are not asked for here. The zero value lets all through.
type sampler struct {
	limit   atomic.Int64 // lines a second of one class; 0: all
	classes sync.Map     // class -> *sampleClass; classes are constants of the code
}

type sampleClass struct {
	mu      sync.Mutex // guards what follows
	second  int64
	written int64 // in this second
	leftOut int64 // since the last that was written
}

// take asks for one line of a class. left is how many were left out before it.
func (s *sampler) take(class string, now time.Time) (left int64, ok bool) {
	limit := s.limit.Load()
	if limit == 0 {
		return 0, true
	}
	v, found := s.classes.Load(class)
	if !found {
		v, _ = s.classes.LoadOrStore(class, &sampleClass{})
	}
	return v.(*sampleClass).take(limit, now.Unix())
}

func (c *sampleClass) take(limit, second int64) (left int64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.second != second {
		c.second, c.written = second, 0
	}
	if c.written >= limit {
		c.leftOut++
		return 0, false
	}
	c.written++
	left, c.leftOut = c.leftOut, 0
	return left, true
}

// sampledLog thins out what is logged beside transactions; the class of a line
// is its message. Transactions are asked for before their line is made.
type sampledLog struct {
	slog.Handler
	sample *sampler
}

// alwaysWritten are info lines that say who did what: none may be missing.
var alwaysWritten = map[string]bool{"audit": true, "rollout": true, transactionMessage: true}

// Handle implements slog.Handler.
func (h sampledLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Level != slog.LevelInfo || alwaysWritten[r.Message] {
		return h.Handler.Handle(ctx, r)
	}
	left, ok := h.sample.take(r.Message, r.Time)
	if !ok {
		return nil
	}
	if left > 0 {
		r.AddAttrs(slog.Int64("left_out", left))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h sampledLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return sampledLog{h.Handler.WithAttrs(attrs), h.sample}
}

// WithGroup implements slog.Handler.
func (h sampledLog) WithGroup(name string) slog.Handler {
	return sampledLog{h.Handler.WithGroup(name), h.sample}
}
