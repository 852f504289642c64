package main

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// draws makes n draws with one probability.
func draws(r *rand.Rand, n int, p float64) (list []bool) {
	for range n {
		list = append(list, r.Float64() < p)
	}
	return list
}

func TestChangePoint(t *testing.T) {
	for _, c := range []struct {
		p, q float64
		off  int // mails by which it may be wrong
	}{{0, 0.1, 60}, {0.1, 0.5, 40}, {0.5, 1, 20}, {1, 0, 0}, {0, 1, 0}} {
		for seed := range uint64(20) {
			r := rand.New(rand.NewPCG(seed, 7))
			list := append(draws(r, 1000, c.p), draws(r, 3000, c.q)...)
			if got := changePoint(list, c.p, c.q); got < 1000-c.off || got > 1000+c.off {
				t.Errorf("%g to %g, seed %d: found at %d, is at 1000", c.p, c.q, seed, got)
			}
			if got := changePoint(draws(r, 1000, c.p), c.p, c.q); got < 900 {
				t.Errorf("%g to %g, seed %d: found at %d of 1000 where there is none", c.p, c.q, seed, got)
			}
		}
	}
}

// series makes deliveries every millisecond, of which those in [from, to) go to SES.
func arrivals(base time.Time, n, from, to int) (list []arrivedAt) {
	for i := range n {
		list = append(list, arrivedAt{base.Add(time.Duration(i) * ms).UnixNano(), i >= from && i < to})
	}
	return list
}

func TestJudgeChanges(t *testing.T) {
	base := time.Unix(1_800_000_000, 0)
	at := func(n int) time.Time { return base.Add(time.Duration(n) * ms) }
	list := arrivals(base, 20_000, 5040, 12_000)
	list[12_100].SES = true // one that was in flight
	got := judgeChanges([]change{
		{From: 0, To: 100, Asked: at(5000), Done: at(5030)},
		{From: 100, To: 0, Asked: at(11_900), Done: at(11_950)},
		{From: 0, To: 50, Asked: at(17_000), Done: at(17_001)}, // and nothing happened
	}, list, at(20_000))
	want := []changeResult{
		{From: 0, To: 100, CommandSeconds: 0.030, EffectSeconds: 0.040, LastSeconds: 0.039, Share: 100},
		{From: 100, To: 0, CommandSeconds: 0.050, EffectSeconds: 0.100, LastSeconds: 0.200, Share: 0},
		{From: 0, To: 50, CommandSeconds: 0.001, EffectSeconds: 3, Share: 0},
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("change %d: got %+v, want %+v", i, got[i], want[i])
		}
	}
	if worst := slowestChange(&result{Changes: got}); worst != 3 {
		t.Errorf("slowest is %g", worst)
	}
}

func TestJudgeOutage(t *testing.T) {
	base := time.Unix(1_800_000_000, 0)
	at := func(n int) time.Time { return base.Add(time.Duration(n) * ms) }
	list := arrivals(base, 10_000, 0, 10_000)
	for i := 3000; i < 7000; i++ {
		list[i].SES = false
	}
	list[6500].SES = true // a probe
	got := judgeOutage(at(3000), at(6000), list, at(10_000))
	if got.Seconds != 3 || got.OnCuenote != 3000 || got.ReturnSeconds != 0.5 || got.WholeSeconds != 1 {
		t.Errorf("%+v", got)
	}
	if never := judgeOutage(at(3000), at(6000), list[:6400], at(10_000)); never.ReturnSeconds != 4 {
		t.Errorf("never back: %+v", never)
	}
}

func TestJudgeQuota(t *testing.T) {
	from := time.Unix(100, 500_000_000)
	// The second 103 has what 102 could not send: no overdraft. 105 and 106 are one.
	perSecond := map[int64]int64{101: 90, 102: 60, 103: 130, 104: 80, 105: 115, 106: 110}
	q := judgeQuota(perSecond, 100, from, time.Unix(107, 0))
	if q.Most != 130 || q.SecondsOver != 2 {
		t.Errorf("%+v", q)
	}
	if want := 100 * (90 + 60 + 130 + 80 + 115 + 110) / 6.0 / 90; math.Abs(q.UsePercent-want) > 0.01 {
		t.Errorf("use is %g, want %g", q.UsePercent, want)
	}
}

func TestKnee(t *testing.T) {
	step := func(rate float64, good bool) stepResult {
		return stepResult{Rate: rate, Good: good, Latency: times{P99: rate / 10}}
	}
	got := kneeOf([]stepResult{step(100, true), step(200, true), step(300, false), step(400, true)})
	if *got != (kneeResult{Rate: 200, P99: 20, Reached: true}) {
		t.Errorf("%+v", got)
	}
	if got := kneeOf([]stepResult{step(100, true)}); got.Reached || got.Rate != 100 {
		t.Errorf("never past it: %+v", got)
	}
	if got := kneeOf([]stepResult{step(100, false)}); got.Rate != 0 || !got.Reached {
		t.Errorf("at once: %+v", got)
	}
}

func TestDrift(t *testing.T) {
	var list []sample
	for i := range 100 {
		list = append(list, sample{T: float64(i), RelayMiB: 100 + float64(i), RelayCPU: 0.5})
	}
	got := driftOf(list, 100)
	if want := 100 * 50 / 137.0; math.Abs(got.RSSPercent-want) > 0.5 || got.CPUPercent != 0 {
		t.Errorf("%+v, want %g and 0", got, want)
	}
	if got := driftOf(nil, 100); *got != (driftResult{}) {
		t.Errorf("without samples: %+v", got)
	}
}

func TestThresholds(t *testing.T) {
	sc := hundredThousand()
	l, err := sc.thresholds([]string{"relay-cores=1.5", "split=off", "p99=200"})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := l["split"]; ok || l["relay-cores"] != 1.5 || l["p99"] != 200 || sc.limits["relay-cores"] != 0.6 {
		t.Errorf("%v; the scenario's own: %v", l, sc.limits)
	}
	for _, bad := range []string{"lost", "lost=", "nothing=1", "lost=many", "effect=1"} {
		if _, err := sc.thresholds([]string{bad}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestEveryThresholdHasAMeasure(t *testing.T) {
	for _, sc := range scenarios() {
		for name := range sc.limits {
			if _, ok := measures[name]; !ok {
				t.Errorf("%s: nothing measures %q", sc.Name, name)
			}
		}
	}
}

// TestVerdicts changes one thing at a time in a good result: exactly the limit
// on it must not hold.
func TestVerdicts(t *testing.T) {
	l := hundredThousand().limits
	failing := func(change func(*result)) string {
		r := goodResult()
		change(r)
		var names []string
		for _, v := range l.judge(r) {
			if !v.OK {
				names = append(names, v.Name)
			}
		}
		return strings.Join(names, " ")
	}
	for want, change := range map[string]func(*result){
		"":             func(*result) {},
		"lost":         func(r *result) { r.Reconciliation.Lost = 1 },
		"duplicated":   func(r *result) { r.Reconciliation.Duplicated = 1 },
		"unexpected":   func(r *result) { r.Reconciliation.Unexpected = 1 },
		"unconfirmed":  func(r *result) { r.Reconciliation.Unconfirmed = 1 },
		"dropped":      func(r *result) { r.Mails.Dropped = 1 },
		"errors":       func(r *result) { r.Mails.Failed = 1 },
		"open":         func(r *result) { r.Mails.Open = 1 },
		"anomalies":    func(r *result) { r.Anomalies = map[string]*failure{"bare-lf": {Count: 1}} },
		"rate":         func(r *result) { r.Achieved = 0.99 * r.Requested },
		"added-p99":    func(r *result) { r.Added.P99 = 5.1 },
		"relay-cores":  func(r *result) { r.Processes[0].Cores = 0.61 },
		"split":        func(r *result) { r.Split.Off = 0.53 },
		"interruption": func(r *result) { r.Interrupted = "by hand" },
	} {
		if got := failing(change); got != want {
			t.Errorf("not held: %q, want %q", got, want)
		}
	}
	r := goodResult()
	r.Split = splitResult{Requested: 50, Off: 0.21, SES: 500_000, Cuenote: 500_000}
	if l.judge(r)[0].Name != "split" {
		t.Error("0.21 points off in a million mails are taken for chance")
	}
	if (limits{"added-p99": 5}).judge(&result{Added: times{P99: math.NaN()}})[0].OK {
		t.Error("a value that is no number holds")
	}
}
