package split

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Pull is one pull of the brake. Origin and Number tell it from every other: a
// release names the pulls that it takes off, and every other one stays.
type Pull struct {
	Origin string `json:"origin"` // the process that pulled, under a name drawn when it started
	Number int64  `json:"number"` // counts the pulls of Origin; a later one stands for all before
	Brake
}

// Name tells a pull from every other, in the API.
func (p *Pull) Name() string { return fmt.Sprintf("%s:%d", p.Origin, p.Number) }

// Brakes are the names of the pulls that hold the brake on, the strictest first.
func (s *State) Brakes() []string {
	names := make([]string, 0, len(s.Pulls))
	for i := range s.Pulls {
		names = append(names, s.Pulls[i].Name())
	}
	return names
}

// Lift says that the pulls of one origin, up to a number, have been released.
type Lift struct {
	Origin  string `json:"origin"`
	Number  int64  `json:"number"`
	Version int64  `json:"version"` // of the release; the oldest are forgotten first
}

// Bounds of what a state holds. See doc.go for what happens beyond them.
const (
	maxPulls  = 64
	maxLifted = 512
	maxOrigin = 64 // bytes of a name
)

// brakes joins what a and b know of the brake, and puts it into s.
func (s *State) brakes(a, b *State) {
	lifted := joinLifts(a.Lifted, b.Lifted)
	pulls := standing(lifted, a.Pulls, b.Pulls)
	if len(pulls) > maxPulls {
		one := together(pulls)
		lifted = joinLifts(lifted, lifts(pulls, s.Version))
		pulls = []Pull{one}
	}
	s.Pulls, s.Lifted = pulls, lifted[:min(len(lifted), maxLifted)]
	s.Ceiling, s.Brake = Full, nil
	if len(pulls) > 0 {
		s.Ceiling, s.Brake = pulls[0].Ceiling, &pulls[0].Brake
	}
}

// standing returns the last pull of every origin, unless it has been released.
func standing(lifted []Lift, held ...[]Pull) (pulls []Pull) {
	released := map[string]int64{}
	for _, l := range lifted {
		released[l.Origin] = l.Number
	}
	last := map[string]Pull{}
	for _, p := range slices.Concat(held...) {
		if known, ok := last[p.Origin]; p.Number > released[p.Origin] && (!ok || p.outdoes(&known)) {
			last[p.Origin] = p
		}
	}
	for _, p := range last {
		pulls = append(pulls, p)
	}
	slices.SortFunc(pulls, func(a, b Pull) int {
		return cmp.Or(cmp.Compare(a.Ceiling, b.Ceiling), a.At.Compare(b.At), cmp.Compare(a.Origin, b.Origin))
	})
	return pulls
}

// outdoes reports whether p counts where q of the same origin is known too.
func (p *Pull) outdoes(q *Pull) bool {
	if p.Number != q.Number {
		return p.Number > q.Number
	}
	return p.Ceiling < q.Ceiling
}

// joinLifts returns the last release of every origin, the newest first.
func joinLifts(a, b []Lift) (all []Lift) {
	last := map[string]Lift{}
	for _, l := range slices.Concat(a, b) {
		known := last[l.Origin]
		if l.Number > known.Number || l.Number == known.Number && l.Version > known.Version {
			last[l.Origin] = l
		}
	}
	for _, l := range last {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b Lift) int {
		return cmp.Or(cmp.Compare(b.Version, a.Version), cmp.Compare(a.Origin, b.Origin))
	})
	return all
}

// lifts names pulls as released.
func lifts(pulls []Pull, version int64) (all []Lift) {
	for _, p := range pulls {
		all = append(all, Lift{p.Origin, p.Number, version})
	}
	return all
}

// together makes one pull of too many. Its name comes from theirs: everybody who
// joins the same makes the same of it, and no release under way names it.
func together(pulls []Pull) Pull {
	names := make([]string, 0, len(pulls))
	for _, p := range pulls {
		names = append(names, fmt.Sprintf("%s %d", p.Origin, p.Number))
	}
	slices.Sort(names)
	one := pulls[0]
	one.Origin, one.Number = named("many", names...), 1
	one.Reason = shorten(fmt.Sprintf("%d brakes, one of them: %s", len(pulls), one.Reason), one.Reason)
	return one
}

// named makes an origin of texts.
func named(kind string, texts ...string) string {
	h := sha256.Sum256([]byte(strings.Join(texts, "\n")))
	return kind + ":" + hex.EncodeToString(h[:12])
}

// pull adds a pull, unless it has been released.
func (s *State) pull(p Pull) { s.brakes(s, &State{Pulls: []Pull{p}}) }

// release takes off the pulls that s holds, and no other.
func (s *State) release(version int64) { s.brakes(s, &State{Lifted: lifts(s.Pulls, version)}) }

// latest is the number of an origin's last pull that s knows of; 0: none.
func (s *State) latest(origin string) (n int64) {
	for _, p := range s.Pulls {
		if p.Origin == origin {
			n = p.Number
		}
	}
	for _, l := range s.Lifted {
		if l.Origin == origin {
			n = max(n, l.Number)
		}
	}
	return n
}

// knows reports whether s holds each of the pulls.
func (s *State) knows(pulls []Pull) bool {
	for _, p := range pulls {
		if !slices.ContainsFunc(s.Pulls, func(q Pull) bool { return samePull(p, q) }) {
			return false
		}
	}
	return true
}

func samePull(p, q Pull) bool {
	return p.Origin == q.Origin && p.Number == q.Number && p.Ceiling == q.Ceiling
}

// check reports what no relay could have written.
func (p *Pull) check() error {
	if !validOrigin(p.Origin) || p.Number < 1 || p.Number > maxVersion || !p.Ceiling.Valid() || p.Ceiling == Full {
		return errors.New("a brake that is none")
	}
	return nil
}

func (l *Lift) check(version int64) error {
	if !validOrigin(l.Origin) || l.Number < 1 || l.Number > maxVersion || l.Version < 0 || l.Version > version {
		return errors.New("a release that is none")
	}
	return nil
}

func validOrigin(s string) bool {
	return s != "" && len(s) <= maxOrigin && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// checkBrakes reports what no relay could have written about the brake.
func (s *State) checkBrakes() error {
	if len(s.Pulls) > maxPulls || len(s.Lifted) > maxLifted {
		return errors.New("more brakes or releases than any relay keeps")
	}
	for _, p := range s.Pulls {
		if err := p.check(); err != nil {
			return err
		}
	}
	for _, l := range s.Lifted {
		if err := l.check(s.Version); err != nil {
			return err
		}
	}
	again := *s
	again.brakes(s, s)
	if again.Ceiling != s.Ceiling || (again.Brake == nil) != (s.Brake == nil) || len(again.Pulls) != len(s.Pulls) {
		return errors.New("ceiling and brake do not agree")
	}
	return nil
}

// nameBrake gives the brake of an early state.file, which has no name, one.
func (s *State) nameBrake() {
	if s.Brake != nil && len(s.Pulls) == 0 {
		b := *s.Brake
		b.Ceiling = s.Ceiling
		s.Pulls = []Pull{{Origin: named("file", b.By, b.Reason, b.At.String()), Number: 1, Brake: b}}
	}
}
