package rollout

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

// TestOutageOfTheStoreIsInTheStage: what failed while the store was away counts
// for the gate afterwards, to the mail.
func TestOutageOfTheStoreIsInTheStage(t *testing.T) {
	t.Parallel()
	broken := &brokenStore{Store: NewMemoryStore()}
	s := newStand(t, func(s *stand) { s.store, s.perSecond = broken, 20 })
	s.must(ActionStart, "r")
	s.pass(10 * time.Minute)
	broken.err = errors.New("no answer")
	s.sesBad = 0.02
	s.pass(6 * time.Hour)
	broken.err, s.sesBad = nil, 0
	s.pass(time.Hour)
	s.at("the gate has seen it", Gating, 1, 1000)
	if c := s.c.gate.Criteria[0]; c.Name != Acceptance || c.Verdict != Hold || *c.Value > 98.5 {
		t.Errorf("%+v", c)
	}
	got, want := s.c.Report(t.Context()).Stages[0].SES, s.meter.Total()["10"].SES
	if got.Accepted != want.Accepted || got.Failed != want.Failed || got.Failed == 0 {
		t.Errorf("the stage has %d and %d failed, counted were %d and %d", got.Accepted, got.Failed, want.Accepted, want.Failed)
	}
	if n := len(s.c.pending.parts); n > 40 {
		t.Errorf("%d parts are kept", n)
	}
}

// counted adds up what the relays have counted of a step, and what the stored
// stage has.
func (w *world) counted(step string) (meters, stage Hop) {
	for _, s := range w.relays {
		if c := s.meter.Total()[step]; c != nil {
			meters.add(&c.SES, 1)
		}
	}
	all := w.redis.state().Stages
	return meters, all[len(all)-1].Counts.SES
}

// TestStageOfAFleetCountsEverything: whoever leads, whoever led before, and
// whatever was away meanwhile.
func TestStageOfAFleetCountsEverything(t *testing.T) {
	t.Parallel()
	w, err := newWorld(1, standard())
	if err != nil {
		t.Fatal(err)
	}
	w.seconds(2)
	if err := w.leader().c.Do(t.Context(), ActionStart, Order{Who: "ops"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		happens func()
	}{
		{"nothing", func() {}},
		{"a takeover", func() { w.seconds(5); w.handOver() }},
		{"a lost lease", func() { w.redis.holder, w.redis.until = "nobody", w.now.Add(3*time.Second) }},
		{"Redis away, another leads", func() {
			w.redis.away, w.fault.ses = true, 0.02
			w.seconds(40 * 60)
			w.fault.ses = usual.ses
			w.handOver()
			w.redis.away = false
		}},
		{"Redis forgets who lives", func() {
			w.redis.away = true
			w.seconds(20 * 60)
			clear(w.redis.said)
			w.redis.away = false
			for _, s := range w.relays { // one look finds nobody else
				clear(w.redis.said)
				s.c.Tick(t.Context())
			}
		}},
		{"an order elsewhere", func() {
			w.seconds(3)
			other := w.relays[slices.IndexFunc(w.relays, func(s *simRelay) bool { return !s.c.leads })]
			for _, a := range []Action{ActionPause, ActionResume} {
				if err := other.c.Do(t.Context(), a, Order{Who: "ops"}); err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		w.seconds(35)
		c.happens()
		w.seconds(60)
		for w.now.Sub(w.leader().c.saved) > 0 { // until just behind a save
			w.seconds(1)
		}
		meters, stage := w.counted("10")
		if off := stage.Accepted + stage.Failed - meters.Accepted - meters.Failed; off != 0 {
			t.Fatalf("%s: the stage has %d and %d failed, the relays counted %d and %d", c.name, stage.Accepted, stage.Failed, meters.Accepted, meters.Failed)
		}
	}
}

// TestLumpIsNoWindow: what an instance tells after hours is no figure of the
// last minutes.
func TestLumpIsNoWindow(t *testing.T) {
	t.Parallel()
	s, said := newStand(t), &another{}
	s.c.Exchange = said
	s.c.Reconfigure(Settings{Steps: s.set.Steps, Gate: s.set.Gate, Guard: s.set.Guard, Armed: true, Window: 4 * time.Minute})
	s.must(ActionStart, "r")
	said.total = map[string]*Counts{"10": {SES: Hop{Accepted: 1000}}}
	s.pass(time.Minute)
	said.err = errors.New("no answer")
	s.pass(40 * time.Minute)
	said.err, said.total = nil, map[string]*Counts{"10": {SES: Hop{Accepted: 2000, Failed: 4000}}}
	s.pass(11 * time.Second)
	s.at("no rollback", Running, 1, 1000)
	if st := s.c.Report(t.Context()).Stages[0].SES; st.Failed != 4000 || s.c.gate.Criteria[0].Verdict != Hold {
		t.Errorf("%+v, %+v", st, s.c.gate.Criteria[0])
	}
}

// another is one more instance.
type another struct {
	total map[string]*Counts
	err   error
}

func (s *another) Trade(context.Context, map[string]*Counts) (map[string]map[string]*Counts, error) {
	return map[string]map[string]*Counts{"other": s.total}, s.err
}
