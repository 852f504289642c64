package rollout

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sesrelay/internal/split"
)

// TestMonth plays the migration on a virtual clock: three relays, twelve
// servers, 5.3 million mails a day as a day in Japan has them, 10 %, 50 % and
// 100 %, and at each of them three kinds of trouble or four. In every history:
// nothing is ever above the step, no step rises on bad or missing data, no
// fault stays unanswered for more than 15 s after it could be measured, and
// nothing is put back without a fault. ROLLOUT_HISTORIES sets how many, from seed
// ROLLOUT_FIRST on, so that one that failed can be played again; it ends before
// the time of go test -timeout does.
func TestMonth(t *testing.T) {
	t.Parallel()
	histories := 2 // every kind of trouble once
	if n, err := strconv.Atoi(os.Getenv("ROLLOUT_HISTORIES")); err == nil {
		histories = n
	}
	first, _ := strconv.ParseUint(os.Getenv("ROLLOUT_FIRST"), 10, 64) // without it from 0
	all := newAnswers()
	seeds := make(chan uint64)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := range seeds {
				var one sync.WaitGroup // a history that fails ends its goroutine
				one.Go(func() { playMonth(t, seed, all) })
				one.Wait()
			}
		})
	}
	begun := 0
	for ; begun < histories && !t.Failed() && !nearly(t); begun++ {
		seeds <- first + uint64(begun)
	}
	close(seeds)
	wg.Wait()
	if !t.Failed() {
		all.check(t, begun)
	}
}

// idle is how often is looked while nothing is the matter.
const idle = time.Hour

// nearly reports whether the time of go test is nearly over.
func nearly(t *testing.T) bool {
	end, ok := t.Deadline()
	return ok && time.Until(end) < time.Minute
}

// perMonth is how much trouble a month has.
const perMonth = 10

// month is one history.
type month struct {
	*world
	t      *testing.T
	seed   uint64
	set    Settings
	record *answers
	end    time.Time

	current   *trouble // what is the matter; nil: nothing
	began     time.Time
	share     split.Percent // that was in force then
	byHand    split.Percent // the share that somebody has set past the rollout; 0: nobody
	redisBack time.Time
	last      string // trouble before

	breach   Name // that can be measured, and since when
	measured time.Time
	before   State // at the last look
	applied  split.Percent
}

// plan has the real steps, or shorter pauses, or one that waits for somebody.
func (m *month) plan() Settings {
	pauses := []time.Duration{168 * time.Hour, 72 * time.Hour, 0}
	set := standard()
	set.Steps = []Step{SetPercent(1000), PauseFor(pauses[m.seed%2]), SetPercent(5000), PauseFor(pauses[m.seed%3]), SetPercent(10000)}
	set.ToZero = m.seed%4 == 3
	return set
}

func playMonth(t *testing.T, seed uint64, record *answers) {
	m := &month{t: t, seed: seed, record: record}
	m.set = m.plan()
	w, err := newWorld(seed, m.set)
	if err != nil {
		t.Error(err)
		return
	}
	m.world, m.end = w, w.now.Add(31*24*time.Hour)
	m.look(time.Second)
	m.order(ActionStart)
	next := int(seed) * perMonth
	for i, share := range []split.Percent{1000, 5000, 10000} {
		m.reach(share)
		for range perMonth/3 + i/2 { // 3, 3 and 4: over the months each of them at every share
			m.wait(share)
			m.meet(&troubles[next%len(troubles)])
			m.recover(share)
			next++
		}
	}
	for m.now.Before(m.end) {
		m.look(idle)
	}
	m.record.history(m.redis.state().Phase == Completed)
}

// fail ends the history with what it was doing.
func (m *month) fail(format string, args ...any) {
	what := "nothing since " + m.last
	if m.current != nil {
		what = fmt.Sprintf("%s since %s, at %s %%", m.current.name, m.now.Sub(m.began), m.share)
	}
	s := m.redis.state()
	m.t.Errorf("seed %d, %s, with %s: %s; the rollout is %s at %s %%, applied %s, guards %q", m.seed, m.now.Format(time.RFC3339),
		what, fmt.Sprintf(format, args...), s.Phase, s.Percent, m.live.Current().Applied(), m.guards())
	runtime.Goexit()
}

func (m *month) guards() (out []string) {
	for _, s := range m.living() {
		out = append(out, s.name+": "+strings.Join(s.c.guard.Reasons, "; "))
	}
	return out
}

// look lets time go by and checks everything.
func (m *month) look(d time.Duration) {
	m.step(d)
	m.seen.forget()
	s := m.redis.state()
	m.neverAbove(&s)
	m.neverUnanswered()
	for _, d := range newDecisions(m.before.Decisions, s.Decisions) {
		m.judged(&d)
	}
	m.neverByItself(&s)
	if p := m.live.Current().Applied(); p != m.applied {
		m.applied, m.breach = p, ""
		m.seen.newShare()
	}
	if !s.StepSince.Equal(m.before.StepSince) {
		m.seen.newStep()
	}
	m.before = s
}

func (m *month) neverAbove(s *State) {
	if p := m.live.Current().Applied(); p > max(s.Percent, m.byHand) {
		m.fail("%s %% are above the step", p)
	}
}

// neverUnanswered fails when what can be measured has not moved the split
// within 15 s; what SES reports is read every ten seconds besides.
func (m *month) neverUnanswered() {
	b := m.seen.breach()
	if m.current != nil && m.current.both && !m.expects() {
		b = "" // that it is not SES's is what is expected
	}
	if p := m.live.Current().Applied(); p != m.applied || p == 0 {
		b = ""
	}
	if b != m.breach && (b == "" || m.breach == "") {
		m.breach, m.measured = b, m.now
	}
	limit := 15 * time.Second
	if b == Bounce || b == Complaint || b == NoData {
		limit = max(30*time.Second, 2*m.pace())
	}
	if b != "" && m.now.Sub(m.measured) > limit {
		m.fail("%s can be measured since %s", b, m.now.Sub(m.measured))
	}
}

// judged checks a decision that was not a person's.
func (m *month) judged(d *Decision) {
	switch d.Action {
	case ActionAdvance, ActionComplete:
		if why := m.seen.unfit(); why != "" || d.Who != rolloutName {
			m.fail("%s by %s in spite of: %s", d.Action, d.Who, why)
		}
		if pause := m.set.pauseAt(d.From); m.now.Sub(m.before.StepSince) < pause {
			m.fail("%s after %s of %s", d.Action, m.now.Sub(m.before.StepSince), pause)
		}
		m.record.rose()
		if m.current != nil { // it came before the trouble could be measured
			m.share = d.To
		}
	case ActionRollback:
		if !m.expects() {
			m.fail("put back without a fault: %s", d.Reason)
		}
		if d.To >= d.From || m.set.ToZero && d.To != 0 {
			m.fail("put back from %s to %s %%", d.From, d.To)
		}
	}
}

// pauseAt is how long a share is kept before its gate is looked at.
func (s *Settings) pauseAt(p split.Percent) time.Duration {
	if i := stepAt(s.Steps, p); i+1 < len(s.Steps) {
		return s.Steps[i+1].Pause
	}
	return 0
}

func newDecisions(before, now []Decision) []Decision {
	if n := len(before); n > 0 {
		last := &before[n-1]
		for i, d := range slices.Backward(now) {
			if d.At.Equal(last.At) && d.Action == last.Action && d.Who == last.Who {
				return now[i+1:]
			}
		}
	}
	return now
}

// neverByItself: who stands still waits for a person.
func (m *month) neverByItself(s *State) {
	if s.Phase != m.before.Phase && s.Phase != RolledBack && s.Phase != Held && s.Phase != Aborted {
		switch m.before.Phase {
		case Held, RolledBack, Aborted, Completed:
			m.fail("%s became %s by itself", m.before.Phase, s.Phase)
		}
	}
}

// order is what the operator says, to any relay.
func (m *month) order(a Action) {
	living := m.living()
	c := living[m.r.IntN(len(living))].c
	if err := c.Do(context.Background(), a, Order{Who: "ops", Reason: "the plan"}); err != nil {
		m.fail("%s: %v", a, err)
	}
	s := m.redis.state()
	m.neverAbove(&s)
	if !s.StepSince.Equal(m.before.StepSince) {
		m.seen.newStep()
	}
	if p := m.live.Current().Applied(); p != m.applied {
		m.applied, m.breach = p, ""
		m.seen.newShare()
	}
	m.before = s
}

// reach lets the rollout come to a share by itself, or the operator promote a
// day after the date of the plan.
func (m *month) reach(share split.Percent) {
	due := m.now.Add(8 * 24 * time.Hour)
	for m.before.Percent < share {
		if m.before.Phase == Paused || m.now.After(due) {
			m.order(ActionPromote)
		}
		m.look(idle)
		if m.now.After(due.Add(time.Hour)) {
			m.fail("%s %% are not reached", share)
		}
	}
}

// wait is time without trouble: hours, or until just before a gate. Its end is
// looked at closely, so that a window holds what it would.
func (m *month) wait(share split.Percent) {
	until := m.now.Add(time.Hour + time.Duration(m.r.IntN(24*60))*time.Minute)
	if !m.before.Until.IsZero() && m.r.IntN(4) == 0 {
		until = m.before.Until.Add(-time.Duration(m.r.IntN(600)) * time.Second)
	}
	for until.Sub(m.now) > idle+7*time.Minute {
		m.look(idle)
	}
	if left := until.Sub(m.now) - 7*time.Minute; left > time.Second {
		m.look(left.Truncate(time.Second))
	}
	for range 14 {
		m.look(30 * time.Second)
	}
}

// meet lets something happen, and waits for the answer.
func (m *month) meet(t *trouble) {
	m.current, m.began, m.share = t, m.now, m.live.Current().Applied()
	t.begin(m)
	if m.expects() {
		m.answered()
	} else {
		m.endured()
	}
	m.over()
}

// pace is how often is looked while something is the matter.
func (m *month) pace() time.Duration {
	if m.current == nil || m.current.pace == 0 {
		return 5 * time.Second
	}
	return m.current.pace
}

// answered waits for the rollback, lets the fault go on, and ends it.
func (m *month) answered() {
	at, began := m.live.Current().Applied(), m.began // a person may just have changed it
	for m.live.Current().Applied() >= at {
		if p := m.live.Current().Applied(); p > at { // before it could be seen; the new step has figures of its own
			at, began = p, m.now
			m.share = p
		}
		if m.now.Sub(began) > m.current.within {
			m.fail("not put back")
		}
		m.look(m.pace())
		m.redisReturns()
	}
	m.record.answer(m.current.name, m.share, m.now.Sub(began))
	for end := m.now.Add(time.Duration(m.r.IntN(20)) * time.Minute); m.now.Before(end) || m.redis.away; m.redisReturns() {
		if m.look(m.pace()); m.live.Current().Applied() == 0 {
			m.look(time.Minute)
		}
	}
	m.look(5 * time.Second)
	if s := m.redis.state(); s.Phase != RolledBack || s.Percent != m.live.Current().Applied() || s.Percent >= m.share && m.byHand == 0 {
		m.fail("not recorded as put back")
	}
}

func (m *month) redisReturns() {
	if m.redis.away && m.now.After(m.redisBack) {
		m.redis.away = false
	}
}

// endured is trouble that nothing is put back for.
func (m *month) endured() {
	lasts := m.current.lasts
	if lasts == 0 {
		lasts = 10 * time.Minute
	}
	for end := m.now.Add(lasts); m.now.Before(end); {
		m.look(5 * time.Second)
	}
	if m.current.after != nil {
		m.current.after(m)
	}
	m.record.answer(m.current.name, m.share, 0)
}

// over ends the trouble: windows run empty, and dead relays come back.
func (m *month) over() {
	m.fault, m.redis.away = usual, false
	for _, s := range m.relays {
		if s.dead {
			if err := m.boot(s, m.set); err != nil {
				m.fail("%v", err)
			}
		}
	}
	for range 34 { // 17 minutes; what was sent last is yet to be reported, and may still put it back
		m.look(30 * time.Second)
	}
	m.last, m.current = m.current.name, nil
}

// recover is what the operator does afterwards, until the share is back.
func (m *month) recover(share split.Percent) {
	for range m.r.IntN(3) {
		m.look(idle)
	}
	m.goOn()
	m.byHand = 0
	for m.before.Percent < share {
		for range 1 + m.r.IntN(6) {
			m.look(idle)
		}
		if m.before.Percent < share {
			m.order(ActionPromote)
		}
	}
}

// goOn is what a rollout that stands still waits for. A person takes back what
// a person did.
func (m *month) goOn() {
	if cur := m.live.Current(); cur.Brake != nil && cur.Brake.By == "sato" {
		m.byPerson(m.live.Release(context.Background(), cur.Version, "over", "sato"))
	}
	switch s := m.redis.state(); {
	case s.Phase == Aborted:
		m.order(ActionStart)
	case s.Phase == Held || s.Phase == RolledBack:
		m.order(ActionResume)
	case s.Phase == Paused && s.Interrupted != Paused:
		m.order(ActionResume)
	case s.Phase == Completed && m.byHand != 0:
		m.byPerson(m.live.Set(context.Background(), m.live.Current().Version, s.Percent, "over", "kato"))
	}
}

func (m *month) byPerson(_ *split.Snapshot, err error) {
	if err != nil {
		m.fail("%v", err)
	}
	m.look(5 * time.Second)
}
