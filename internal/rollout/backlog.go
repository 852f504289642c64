package rollout

import (
	"slices"
	"time"
)

// backlog is what was counted and is in no stored stage yet, by when it was
// counted. Every instance keeps it: any of them may be the next to store.
type backlog struct {
	parts []part // oldest first
}

type part struct {
	at    time.Time
	steps map[string]*Counts
}

// joinAfter is when parts become one: what an instance has stored, the others
// have read by then.
const joinAfter = 30 * time.Second

// add takes in what was counted of a step at a moment.
func (b *backlog) add(at time.Time, step string, d *Counts) {
	if n := len(b.parts); n == 0 || !b.parts[n-1].at.Equal(at) {
		b.join(at)
		b.parts = append(b.parts, part{at, map[string]*Counts{}})
	}
	b.parts[len(b.parts)-1].add(step, d)
}

func (p *part) add(step string, d *Counts) {
	if p.steps[step] == nil {
		p.steps[step] = &Counts{}
	}
	p.steps[step].add(d, 1)
}

// join makes one of the parts that are older than joinAfter.
func (b *backlog) join(now time.Time) {
	for len(b.parts) > 1 && now.Sub(b.parts[1].at) > joinAfter {
		next := b.parts[1]
		for step, d := range next.steps {
			b.parts[0].add(step, d)
		}
		b.parts[0].at = next.at
		b.parts = slices.Delete(b.parts, 1, 2)
	}
}

// of adds up what there is of a step; nil: nothing.
func (b *backlog) of(step string) (sum *Counts) {
	for _, p := range b.parts {
		if d := p.steps[step]; d != nil {
			if sum == nil {
				sum = &Counts{}
			}
			sum.add(d, 1)
		}
	}
	return sum
}

// stored drops what is in the stored stages: what was counted until a moment.
func (b *backlog) stored(until time.Time) {
	b.parts = slices.DeleteFunc(b.parts, func(p part) bool { return !p.at.After(until) })
}
