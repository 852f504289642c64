package split

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// shareHistory returns the fleet's history, newest first, after Redis was given
// the lines that only this instance has: those it wrote while Redis was away,
// and all of them when Redis was emptied.
func (s *RedisStore) shareHistory(ctx context.Context, head string) ([]Change, error) {
	got, err := s.readHistory(ctx)
	if err != nil {
		return nil, err
	}
	all := union(got, s.mirror.last().History)
	if len(all) == len(got) {
		return got, nil
	}
	done, err := s.shared.restore(ctx, head, lines(all))
	if s.note(err) != nil {
		return nil, err
	}
	if !done {
		s.nudge() // it has grown meanwhile
	}
	return all, nil
}

// union returns the changes of both, newest first. What is older than a full
// history has been dropped for good.
func union(shared, own []Change) []Change {
	seen := make(map[string]bool, len(shared))
	for _, c := range shared {
		seen[c.key()] = true
	}
	all := slices.Clone(shared)
	for _, c := range own {
		if !seen[c.key()] && (len(shared) < MaxHistory || c.follows(&shared[len(shared)-1])) {
			all = append(all, c)
		}
	}
	if len(all) > len(shared) {
		all = inOrder(all)
	}
	return all[:min(len(all), MaxHistory)]
}

// follows reports whether c was made after o. Versions tell, whatever the clocks
// of the two instances say.
func (c *Change) follows(o *Change) bool {
	return c.Version > o.Version || c.Version == o.Version && c.At.After(o.At)
}

// inOrder returns changes newest first: those that made a version in the order
// of the versions, and between them the brakes, which made none, where their
// times put them.
func inOrder(all []Change) []Change {
	var made, brakes []Change
	for _, c := range all {
		if c.Action == ActionBrake {
			brakes = append(brakes, c)
		} else {
			made = append(made, c)
		}
	}
	slices.SortStableFunc(made, func(a, b Change) int {
		return cmp.Or(cmp.Compare(b.Version, a.Version), b.At.Compare(a.At))
	})
	slices.SortStableFunc(brakes, func(a, b Change) int { return b.At.Compare(a.At) })
	out := make([]Change, 0, len(all))
	for len(made) > 0 && len(brakes) > 0 {
		if made[0].At.After(brakes[0].At) {
			out, made = append(out, made[0]), made[1:]
		} else {
			out, brakes = append(out, brakes[0]), brakes[1:]
		}
	}
	return append(append(out, made...), brakes...)
}

// key tells a change from every other.
func (c *Change) key() string {
	return fmt.Sprintf("%d %d %s %q %q", c.Version, c.At.UnixNano(), c.Action, c.Who, c.Reason)
}

// lines are changes as the history keeps them.
func lines(changes []Change) []any {
	out := make([]any, 0, len(changes))
	for _, c := range changes {
		if b, err := json.Marshal(c); err == nil {
			out = append(out, string(b))
		}
	}
	return out
}

// readHistory returns the fleet's changes, newest first. A line that no relay
// has written is left out.
func (s *RedisStore) readHistory(ctx context.Context) ([]Change, error) {
	all, err := s.shared.history(ctx)
	if s.note(err) != nil {
		return nil, err
	}
	out := make([]Change, 0, len(all))
	for _, line := range all {
		var c Change
		if json.Unmarshal([]byte(line), &c) != nil || !c.Before.Valid() || !c.After.Valid() {
			continue
		}
		c.Who, c.Reason = shorten(c.Who, "unknown"), shorten(c.Reason, "no reason given")
		out = append(out, c)
	}
	return out, nil
}
