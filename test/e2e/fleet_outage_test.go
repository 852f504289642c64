package e2e

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/redistest"
	"sesrelay/internal/simulator"
)

// redisOutage is a way in which Redis is away, and what it does to a fleet.
type redisOutage struct {
	name      string
	lose, fix func(*redistest.Server, *redistest.Proxy) error
	restart   bool // instances are started again meanwhile
	noChange  bool // Redis answers all the time: nothing is refused
	slow      bool // and too late for mail, which is an alarm
}

var redisOutages = []redisOutage{
	{name: "killed", restart: true,
		lose: func(s *redistest.Server, _ *redistest.Proxy) error { s.Kill(); return nil },
		fix:  func(s *redistest.Server, _ *redistest.Proxy) error { return s.Run() }},
	{name: "frozen",
		lose: func(s *redistest.Server, _ *redistest.Proxy) error { return s.Freeze() },
		fix:  func(s *redistest.Server, _ *redistest.Proxy) error { return s.Thaw() }},
	{name: "cut", restart: true,
		lose: func(_ *redistest.Server, p *redistest.Proxy) error { p.Lead(""); return nil },
		fix:  func(s *redistest.Server, p *redistest.Proxy) error { p.Lead(s.Addr); return nil }},
	{name: "full",
		lose: func(s *redistest.Server, _ *redistest.Proxy) error { return s.Once("CONFIG SET maxmemory 1", "OK") },
		fix:  func(s *redistest.Server, _ *redistest.Proxy) error { return s.Once("CONFIG SET maxmemory 0", "OK") }},
	{name: "slow",
		lose: func(_ *redistest.Server, p *redistest.Proxy) error { p.Slow(400 * time.Millisecond); return nil },
		fix:  func(_ *redistest.Server, p *redistest.Proxy) error { p.Slow(0); return nil }},
	{name: "too slow for mail", noChange: true, slow: true,
		lose: func(_ *redistest.Server, p *redistest.Proxy) error { p.Slow(150 * time.Millisecond); return nil },
		fix:  func(_ *redistest.Server, p *redistest.Proxy) error { p.Slow(0); return nil }},
	{name: "restarted empty", noChange: true,
		lose: func(s *redistest.Server, _ *redistest.Proxy) error { s.Kill(); return s.Run() },
		fix:  func(*redistest.Server, *redistest.Proxy) error { return nil }},
}

// TestFleetOutages takes Redis away in every way while mail flows through three
// instances. Every mail is accepted once, the quota holds, the split can only be
// lowered, status and relay_state_up say why, and all is well afterwards.
func TestFleetOutages(t *testing.T) {
	t.Parallel()
	for _, o := range redisOutages {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			o.run(t)
		})
	}
}

// outageRate is the fleet's quota, of which mail wants half as much again.
const outageRate = 30.0

// without state.file: the second instance.
func second(i int) bool { return i == 1 }

func (o *redisOutage) run(t *testing.T) {
	s := startRedis(t)
	p := startProxy(t, s.Addr)
	f := startFleet(t, fleetOptions{size: 3, noFile: second, redis: through(p.Addr), relayOptions: relayOptions{plain: true, set: settings{
		"quota.rate": fmt.Sprint(outageRate), "quota.max_wait": "1s"}}})
	f.everywhere(t, 0, "split", "set", "60", "--reason", "before", "--force")
	slow := watchStalls(t)
	w := f.flow(t, "o", outageRate/2/0.6, outageRate/2/0.6, outageRate/2/0.6)
	f.flowing(t, w, "before")
	if err := o.lose(s, p); err != nil {
		t.Fatal(err)
	}
	percent := 60.0
	if !o.noChange {
		f.noticed(t)
		f.onlyLower(t)
		percent = 40
	}
	if o.slow {
		f.alarmed(t, "Redis is slow", "Redis does not answer") // the second where this machine is slow, too
	}
	f.flowing(t, w, "meanwhile")
	if o.restart {
		f.restarted(t)
	}
	if err := o.fix(s, p); err != nil {
		t.Fatal(err)
	}
	f.wait(t, "Redis", func(r *relayProcess) error {
		if v := r.status(t); !r.up(t) || v.alarmed("Redis does not answer") || v.alarmed("Redis is slow") || v.alarmed("SES throttles") || len(v.Split.Instances) != 3 {
			return fmt.Errorf("up %t, %+v", r.up(t), v)
		}
		return nil
	})
	f.apply(t, percent)
	f.flowing(t, w, "afterwards")
	f.everywhere(t, 2, "split", "set", "70", "--reason", "after", "--force")
	w.over(t, f.hops)
	judgeRate(t, w, f.store.Of(simulator.UpstreamSES), outageRate, slow)
}

// flowing waits until every instance has accepted some more mails.
func (f *fleet) flowing(t *testing.T, w *traffic, when string) {
	t.Helper()
	before := w.taken()
	eventually(t, 30*time.Second, "mail "+when, func() error {
		for i, n := range w.taken() {
			if n < before[i]+10 {
				return fmt.Errorf("instance %d has accepted %d mails", i+1, n-before[i])
			}
		}
		return nil
	})
}

// noticed waits until every instance says that Redis is away.
func (f *fleet) noticed(t *testing.T) {
	t.Helper()
	f.wait(t, "the alarm", func(r *relayProcess) error {
		if r.up(t) {
			return fmt.Errorf("relay_state_up is 1")
		}
		if v := r.status(t); !v.alarmed("Redis does not answer") || v.alarmed("SES throttles") || len(v.Split.Instances) != 3 {
			return fmt.Errorf("%+v", v)
		}
		return nil
	})
}

// alarmed waits until every instance has an alarm with one of some texts.
func (f *fleet) alarmed(t *testing.T, texts ...string) {
	t.Helper()
	f.wait(t, texts[0], func(r *relayProcess) error {
		if v := r.status(t); !slices.ContainsFunc(texts, v.alarmed) {
			return fmt.Errorf("%+v", v.Alarms)
		}
		return nil
	})
}

// onlyLower raises the split, which is refused, and lowers it, which works.
func (f *fleet) onlyLower(t *testing.T) {
	t.Helper()
	out := f.all[0].refused(t, "split", "set", "80", "--reason", "up", "--force")
	if v := f.all[0].soon(t); v.Applied != 60 || v.Version != 1 {
		t.Errorf("after the refusal: %+v\n%s", v, out)
	}
	out = f.all[0].cli(t, "split", "set", "40", "--reason", "down")
	if v := f.all[0].soon(t); v.Applied != 40 || !strings.Contains(out, "not saved") {
		t.Errorf("lowered: %+v\n%s", v, out)
	}
}

// restarted starts two instances again while Redis is away: one comes back with
// what its file holds, the one without a file at 0.
func (f *fleet) restarted(t *testing.T) {
	t.Helper()
	for i, want := range map[int]float64{1: 0, 2: 60} {
		f.all[i].scrape()
		f.all[i].stop(t, 20*time.Second)
		f.all[i] = f.all[i].again(t)
		if v := f.all[i].soon(t); v.Applied != want {
			t.Errorf("instance %d starts without Redis at %g %%, want %g", i+1, v.Applied, want)
		}
	}
	(&fleet{all: f.all[1:]}).wait(t, "fresh instances to say that Redis is away", func(r *relayProcess) error {
		if v := r.status(t); r.up(t) || !v.alarmed("Redis does not answer") {
			return fmt.Errorf("%+v", v)
		}
		return nil
	})
}

// judgeRate fails the test when SES got more than the rate and a burst of one
// second's worth in any span of time. A mail can be late, never early, so what
// a span has too much is at most what this machine has kept it waiting: this
// process, or a mail longer than quota.max_wait, a second.
func judgeRate(t *testing.T, w *traffic, got []simulator.Record, rate float64, slow *stalls) {
	t.Helper()
	const maxWait = time.Second
	if len(got) == 0 {
		t.Error("SES got nothing")
		return
	}
	// A record is kept after it was stamped: two can change places.
	slices.SortFunc(got, func(a, b simulator.Record) int { return a.Time.Compare(b.Time) })
	first, last := got[0].Time, got[len(got)-1].Time
	_, longest := slow.between(first, last)
	longest = max(longest, w.slowest-maxWait)
	var level, most float64 // of SES's bucket
	sum := 0
	for i, r := range got {
		if i > 0 {
			level = max(0, level-rate*r.Time.Sub(got[i-1].Time).Seconds())
		}
		level += float64(len(r.To))
		sum += len(r.To)
		most = max(most, level)
	}
	span := last.Sub(first)
	t.Logf("SES got %d recipients in %v at %.0f a second, at most %.0f ahead of the rate (the longest time that this machine kept mail waiting is %v)",
		sum, span.Round(time.Millisecond), rate, most, longest.Round(time.Millisecond))
	if float64(sum) > rate*span.Seconds()+rate {
		t.Errorf("SES got %d recipients in %v, more than %.0f a second and a burst", sum, span, rate)
	}
	if most > rate+rate*longest.Seconds() {
		t.Errorf("SES got %.0f recipients ahead of the rate, more than the burst of %.0f", most, rate)
	}
}

// TestFleetFailover has Sentinel make the replica the new master.
func TestFleetFailover(t *testing.T) {
	t.Parallel()
	master, sentinel := startSentinel(t)
	f := startFleet(t, fleetOptions{size: 3, relayOptions: relayOptions{plain: true}, redis: func(int) string {
		return "redis://" + sentinel.Addr + "?master_name=relay"
	}})
	f.everywhere(t, 0, "split", "set", "60", "--reason", "before", "--force")
	w := f.flow(t, "o", 10, 10, 10)
	f.flowing(t, w, "before")
	master.Kill()
	f.flowing(t, w, "meanwhile")
	eventually(t, 30*time.Second, "the new master to take a change", func() error {
		if v := f.all[1].soon(t); v.Applied != 60 || f.all[1].put(t, 80, v.Version, "after") != 200 {
			return fmt.Errorf("%+v", v)
		}
		return nil
	})
	f.apply(t, 80)
	f.flowing(t, w, "afterwards")
	w.over(t, f.hops)
}

// startSentinel runs a master, a replica and a Sentinel that knows both.
func startSentinel(t *testing.T) (master, sentinel *redistest.Server) {
	t.Helper()
	master = startRedis(t)
	host, port, _ := net.SplitHostPort(master.Addr)
	replica := startRedis(t, "--replicaof", host, port)
	sentinel, err := redistest.StartSentinel(t.TempDir(), "relay", master.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sentinel.Kill)
	if err := replica.Until("INFO replication", "master_link_status:up"); err != nil {
		t.Fatal(err)
	}
	if err := sentinel.Until("SENTINEL REPLICAS relay", replica.Addr); err != nil {
		t.Fatal(err)
	}
	return master, sentinel
}
