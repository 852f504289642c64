package rollout

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// The migration's own numbers: S-65, S-85 and S-89.
var (
	theGate  = Gate{Limits{SuccessMin: 99.5, DelayMax: time.Minute, BounceMax: 0.5}, 200}
	theGuard = Guard{Limits: Limits{SuccessMin: 95, DelayMax: 5 * time.Minute, BounceMax: 5, ComplaintMax: 0.5}, Goal: theGate.Limits, MinMessages: 200, NoDataMax: 10 * time.Minute}
)

// hop is mail of which so many were accepted, failed and unknown, each accepted
// after the same delay.
func hop(accepted, failed, unknown int64, after time.Duration) (h Hop) {
	h.Accepted, h.Failed, h.Unknown = accepted, failed, unknown
	h.Delay.add(delayScale.bucket(after.Seconds()), accepted)
	return h
}

// lateOf is mail of which some is six minutes late.
func lateOf(quick, late int64) Hop {
	h := hop(quick, 0, 0, 2*time.Second)
	h.Accepted += late
	h.Delay.add(delayScale.bucket(360), late)
	return h
}

func figures(ses, cuenote Hop, events *Reported) *Figures {
	f := &Figures{Counts: Counts{SES: ses, Cuenote: cuenote}, Events: events}
	if events != nil {
		f.Long = events
	}
	return f
}

func said(delivery, bounce, complaint, reject int64) *Reported {
	return &Reported{Send: delivery + bounce + reject, Delivery: delivery, Bounce: bounce, Complaint: complaint, Reject: reject}
}

var fine = hop(10_000, 0, 0, 2*time.Second)

// verdicts writes what a judgement says of each criterion, but for those that pass.
func verdicts(j Judgement) string {
	var out []string
	for _, c := range j.Criteria {
		if c.Verdict != Pass {
			out = append(out, string(c.Name)+" "+string(c.Verdict))
		}
	}
	return strings.Join(out, ", ")
}

func TestGuard(t *testing.T) {
	t.Parallel()
	late := fine
	late.Delay = Histogram{}
	late.Delay.add(delayScale.bucket(2), 9_000)
	late.Delay.add(delayScale.bucket(300), 1_000)
	for _, c := range []struct {
		name string
		f    *Figures
		want string // criteria that do not pass
	}{
		{"in order", figures(fine, fine, said(10_000, 10, 1, 0)), ""},
		{"in order, blind", figures(fine, fine, nil), ""},
		{"no mail at all", figures(Hop{}, fine, nil), "acceptance hold, delay hold"},
		{"1 failure in 20 is not 95 %", figures(hop(19, 1, 0, 0), fine, nil), "acceptance hold, delay hold"},
		{"a sample that is just enough, and at the limit", figures(hop(190, 10, 0, 0), fine, nil), "acceptance rollback, delay hold"},
		{"at the limit in a large sample", figures(hop(9_500, 500, 0, 0), fine, nil), "acceptance rollback"},
		{"just above the limit", figures(hop(9_501, 499, 0, 0), fine, nil), ""},
		{"unknown counts like failed", figures(hop(9_000, 0, 1_000, 0), fine, nil), "acceptance rollback"},
		{"SES takes nothing", figures(hop(0, 500, 0, 0), fine, nil), "acceptance rollback, delay hold"},
		{"both upstreams", figures(hop(5_000, 5_000, 0, 0), hop(6_000, 4_000, 0, 0), nil), "acceptance hold"},
		{"SES takes nothing, and Cuenote not all", figures(hop(0, 10_000, 0, 0), hop(9_000, 1_000, 0, 0), nil), "acceptance rollback, delay hold"},
		{"both, Cuenote on its way to the limit", figures(hop(940, 60, 0, 0), hop(955, 45, 0, 0), nil), "acceptance hold"},
		{"Cuenote is bad, and SES more than twice", figures(hop(9_400, 600, 0, 0), hop(9_800, 200, 0, 0), nil), "acceptance rollback"},
		{"both late, Cuenote on its way to the limit", figures(lateOf(925, 75), lateOf(955, 45), nil), "delay hold"},
		{"SES late, a few of Cuenote's", figures(lateOf(900, 100), lateOf(9_900, 100), nil), "delay rollback"},
		{"both, SES with the larger sample", figures(hop(110, 96, 0, 0), hop(100, 90, 0, 0), nil), "acceptance hold, delay hold"},
		{"Cuenote is bad, but in too small a sample", figures(hop(5_000, 5_000, 0, 0), hop(60, 40, 0, 0), nil), "acceptance rollback"},
		{"Cuenote alone", figures(fine, hop(0, 9_000, 0, 0), nil), ""},
		{"5 minutes at the 95th percentile", figures(late, fine, nil), "delay rollback"},
		{"5 minutes with both", figures(late, late, nil), "delay hold"},
		{"4:55 with everybody", figures(hop(9_000, 0, 0, 295*time.Second), fine, nil), ""},
		{"bounces at the limit", figures(fine, fine, said(9_500, 500, 0, 0)), "success rollback, bounce rollback"},
		{"bounces above the goal", figures(fine, fine, said(9_600, 400, 0, 0)), ""},
		{"too few reports", figures(fine, fine, said(100, 90, 0, 0)), "success hold, bounce hold, complaint hold"},
		{"rejects are failures and no bounces", figures(fine, fine, said(9_000, 0, 0, 1_000)), "success rollback"},
		{"complaints", figures(fine, fine, said(10_000, 0, 60, 0)), "complaint rollback"},
		{"one complaint in 200 is not 0.5 %", figures(fine, fine, said(200, 0, 1, 0)), "complaint hold"},
	} {
		j := theGuard.Judge(c.f)
		if got := verdicts(j); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if (j.Verdict == Pass) != (len(j.Reasons) == 0) {
			t.Errorf("%s: %s with reasons %q", c.name, j.Verdict, j.Reasons)
		}
	}
}

func TestGuardSilence(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		unreported int64
		silent     time.Duration
		want       Verdict
	}{
		{0, 0, Pass},
		{0, time.Hour, Pass}, // nothing was sent: silence is normal
		{199, time.Hour, Pass},
		{200, 10*time.Minute - time.Second, Pass},
		{200, 10 * time.Minute, Rollback},
		{1e6, time.Minute, Pass},
	} {
		// A week that was good does not hide the last minutes, which the guard still bears.
		week := figures(fine, fine, said(600_000, 60, 0, 0))
		for _, c := range []struct {
			minutes *Figures
			want    Verdict
		}{
			{figures(fine, fine, said(2_431, 53, 0, 0)), Hold},
			{figures(fine, fine, said(2_470, 12, 0, 0)), Pass}, // as 0.5 % does by chance
			{figures(hop(9_800, 200, 0, 0), fine, said(10_000, 0, 0, 0)), Hold},
			{figures(hop(10_000, 0, 0, 3*time.Minute), fine, said(10_000, 0, 0, 0)), Hold},
		} {
			guard := theGuard.Judge(c.minutes)
			if j := theGate.Judge(week, &guard); j.Verdict != c.want || guard.Verdict != Pass {
				t.Errorf("a good week, and then: guard %s %v; gate %s %q", guard.Verdict, guard.Criteria, j.Verdict, j.Reasons)
			}
		}
		f := figures(fine, fine, said(10_000, 0, 0, 0))
		f.Unreported, f.SilentFor = c.unreported, c.silent
		j := theGuard.Judge(f)
		if j.Verdict != c.want {
			t.Errorf("%+v: %s %q", c, j.Verdict, j.Reasons)
		}
	}
	f := figures(fine, fine, nil) // rollout.events is none
	f.Unreported, f.SilentFor = 1e6, time.Hour
	if j := theGuard.Judge(f); j.Verdict != Pass {
		t.Errorf("blind: %s %q", j.Verdict, j.Reasons)
	}
}

func TestGate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		f     *Figures
		want  Verdict
		words string // in the reasons
	}{
		{"in order", figures(fine, fine, said(10_000, 10, 0, 0)), Pass, ""},
		{"blind", figures(fine, fine, nil), Hold, "blind to delivery"},
		{"no mail", figures(Hop{}, fine, said(0, 0, 0, 0)), Hold, "no figures"},
		{"nothing reported", figures(fine, fine, said(0, 0, 0, 0)), Hold, "success: no figures"},
		{"199 of 199", figures(hop(199, 0, 0, 0), fine, said(10_000, 0, 0, 0)), Hold, "200 are needed"},
		{"200 of 200 show 97.4 %, not 99.5 %", figures(hop(200, 0, 0, 0), fine, said(10_000, 0, 0, 0)), Hold, "does not yet show 99.5 %"},
		{"2000 of 2000 do", figures(hop(2_000, 0, 0, 0), fine, said(10_000, 0, 0, 0)), Pass, ""},
		{"99.4 %", figures(hop(9_940, 60, 0, 0), fine, said(10_000, 0, 0, 0)), Hold, "99.5 % is asked for"},
		{"exactly 99.5 %", figures(hop(9_950, 50, 0, 0), fine, said(10_000, 0, 0, 0)), Hold, "does not yet show"},
		{"a minute", figures(hop(10_000, 0, 0, time.Minute), fine, said(10_000, 0, 0, 0)), Pass, ""},
		{"more than a minute", figures(hop(10_000, 0, 0, 61*time.Second), fine, said(10_000, 0, 0, 0)), Hold, "at most 1m0s is asked for"},
		{"a minute at the 95th percentile, but not beyond chance", figures(lateOf(9_530, 470), fine, said(10_000, 0, 0, 0)), Hold, "does not yet show 1m0s"},
		{"bounces", figures(fine, fine, said(9_900, 100, 0, 0)), Hold, "0.5 % is asked for"},
		{"complaints, which the guard sees", figures(fine, fine, said(10_000, 0, 60, 0)), Hold, "the guard: "},
		{"a fault of both holds too", figures(hop(5_000, 5_000, 0, 0), hop(5_000, 5_000, 0, 0), said(10_000, 0, 0, 0)), Hold, "Cuenote"},
	} {
		guard := theGuard.Judge(c.f)
		j := theGate.Judge(c.f, &guard)
		if j.Verdict != c.want || !strings.Contains(strings.Join(j.Reasons, "; "), c.words) {
			t.Errorf("%s: %s %q", c.name, j.Verdict, j.Reasons)
		}
	}
	f := figures(fine, fine, said(10_000, 0, 0, 0))
	f.Unreported, f.SilentFor = 500, 6*time.Minute
	guard := theGuard.Judge(f)
	if j := theGate.Judge(f, &guard); j.Verdict != Hold {
		t.Errorf("data that has stopped passes a gate")
	}
}

// Every reason has its numbers.
func TestReasonsInWordsAndNumbers(t *testing.T) {
	t.Parallel()
	j := theGuard.Judge(figures(hop(1_400, 120, 0, 0), fine, said(900, 100, 0, 0)))
	want := []string{
		"SES accepted 92.11 % of 1520 messages (90.16 to 93.79 % at 99 % confidence); the limit is 95 %",
		"SES delivered 90.00 % of 1000 messages whose end it reported (87.31 to 92.30 % at 99 % confidence); the limit is 95 %",
		"10.00 % of 1000 messages bounced (7.70 to 12.69 % at 99 % confidence); the limit is 5 %",
	}
	if got := strings.Join(j.Reasons, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("%s", got)
	}
	if b := j.breached(); len(b) != 3 || b[0] != Acceptance || b[2] != Bounce {
		t.Errorf("%v", b)
	}
}

// More bad mail never makes a judgement milder.
func TestGuardIsMonotone(t *testing.T) {
	t.Parallel()
	rank := map[Verdict]int{Pass: 0, Hold: 1, Rollback: 2}
	for _, n := range []int64{200, 1000, 20_000} {
		last := 0
		for bad := int64(0); bad <= n; bad += max(1, n/400) {
			c := (&Figures{Counts: Counts{SES: hop(n-bad, bad, 0, 0)}}).acceptance(&Hop{Accepted: n - bad, Failed: bad}, theGuard.Limits, theGuard.Goal, "SES").guarded(200)
			if r := rank[c.Verdict]; r < last {
				t.Fatalf("%d of %d bad: %s after a worse one", bad, n, c.Verdict)
			} else {
				last = r
			}
		}
		if last != 2 {
			t.Errorf("%d bad of %d do not call for a rollback", n, n)
		}
	}
}

func TestHistogram(t *testing.T) {
	t.Parallel()
	var h Histogram
	for i := range 100 {
		h.record(delayScale, time.Duration(i)*time.Second+300*time.Millisecond)
	}
	h.record(delayScale, 300*time.Hour)
	if q := h.quantiles(delayScale); *q.P50 != 50 || *q.P95 != 95 || *q.P99 != 99 {
		t.Errorf("%v %v %v", *q.P50, *q.P95, *q.P99)
	}
	b, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var back Histogram
	if err := json.Unmarshal(b, &back); err != nil || back.total != h.total || *back.quantile(delayScale, 1) != 7200 {
		t.Errorf("%v: %s", err, b)
	}
	back.merge(&h, -1)
	if back.total != 0 || back.quantile(delayScale, 0.5) != nil {
		t.Errorf("%+v", back)
	}
	for _, bad := range []string{"[[-1,1]]", "[[1,-1]]", "[[100000,1]]", "{}"} {
		if json.Unmarshal([]byte(bad), &back) == nil {
			t.Errorf("%s was read", bad)
		}
	}
	var l Histogram
	l.record(latencyScale, 120*time.Millisecond)
	if v := *l.quantile(latencyScale, 0.5); v < 0.108 || v > 0.12 {
		t.Errorf("120 ms are %v", v)
	}
}

func TestCheckSteps(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		steps []Step
		want  string
	}{
		{[]Step{SetPercent(1000), PauseFor(time.Hour), SetPercent(5000), PauseFor(0), SetPercent(10000)}, ""},
		{nil, "no steps"},
		{[]Step{PauseFor(0), SetPercent(1)}, "begin with set_percent"},
		{[]Step{SetPercent(1000), SetPercent(1000)}, "not above"},
		{[]Step{SetPercent(0)}, "not above"},
		{[]Step{SetPercent(10001)}, "not between"},
		{[]Step{SetPercent(1), PauseFor(-1)}, "a pause of"},
	} {
		err := CheckSteps(c.steps)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.steps, err, c.want)
		}
	}
}
