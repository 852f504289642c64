package e2e

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// appliedBy reads what `relay split set` prints about the fleet.
var appliedBy = regexp.MustCompile(`applied +by (\d+) of (\d+) instances, (\d+) ms after the command`)

// everywhere runs a command that changes the split, and returns the time that
// it says every instance has needed; 0: it did not wait for all, which a machine
// with too much to do may come to.
func (f *fleet) everywhere(t *testing.T, i int, args ...string) time.Duration {
	t.Helper()
	r := f.all[i]
	before := r.soon(t)
	var out string
	eventually(t, 20*time.Second, "relay "+strings.Join(args, " "), func() error {
		said, err := r.command(args...).CombinedOutput()
		if now := r.soon(t); err != nil && now.Version == before.Version && (now.Brake == nil) == (before.Brake == nil) {
			return fmt.Errorf("%w: %s", err, said)
		}
		out = string(said)
		return nil
	})
	f.apply(t, r.soon(t).Applied)
	m := appliedBy.FindStringSubmatch(out)
	if m == nil || m[1] != strconv.Itoa(len(f.all)) || m[2] != m[1] {
		t.Logf("relay %s: not confirmed by all %d:\n%s", args, len(f.all), out)
		return 0
	}
	ms, _ := strconv.Atoi(m[3])
	return time.Duration(ms)*time.Millisecond + 1
}

// TestFleetSplit moves the split on one instance: all follow, and say so. The
// processes have the race detector.
func TestFleetSplit(t *testing.T) {
	t.Parallel()
	f := startFleet(t, fleetOptions{size: 3, redis: at(startRedis(t))})
	f.eachAnswers(t, "none", byCuenote)
	took := f.everywhere(t, 0, "split", "set", "100", "--reason", "test", "--force")
	f.eachAnswers(t, "all", bySES)
	back := f.everywhere(t, 2, "split", "undo", "--reason", "test")
	f.eachAnswers(t, "back", byCuenote)
	t.Logf("applied by all after %v and %v", took, back)
	if took == 0 && back == 0 {
		t.Error("no change was confirmed by all")
	}
	if h := f.all[1].history(t); len(h) != 2 || h[0].Action != "undo" || h[1].After != 100 || h[1].Reason != "test" || h[1].Version != 1 {
		t.Errorf("history: %+v", h)
	}
}

// TestFleetConcurrentSets has every instance change the split at the same
// moment, many times: of each version there is one, and one list of them.
func TestFleetConcurrentSets(t *testing.T) {
	t.Parallel()
	const rounds = 12
	f := startFleet(t, fleetOptions{size: 5, relayOptions: relayOptions{plain: true}, redis: at(startRedis(t))})
	clear := 0
	for range rounds {
		if f.oneWins(t, f.all[0].view(t).Version) {
			clear++
		}
	}
	if clear < rounds/2 {
		t.Errorf("only %d of %d rounds ended with one winner and the others stale", clear, rounds)
	}
	f.wait(t, "one history", func(r *relayProcess) error {
		first, h := f.all[0].history(t), r.history(t)
		if len(h) < clear || !slices.Equal(h, first) {
			return fmt.Errorf("%+v, not %+v", h, first)
		}
		for i, c := range h {
			if c.Version != int64(len(h)-i) {
				return fmt.Errorf("line %d of the history has version %d", i, c.Version)
			}
		}
		return nil
	})
}

// oneWins lets all instances make the version after this one, and reports
// whether each of the others was told that it is stale: a Redis that does not
// answer in time, on a busy machine, is another refusal.
func (f *fleet) oneWins(t *testing.T, version int64) (stale bool) {
	t.Helper()
	answers := make([]int, len(f.all))
	var wg sync.WaitGroup
	for i, r := range f.all {
		wg.Go(func() {
			answers[i] = r.put(t, float64(10*i+int(version)), version, fmt.Sprintf("instance %d", i+1))
		})
	}
	wg.Wait()
	won, stale := 0, true
	for _, code := range answers {
		switch code {
		case http.StatusOK:
			won++
		case http.StatusServiceUnavailable:
			stale = false
		case http.StatusPreconditionFailed:
		default:
			t.Errorf("version %d: %v", version+1, answers)
		}
	}
	if won > 1 || won == 0 && stale {
		t.Fatalf("version %d: %d have won: %v", version+1, won, answers)
	}
	f.wait(t, fmt.Sprintf("version %d", version+1), func(r *relayProcess) error {
		if v := r.soon(t); v.Version > version+1 {
			t.Fatalf("version %d after one round of %d", v.Version, version)
		} else if v.Version <= version && won > 0 {
			return fmt.Errorf("version %d", v.Version)
		}
		return nil
	})
	return stale
}

// TestFleetLostMessages takes the messages away: one instance may not
// subscribe at all, and the subscriptions of the others are cut again and
// again. What is read every second brings the change all the same.
func TestFleetLostMessages(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	if err := s.Once("ACL SETUSER deaf on >x ~* +@all resetchannels", "OK"); err != nil {
		t.Fatal(err)
	}
	urls := []string{"redis://" + s.Addr, "redis://" + s.Addr, "redis://deaf:x@" + s.Addr}
	f := startFleet(t, fleetOptions{size: 3, relayOptions: relayOptions{plain: true}, redis: func(i int) string { return urls[i] }})
	slow := watchStalls(t)
	for i, percent := range []float64{10, 20, 30} {
		if _, err := s.Do("CLIENT KILL TYPE pubsub"); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		f.all[i%2].split(t, strconv.Itoa(int(percent)))
		f.apply(t, percent)
		lost, _ := slow.between(began, time.Now())
		if took := time.Since(began); took > 4*time.Second+lost {
			t.Errorf("without messages a change took %v", took)
		}
	}
	if n := f.all[2].cmd.ProcessState; n != nil {
		t.Error("the instance without messages has ended")
	}
}

// TestFleetMembers has instances come and go.
func TestFleetMembers(t *testing.T) {
	t.Parallel()
	f := startFleet(t, fleetOptions{size: 4, relayOptions: relayOptions{plain: true}, redis: at(startRedis(t))})
	f.all[3].kill()
	killed := f.all[3]
	f.all = f.all[:3]
	f.seen(t, 3, "an instance that was killed")
	f.all[2].scrape()
	f.all[2].signal(syscall.SIGTERM)
	<-f.all[2].done
	f.all = f.all[:2]
	f.seen(t, 2, "an instance that was stopped")
	f.all = append(f.all, killed.again(t))
	f.seen(t, 3, "an instance that was started")
	f.everywhere(t, 0, "split", "set", "5", "--reason", "all there", "--force")
	want := []string{"relay-1.goo.ne.jp", "relay-2.goo.ne.jp", "relay-4.goo.ne.jp"}
	var got []string
	for _, i := range f.all[2].status(t).Split.Instances {
		got = append(got, i.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("instances %v, want %v", got, want)
	}
}

// seen waits until `relay status` of every instance shows so many.
func (f *fleet) seen(t *testing.T, n int, what string) {
	t.Helper()
	began := time.Now()
	f.wait(t, what, func(r *relayProcess) error {
		if got := len(r.status(t).Split.Instances); got != n {
			return fmt.Errorf("status shows %d instances", got)
		}
		if got := r.metric(t, "relay_instances"); got != float64(n) {
			return fmt.Errorf("relay_instances is %g", got)
		}
		return nil
	})
	t.Logf("%s: everybody knows after %v", what, time.Since(began).Round(time.Millisecond))
}

// applyWait is what a change counts as that the command has not seen everywhere.
const applyWait = 2 * time.Second

// TestFleetTimeToApply measures how long a change takes to every instance,
// under load. E2E_LONG=1 has 16 instances and 200 changes; without it the same
// in small. What it says stands in docs/performance.md.
func TestFleetTimeToApply(t *testing.T) {
	t.Parallel()
	size, changes, rate := 4, 8, 10.0
	if os.Getenv("E2E_LONG") == "1" {
		size, changes, rate = 16, 200, 12
	}
	f := startFleet(t, fleetOptions{size: size, relayOptions: relayOptions{plain: true, percent: "50"}, redis: at(startRedis(t))})
	parts := make([]float64, size)
	for i := range parts {
		parts[i] = rate
	}
	w := f.flow(t, "apply", parts...)
	slow := watchStalls(t)
	began := time.Now()
	var times []time.Duration
	for i := range changes {
		took := f.everywhere(t, i%size, "split", "set", strconv.Itoa(i%50+1), "--reason", "test", "--force")
		if took == 0 {
			took = applyWait
		}
		times = append(times, took)
	}
	sum, longest := slow.between(began, time.Now())
	w.over(t, f.hops)
	slices.Sort(times)
	t.Logf("%d instances, %d changes at %.0f mails/s: p50 %v, p99 %v, slowest %v (this process stood still for %v of %v, %v at most)", size, changes, rate*float64(size),
		times[len(times)/2], times[(len(times)-1)*99/100], times[len(times)-1], sum.Round(time.Millisecond), time.Since(began).Round(time.Second), longest.Round(time.Millisecond))
}
