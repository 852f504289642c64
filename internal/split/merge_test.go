package split

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var monday = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// pulled adds the pull that origin makes under a number.
func pulled(s State, origin string, number int64) State {
	s.pull(Pull{Origin: origin, Number: number, Brake: Brake{By: origin, Reason: "r", At: monday}})
	return s
}

// released is s after a release of what it holds, as a new version.
func released(s State) State {
	s.Version++
	s.release(s.Version)
	return s
}

func TestMerge(t *testing.T) {
	t.Parallel()
	v := func(version int64, p Percent) State {
		return State{Value: Value{Version: version, SESPercent: p, ChangedAt: monday}, Ceiling: Full}
	}
	on := func(s State, who ...string) State { // "a1": the first pull of a
		for _, w := range who {
			s = pulled(s, w[:1], int64(w[1]-'0'))
		}
		return s
	}
	off := func(s State, who ...string) State { // after a release of these
		s.brakes(&s, &State{Lifted: on(State{}, who...).Lifted})
		lift := on(State{Value: Value{Version: s.Version}}, who...)
		lift.release(s.Version)
		s.brakes(&s, &lift)
		return s
	}
	for _, c := range []struct {
		name       string
		a, b, want State
	}{
		{"the same", v(3, 100), v(3, 100), v(3, 100)},
		{"the higher version", v(3, 100), v(4, 900), v(4, 900)},
		{"two values under one version: the lower", v(4, 900), v(4, 100), v(4, 100)},
		{"a brake under one version", on(v(4, 900), "x1"), v(4, 900), on(v(4, 900), "x1")},
		{"a brake, and a set that did not know it", on(v(4, 900), "x1"), v(5, 1000), on(v(5, 1000), "x1")},
		{"a brake, and the release of it", on(v(4, 900), "x1"), off(v(5, 900), "x1"), off(v(5, 900), "x1")},
		{"a brake, its release, and more", on(v(4, 900), "x1"), off(v(8, 50), "x1"), off(v(8, 50), "x1")},
		{"a brake, and the release of another", on(v(4, 900), "x1"), off(v(5, 900), "y1"), on(off(v(5, 900), "y1"), "x1")},
		{"a brake beside one that is released", on(v(4, 900), "x1", "y1"), off(v(5, 900), "y1"), on(off(v(5, 900), "y1"), "x1")},
		{"a brake pulled again after its release", on(off(v(5, 900), "x1"), "x2"), off(v(6, 900), "x1"), on(off(merge(v(6, 900), off(v(5, 900), "x1")), "x1"), "x2")},
		{"a brake pulled again while the first was released", on(v(4, 900), "x2"), off(v(5, 900), "x1"), on(off(v(5, 900), "x1"), "x2")},
		{"the release of a later brake is that of an earlier", on(v(4, 900), "x1"), off(v(5, 900), "x2"), off(v(5, 900), "x2")},
		{"a release under a version that lost", off(v(4, 900), "x1"), on(v(5, 100), "x1"), merge(v(5, 100), off(v(4, 900), "x1"))},
		{"two brakes", on(v(4, 900), "a1"), on(v(4, 900), "x1"), on(v(4, 900), "a1", "x1")},
		{"lower percent here, brake there", v(4, 100), on(v(4, 900), "x1"), on(v(4, 100), "x1")},
	} {
		for _, got := range []State{merge(c.a, c.b), merge(c.b, c.a)} {
			if !got.equal(&c.want) {
				t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
			}
			if err := got.check(); err != nil {
				t.Errorf("%s: %v", c.name, err)
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
	random := func() State {
		s := State{Value: Value{Version: r.Int64N(4), SESPercent: Percent(r.IntN(3) * 100), ChangedAt: monday.Add(time.Duration(r.IntN(2))), ChangedBy: fmt.Sprint(r.IntN(2))}, Ceiling: Full}
		for range r.IntN(4) {
			o, n := fmt.Sprint("o", r.IntN(3)), r.Int64N(3)+1
			if r.IntN(2) == 0 {
				s.brakes(&s, &State{Lifted: []Lift{{o, n, r.Int64N(s.Version + 1)}}})
			} else {
				s.pull(Pull{Origin: o, Number: n, Brake: Brake{By: o, Reason: "r", At: monday, Ceiling: Percent(r.IntN(2) * 50)}})
			}
		}
		return s
	}
	for range 100_000 {
		a, b, c := random(), random(), random()
		ab, ba := merge(a, b), merge(b, a)
		if !ab.equal(&ba) {
			t.Fatalf("%+v and %+v: %+v or %+v", a, b, ab, ba)
		}
		if again := merge(ab, b); !again.equal(&ab) {
			t.Fatalf("%+v and %+v: %+v, once more %+v", a, b, ab, again)
		}
		if one, other := merge(ab, c), merge(a, merge(b, c)); !one.equal(&other) {
			t.Fatalf("%+v, %+v and %+v: %+v or %+v", a, b, c, one, other)
		}
		if ab.Version != max(a.Version, b.Version) || ab.check() != nil {
			t.Fatalf("%+v and %+v: %+v, %v", a, b, ab, ab.check())
		}
		checkKept(t, a, ab)
		checkKept(t, b, ab)
	}
}

// checkKept: what s holds is on in the join too, unless a release named it.
func checkKept(t *testing.T, s, joined State) {
	t.Helper()
	for _, p := range s.Pulls {
		on := slices.ContainsFunc(joined.Pulls, func(q Pull) bool { return q.Origin == p.Origin && q.Number >= p.Number })
		off := slices.ContainsFunc(joined.Lifted, func(l Lift) bool { return l.Origin == p.Origin && l.Number >= p.Number })
		if !on && !off {
			t.Fatalf("%+v: a brake is lost: %+v", s, joined)
		}
	}
}

// More brakes than a state keeps become one, which no release under way names;
// everybody makes the same of them, and one release takes it off.
func TestManyBrakes(t *testing.T) {
	t.Parallel()
	base := State{Value: Value{Version: 7, SESPercent: 5000, ChangedAt: monday}, Ceiling: Full}
	full := base
	for i := range maxPulls {
		full = pulled(full, fmt.Sprint("o", i), 1)
	}
	late := released(full) // its author saw 64 of 65
	one := pulled(base, "last", 1)
	all, other := merge(full, one), merge(one, full)
	if !all.equal(&other) || len(all.Pulls) != 1 || all.Applied() != 0 || all.check() != nil {
		t.Fatalf("%+v or %+v", all, other)
	}
	if again := merge(all, full); !again.equal(&all) {
		t.Fatalf("%+v", again)
	}
	if s := merge(all, late); s.Applied() != 0 {
		t.Fatalf("the release of 64 has taken off the last: %+v", s)
	}
	if s := merge(full, released(all)); s.Applied() != 5000 {
		t.Fatalf("released, and on: %+v", s.Pulls)
	}
}

// The list of releases is bounded: the oldest are forgotten, and a brake that
// comes back after that is on again.
func TestReleasesAreForgotten(t *testing.T) {
	t.Parallel()
	s := State{Value: Value{SESPercent: 5000, ChangedAt: monday}, Ceiling: Full}
	first := pulled(s, "first", 1)
	s = released(first)
	for i := range maxLifted - 1 {
		s = released(pulled(s, fmt.Sprint("o", i), 1))
	}
	if back := merge(s, first); back.Applied() != 5000 {
		t.Fatalf("%+v", back.Pulls)
	}
	s = released(pulled(s, "one-more", 1))
	if err := s.check(); err != nil || len(s.Lifted) != maxLifted {
		t.Fatalf("%v, %d releases", err, len(s.Lifted))
	}
	back := merge(s, first)
	if back.Applied() != 0 {
		t.Fatal("a release that nobody knows of has taken a brake off")
	}
	if s = merge(released(back), first); s.Applied() != 5000 {
		t.Fatalf("%+v", s.Pulls)
	}
}
