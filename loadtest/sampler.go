package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/term"
)

// sample notes every second what goes on, and shows it, until ctx ends.
func (st *stand) sample(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	show := newProgress(st)
	last := st.look(ctx)
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			show.end()
			return
		}
		now := st.look(ctx)
		s := st.between(last, now)
		st.samples = append(st.samples, s)
		show.line(s, now)
		last = now
	}
}

// glance is the state of everything at one moment.
type glance struct {
	at       time.Time
	counts   counts
	p50, p99 float64
	routes   map[string]int
	sink     sinkStats
	usage    map[string]usage
}

func (st *stand) look(ctx context.Context) glance {
	g := glance{at: time.Now(), usage: st.usages()}
	g.counts, g.p50, g.p99, g.routes = st.gen.rec.snapshot()
	g.sink, _ = st.control.stats(ctx) // a missing value shows as a gap, and the end is checked for itself
	return g
}

// between is what happened from one glance to the next.
func (st *stand) between(a, b glance) sample {
	dt := b.at.Sub(a.at).Seconds()
	per := func(before, after int) float64 { return float64(after-before) / dt }
	cores := func(name string) float64 { return (b.usage[name].CPU - a.usage[name].CPU).Seconds() / dt }
	mib := func(name string) float64 { return float64(b.usage[name].RSS) / (1 << 20) }
	bad := func(c counts) int { return c.Deferred + c.Rejected + c.Failed + c.Dropped }
	at := b.at.Sub(st.gen.start)
	s := sample{
		T: at.Seconds(), Requested: st.plan.rateAt(max(at-time.Second/2, 0)), Answered: per(a.counts.finished(), b.counts.finished()),
		Errors: per(bad(a.counts), bad(b.counts)), P50: b.p50, P99: b.p99,
		SES:      max(float64(b.sink.SES.Messages-a.sink.SES.Messages)/dt, 0),
		Cuenote:  max(float64(b.sink.Cuenote.Messages-a.sink.Cuenote.Messages)/dt, 0),
		RelayCPU: cores("relay"), SinkCPU: cores("sink"), GeneratorCPU: cores("generator"),
		RelayMiB: mib("relay"), SinkMiB: mib("sink"), GeneratorMiB: mib("generator"),
	}
	s.InFlight, s.Waiting = st.gen.loop.load()
	return s
}

// progress shows one line: rewritten on a terminal, every five seconds else.
type progress struct {
	st       *stand
	terminal bool
	shown    int
}

func newProgress(st *stand) *progress {
	return &progress{st: st, terminal: term.IsTerminal(int(os.Stderr.Fd()))}
}

func (p *progress) line(s sample, now glance) {
	p.shown++
	if p.st.opts.Quiet || (!p.terminal && p.shown%5 != 0) {
		return
	}
	text := progressText(p.st.sc.Name, p.st.plan.length(), s, now)
	if p.terminal {
		fmt.Fprintf(os.Stderr, "\r\x1b[K%s", text)
		return
	}
	fmt.Fprintln(os.Stderr, text)
}

// progressText is the line: rate achieved and requested, mails in flight and
// waiting, latencies of the last second, errors, share of each route.
func progressText(name string, length time.Duration, s sample, now glance) string {
	c := now.counts
	share := "-"
	if sum := s.SES + s.Cuenote; sum > 0 {
		share = fmt.Sprintf("ses %.1f%% cuenote %.1f%%", 100*s.SES/sum, 100*s.Cuenote/sum)
	}
	return fmt.Sprintf("%s %3.0f/%.0fs  %5.0f of %.0f/s  in flight %d (+%d waiting)  p50 %.1f p99 %.1f ms  errors %d dropped %d  %s  relay %.2f cores",
		name, s.T, length.Seconds(), s.Answered, s.Requested, s.InFlight, s.Waiting, s.P50, s.P99,
		c.Deferred+c.Rejected+c.Failed, c.Dropped, share, s.RelayCPU)
}

func (p *progress) end() {
	if p.terminal && !p.st.opts.Quiet && p.shown > 0 {
		fmt.Fprintln(os.Stderr)
	}
}
