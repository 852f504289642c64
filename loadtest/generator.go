package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// load is what the generator offers and to whom.
type load struct {
	Schedule schedule
	Target   *target
	Reuse    reuse
	Clients  int // connections at most
	Room     int // starts that may wait for a client
	Attempts int // at a mail, the first one included
	Backoff  time.Duration
	Mail     mailbag
}

// generator runs one load.
type generator struct {
	load
	bag   *mailbag
	pool  *pool
	loop  *openLoop
	rec   *recorder
	start time.Time
}

func newGenerator(l load) *generator {
	g := &generator{load: l, bag: newMailbag(l.Mail), rec: newRecorder(l.Schedule)}
	g.pool = &pool{target: g.Target, reuse: l.Reuse}
	g.loop = &openLoop{clients: l.Clients, room: l.Room, send: g.send, dropped: g.rec.drop}
	return g
}

// run offers the whole load and waits for its end.
func (g *generator) run(ctx context.Context) {
	sweeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	swept := make(chan struct{})
	go func() { defer close(swept); g.pool.sweep(sweeping) }()
	g.loop.run(ctx, g.Schedule, g.start)
	g.loop.finish()
	stop()
	<-swept
}

// send makes one attempt at a mail.
func (g *generator) send(j job) {
	began := time.Now()
	if j.Attempt == 1 {
		g.rec.start(j)
	}
	m := g.bag.mail(j.Seq, g.start.Add(j.At))
	o := g.pool.deliver(m, g.rec.todo(j.Seq, len(m.To)))
	todo := g.rec.end(j, len(m.To), o, began, time.Now(), g.Schedule[j.Step].Warm)
	switch {
	case todo == 0:
	case j.Attempt < g.Attempts:
		g.loop.again(j, g.Backoff)
	default:
		g.rec.giveUp(j)
	}
}

// claims are what the generator was told about every mail that it started. It
// is for when the load is over.
func (g *generator) claims() iter.Seq[claim] {
	return func(yield func(claim) bool) {
		for seq, e := range g.rec.entries {
			if e.attempts > 0 && !yield(g.claim(seq, e)) {
				return
			}
		}
	}
}

func (g *generator) claim(seq int, e entry) claim {
	_, to, _ := g.bag.envelope(seq)
	c := claim{ID: g.bag.id(seq)}
	for i, address := range to {
		if e.accepted.has(i) {
			c.Accepted = append(c.Accepted, address)
		} else {
			c.Open = append(c.Open, address)
		}
	}
	return c
}

// kind names an error without what differs from one mail to the next.
func kind(err error) string {
	var answer *replyError
	var timeout net.Error
	switch {
	case errors.As(err, &answer):
		enhanced, _, _ := strings.Cut(answer.Text, " ")
		return fmt.Sprintf("%s: %d %s", answer.After, answer.Code, enhanced)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	default:
		stage, _, _ := strings.Cut(err.Error(), ": ")
		return "connection lost (" + stage + ")"
	}
}
