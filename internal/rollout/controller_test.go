package rollout

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sesrelay/internal/split"
)

var epoch = time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)

// stand is a controller with its split, a clock that is moved by hand, and SES
// and Cuenote as a test wants them.
type stand struct {
	t      testing.TB
	now    time.Time
	live   *split.Live
	splits split.Store
	store  Store
	meter  *Meter
	events *fakeEvents
	c      *Controller
	set    Settings
	told   []Event
	plan   error

	perSecond int           // mails, both upstreams together
	sesBad    float64       // share of the mail for SES that it does not take
	bothBad   float64       // and of all mail
	delay     time.Duration // of mail through SES
	bounces   float64       // share of what SES took
	silent    bool          // SES reports nothing
	carry     map[string]float64
	read      time.Time
}

// fakeEvents is what CloudWatch holds: by step, by minute.
type fakeEvents struct {
	mu   sync.Mutex
	by   map[string]map[time.Time]Reported
	err  error
	late time.Duration // how long after the fact it can be read
	now  func() time.Time
}

func (f *fakeEvents) Read(_ context.Context, step string, from, to time.Time) (map[time.Time]Reported, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	out := map[time.Time]Reported{}
	for m, r := range f.by[step] {
		if !m.Before(from) && m.Before(to) && f.now().Sub(m) >= f.late {
			out[m] = r
		}
	}
	return out, nil
}

func (f *fakeEvents) add(step string, at time.Time, r Reported) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.by[step] == nil {
		f.by[step] = map[time.Time]Reported{}
	}
	m := at.Truncate(time.Minute)
	sum := f.by[step][m]
	sum.Add(r)
	f.by[step][m] = sum
}

func standard() Settings {
	return Settings{Steps: []Step{SetPercent(1000), PauseFor(time.Hour), SetPercent(5000), PauseFor(0), SetPercent(10000)},
		Gate: theGate, Guard: theGuard, Armed: true, Window: 5 * time.Minute}
}

func newStand(t testing.TB, options ...func(*stand)) *stand {
	t.Helper()
	s := &stand{t: t, now: epoch, splits: split.NewMemoryStore(), store: NewMemoryStore(), meter: NewMeter(), perSecond: 100, delay: 2 * time.Second,
		set: standard(), carry: map[string]float64{}}
	s.events = &fakeEvents{by: map[string]map[time.Time]Reported{}, late: 2 * time.Minute, now: func() time.Time { return s.now }}
	for _, o := range options {
		o(s)
	}
	s.boot()
	return s
}

// boot starts the process, or starts it again.
func (s *stand) boot() {
	s.t.Helper()
	var err error
	clock := func() time.Time { return s.now }
	if s.live, err = split.NewLive(context.Background(), s.splits, split.LiveConfig{Now: clock}); err != nil {
		s.t.Fatal(err)
	}
	s.meter = NewMeter()
	cfg := Config{Instance: "relay-1", Live: s.live, Store: s.store, Meter: s.meter, Quota: func() QuotaUse { return QuotaUse{DayUsed: 7, DayMax: 100, Rate: 10} },
		Plan: func(split.Percent) error { return s.plan }, Notify: func(e Event) { s.told = append(s.told, e) },
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: clock}
	if s.events != nil {
		cfg.Events = s.events
	}
	if s.c, err = New(context.Background(), cfg, s.set); err != nil {
		s.t.Fatal(err)
	}
}

// share draws whole mails of a share, and carries the rest over to the next second.
func (s *stand) share(key string, of float64) int {
	v := of + s.carry[key]
	n := int(v)
	s.carry[key] = v - float64(n)
	return n
}

// step is some time of mail, and a look.
func (s *stand) step(d time.Duration) {
	s.now = s.now.Add(d)
	applied, mails := s.live.Current().Applied(), s.perSecond*int(d/time.Second)
	step := applied.Tag()
	toSES := s.share("ses", float64(mails)*applied.Float()/100)
	bad := s.share("bad", float64(toSES)*max(s.sesBad, s.bothBad))
	s.mail(step, true, toSES-bad, OutcomeAccepted, s.delay)
	s.mail(step, true, bad, OutcomeFailed, 0)
	rest := mails - toSES
	bad = s.share("cbad", float64(rest)*s.bothBad)
	s.mail(step, false, rest-bad, OutcomeAccepted, 2*time.Second)
	s.mail(step, false, bad, OutcomeFailed, 0)
	if s.events != nil && !s.silent && toSES > 0 {
		took := int64(toSES)
		bounced := int64(s.share("bounce", float64(toSES)*s.bounces))
		s.events.add(step, s.now, Reported{Send: took, Delivery: took - bounced, Bounce: bounced})
	}
	if s.now.Sub(s.read) >= readEvery {
		s.read = s.now
		s.c.ReadEvents(context.Background())
	}
	s.c.Tick(context.Background())
}

func (s *stand) mail(step string, ses bool, n int, o Outcome, delay time.Duration) {
	for range n {
		s.meter.Observe(Sample{Step: step, ToSES: ses, Outcome: o, Recipients: 1, Delay: delay, Latency: 50 * time.Millisecond})
	}
}

// pass lets time go by.
func (s *stand) pass(d time.Duration) {
	for end := s.now.Add(d); s.now.Before(end); {
		s.step(min(pace(d), end.Sub(s.now)))
	}
}

// pace is how often a test looks: every second, but for long times.
func pace(d time.Duration) time.Duration {
	if d > 2*time.Minute {
		return 5 * time.Second
	}
	return time.Second
}

// until lets time go by until something holds, and returns how long it took.
func (s *stand) until(what string, atMost time.Duration, holds func() bool) time.Duration {
	s.t.Helper()
	start := s.now
	for !holds() {
		if s.now.Sub(start) >= atMost {
			s.t.Fatalf("%s: not within %s: %s at %s, applied %s; gate %q; guard %q", what, atMost, s.c.state.Phase, s.c.state.Percent, s.live.Current().Applied(), s.c.gate.Reasons, s.c.guard.Reasons)
		}
		s.step(pace(atMost))
	}
	return s.now.Sub(start)
}

func (s *stand) do(a Action, o Order) error {
	if o.Who == "" {
		o.Who = "ops"
	}
	return s.c.Do(context.Background(), a, o)
}

func (s *stand) must(a Action, reason string) {
	s.t.Helper()
	if err := s.do(a, Order{Reason: reason}); err != nil {
		s.t.Fatalf("%s: %v", a, err)
	}
}

// at checks phase, step and the share in force.
func (s *stand) at(what string, p Phase, index int, applied split.Percent) {
	s.t.Helper()
	if v := s.c.View(context.Background()); v.Phase != p || v.Step != index || s.live.Current().Applied() != applied {
		s.t.Fatalf("%s: %s at step %d with %s, want %s at %d with %s; hold %+v", what, v.Phase, v.Step, s.live.Current().Applied(), p, index, applied, v.Hold)
	}
}

func (s *stand) in(p Phase) func() bool { return func() bool { return s.c.state.Phase == p } }

// lines are the actions of the record, oldest first.
func (s *stand) lines() string {
	var out []string
	for _, d := range s.c.state.Decisions {
		out = append(out, string(d.Action))
	}
	return strings.Join(out, " ")
}

func TestWholeRollout(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.pass(time.Minute)
	s.at("before", Idle, -1, 0)
	s.must(ActionStart, "week 1")
	s.at("started", Running, 1, 1000)
	s.pass(59 * time.Minute)
	s.at("the pause runs", Running, 1, 1000)
	s.until("the second step", 5*time.Minute, func() bool { return s.live.Current().Applied() == 5000 })
	s.at("an open pause", Paused, 3, 5000)
	s.pass(2 * time.Hour)
	s.at("it waits", Paused, 3, 5000)
	s.must(ActionResume, "looks good")
	s.until("the last step", time.Minute, func() bool { return s.live.Current().Applied() == 10000 })
	s.until("the end", 20*time.Minute, s.in(Completed))
	if got := s.lines(); got != "start advance resume advance complete" {
		t.Error(got)
	}
	h, _ := s.live.History(context.Background())
	if h[0].Who != rolloutName || h[0].Reason != "rollout: the gate at 50 % has passed" || h[2].Who != "ops" || h[2].Reason != "rollout: week 1" {
		t.Errorf("%+v", h)
	}
	r := s.c.Report(context.Background())
	if len(r.Stages) != 3 || r.Stages[0].SES.Accepted < 35_000 || r.Stages[0].Until == nil || r.Stages[1].Entered != ActionAdvance || *r.Stages[0].SES.Delay.P95 != 2 || r.Stages[2].Left != "" {
		t.Errorf("%+v", r)
	}
	// the stand's quota: 7 of 100 used, 10 a second
	if q := r.Stages[0].Quota; q != (QuotaReport{DayUsed: 7, DayMax: 100, RateMax: 10, RatePeak: q.RatePeak}) || q.RatePeak != 10 {
		t.Errorf("%+v", q)
	}
	if s.told[len(s.told)-1].Action != ActionComplete || len(s.told) != 5 {
		t.Errorf("%+v", s.told)
	}
}

// A rehearsal at 0 % is shown and reported before the first step.
func TestRehearsalBeforeTheFirstStep(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	for i := range 10 {
		unfit := ""
		if i < 3 {
			unfit = "size"
		}
		s.meter.Observe(Sample{Step: "0", Outcome: OutcomeAccepted, Rehearsed: true, Unfit: unfit})
	}
	s.pass(time.Second)
	r := s.c.Report(context.Background())
	for where, v := range map[string]RehearsalView{"view": s.c.View(context.Background()).Rehearsal, "report": r.Rehearsal} {
		if v.Judged != 10 || v.Fit != 7 || *v.Eligible != 70 || v.Reasons["size"] != 3 {
			t.Errorf("%s: %+v", where, v)
		}
	}
	if md := r.Markdown(); !strings.Contains(md, "asked to take 7 (70.00 %)") || !strings.Contains(md, "- size: 3") {
		t.Error(md)
	}
}

// What SES takes is counted to the stage that sent it, to the mail.
func TestStageCountsEverything(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.must(ActionStart, "r")
	s.until("the second step", 2*time.Hour, func() bool { return s.live.Current().Applied() == 5000 })
	s.pass(time.Minute)
	s.c.ReadLate(context.Background())
	total := s.meter.Total()
	r := s.c.Report(context.Background())
	for i, tag := range []string{"10", "50"} {
		if got, want := r.Stages[i].SES.Accepted, total[tag].SES.Accepted; got != want || r.Stages[i].Cuenote.Accepted != total[tag].Cuenote.Accepted {
			t.Errorf("%s: %d, and %d were sent", tag, got, want)
		}
	}

	s.now = s.now.Add(time.Hour)
	s.c.ReadLate(context.Background())
	if e := s.c.Report(context.Background()).Stages[0].Events; e.Delivery != total["10"].SES.Accepted {
		t.Errorf("reported %d of %d", e.Delivery, total["10"].SES.Accepted)
	}
}

func TestGuardPullsBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		fault  func(*stand)
		reason Name
		within time.Duration // from the fault
	}{
		{"SES takes nothing", func(s *stand) { s.sesBad = 1 }, Acceptance, 40 * time.Second},
		{"SES takes half", func(s *stand) { s.sesBad = 0.5 }, Acceptance, time.Minute},
		{"SES is slow", func(s *stand) { s.delay = 6 * time.Minute }, Delay, time.Minute},
		{"bounces", func(s *stand) { s.bounces = 0.5 }, Bounce, 5 * time.Minute},
		{"silence", func(s *stand) { s.silent = true }, NoData, 15 * time.Minute},
		{"CloudWatch cannot be read", func(s *stand) { s.events.err = errors.New("AccessDenied") }, NoData, 15 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t)
			s.must(ActionStart, "r")
			s.until("the second step", 2*time.Hour, func() bool { return s.live.Current().Applied() == 5000 })
			s.pass(10 * time.Minute)
			c.fault(s)
			s.until("the rollback", c.within, s.in(RolledBack))
			s.at("back at the last good step", RolledBack, 0, 1000)
			trip := s.c.state.LastTrip
			if trip.From != 5000 || trip.To != 1000 || trip.Reasons[0] != c.reason && trip.Reasons[len(trip.Reasons)-1] != c.reason || trip.Text == "" {
				t.Errorf("%+v", trip)
			}
			// The share that is asked for follows: a release does not jump back up.
			s.pass(3 * time.Second)
			if cur := s.live.Current(); cur.SESPercent != 1000 || cur.Brake == nil || cur.Brake.By != guardName {
				t.Errorf("asked for %s, brake %+v", cur.SESPercent, cur.Brake)
			}
			if last := s.told[len(s.told)-1]; last.Action != ActionRollback || len(last.Criteria) == 0 {
				t.Errorf("%+v", last)
			}
			// It goes on being bad: the second trip goes to 0.
			s.until("the second rollback", 16*time.Minute, func() bool { return s.live.Current().Applied() == 0 })
			if s.c.state.Trips != 2 {
				t.Errorf("%d trips", s.c.state.Trips)
			}
			s.pass(30 * time.Minute)
			s.at("it stays", RolledBack, -1, 0)
			if s.c.state.Trips != 2 {
				t.Errorf("%d trips with nothing sent", s.c.state.Trips)
			}
		})
	}
}

// The time from enough figures to the brake is one look.
func TestGuardIsQuick(t *testing.T) {
	t.Parallel()
	s := newStand(t, func(s *stand) { s.perSecond = 1700 })
	s.must(ActionStart, "r")
	s.pass(time.Minute)
	s.sesBad = 1
	// 170 mails a second for SES: 5 % of a window that holds 60 s of good ones is 540 bad ones.
	if took := s.until("the rollback", 15*time.Second, s.in(RolledBack)); took > 6*time.Second {
		t.Errorf("%s", took)
	}
}

func TestRollbackToZero(t *testing.T) {
	t.Parallel()
	s := newStand(t, func(s *stand) { s.set.ToZero = true })
	s.must(ActionStart, "r")
	s.until("the second step", 2*time.Hour, func() bool { return s.live.Current().Applied() == 5000 })
	s.sesBad = 1
	s.until("the rollback", time.Minute, s.in(RolledBack))
	s.at("at 0", RolledBack, -1, 0)
}

// The guard is armed without any rollout, and while one is paused or held.
func TestGuardWithoutRollout(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	if _, err := s.live.Set(context.Background(), 0, 3000, "by hand", "ops"); err != nil {
		t.Fatal(err)
	}
	s.pass(time.Minute)
	s.sesBad = 1
	s.until("the brake", time.Minute, func() bool { return s.live.Current().Applied() == 0 })
	s.pass(5 * time.Second)
	s.at("no rollout", Idle, -1, 0)
	if s.c.state.Trips != 1 || s.live.Current().SESPercent != 3000 {
		t.Errorf("%d trips, asked for %s", s.c.state.Trips, s.live.Current().SESPercent)
	}
	for _, order := range []func(*stand){
		func(s *stand) { s.must(ActionPause, "") },
		func(s *stand) { s.live.Set(context.Background(), s.live.Current().Version, 1500, "by hand", "ops") },
	} {
		s := newStand(t)
		s.must(ActionStart, "r")
		s.pass(time.Minute)
		order(s)
		s.pass(time.Minute)
		s.sesBad = 1
		s.until("the rollback", time.Minute, s.in(RolledBack))
	}
	s = newStand(t, func(s *stand) { s.set.Armed = false })
	s.must(ActionStart, "r")
	s.sesBad = 1
	s.pass(10 * time.Minute)
	s.at("not armed", Running, 1, 1000)
	if v := s.c.View(context.Background()); v.Guard.Armed || v.Guard.Verdict != Rollback {
		t.Errorf("%+v", v.Guard)
	}
}

func TestFaultOfBothIsNotSES(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.must(ActionStart, "r")
	s.pass(time.Minute)
	s.bothBad = 0.5
	s.pass(20 * time.Minute)
	s.at("it stays", Running, 1, 1000)
	s.pass(time.Hour)
	s.at("and does not rise", Gating, 1, 1000)
}

func TestGateHolds(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*stand){
		"blind":               func(s *stand) { s.events = nil },
		"a warning band":      func(s *stand) { s.sesBad = 0.02 },
		"bounces":             func(s *stand) { s.bounces = 0.02 },
		"little mail":         func(s *stand) { s.perSecond = 0 },
		"the plan":            func(s *stand) {},
		"delay over a minute": func(s *stand) { s.delay = 90 * time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t, fault)
			s.must(ActionStart, "r")
			if name == "the plan" {
				s.plan = errors.New("SES cannot carry 50 %")
			}
			s.pass(2 * time.Hour)
			s.at("it holds", Gating, 1, 1000)
			v := s.c.View(context.Background())
			if v.Gate.Verdict != Hold || len(v.Gate.Reasons) == 0 || v.Gate.ByItself != (name != "blind") || v.Guard.BlindToDelivery != (name == "blind") {
				t.Errorf("%+v", v.Gate)
			}
			s.plan = nil
			s.must(ActionPromote, "the other figures are good")
			s.at("promoted", Paused, 3, 5000)
			if d := s.c.state.Decisions[len(s.c.state.Decisions)-1]; d.Who != "ops" || len(d.Criteria) < 2 {
				t.Errorf("%+v", d)
			}
		})
	}
}

func TestManualChangeHolds(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.must(ActionStart, "r")
	s.pass(20 * time.Minute)
	if _, err := s.live.Set(context.Background(), s.live.Current().Version, 1500, "a test", "kato"); err != nil {
		t.Fatal(err)
	}
	s.pass(2 * time.Second)
	s.at("held", Held, 1, 1500)
	v := s.c.View(context.Background())
	if v.Hold.By != "kato" || v.Hold.Reason != "kato has changed the split from 10 % to 15 % (version 2): a test" || !strings.Contains(v.Hold.Next, "resume") {
		t.Errorf("%+v", v.Hold)
	}
	if err := s.do(ActionPromote, Order{Reason: "r"}); !errors.Is(err, ErrPhase) {
		t.Errorf("%v", err)
	}
	s.pass(3 * time.Hour)
	s.at("still", Held, 1, 1500)
	s.must(ActionResume, "over")
	s.at("at the step again", Running, 1, 1000)

	s.live.Brake("sato", "to be sure")
	s.pass(2 * time.Second)
	s.at("held by the brake", Held, 1, 0)
	if err := s.do(ActionResume, Order{Reason: "r"}); !errors.Is(err, ErrBrake) || !strings.Contains(err.Error(), "sato") {
		t.Errorf("%v", err)
	}
	s.live.Release(context.Background(), s.live.Current().Version, "fine", "sato")
	s.must(ActionResume, "go on")
	s.at("goes on", Running, 1, 1000)
	if got := s.lines(); got != "start hold resume hold resume" {
		t.Error(got)
	}
}

// The resume that undoes a hold does not end the open pause that was held: it
// waits for somebody who has looked.
func TestHoldInAnOpenPause(t *testing.T) {
	t.Parallel()
	s := newStand(t, func(s *stand) { s.set.Steps = []Step{SetPercent(1000), PauseFor(0), SetPercent(5000)} })
	s.must(ActionStart, "r")
	s.at("an open pause", Paused, 1, 1000)
	s.pass(20 * time.Minute)
	s.live.Brake("sato", "to be sure")
	s.pass(2 * time.Second)
	s.at("held", Held, 1, 0)
	s.live.Release(context.Background(), s.live.Current().Version, "fine", "sato")
	s.must(ActionResume, "the brake is off")
	s.at("the open pause again", Paused, 1, 1000)
	s.pass(2 * time.Hour)
	s.at("it waits", Paused, 1, 1000)
	s.must(ActionResume, "the figures are good")
	s.until("the second step", time.Minute, func() bool { return s.live.Current().Applied() == 5000 })
	if got := s.lines(); got != "start hold resume resume advance" {
		t.Error(got)
	}
}

func TestPauseKeepsTheTimeLeft(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.must(ActionStart, "r")
	s.pass(20 * time.Minute)
	s.must(ActionPause, "lunch")
	s.must(ActionPause, "again")
	s.pass(5 * time.Hour)
	s.at("paused", Paused, 1, 1000)
	s.must(ActionResume, "back")
	s.pass(39 * time.Minute)
	s.at("40 minutes were left", Running, 1, 1000)
	s.until("the second step", 2*time.Minute, func() bool { return s.live.Current().Applied() == 5000 })
	if got := s.lines(); got != "start pause resume advance" {
		t.Error(got)
	}
}

func TestResumeAfterRollback(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.must(ActionStart, "r")
	s.until("the second step", 2*time.Hour, func() bool { return s.live.Current().Applied() == 5000 })
	s.sesBad = 1
	s.until("the rollback", time.Minute, s.in(RolledBack))
	s.sesBad = 0
	s.pass(time.Hour)
	s.at("it waits for somebody", RolledBack, 0, 1000)
	s.must(ActionResume, "SES is repaired")
	s.at("pause and gate again", Running, 1, 1000)
	if s.live.Current().Brake != nil {
		t.Errorf("the guard's brake is on: %+v", s.live.Current().Brake)
	}
	s.until("the second step again", 2*time.Hour, func() bool { return s.live.Current().Applied() == 5000 })
}

func TestPromote(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	if err := s.do(ActionPromote, Order{Reason: "r"}); !errors.Is(err, ErrPhase) {
		t.Errorf("%v", err)
	}
	s.must(ActionStart, "r")
	s.plan = errors.New("too little quota")
	if err := s.do(ActionPromote, Order{Reason: "r", Full: true}); !errors.Is(err, s.plan) {
		t.Errorf("%v", err)
	}
	s.at("refused by the plan", Running, 1, 1000)
	if err := s.do(ActionPromote, Order{Reason: "all of it", Full: true, Force: true}); err != nil {
		t.Fatal(err)
	}
	s.at("full", Gating, 4, 10000)
	s.must(ActionPromote, "and done")
	s.at("completed by hand", Completed, 4, 10000)
	s.sesBad = 1
	s.until("the guard is armed at 100 %", time.Minute, s.in(RolledBack))
	s.at("back to the last good step", RolledBack, 0, 1000)
}

// While the guard sees a breach that it may not act on, nobody promotes into it.
func TestPromoteAgainstTheGuard(t *testing.T) {
	t.Parallel()
	s := newStand(t, func(s *stand) { s.set.Armed = false })
	s.must(ActionStart, "r")
	s.sesBad = 1
	s.pass(time.Minute)
	if err := s.do(ActionPromote, Order{Reason: "r"}); !errors.Is(err, ErrGuard) {
		t.Errorf("%v", err)
	}
}

func TestAbort(t *testing.T) {
	t.Parallel()
	reach := map[string]func(*stand){
		"idle":    func(*stand) {},
		"running": func(s *stand) { s.must(ActionStart, "r") },
		"paused":  func(s *stand) { s.must(ActionStart, "r"); s.must(ActionPause, "r") },
		"held": func(s *stand) {
			s.must(ActionStart, "r")
			s.live.Set(context.Background(), s.live.Current().Version, 2000, "r", "kato")
			s.pass(2 * time.Second)
		},
		"gating":      func(s *stand) { s.events = nil; s.boot(); s.must(ActionStart, "r"); s.pass(70 * time.Minute) },
		"rolled back": func(s *stand) { s.must(ActionStart, "r"); s.sesBad = 1; s.until("it", time.Minute, s.in(RolledBack)) },
		"completed": func(s *stand) {
			s.must(ActionStart, "r")
			s.do(ActionPromote, Order{Reason: "r", Full: true})
			s.must(ActionPromote, "r")
		},
	}
	for name, f := range reach {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t)
			f(s)
			for range 3 {
				if err := s.do(ActionAbort, Order{}); err != nil {
					t.Fatal(err)
				}
			}
			s.at("aborted", Aborted, -1, 0)
			s.pass(5 * time.Second)
			if cur := s.live.Current(); cur.SESPercent != 0 || cur.Brake == nil {
				t.Errorf("asked for %s, brake %+v", cur.SESPercent, cur.Brake)
			}
			if n := strings.Count(s.lines(), "abort"); n != 1 {
				t.Errorf("%d lines", n)
			}
			s.sesBad = 0
			s.must(ActionStart, "once more")
			s.at("begun anew", Running, 1, 1000)
		})
	}
}

// Whoever aborts, or looks after a trip, while the store is away sees that it is
// in force, and that it is not recorded yet.
func TestViewWithoutTheStore(t *testing.T) {
	t.Parallel()
	for _, by := range []Action{ActionAbort, ActionRollback} {
		broken := &brokenStore{Store: NewMemoryStore()}
		s := newStand(t, func(s *stand) { s.store = broken })
		s.must(ActionStart, "r")
		s.pass(time.Minute)
		broken.err = errors.New("no answer")
		want := Aborted
		if by == ActionAbort {
			s.must(ActionAbort, "stop")
		} else {
			want, s.sesBad = RolledBack, 1
			s.until("the guard", time.Minute, func() bool { return s.live.Current().Applied() == 0 })
		}
		v := s.c.View(t.Context())
		if v.Phase != want || v.Until != nil || v.Applied != 0 || !v.Unsaved || v.Trouble == "" || v.Decisions[0].Action != by || by == ActionRollback && v.Guard.Trips != 1 {
			t.Errorf("%s: %+v", by, v)
		}
		if s.c.state.Phase != Running {
			t.Errorf("%s: to look has changed the state: %s", by, s.c.state.Phase)
		}
		broken.err = nil
		s.pass(5 * time.Second)
		if v := s.c.View(t.Context()); v.Phase != want || v.Unsaved || v.Trouble != "" {
			t.Errorf("%s, stored: %+v", by, v)
		}
	}
}

// An abort that is repeated while the store is away is one, with the share and
// the brake of the first; and so are two on instances that do not reach each other.
func TestAbortTwiceWithoutTheStore(t *testing.T) {
	t.Parallel()
	broken := &brokenStore{Store: NewMemoryStore()}
	s := newStand(t, func(s *stand) { s.store = broken })
	s.must(ActionStart, "r")
	s.pass(time.Minute)
	broken.err = errors.New("no answer")
	s.must(ActionAbort, "stop")
	s.pass(5 * time.Second)
	s.must(ActionAbort, "did it work?")
	s.pullElsewhere(0, "ops", "rollout aborted: stop there too")
	broken.err = nil
	s.pass(5 * time.Second)
	d := s.c.state.last()
	if s.lines() != "start abort" || d.From != 1000 || d.To != 0 || d.Reason != "stop" {
		t.Errorf("%s: %+v", s.lines(), d)
	}
	s.must(ActionStart, "once more")
	s.at("begun anew", Running, 1, 1000)
}

// A person's brake is not the rollout's to release.
func TestAbortUnderSomebodysBrake(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.must(ActionStart, "r")
	s.live.Brake("sato", "incident")
	s.must(ActionAbort, "give up")
	if err := s.do(ActionStart, Order{Reason: "again"}); !errors.Is(err, ErrBrake) {
		t.Errorf("%v", err)
	}
	s.at("still aborted", Aborted, -1, 0)
}

// pullElsewhere pulls the brake on another instance, and brings it here.
func (s *stand) pullElsewhere(ceiling split.Percent, who, reason string) {
	s.t.Helper()
	other, err := split.NewLive(context.Background(), split.NewMemoryStore(), split.LiveConfig{Now: func() time.Time { return s.now }})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := other.BrakeTo(ceiling, who, reason); err != nil {
		s.t.Fatal(err)
	}
	for _, p := range other.Current().Pulls {
		s.live.TakeBrake(p)
	}
}

// A person's brake that was pulled on another instance behind the guard's, or
// behind an abort's, is still theirs to release.
func TestSomebodysBrakeBehindOurs(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.must(ActionStart, "r")
	s.pass(time.Minute)
	s.sesBad = 1
	s.until("the rollback", time.Minute, s.in(RolledBack))
	s.sesBad = 0
	s.pass(5 * time.Second)
	s.pullElsewhere(0, "sato", "incident")
	if cur := s.live.Current(); len(cur.Pulls) != 2 || cur.Brake.By != guardName {
		t.Fatalf("%+v", cur.Pulls)
	}
	for _, a := range []Action{ActionResume, ActionStart} {
		if err := s.do(a, Order{Reason: "repaired"}); !errors.Is(err, ErrBrake) || !strings.Contains(err.Error(), "sato") {
			t.Errorf("%s: %v", a, err)
		}
	}
	if cur := s.live.Current(); len(cur.Pulls) != 2 || cur.Applied() != 0 {
		t.Errorf("%+v", cur.Pulls)
	}

	s = newStand(t)
	s.must(ActionStart, "r")
	s.must(ActionAbort, "give up")
	s.now = s.now.Add(time.Second)
	s.pullElsewhere(0, "sato", "incident")
	if err := s.do(ActionStart, Order{Reason: "again"}); !errors.Is(err, ErrBrake) || s.live.Current().Applied() != 0 {
		t.Errorf("%v", err)
	}
}

// A brake that is pulled between the look at the split and the step is not
// taken for one that was known: nothing is put in force.
func TestBrakeJustBeforeTheStep(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.must(ActionStart, "r")
	s.pass(10 * time.Minute)
	s.live.Brake("sato", "incident")
	if err := s.c.apply(context.Background(), s.now, s.c.state, 2, ActionAdvance, Order{Who: rolloutName, Reason: "r"}); !errors.Is(err, ErrBusy) {
		t.Errorf("%v", err)
	}
	if cur := s.live.Current(); cur.Applied() != 0 || cur.SESPercent != 1000 {
		t.Errorf("%s of %s", cur.Applied(), cur.SESPercent)
	}
}

// A brake that is pulled while a step is put in force stays on, and holds.
func TestBrakeWhileAStepIsPutInForce(t *testing.T) {
	t.Parallel()
	pulled := false
	s := newStand(t)
	s.must(ActionStart, "r")
	s.sesBad = 1
	s.until("the rollback", time.Minute, s.in(RolledBack))
	s.sesBad = 0
	s.pass(5 * time.Second)
	s.c.Store = &meanwhile{Store: s.store, do: func(next State) {
		if next.Pending != nil && !pulled {
			pulled = true
			s.live.Brake("sato", "incident")
		}
	}}
	if err := s.do(ActionResume, Order{Reason: "repaired"}); !pulled || !errors.Is(err, split.ErrStale) {
		t.Fatalf("pulled %t: %v", pulled, err)
	}
	s.pass(10 * time.Second)
	if cur := s.live.Current(); cur.Applied() != 0 || len(cur.Pulls) == 0 {
		t.Errorf("%s with %+v", cur.Applied(), cur.Pulls)
	}
}

// meanwhile does something just before a state is stored.
type meanwhile struct {
	Store
	do func(next State)
}

func (m *meanwhile) Swap(ctx context.Context, old int64, next State) error {
	m.do(next)
	return m.Store.Swap(ctx, old, next)
}

// The state outlives the process, wherever that dies.
func TestRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newStand(t, func(s *stand) {
		file, err := split.OpenFile(filepath.Join(dir, "state"))
		if err != nil {
			t.Fatal(err)
		}
		s.splits = file
		if s.store, err = OpenFile(filepath.Join(dir, "state.rollout")); err != nil {
			t.Fatal(err)
		}
	})
	s.must(ActionStart, "r")
	s.pass(30 * time.Minute)
	var err error
	if s.store, err = OpenFile(filepath.Join(dir, "state.rollout")); err != nil {
		t.Fatal(err)
	}
	s.boot()
	s.at("after a restart", Running, 1, 1000)
	s.until("the second step", 35*time.Minute, func() bool { return s.live.Current().Applied() == 5000 })
	if n := s.c.Report(context.Background()).Stages[0].SES.Accepted; n < 35_000 {
		t.Errorf("%d messages are left of the stage", n)
	}
}

// A disk that hangs costs one look two seconds, and none after it; what it takes
// in the end counts.
func TestDiskThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		m := &MemoryStore{path: "state", replace: func(string, []byte) error { <-goOn; return nil }}
		next := newState(epoch)
		next.Version = 1
		for _, took := range []time.Duration{diskTime, 0} {
			start := time.Now()
			if err := m.Swap(t.Context(), 0, next); !errors.Is(err, ErrStore) || time.Since(start) != took {
				t.Errorf("%v after %s", err, time.Since(start))
			}
		}
		if s, found, err := m.Load(t.Context()); found || err != nil {
			t.Errorf("in force before it was on the disk: %+v, %v", s, err)
		}
		close(goOn)
		synctest.Wait()
		if s, found, _ := m.Load(t.Context()); !found || s.Version != 1 {
			t.Errorf("%+v", s)
		}
		next.Version = 2
		if err := m.Swap(t.Context(), 1, next); err != nil {
			t.Error(err)
		}
	})
}

// A crash between the intention and the change, and between the change and its
// record.
func TestCrashInTheMiddle(t *testing.T) {
	t.Parallel()
	for name, changed := range map[string]bool{"before the split": false, "after the split": true} {
		s := newStand(t)
		s.must(ActionStart, "r")
		s.pass(10 * time.Minute)
		st := s.c.state
		st.Version++
		st.Pending = &Pending{Index: 2, Percent: 5000, Base: s.live.Current().Version, Action: ActionAdvance, Who: rolloutName, Reason: "r", At: s.now}
		if err := s.store.Swap(context.Background(), st.Version-1, st); err != nil {
			t.Fatal(err)
		}
		if changed {
			if _, err := s.live.Set(context.Background(), s.live.Current().Version, 5000, "rollout: r", rolloutName); err != nil {
				t.Fatal(err)
			}
		}
		s.boot()
		s.pass(30 * time.Second)
		if changed {
			s.at(name, Paused, 3, 5000)
		} else {
			s.at(name, Running, 1, 1000)
		}
	}
}

// releases is a store of the split that does something else with a release.
type releases struct {
	split.Store
	do func(swap func() error) error
}

func (r *releases) CompareAndSwap(ctx context.Context, old, next split.State, c split.Change) error {
	swap := func() error { return r.Store.CompareAndSwap(ctx, old, next, c) }
	if c.Action == split.ActionRelease && r.do != nil {
		return r.do(swap)
	}
	return swap()
}

// A resume under the guard's brake makes two changes. One that ends between them
// leaves the brake on and the rollout rolled back; after both the step is in
// force, whether or not anybody heard so.
func TestResumeInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		release  func(swap func() error) error
		crash    bool
		released bool
	}{
		{"crash before the release", func(func() error) error { return split.ErrRefused }, true, false},
		{"the release fails", func(func() error) error { return split.ErrRefused }, false, false},
		{"crash after the release", func(swap func() error) error { return errors.Join(swap(), split.ErrRefused) }, true, true},
	} {
		for _, a := range []Action{ActionResume, ActionStart} {
			store := &releases{Store: split.NewMemoryStore()}
			s := newStand(t, func(s *stand) { s.splits = store })
			s.must(ActionStart, "r")
			s.pass(time.Minute)
			s.sesBad = 1
			s.until("the rollback", time.Minute, s.in(RolledBack))
			s.sesBad = 0
			s.pass(10 * time.Minute)
			store.do = c.release
			if err := s.do(a, Order{Reason: "repaired"}); err == nil {
				t.Fatalf("%s: %s was carried out", c.name, a)
			}
			store.do = nil
			if c.crash {
				s.boot()
			}
			s.pass(30 * time.Second)
			if c.released {
				s.at(c.name, Running, 1, 1000)
				continue
			}
			want := map[Action]Phase{ActionResume: RolledBack, ActionStart: Aborted}[a]
			s.at(c.name, want, -1, 0)
			if cur := s.live.Current(); cur.Brake == nil || cur.SESPercent != 0 {
				t.Errorf("%s, %s: %s is asked for, brake %+v", c.name, a, cur.SESPercent, cur.Brake)
			}
			s.must(a, "once more")
			s.at(c.name, Running, 1, 1000)
		}
	}
}

// A state that cannot be saved moves nothing; the guard and an abort work.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	broken := &brokenStore{Store: NewMemoryStore()}
	s := newStand(t, func(s *stand) { s.store = broken })
	s.must(ActionStart, "r")
	s.pass(time.Minute)
	broken.err = errors.New("no answer")
	if err := s.do(ActionPromote, Order{Reason: "r"}); !errors.Is(err, ErrStore) {
		t.Errorf("%v", err)
	}
	s.pass(3 * time.Hour)
	s.at("nothing moves", Running, 1, 1000)
	s.sesBad = 1
	s.until("the guard", time.Minute, func() bool { return s.live.Current().Applied() == 0 })
	broken.err = nil
	s.pass(5 * time.Second)
	s.at("recorded later", RolledBack, -1, 0)

	s.must(ActionResume, "r")
	s.sesBad = 0
	broken.err = errors.New("no answer")
	s.must(ActionAbort, "stop")
	if s.live.Current().Applied() != 0 {
		t.Error("an abort needs the store")
	}
	broken.err = nil
	s.pass(5 * time.Second)
	s.at("recorded later", Aborted, -1, 0)
}

// A trip that is told late, when others have been recorded and somebody has gone
// on since, is a line of the record and moves nothing.
func TestTripToldLate(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.must(ActionStart, "r")
	s.until("the second step", 2*time.Hour, func() bool { return s.live.Current().Applied() == 5000 })
	old := Trip{At: s.now, Instance: "relay-2", From: 5000, To: 1000, Reasons: []Name{Acceptance}, Text: "half of it"}
	s.pass(time.Minute)
	s.sesBad = 1
	s.until("the rollback", time.Minute, s.in(RolledBack))
	s.sesBad = 0
	last := *s.c.state.LastTrip
	tell := func(trip Trip) {
		s.c.unsaved = append(s.c.unsaved, untold{trip: trip})
		s.pass(time.Second)
	}
	tell(old)
	if got := s.c.state; got.Phase != RolledBack || !got.LastTrip.At.Equal(last.At) || got.Trips != 2 || len(s.c.unsaved) != 0 {
		t.Errorf("%s, %d trips, last %+v", got.Phase, got.Trips, got.LastTrip)
	}
	same := last
	same.At, same.Instance = last.At.Add(2*time.Second), "relay-3"
	tell(same)
	if s.c.state.Trips != 2 {
		t.Errorf("the same trip counts again: %d", s.c.state.Trips)
	}
	s.must(ActionResume, "SES is repaired")
	tell(same)
	late := old
	late.At = old.At.Add(10 * time.Second)
	tell(late)
	s.at("it goes on", Running, 1, 1000)
	if got := s.lines(); got != "start advance rollback rollback resume rollback" {
		t.Error(got)
	}
}

// TestTakeoverReadsFirst: an instance that has just taken over has read nothing
// of what SES reports, and its gate waits until it has.
func TestTakeoverReadsFirst(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.must(ActionStart, "r")
	s.pass(time.Hour - 5*time.Second)
	s.at("in the pause", Running, 1, 1000)
	s.boot()
	s.read = s.now // and so not for ten seconds
	s.pass(9 * time.Second)
	if s.c.state.Phase != Gating || !slices.Contains(s.c.gate.Reasons, unread) || s.live.Current().Applied() != 1000 {
		t.Errorf("%s at %s: gate %s %q", s.c.state.Phase, s.live.Current().Applied(), s.c.gate.Verdict, s.c.gate.Reasons)
	}
	s.until("the next step", time.Minute, func() bool { return s.live.Current().Applied() == 5000 })
}

// TestGateReadsFirst: a gate that is good waits for the next reading of what SES
// reports, so that nothing is overlooked that could have been read; and while
// reading fails, it holds, long before that is a reason to go back.
func TestGateReadsFirst(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.must(ActionStart, "r")
	s.pass(time.Hour - 5*time.Second)
	s.read = s.now // and so not for ten seconds
	s.pass(9 * time.Second)
	if s.c.state.Phase != Gating || s.c.gate.Verdict != Pass || s.live.Current().Applied() != 1000 {
		t.Errorf("%s at %s: gate %s %q", s.c.state.Phase, s.live.Current().Applied(), s.c.gate.Verdict, s.c.gate.Reasons)
	}
	s.events.err = errors.New("AccessDenied")
	s.pass(45 * time.Second)
	if s.c.state.Phase != Gating || s.c.gate.Verdict != Hold || !slices.Contains(s.c.gate.Reasons, stale) || s.live.Current().Applied() != 1000 {
		t.Errorf("%s at %s: gate %s %q", s.c.state.Phase, s.live.Current().Applied(), s.c.gate.Verdict, s.c.gate.Reasons)
	}
	s.events.err = nil
	s.until("the next step", 15*time.Second, func() bool { return s.live.Current().Applied() == 5000 })
}

// TestTripOfAnother: a guard's brake of an instance that could not tell of it is
// recorded by the one that leads, but not in the first ten seconds after the
// store is back: its own instance may be about to, with the figures.
func TestTripOfAnother(t *testing.T) {
	t.Parallel()
	broken := &brokenStore{Store: NewMemoryStore()}
	s := newStand(t, func(s *stand) { s.store = broken })
	s.must(ActionStart, "r")
	s.pass(time.Minute)
	broken.err = errors.New("no answer")
	s.pass(2 * time.Second)
	if _, err := s.live.Brake(guardName, "rollback: half of it fails"); err != nil {
		t.Fatal(err)
	}
	s.pass(time.Minute) // longer than the wait: that the brake is old does not count
	broken.err = nil
	s.pass(9 * time.Second)
	if s.c.state.Trips != 0 {
		t.Errorf("recorded before its own instance could: %+v", s.c.state.LastTrip)
	}
	s.pass(5 * time.Second)
	s.at("recorded by the one that leads", RolledBack, -1, 0)
	if trip := s.c.state.LastTrip; s.c.state.Trips != 1 || trip.Instance != "another instance" || trip.From != 1000 || trip.To != 0 || trip.Text != "half of it fails" {
		t.Errorf("%d trips, %+v", s.c.state.Trips, trip)
	}
}

// Instances that reach neither Redis nor each other pull a brake each, for the
// same reason and not at the same moment: that is one trip. One that goes lower
// is another.
func TestOneTripOfTwoInstances(t *testing.T) {
	t.Parallel()
	for _, apart := range []time.Duration{-3 * time.Second, 3 * time.Second, -time.Minute} {
		s := newStand(t)
		s.must(ActionStart, "r")
		s.until("the second step", 2*time.Hour, func() bool { return s.live.Current().Applied() == 5000 })
		s.pass(10 * time.Minute)
		s.sesBad = 1
		s.until("the rollback", time.Minute, s.in(RolledBack))
		s.sesBad = 0
		s.now = s.now.Add(apart)
		s.pullElsewhere(1000, guardName, "rollback: half of it fails")
		s.now = s.now.Add(-apart)
		s.pass(30 * time.Second)
		if got := s.lines(); got != "start advance rollback" || s.c.state.Trips != 1 || s.live.Current().SESPercent != 1000 {
			t.Errorf("%s apart: %s, %d trips, %+v", apart, got, s.c.state.Trips, s.c.state.LastTrip)
		}
		s.pullElsewhere(0, guardName, "rollback: it fails again")
		s.pass(30 * time.Second)
		s.at("further back", RolledBack, -1, 0)
		if got := s.lines(); got != "start advance rollback rollback" {
			t.Error(got)
		}
	}
}

// A brake that was stamped by a clock an hour ahead does not keep the rollout
// from noticing it until then.
func TestTripOfAClockAhead(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.must(ActionStart, "r")
	s.pass(time.Minute)
	s.now = s.now.Add(time.Hour)
	s.pullElsewhere(0, guardName, "rollback: half of it fails")
	s.now = s.now.Add(-time.Hour)
	s.pass(8 * time.Second)
	s.at("its own instance may be about to tell", Running, 1, 0)
	s.pass(5 * time.Second)
	s.at("recorded", RolledBack, -1, 0)
	if trip := s.c.state.LastTrip; trip.At.After(s.now) {
		t.Errorf("a trip of the future: %s", trip.At)
	}
}

// A Redis that was emptied is given the rollout back at once, so that a restart
// of one instance after the other does not lose it.
func TestEmptiedStore(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.must(ActionStart, "r")
	s.pass(5 * time.Minute)
	version := s.c.state.Version
	s.store = NewMemoryStore()
	s.c.Store = s.store
	s.pass(time.Second)
	got, found, err := s.store.Load(t.Context())
	if err != nil || !found || got.Phase != Running || got.Version < version || len(got.Stages) != 1 {
		t.Fatalf("found %v: %+v, %v", found, got, err)
	}
	s.boot()
	s.at("after a restart", Running, 1, 1000)
	s.until("the second step", time.Hour, func() bool { return s.live.Current().Applied() == 5000 })
}

// A store of an older state, a replica that had not heard of the last change,
// does not undo what was acknowledged.
func TestOlderStore(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.must(ActionStart, "r")
	s.pass(5 * time.Minute)
	older := s.c.state
	replica := func(of State) {
		s.store = NewMemoryStore()
		if err := s.store.Swap(t.Context(), 0, of); err != nil {
			t.Fatal(err)
		}
		s.c.Store = s.store
	}
	s.must(ActionPause, "the figures look strange")
	paused := s.c.state
	replica(older)
	s.pass(2 * time.Second)
	if got, _, _ := s.store.Load(t.Context()); got.Phase != Paused || s.c.state.Phase != Paused {
		t.Errorf("stored %s, held %s", got.Phase, s.c.state.Phase)
	}

	// Somebody who never knew of the pause has gone on with the older state.
	ahead := older
	ahead.Version = s.c.state.Version + 5
	replica(ahead)
	s.pass(2 * time.Second)
	if got, _, _ := s.store.Load(t.Context()); got.Phase != Paused || got.Version <= ahead.Version || s.c.state.Version != got.Version {
		t.Errorf("stored %s of version %d, held %s", got.Phase, got.Version, s.c.state.Phase)
	}

	// A resume that was acknowledged is newer than the pause.
	s.must(ActionResume, "they are good")
	replica(paused)
	s.pass(2 * time.Second)
	if got, _, _ := s.store.Load(t.Context()); got.Phase != Running {
		t.Errorf("stored %s", got.Phase)
	}
	if got := s.lines(); got != "start pause resume" {
		t.Error(got)
	}
}

// deafStore does what it is asked, and answers that it did not.
type deafStore struct {
	Store
	deaf bool
}

func (d *deafStore) Swap(ctx context.Context, old int64, next State) error {
	err := d.Store.Swap(ctx, old, next)
	if d.deaf {
		return errors.New("i/o timeout")
	}
	return err
}

// Of a rollback that was stored without an answer, people are told all the
// same, and once.
func TestToldWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	store := &deafStore{Store: NewMemoryStore()}
	s := newStand(t, func(s *stand) { s.store = store })
	s.must(ActionStart, "r")
	s.pass(time.Minute)
	store.deaf, s.sesBad = true, 1
	s.until("the rollback", time.Minute, func() bool { return s.live.Current().Applied() == 0 })
	store.deaf = false
	s.pass(time.Minute)
	s.at("recorded", RolledBack, -1, 0)
	var told []string
	for _, e := range s.told {
		told = append(told, string(e.Action))
	}
	if got := strings.Join(told, " "); got != "start rollback" {
		t.Error(got)
	}
}

// TestSecondTripWithoutTheStore: the second rollback goes to 0 whether the first
// could be recorded or not.
func TestSecondTripWithoutTheStore(t *testing.T) {
	t.Parallel()
	broken := &brokenStore{Store: NewMemoryStore()}
	s := newStand(t, func(s *stand) { s.store = broken })
	s.must(ActionStart, "r")
	s.must(ActionPromote, "to 50")
	s.must(ActionPromote, "to 100")
	s.pass(time.Minute)
	broken.err = errors.New("no answer")
	s.sesBad = 1
	var went []split.Percent
	for range 120 {
		s.pass(time.Second)
		if p := s.live.Current().Applied(); len(went) == 0 || went[len(went)-1] != p {
			went = append(went, p)
		}
	}
	if !slices.Equal(went, []split.Percent{10000, 5000, 0}) {
		t.Errorf("it went to %v", went)
	}
	broken.err = nil
	s.pass(5 * time.Second)
	if s.at("recorded", RolledBack, -1, 0); s.c.state.Trips != 2 {
		t.Errorf("%d trips", s.c.state.Trips)
	}
}

type brokenStore struct {
	Store
	err error
}

func (b *brokenStore) Load(ctx context.Context) (State, bool, error) {
	if b.err != nil {
		return State{}, false, b.err
	}
	return b.Store.Load(ctx)
}

func (b *brokenStore) Swap(ctx context.Context, old int64, next State) error {
	if b.err != nil {
		return b.err
	}
	return b.Store.Swap(ctx, old, next)
}

// An order needs no reason: the record then says that it was given by hand.
func TestOrdersWithoutReason(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	for _, c := range []struct {
		action Action
		want   string
	}{{ActionStart, "started by hand"}, {ActionPause, "paused by hand"}, {ActionResume, "resumed by hand"}, {ActionPromote, "promoted by hand"}} {
		s.must(c.action, " ")
		if all := s.c.View(t.Context()).Decisions; all[0].Action != c.action || all[0].Reason != c.want {
			t.Errorf("%s: %+v", c.action, all[0])
		}
	}
}

func TestOrdersThatDoNotFit(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	for _, a := range []Action{ActionPause, ActionResume, ActionPromote, ActionHold} {
		if err := s.do(a, Order{Reason: "r"}); !errors.Is(err, ErrPhase) {
			t.Errorf("%s: %v", a, err)
		}
	}
	s.must(ActionStart, "r")
	if err := s.do(ActionStart, Order{Reason: "r"}); !errors.Is(err, ErrPhase) || !strings.Contains(err.Error(), "running") {
		t.Errorf("%v", err)
	}
	s.plan = errors.New("no quota")
	s = newStand(t, func(s *stand) { s.plan = errors.New("no quota") })
	if err := s.do(ActionStart, Order{Reason: "r"}); err == nil {
		t.Error("started past the plan")
	}
	s.at("nothing has changed", Idle, -1, 0)
}

// nobody is the lease of an instance that another leads.
type nobody struct{}

func (nobody) Hold(context.Context) bool { return false }
func (nobody) Holder() string            { return "relay-1" }

// TestGateBeforeAnybodyLooked: an instance that does not lead shows the gate
// too, and none says "pass" of what it has not judged.
func TestGateBeforeAnybodyLooked(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	if v := s.c.gate; v.Verdict != Hold {
		t.Errorf("before the first look: %+v", v)
	}
	s.must(ActionStart, "go")
	s.pass(10 * time.Minute)
	other, err := New(t.Context(), Config{Instance: "relay-2", Live: s.live, Store: s.store, Meter: NewMeter(), Lease: nobody{},
		Quota: func() QuotaUse { return QuotaUse{} }, Events: s.events, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
		Now: func() time.Time { return s.now }}, s.set)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 * gateEvery {
		s.now = s.now.Add(time.Second)
		other.Tick(t.Context())
	}
	if v := other.View(t.Context()); v.Phase != s.c.state.Phase || len(v.Gate.Criteria) == 0 {
		t.Errorf("%s, the gate by an instance that does not lead: %+v", v.Phase, v.Gate)
	}
}
