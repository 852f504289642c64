package relay

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// fakeTracer keeps what it is told, in order.
type fakeTracer struct {
	skip  bool
	told  []string
	ended int
	bad   []string
}

func (f *fakeTracer) Begin(env *Envelope) Watch {
	if f.skip {
		return nil
	}
	return f
}

func (f *fakeTracer) Step(name Step, route Route, start, end time.Time, err error) {
	s := string(name)
	if route != "" {
		s += " " + string(route)
	}
	if err != nil {
		s += " " + AsError(err).Class
	}
	if start.IsZero() || end.Before(start) {
		f.bad = append(f.bad, s)
	}
	f.told = append(f.told, s)
}

func (f *fakeTracer) Record(rec *Record) {
	f.told = append(f.told, fmt.Sprintf("record %s %s", rec.Route, rec.Result))
}

func (f *fakeTracer) End() { f.ended++ }

// Whoever watches is told of every part that took time, in order, then of the
// record, and that it is over: once, however a transaction ends.
func TestWatch(t *testing.T) {
	throttled := func(string) error {
		return &Error{Kind: Exhausted, Class: "throttled", Reply: ReplyThrottled}
	}
	for _, c := range []struct {
		name string
		run  func(w *world)
		want string
	}{
		{"ses", func(w *world) { w.submit(testMail, "a@example.jp") },
			"route ses, connect ses, recipients ses, content, ledger, quota ses, upstream ses, record ses accepted"},
		{"cuenote, streamed", func(w *world) { w.router.route = Cuenote; w.submit(testMail, "a@example.jp") },
			"route cuenote, connect cuenote, recipients cuenote, ledger, upstream cuenote, record cuenote accepted"},
		{"failover", func(w *world) { w.ses.send = throttled; w.submit(testMail, "a@example.jp") },
			"route ses, connect ses, recipients ses, content, ledger, quota ses, upstream ses throttled, connect cuenote, recipients cuenote, upstream cuenote, record cuenote accepted"},
		{"panic", func(w *world) {
			w.ses.send = func(string) error { panic("x") }
			defer func() { recover() }() // the session's own
			w.submit(testMail, "a@example.jp")
		}, "route ses, connect ses, recipients ses, content, ledger, quota ses, record ses unknown"},
		{"given up", func(w *world) {
			tx := w.begin()
			tx.Recipient(context.Background(), addr("a@example.jp"))
			tx.Abort()
			tx.Abort()
		}, "route ses, connect ses, recipients ses"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			f := &fakeTracer{}
			w.set(func(c *Config) { c.Tracer = f })
			c.run(w)
			if got := strings.Join(f.told, ", "); got != c.want {
				t.Errorf("told\n%s, want\n%s", got, c.want)
			}
			if f.ended != 1 || f.bad != nil {
				t.Errorf("ended %d times; times of %v", f.ended, f.bad)
			}
		})
	}
}

// Over LMTP a transaction has one watch and as many records as routes.
func TestWatchLMTP(t *testing.T) {
	w := newWorld(t)
	f := &fakeTracer{}
	w.set(func(c *Config) { c.Tracer = f })
	w.router.by = map[string]Route{"b@example.jp": Cuenote}
	tx := w.begin()
	tx.env.LMTP = true
	for _, to := range []string{"a@example.jp", "b@example.jp"} {
		if r := tx.Recipient(context.Background(), addr(to)); !r.Positive() {
			t.Fatal(r)
		}
	}
	tx.DataEach(context.Background(), &fakeSource{content: testMail})
	for _, want := range []string{"record ses accepted", "record cuenote accepted", "upstream ses", "upstream cuenote"} {
		if !slices.Contains(f.told, want) {
			t.Errorf("not told of %q: %v", want, f.told)
		}
	}
	if f.ended != 1 {
		t.Errorf("ended %d times", f.ended)
	}
}

// A transaction that is not sampled is not measured either.
func TestNotSampled(t *testing.T) {
	w := newWorld(t)
	f := &fakeTracer{skip: true}
	w.set(func(c *Config) { c.Tracer = f })
	w.submit(testMail, "a@example.jp")
	if f.told != nil || f.ended != 0 {
		t.Errorf("told %v", f.told)
	}
}

// Off costs nothing: no allocation, no clock.
func TestWatchOffAllocatesNothing(t *testing.T) {
	clock := 0
	tx := &Transaction{r: &Relay{now: func() time.Time { clock++; return time.Time{} }}}
	if n := testing.AllocsPerRun(100, func() {
		start := tx.stepStart()
		tx.step(StepUpstream, SES, start, nil)
		tx.unwatch()
	}); n != 0 || clock != 0 {
		t.Errorf("%v allocations, %d looks at the clock", n, clock)
	}
}

// BenchmarkWatch is the share of tracing in a transaction while it is off.
func BenchmarkWatch(b *testing.B) {
	tx := &Transaction{r: &Relay{now: time.Now}}
	b.Run("off", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for range 7 { // steps of a mail to SES
				tx.step(StepUpstream, SES, tx.stepStart(), nil)
			}
			tx.unwatch()
		}
	})
}
