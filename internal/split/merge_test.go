package split

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

func TestMerge(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	v := func(version int64, p Percent) State {
		return State{Value: Value{Version: version, SESPercent: p, ChangedAt: at}, Ceiling: Full}
	}
	braked := func(s State, by string) State {
		s.Ceiling, s.Brake = 0, &Brake{By: by, Reason: "r", At: at}
		return s
	}
	unshared := func(s State) State { s.Unshared = true; return s }
	released := func(s State, in int64) State { s.Released = in; return s }
	lifted := func(s State, by string) State { s.Lifted = braked(s, by).Brake; return s }
	for _, c := range []struct {
		name       string
		a, b, want State
	}{
		{"the same", v(3, 100), v(3, 100), v(3, 100)},
		{"the higher version", v(3, 100), v(4, 900), v(4, 900)},
		{"two values under one version: the lower", v(4, 900), v(4, 100), v(4, 100)},
		{"a brake under one version", braked(v(4, 900), "x"), v(4, 900), braked(v(4, 900), "x")},
		{"a brake, and a set that did not know it", braked(v(4, 900), "x"), v(5, 1000), braked(v(5, 1000), "x")},
		{"a brake, and the release of it", braked(v(4, 900), "x"), released(v(5, 900), 5), released(v(5, 900), 5)},
		{"a brake, its release, and more", braked(v(4, 900), "x"), released(v(8, 50), 5), released(v(8, 50), 5)},
		{"a brake nobody knew, and the release of another", unshared(braked(v(4, 900), "x")), released(v(5, 900), 5),
			released(unshared(braked(v(5, 900), "x")), 5)},
		{"a brake after the release", braked(released(v(5, 900), 5), "x"), released(v(6, 900), 5), braked(released(v(6, 900), 5), "x")},
		{"a brake that came past the store, and its release", unshared(braked(v(4, 900), "x")), lifted(released(v(5, 900), 5), "x"),
			lifted(released(v(5, 900), 5), "x")},
		{"two brakes: the one that everybody knows", unshared(braked(v(4, 900), "a")), braked(v(4, 900), "x"), braked(v(4, 900), "x")},
		{"lower percent here, brake there", v(4, 100), braked(v(4, 900), "x"), braked(v(4, 100), "x")},
	} {
		for _, got := range []State{merge(c.a, c.b), merge(c.b, c.a)} {
			if !got.equal(&c.want) {
				t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
			}
		}
	}
}

// Whatever is merged, in whatever order: everybody comes to one state, nobody
// gets more than the highest version allows, and a brake that nobody has
// released stays on.
func TestMergeProperties(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	random := func() State {
		s := State{Value: Value{Version: r.Int64N(4), SESPercent: Percent(r.IntN(3) * 100), ChangedAt: at.Add(time.Duration(r.IntN(2))), ChangedBy: fmt.Sprint(r.IntN(2))}, Ceiling: Full}
		s.Released = r.Int64N(s.Version + 1)
		if s.Released > 0 && r.IntN(2) == 0 {
			s.Lifted = &Brake{By: fmt.Sprint(r.IntN(2)), Reason: "r", At: at}
		}
		if r.IntN(2) == 0 {
			s.Ceiling, s.Brake, s.Unshared = Percent(r.IntN(2)*50), &Brake{By: fmt.Sprint(r.IntN(2)), Reason: "r", At: at}, r.IntN(2) == 0
		}
		return s
	}
	for range 200_000 {
		a, b := random(), random()
		ab, ba := merge(a, b), merge(b, a)
		if !ab.equal(&ba) {
			t.Fatalf("%+v and %+v: %+v or %+v", a, b, ab, ba)
		}
		if again := merge(ab, b); !again.equal(&ab) {
			t.Fatalf("%+v and %+v: %+v, once more %+v", a, b, ab, again)
		}
		if ab.Version != max(a.Version, b.Version) || ab.check() != nil {
			t.Fatalf("%+v and %+v: %+v, %v", a, b, ab, ab.check())
		}
		for _, s := range []State{a, b} {
			if s.Brake != nil && !s.Brake.same(ab.Lifted) && (s.Unshared || ab.Released <= s.Version) && ab.Ceiling > s.Ceiling {
				t.Fatalf("%+v and %+v: the brake is off: %+v", a, b, ab)
			}
			if s.Version == ab.Version && !s.Brake.same(ab.Lifted) && ab.Applied() > s.Applied() {
				t.Fatalf("%+v and %+v: more than one of them: %+v", a, b, ab)
			}
		}
	}
}
