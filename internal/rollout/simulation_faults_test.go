package rollout

import (
	"context"
	"time"

	"sesrelay/internal/split"
)

// trouble is one thing that goes wrong, or that somebody does.
type trouble struct {
	name     string
	begin    func(*month)
	rollback bool          // the guard has to answer
	both     bool          // at 100 % too: Cuenote has no mail then that would show the same
	within   time.Duration // of its beginning, at worst: with the least mail of a night, at 10 %
	pace     time.Duration // of the looks; 0: five seconds
	lasts    time.Duration // without a rollback; 0: ten minutes
	after    func(*month)  // what has to hold then; nil: nothing more
}

// troubles are all kinds. What SES reports takes two minutes to be readable.
var troubles = []trouble{
	{name: "outage of SES", begin: func(m *month) { m.fault.ses = 1 }, rollback: true, within: 3 * time.Minute},
	{name: "half of the mail fails", begin: func(m *month) { m.fault.ses = 0.5 }, rollback: true, within: 3 * time.Minute},
	{name: "no answer after the data", begin: func(m *month) { m.fault.unknown = 0.3 }, rollback: true, within: 3 * time.Minute},
	{name: "ten minutes of delay", begin: func(m *month) { m.fault.delay = 10 * time.Minute }, rollback: true, within: 3 * time.Minute},
	{name: "30 % bounce", begin: func(m *month) { m.fault.bounce = 0.3 }, rollback: true, within: 8 * time.Minute},
	{name: "20 % complain", begin: func(m *month) { m.fault.complaint = 0.2 }, rollback: true, within: 6 * time.Hour, pace: 20 * time.Second},
	{name: "SES reports nothing", begin: func(m *month) { m.fault.silent = true }, rollback: true, within: 16 * time.Minute},
	{name: "Redis away", begin: func(m *month) { m.redis.away = true }, after: (*month).still},
	{name: "Redis away, outage of SES", begin: func(m *month) { m.redis.away = true; m.redisBack = m.now.Add(10 * time.Minute); m.fault.ses = 1 }, rollback: true, within: 12 * time.Minute},
	{name: "the leader is killed", begin: (*month).kill, after: (*month).takenOver},
	{name: "the leader is killed, outage of SES", begin: func(m *month) { m.kill(); m.fault.ses = 1 }, rollback: true, within: 3 * time.Minute},
	{name: "the leader is killed, 30 % bounce", begin: func(m *month) { m.kill(); m.fault.bounce = 0.3 }, rollback: true, within: 8 * time.Minute},
	{name: "both upstreams fail", begin: func(m *month) { m.fault.ses, m.fault.cuenote = 0.5, 0.5 }, both: true, within: 3 * time.Minute, after: (*month).still},
	{name: "both upstreams are late", begin: func(m *month) { m.fault.delay, m.fault.late = 10*time.Minute, true }, both: true, within: 3 * time.Minute, after: (*month).still},
	{name: "the split is set by hand", begin: (*month).setByHand, after: (*month).held},
	{name: "set by hand, outage of SES", begin: func(m *month) { m.setByHand(); m.fault.ses = 1 }, rollback: true, within: 7 * time.Minute},
	{name: "the brake by hand", begin: func(m *month) { m.live.Brake("sato", "to be sure") }, after: (*month).held},
	{name: "paused, outage of SES", begin: func(m *month) { m.pause(); m.fault.ses = 1 }, rollback: true, within: 3 * time.Minute},
	{name: "aborted", begin: func(m *month) { m.order(ActionAbort) }, lasts: time.Minute, after: (*month).gone},
}

// expects says whether the guard has to put the split back.
func (m *month) expects() bool {
	t := m.current
	return t != nil && (t.rollback || t.both && m.share == split.Full)
}

// kill ends the process that leads, without a word.
func (m *month) kill() {
	if s := m.leader(); s != nil {
		s.dead = true
	}
}

// setByHand sets a share between 1 and 100 % that is not the one in force.
func (m *month) setByHand() {
	s := m.live.Current()
	p := s.Applied()/2 + 1
	if s.Applied() < 10000 && m.r.IntN(2) == 0 {
		p = s.Applied() + 500
	}
	if _, err := m.live.Set(context.Background(), s.Version, p, "a test", "kato"); err != nil {
		m.t.Fatalf("seed %d: %v", m.seed, err)
	}
	m.byHand = p
}

// still: nothing has moved, neither up nor down, once it could be measured.
func (m *month) still() {
	if m.expects() { // a step to 100 % came before, and the rollback after it
		return
	}
	if p := m.live.Current().Applied(); p != m.share {
		m.fail("%s %% in force, and it began at %s %%", p, m.share)
	}
}

// takenOver: another relay leads, and may have gone to the next step.
func (m *month) takenOver() {
	if p := m.live.Current().Applied(); p < m.share {
		m.fail("%s %% in force, and it began at %s %%", p, m.share)
	}
	if m.leader() == nil {
		m.fail("nobody leads")
	}
}

// pause is the operator's, of a rollout that is under way.
func (m *month) pause() {
	if m.before.Phase.underway() {
		m.order(ActionPause)
	}
}

// held: the rollout leaves the split alone. One that is completed has left it before.
func (m *month) held() {
	if s := m.redis.state(); s.Phase != Completed && (s.Phase != Held || s.Stop.Reason == "") {
		m.fail("%s: %q", s.Phase, s.Stop.Reason)
	}
}

func (m *month) gone() {
	if s := m.redis.state(); s.Phase != Aborted || m.live.Current().Applied() != 0 {
		m.fail("%s at %s %%", s.Phase, m.live.Current().Applied())
	}
}
