package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/redistest"
)

// brakeIn is the time in which a brake has to be in force everywhere.
const brakeIn = 2 * time.Second

// TestFleetBrake pulls the brake while Redis is gone: frozen first, dead then.
// Every instance gives SES nothing at once; only a versioned change, which
// needs Redis, takes the brake off.
func TestFleetBrake(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	f := startFleet(t, fleetOptions{size: 5, relayOptions: relayOptions{plain: true}, redis: at(s)})
	slow := watchStalls(t)
	f.everywhere(t, 0, "split", "set", "100", "--reason", "test", "--force")
	for i, away := range []struct {
		name      string
		lose, fix func() error
	}{
		{"frozen", s.Freeze, s.Thaw},
		{"killed", func() error { s.Kill(); return nil }, s.Run}, // and comes back empty
	} {
		f.eachAnswers(t, away.name+"before", bySES)
		if err := away.lose(); err != nil {
			t.Fatal(err)
		}
		f.brake(t, 1+i, slow)
		f.eachAnswers(t, away.name+"braked", byCuenote)
		if out := f.all[3].refused(t, "brake", "release", "--reason", "too early"); !strings.Contains(strings.ToLower(out), "redis") {
			t.Errorf("%s: the refusal does not name Redis:\n%s", away.name, out)
		}
		if err := away.fix(); err != nil {
			t.Fatal(err)
		}
		f.wait(t, "Redis", func(r *relayProcess) error {
			if v := r.view(t); !r.up(t) || v.Brake == nil || v.Applied != 0 || v.SESPercent != 100 {
				return fmt.Errorf("up %t, %+v", r.up(t), v)
			}
			return nil
		})
		f.released(t, 4, int64(2+i))
	}
	f.oneHistory(t, "release", "brake", "release", "brake", "set")
}

// brake pulls it on one instance and waits until all have it on.
func (f *fleet) brake(t *testing.T, i int, slow *stalls) {
	t.Helper()
	began := time.Now()
	said := make(chan string, 1)
	go func() {
		out, err := f.all[i].command("brake", "--reason", "test").CombinedOutput()
		said <- fmt.Sprintf("%s%v", out, err)
	}()
	f.apply(t, 0)
	took := time.Since(began)
	lost, _ := slow.between(began, time.Now())
	if took > brakeIn+lost {
		t.Errorf("the brake needed %v on all instances", took)
	}
	out := <-said
	if !strings.Contains(out, fmt.Sprintf("by %d of %[1]d instances", len(f.all))) || !strings.HasSuffix(out, "<nil>") || !strings.Contains(out, "not saved") {
		t.Errorf("relay brake:\n%s", out)
	}
	t.Logf("the brake is on everywhere after %v (this process stood still for %v)", took.Round(time.Millisecond), lost.Round(time.Millisecond))
}

// released takes the brake off by one instance, for all.
func (f *fleet) released(t *testing.T, i int, version int64) {
	t.Helper()
	f.everywhere(t, i, "brake", "release", "--reason", "test")
	f.apply(t, 100)
	for _, r := range f.all {
		if v := r.view(t); v.Brake != nil || v.Version != version {
			t.Errorf("after the release, version %d: %+v", version, v)
		}
	}
}

// oneHistory waits until every instance shows the same changes, newest first.
func (f *fleet) oneHistory(t *testing.T, actions ...string) {
	t.Helper()
	f.wait(t, "one history", func(r *relayProcess) error {
		var got []string
		for _, c := range r.history(t) {
			got = append(got, c.Action)
		}
		if strings.Join(got, " ") != strings.Join(actions, " ") {
			return fmt.Errorf("%v, not %v", got, actions)
		}
		return nil
	})
}

// TestFleetTwoMasters has a fleet torn in two, each half with a master of its
// own and another value under the same version. When there is one master again
// the lower value counts, whichever master stays.
func TestFleetTwoMasters(t *testing.T) {
	t.Parallel()
	one, other := startRedis(t), startRedis(t)
	left, right := startProxy(t, one.Addr), startProxy(t, one.Addr)
	f := startFleet(t, fleetOptions{size: 4, relayOptions: relayOptions{plain: true}, redis: through(left.Addr, left.Addr, right.Addr)})
	f.everywhere(t, 0, "split", "set", "60", "--reason", "one fleet", "--force")
	for i, c := range []struct {
		left, right float64
		heal        *redistest.Proxy
		to          *redistest.Server
	}{
		{50, 20, right, one}, // the master that goes has the lower value
		{10, 40, right, one}, // the one that stays has it
	} {
		version := int64(1 + i)
		right.Lead(other.Addr)
		f.parted(t, version)
		for j, percent := range []float64{c.left, c.right} {
			eventually(t, 20*time.Second, "a half to change the split", func() error {
				switch code := f.all[2*j].put(t, percent, version, "torn"); code {
				case 200, 412: // a 503 before may have been in force all the same: apply2 sees it
					return nil
				default:
					return fmt.Errorf("half %d: status %d", j+1, code)
				}
			})
		}
		f.apply2(t, c.left, c.right)
		c.heal.Lead(c.to.Addr)
		f.apply(t, min(c.left, c.right))
		for _, r := range f.all {
			if v := r.view(t); v.Version != version+1 {
				t.Errorf("version %d after the halves met, want %d", v.Version, version+1)
			}
		}
		if _, err := other.Do("FLUSHALL"); err != nil {
			t.Fatal(err)
		}
	}
	f.everywhere(t, 3, "split", "set", "70", "--reason", "healed", "--force")
	f.eachAnswers(t, "healed", "250 ")
}

// parted waits until both halves work and know their own two instances only.
func (f *fleet) parted(t *testing.T, version int64) {
	t.Helper()
	f.wait(t, "the halves", func(r *relayProcess) error {
		if v := r.view(t); len(v.Instances) != 2 || v.Version != version || !r.up(t) {
			return fmt.Errorf("%d instances at version %d, up %t", len(v.Instances), v.Version, r.up(t))
		}
		return nil
	})
}

// apply2 waits until each half applies its own.
func (f *fleet) apply2(t *testing.T, left, right float64) {
	t.Helper()
	(&fleet{all: f.all[:2]}).apply(t, left)
	(&fleet{all: f.all[2:]}).apply(t, right)
}
