package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"sesrelay/internal/rollout"
)

// fakeRollout records orders and answers with err.
type fakeRollout struct {
	orders []string
	err    error
}

func (*fakeRollout) View(context.Context) rollout.View {
	return rollout.View{Phase: rollout.Running, Step: 1}
}

func (*fakeRollout) Report(context.Context) rollout.Report {
	return rollout.Report{Phase: rollout.Running, Trips: 2}
}

func (f *fakeRollout) Do(_ context.Context, action rollout.Action, o rollout.Order) error {
	f.orders = append(f.orders, fmt.Sprint(action, " ", o.Who, " ", o.Reason, " ", o.Full, " ", o.Force))
	return f.err
}

func TestRolloutOrders(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.want(f.ask("GET", "/v1/rollout", ""), 200, `"phase":"running"`)
	f.want(f.ask("GET", "/v1/rollout/report", ""), 200, `"trips":2`)
	f.want(f.ask("POST", "/v1/rollout/promote", `{"reason":"looks good","full":true}`), 200, `"phase":"running"`)
	f.want(f.ask("POST", "/v1/rollout/start", `{"reason":"week 1","force":true}`), 200)
	if got := strings.Join(f.rolls.orders, "; "); got != "promote local looks good true false; start local week 1 false true" {
		t.Error(got)
	}
	if log := f.log.String(); !strings.Contains(log, `"event":"changed","action":"rollout promote","who":"local"`) || !strings.Contains(log, `"reason":"looks good","full":true`) {
		t.Errorf("audit: %s", log)
	}
}

func TestRolloutRefusals(t *testing.T) {
	t.Parallel()
	for err, status := range map[error]int{
		rollout.ErrPhase: 409, rollout.ErrBrake: 409, rollout.ErrGuard: 409, rollout.ErrBusy: 409,
		rollout.ErrStore: 503, errors.New("boom"): 500,
	} {
		f := newFixture(t)
		f.rolls.err = fmt.Errorf("so: %w", err)
		f.want(f.ask("POST", "/v1/rollout/resume", `{"reason":"r"}`), status)
		if !strings.Contains(f.log.String(), `"event":"refused"`) {
			t.Errorf("%v leaves no audit line", err)
		}
	}
	f := newFixture(t)
	f.want(f.ask("POST", "/v1/rollout/promote", `{"percent":100}`), 422)
	f.want(f.ask("POST", "/v1/rollout/promote", `{`), 400)
	if len(f.rolls.orders) != 0 {
		t.Errorf("%v", f.rolls.orders)
	}
}

// An abort is carried out whatever its body.
func TestAbortNeedsNoBody(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, body := range []string{"", `{"reason":"bounces"}`, `{"why`, `{"unknown":1}`} {
		f.want(f.ask("POST", "/v1/rollout/abort", body), 200)
	}
	if len(f.rolls.orders) != 4 || f.rolls.orders[1] != "abort local bounces false false" {
		t.Errorf("%v", f.rolls.orders)
	}
}

func TestNoRollout(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(_ *fixture, cfg *Config, _ *Settings) { cfg.Rollout = nil })
	for _, r := range []string{"GET /v1/rollout", "GET /v1/rollout/report", "POST /v1/rollout/abort"} {
		method, target, _ := strings.Cut(r, " ")
		f.want(f.ask(method, target, ""), 404, "no rollout")
	}
}
