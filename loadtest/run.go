package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

// execute runs a scenario from nothing to its result.
func execute(ctx context.Context, sc *scenario, o *options, l limits) (_ *result, err error) {
	debug.SetGCPercent(400) // as in the sink: not what is measured
	st, err := setUp(ctx, sc, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.tearDown()) }()
	r := &result{Scenario: sc.Name, Title: sc.Title, Started: time.Now(), Command: strings.Join(os.Args, " "),
		Machine: thisMachine(), Settings: o.settings(), Warmup: st.warmup().Seconds()}
	before, busy := st.usages(), busyTime()
	commands := st.redis.commands(ctx)
	if err := st.traffic(ctx, r); err != nil {
		return nil, err
	}
	if err := st.relays.ended(); err != nil {
		return nil, err
	}
	// What follows is needed after Ctrl-C, too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	st.account(r, before, busy)
	commands = st.redis.commands(ctx) - commands
	if err := st.collect(ctx, r); err != nil {
		return nil, err
	}
	r.RedisPerMail = float64(commands) / float64(max(r.Mails.Started, 1))
	r.Thresholds = l.judge(r)
	r.Passed = true
	for _, v := range r.Thresholds {
		r.Passed = r.Passed && v.OK
	}
	return r, nil
}

// traffic offers the load, with what the scenario does beside it, and returns
// when the last answer is there.
func (st *stand) traffic(ctx context.Context, r *result) error {
	loading, halt := context.WithCancel(ctx)
	defer halt()
	st.halt = halt
	g := st.gen
	g.start = time.Now().Add(100 * time.Millisecond)
	g.rec.begin(st.plan, g.start)
	var beside error
	besideDone := make(chan struct{})
	go func() {
		defer close(besideDone)
		if st.sc.during == nil {
			return
		}
		if beside = st.sc.during(loading, st); beside != nil {
			halt()
		}
	}()
	sampling, stop := context.WithCancel(context.WithoutCancel(ctx))
	sampled := make(chan struct{})
	go func() { defer close(sampled); st.sample(sampling) }()
	over := make(chan struct{})
	go func() { defer close(over); g.run(loading) }()
	select {
	case <-over:
	case <-time.After(st.patience()):
		stop()
		return fmt.Errorf("the load has not ended %s after its last start: the relay does not answer", st.patience()-st.plan.length())
	}
	r.Seconds = time.Since(g.start).Seconds()
	stop()
	<-sampled
	if ctx.Err() != nil {
		r.Interrupted = "interrupted from outside"
	}
	halt() // what happens beside the load may wait for steps that never come
	<-besideDone
	return beside
}

// patience is how long a load may take, with every retry and one transaction
// that runs into its timeout.
func (st *stand) patience() time.Duration {
	return st.plan.length() + time.Duration(st.opts.Attempts-1)*st.opts.Backoff + st.gen.Target.Timeout + 30*time.Second
}

// warmup is the time before the first measured step.
func (st *stand) warmup() (d time.Duration) {
	for _, p := range st.plan {
		if !p.Warm {
			return d
		}
		d += p.For
	}
	return d
}

// usages are the CPU and memory of the processes, by name; of the relays together.
func (st *stand) usages() map[string]usage {
	list := map[string]usage{"relay": st.relays.usage()}
	pids := map[string]int{"sink": st.sink.pid(), "generator": os.Getpid()}
	if st.redis != nil {
		pids["redis"] = st.redis.pid()
	}
	for name, pid := range pids {
		if u, err := readUsage(pid); err == nil {
			list[name] = u
		}
	}
	return list
}

// account says what the processes cost since before.
func (st *stand) account(r *result, before map[string]usage, busy time.Duration) {
	after, others := st.usages(), busyTime()-busy
	mails := float64(st.gen.rec.total.finished())
	for _, name := range []string{"relay", "redis", "sink", "generator"} {
		if _, ok := after[name]; !ok {
			continue
		}
		cpu := after[name].CPU - before[name].CPU
		others -= cpu
		p := processResult{Name: name, CPU: cpu.Seconds(), Cores: cpu.Seconds() / r.Seconds, PeakMiB: float64(after[name].PeakRSS) / (1 << 20)}
		if mails > 0 {
			p.CPUPer1000 = 1000 * cpu.Seconds() / mails
		}
		r.Processes = append(r.Processes, p)
	}
	r.OtherCores = max(others.Seconds()/r.Seconds, 0)
}

// collect reads what the recorder, the sink and the relay's log know.
func (st *stand) collect(ctx context.Context, r *result) (err error) {
	rec := st.gen.rec
	r.Mails, r.Failures = rec.total, rec.errors
	r.Latency, r.Service, r.Lag = timesOf(rec.latency), timesOf(rec.service), timesOf(rec.lag)
	added, each, err := st.relays.addedTimes(rec.from)
	if err != nil {
		return err
	}
	if r.Added = timesOf(added); r.Added.Count == 0 && r.Mails.Accepted > 0 {
		return errors.New("the relay's log has no transaction: the time that it adds cannot be known")
	}
	r.Curves = []curve{curveOf("from the scheduled start", rec.latency), curveOf("from the real start", rec.service), curveOf("added by the relay", added)}
	r.Samples, r.Marks = st.samples, st.marks
	r.Connections, r.Stale = st.gen.pool.opened.Load(), st.gen.pool.stale.Load()
	if measured := st.plan.measured(); measured > 0 {
		for i, p := range st.plan {
			if !p.Warm {
				r.Requested += float64(p.count()) / measured.Seconds()
				r.Achieved += float64(rec.steps[i].within) / measured.Seconds()
			}
		}
	}
	if st.after, err = st.control.stats(ctx); err != nil {
		return err
	}
	r.Anomalies, r.TakenBack = anomalyKinds(st.after.Anomalies)
	if len(each) > 1 {
		r.PerInstance = each
	}
	if err := st.relayCounters(ctx, r); err != nil {
		return err
	}
	r.Split = splitOf(st.opts.Percent, st.after)
	if r.Reconciliation, err = st.control.reconcile(ctx, st.gen.claims()); err != nil {
		return err
	}
	if st.sc.judge != nil {
		return st.sc.judge(ctx, st, r)
	}
	return nil
}

func splitOf(requested float64, s sinkStats) splitResult {
	r := splitResult{Requested: requested, SES: s.SES.Messages, Cuenote: s.Cuenote.Messages}
	if n := r.SES + r.Cuenote; n > 0 {
		r.Effective = 100 * float64(r.SES) / float64(n)
	}
	r.Off = max(r.Effective-requested, requested-r.Effective)
	return r
}
