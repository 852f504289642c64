package rollout

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// slowly is a rollout at 1 % of 15 mails a second, four hours long.
func slowly(t *testing.T) *stand {
	t.Helper()
	s := newStand(t, func(s *stand) {
		s.perSecond = 15
		s.set.Steps = []Step{SetPercent(100), PauseFor(4 * time.Hour), SetPercent(5000)}
	})
	s.must(ActionStart, "r")
	s.pass(3 * time.Hour)
	return s
}

// TestSilenceAtALowRate: 200 mails in half an hour are silence too.
func TestSilenceAtALowRate(t *testing.T) {
	t.Parallel()
	s := slowly(t)
	s.silent = true
	s.until("the rollback", 30*time.Minute, s.in(RolledBack))
	if trip := s.c.state.LastTrip; trip.Reasons[0] != NoData {
		t.Errorf("%+v", trip)
	}
}

// TestGateOnOldReports: reports that ended hours ago pass no gate, however little
// was sent since and whoever looks.
func TestGateOnOldReports(t *testing.T) {
	t.Parallel()
	for name, boot := range map[string]bool{"it was there": false, "it came just before the gate": true} {
		s := slowly(t)
		s.silent, s.perSecond = true, 1
		s.pass(time.Hour - 2*time.Minute)
		if boot {
			s.boot()
		}
		s.pass(time.Hour)
		s.at(name, Gating, 1, 100)
	}
	s := slowly(t)
	s.pass(time.Hour - 2*time.Minute)
	s.boot()
	s.until("good reports", 10*time.Minute, func() bool { return s.live.Current().Applied() == 5000 })
}

// TestBrakeByHandForgetsItsReason: bounces for which somebody has pulled the
// brake are not the guard's when it is released.
func TestBrakeByHandForgetsItsReason(t *testing.T) {
	t.Parallel()
	for _, braked := range []time.Duration{time.Minute, 10 * time.Minute, time.Hour} {
		s := newStand(t)
		s.must(ActionStart, "r")
		s.pass(20 * time.Minute)
		s.bounces = 0.5
		s.pass(90 * time.Second) // none of them can be read yet
		s.live.Brake("sato", "bounces")
		s.bounces = 0
		s.pass(braked)
		if _, err := s.live.Release(t.Context(), s.live.Current().Version, "mended", "sato"); err != nil {
			t.Fatal(err)
		}
		s.pass(20 * time.Minute)
		if s.live.Current().Applied() != 1000 {
			t.Errorf("after %s: %s in force, %+v", braked, s.live.Current().Applied(), s.c.state.LastTrip)
		}
		s.bounces = 0.5
		s.until("new bounces", 5*time.Minute, func() bool { return s.live.Current().Applied() == 0 })
		if !slices.Contains(s.c.state.LastTrip.Reasons, Bounce) || strings.Contains(s.lines(), "rollback rollback") {
			t.Errorf("%+v", s.c.state.LastTrip)
		}
	}
}
