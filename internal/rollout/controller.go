package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sesrelay/internal/split"
)

// Lease makes one instance of a fleet the one that decides.
type Lease interface {
	// Hold takes the lease or keeps it, and reports whether this instance has it.
	Hold(ctx context.Context) bool
	// Holder names the instance that has it; "" when none is known.
	Holder() string
}

// Exchange brings the counts of the other instances.
type Exchange interface {
	// Trade tells what this instance has counted since its start, and returns
	// the same of every other one that lives, by process.
	Trade(ctx context.Context, mine map[string]*Counts) (map[string]map[string]*Counts, error)
}

// QuotaUse is the sending quota as it is used, in recipients.
type QuotaUse struct{ DayUsed, DayMax, Rate float64 }

// Config is what a Controller works with. Every field without "nil" in its
// comment is required.
type Config struct {
	Instance   string
	Live       *split.Live
	Store      Store
	Lease      Lease    // nil: the only instance
	Exchange   Exchange // nil: the only instance
	Meter      *Meter
	Events     Events        // nil: blind to delivery
	ReadEvery  time.Duration // of Events; 0: ten seconds
	Quota      func() QuotaUse
	Plan       func(split.Percent) error // says why SES cannot carry a share; nil: not asked
	Notify     func(Event)               // must not block; nil: nobody is told
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics
	Now        func() time.Time      // nil is time.Now
}

// Settings are what a reload may change. A rollout that runs keeps its steps.
type Settings struct {
	Steps  []Step
	Gate   Gate
	Guard  Guard
	Armed  bool
	Window time.Duration // of the guard
	ToZero bool          // a rollback goes to 0, not to the last good step
}

// Controller runs the rollout and its guard. Every instance has one: each
// guards, and the one with the lease moves the steps.
type Controller struct {
	Config
	settings atomic.Pointer[Settings]
	metrics  *metrics
	events   eventLog
	view     atomic.Pointer[View]

	mu      sync.Mutex // guards what follows; a tick and an order hold it
	state   State
	trouble error            // of the store
	well    time.Time        // since when there is none
	local   *ring            // of this instance
	fleet   *ring            // of all; the same as local without a fleet
	before  map[string]heard // by process
	pending backlog          // counted and not yet in the stored stages
	counted time.Time        // when was looked for that last
	key     string           // of the share in force, see fresh
	since   time.Time        // that it is
	reports time.Time        // SES's of before are not the guard's; zero: all are
	sent    sent             // under it
	began   time.Time        // this process
	guard   Judgement        // as judged last
	gate    Judgement
	leads   bool
	led     time.Time                       // since when
	reads   int                             // of SES's reports, at the last look of who leads
	saved   time.Time                       // when the stages were stored
	unsaved []untold                        // trips that the store does not have yet
	giving  *abortion                       // an abort that it does not have yet
	doubts  []doubt                         // decisions that it may have
	ahead   struct{ stamp, seen time.Time } // of a brake of the future, see arrived
	quota   QuotaReport
	tried   Counts // what split.rehearse has judged since this process came, at any share
}

// untold is a trip that could not be stored.
type untold struct {
	trip     Trip
	brake    *split.Brake
	criteria []Criterion
}

// doubt is a decision whose storing was not answered.
type doubt struct {
	Decision
	version int64 // that it was to have
	looks   int   // that did not find it
}

// Times of a controller. Tick is to be called every TickEvery.
const (
	TickEvery  = time.Second
	saveEvery  = 10 * time.Second
	pendingFor = 10 * time.Second // then a change that was begun is over
	sameTrip   = 30 * time.Second // trips of several instances within it are one
)

// New returns a controller with what the store holds.
func New(ctx context.Context, cfg Config, s Settings) (*Controller, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Lease == nil {
		cfg.Lease = alone{cfg.Instance}
	}
	c := &Controller{Config: cfg, before: map[string]heard{}, guard: newJudgement(), gate: newJudgement()}
	c.gate.hold("not judged yet")
	c.since = cfg.Now()
	c.began = c.since
	c.Reconfigure(s)
	c.metrics = newMetrics(cfg.Registerer, c)
	c.state = newState(cfg.Now())
	state, found, err := cfg.Store.Load(ctx)
	switch {
	case err == nil && found:
		c.state = state
	case err != nil && cfg.Exchange == nil: // of one's own store; a fleet's may come back
		return nil, err
	}
	c.trouble = err
	c.show(cfg.Now())
	return c, nil
}

// alone is the lease of the only instance.
type alone struct{ name string }

func (a alone) Hold(context.Context) bool { return true }
func (a alone) Holder() string            { return a.name }

// Reconfigure replaces the settings. What was counted is judged anew.
func (c *Controller) Reconfigure(s Settings) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.settings.Swap(&s)
	if old != nil && old.Window == s.Window && old.Guard.NoDataMax == s.Guard.NoDataMax {
		return
	}
	span := max(s.Window, s.Guard.NoDataMax) + time.Minute
	c.local = newRing(s.Window, span, c.Now())
	c.fleet = c.local
	if c.Exchange != nil {
		c.fleet = newRing(s.Window, span, c.Now())
	}
}

// Run ticks and reads SES's reports until ctx ends.
func (c *Controller) Run(ctx context.Context) {
	var wg sync.WaitGroup
	if c.Events != nil {
		wg.Go(func() { c.repeat(ctx, cmp.Or(c.ReadEvery, readEvery), c.ReadEvents) })
		wg.Go(func() { c.repeat(ctx, lateEvery, c.ReadLate) })
	}
	c.repeat(ctx, TickEvery, c.Tick)
	wg.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leads {
		c.save(ctx)
	}
}

func (c *Controller) repeat(ctx context.Context, d time.Duration, f func(context.Context)) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		f(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Tick looks at everything once. What this instance sees itself is judged
// first: it needs nobody.
func (c *Controller) Tick(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.Now()
	c.fresh(now)
	mine := c.Meter.Total()
	c.count(now, c.Instance, mine, c.local)
	if c.Exchange != nil {
		c.watch(ctx, now, c.local, false)
		c.trade(ctx, now, mine)
	}
	c.load(ctx)
	c.watch(ctx, now, c.fleet, true)
	c.tell(ctx)
	led := c.leads
	if c.leads = c.Lease.Hold(ctx) && c.trouble == nil; c.leads {
		if !led {
			c.led = now
		}
		c.lead(ctx, now)
	} else if now.Unix()%gateEvery == 0 {
		c.judgeGate(now) // to be looked at, by what the leader has stored
	}
	c.show(now)
}

// fresh begins the window anew when another share is in force: the figures of
// a share are those of the mail that was sent under it.
func (c *Controller) fresh(now time.Time) {
	s := c.Live.Current()
	step := s.Applied().Tag()
	key := fmt.Sprint(step, s.Ceiling == 0)
	if key == c.key {
		return
	}
	if c.key != "" { // a start goes on with what it finds
		c.reports = now
		if n := c.fleet.sum(step, c.fleet.oldest(now), now); n.total() > 0 { // it was in force just now: its minutes are mixed
			c.reports = now.Truncate(time.Minute).Add(time.Minute)
		}
		c.sent = sent{}
		c.local.forget(step)
		c.fleet.forget(step)
	}
	c.key, c.since = key, now
	c.events.reset(step, now)
}

// load reads the state. Without the store the last one counts, and against a
// store that has lost it.
func (c *Controller) load(ctx context.Context) {
	s, found, err := c.Store.Load(ctx)
	if (err != nil) != (c.trouble != nil) && err != nil {
		c.Log.Warn("rollout: the state cannot be read, nothing moves by itself; the guard goes on", "error", err.Error())
	}
	if err == nil && c.trouble != nil {
		c.well = c.Now()
	}
	c.trouble = err
	switch {
	case err != nil:
		return
	case c.state.Version > 0 && (!found || c.state.prevails(&s)):
		c.giveBack(ctx, s.Version)
	case found:
		c.state = s
		c.pending.stored(s.Counted)
	}
	c.resolve()
}

// giveBack stores what this instance holds in a store that has lost it: a Redis
// that was emptied, or a replica that had not heard of the last change.
func (c *Controller) giveBack(ctx context.Context, stored int64) {
	next := c.state
	next.Version = max(next.Version, stored+1)
	if err := c.Store.Swap(ctx, stored, next); err != nil {
		if !errors.Is(err, ErrStale) { // else another instance was faster
			c.Log.Warn("rollout: the store has lost the state and does not take it back yet", "error", err.Error())
		}
		return
	}
	c.Log.Warn("rollout: the store had lost the state and was given it back", "stored", stored, "version", next.Version)
	c.state = next
}

// doubtLooks is how many looks do not find a decision before it counts as never
// stored: a Redis that was frozen may carry out a command after a load.
const doubtLooks = 10

// resolve passes on the decisions that were stored although no answer came.
func (c *Controller) resolve() {
	for _, d := range slices.Clone(c.doubts) {
		if c.state.has(&d.Decision) {
			c.decided(d.Decision)
		}
	}
	c.doubts = slices.DeleteFunc(c.doubts, func(d doubt) bool { return c.state.Version >= d.version || d.looks >= doubtLooks })
	for i := range c.doubts {
		c.doubts[i].looks++
	}
}

// swap stores the next state, and tells of the decision that it holds.
func (c *Controller) swap(ctx context.Context, next State) error {
	old := c.state
	next.Version = old.Version + 1
	next = c.flushed(next)
	next.Counted = c.counted
	d, is := next.decision(&old)
	if err := c.Store.Swap(ctx, old.Version, next); err != nil {
		if errors.Is(err, ErrStale) {
			c.load(ctx)
			return ErrBusy
		}
		if is {
			c.doubts = append(c.doubts, doubt{Decision: d, version: next.Version})
		}
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	c.state = next
	c.pending.stored(next.Counted)
	c.quota = QuotaReport{}
	if is {
		c.decided(d)
	}
	return nil
}

// decided counts, logs and passes on a decision.
func (c *Controller) decided(d Decision) {
	c.doubts = slices.DeleteFunc(c.doubts, func(o doubt) bool { return o.same(&d) })
	c.metrics.decisions.WithLabelValues(string(d.Action)).Inc()
	c.Log.Info("rollout", "action", string(d.Action), "who", d.Who, "reason", d.Reason, "phase", string(d.Phase),
		"step", d.Step, "from", d.From.Float(), "to", d.To.Float())
	if c.Notify != nil {
		c.Notify(Event{Decision: d, Instance: c.Instance})
	}
}

// flushed adds what was counted to the stages that it belongs to: the last of
// each share, over or not.
func (c *Controller) flushed(s State) State {
	if len(s.Stages) == 0 {
		return s
	}
	stages := make([]Stage, len(s.Stages))
	copy(stages, s.Stages)
	done := map[string]bool{}
	for i := len(stages) - 1; i >= 0; i-- {
		st := &stages[i]
		tag := st.Percent.Tag()
		if done[tag] {
			continue
		}
		done[tag] = true
		if d := c.pending.of(tag); d != nil {
			counts := st.Counts.clone()
			counts.add(d, 1)
			st.Counts = *counts
		}
		if i == len(stages)-1 && st.Until.IsZero() {
			st.Quota = st.Quota.with(c.quota)
		}
	}
	s.Stages = stages
	return s
}

// save stores the counts of the stages.
func (c *Controller) save(ctx context.Context) {
	if c.state.Version == 0 || len(c.state.Stages) == 0 {
		return
	}
	if err := c.swap(ctx, c.foldEvents(c.state)); err != nil && !errors.Is(err, ErrBusy) {
		c.Log.Warn("rollout: the figures of the stage could not be saved", "error", err.Error())
	}
}

func (q QuotaReport) with(o QuotaReport) QuotaReport {
	return QuotaReport{DayUsed: max(q.DayUsed, o.DayUsed), RatePeak: max(q.RatePeak, o.RatePeak),
		DayMax: latest(q.DayMax, o.DayMax), RateMax: latest(q.RateMax, o.RateMax)}
}

func latest(old, now float64) float64 {
	if now == 0 {
		return old
	}
	return now
}
