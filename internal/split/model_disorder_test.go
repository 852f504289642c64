package split

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Four instances whose clocks differ set, undo, brake and release, while
// answers and messages are lost, repeated and late, Redis is emptied, damaged
// and split in two, and instances die, with and without state.file. In every
// step of every world:
//   - a brake that an instance has had on is on there until a release by
//     somebody who had seen it;
//   - no version goes back, and every state is one that a relay may write;
//   - a change that was refused is never in force.
//
// When all is well again everybody holds the same, the history has every
// change that was confirmed once, and one release ends the brake.
func TestFleetInDisorder(t *testing.T) {
	t.Parallel()
	var sum tally
	for seed := range uint64(worlds) {
		synctest.Test(t, func(t *testing.T) { newDisorder(t, seed).run(&sum) })
		if t.Failed() {
			t.Fatalf("in world %d (the worlds are numbered)", seed)
		}
	}
	t.Logf("%d worlds: %+v", worlds, sum)
	if sum.confirmed < worlds || sum.refused < worlds/4 || sum.lifted < worlds/4 || sum.restarts < worlds/2 {
		t.Error("too little has happened to prove anything")
	}
}

// tally counts what happened in all worlds.
type tally struct{ confirmed, refused, unsure, lifted, restarts, emptied int }

type disorder struct {
	*world
	*tally
	r       *rand.Rand
	tapes   [2]*tape
	skew    [4]time.Duration
	memory  [4]memory
	orders  []*order
	open    []*order         // that have not ended
	pulls   []Pull           // all that were ever seen
	named   map[string]int64 // by origin, what a release may have taken off
	refusal map[string]bool  // reasons of changes that must not be seen
	count   int
}

// memory is what the test knows of one process.
type memory struct {
	held    map[string]int64 // brakes it has had on
	version int64
	seen    *Snapshot
}

// order is a change that somebody has asked an instance for.
type order struct {
	on     *node
	action Action
	reason string
	ended  atomic.Bool
	result *Snapshot
	err    error
}

func newDisorder(t *testing.T, seed uint64) *disorder {
	d := &disorder{world: &world{t: t}, r: rand.New(rand.NewPCG(seed, 1)), tapes: [2]*tape{{}, {}}, named: map[string]int64{}, refusal: map[string]bool{}}
	for i := range d.skew {
		d.skew[i] = time.Duration(d.r.IntN(7)-3) * 20 * time.Minute
		d.memory[i].held = map[string]int64{}
		d.all = append(d.all, d.start(d.tapes[0], record{}, d.skew[i], answered))
	}
	return d
}

func (d *disorder) run(sum *tally) {
	d.tally, d.each = sum, d.check
	defer d.end()
	for range 400 {
		d.step()
		time.Sleep(time.Duration(d.r.IntN(20)) * time.Millisecond)
		synctest.Wait()
		d.check()
		if d.t.Failed() {
			return
		}
	}
	d.heal()
}

// step lets one thing happen.
func (d *disorder) step() {
	n := d.r.IntN(len(d.all))
	node := d.all[n]
	switch k := d.r.IntN(100); {
	case k < 40:
		if all := d.asked(); len(all) > 0 {
			d.answer(all[d.r.IntN(len(all))], []fate{answered, answered, answered, answered, answered, answered, answered, unheard, forgotten, repeated}[d.r.IntN(10)])
		}
	case k < 60:
		d.message(node)
	case k < 70:
		d.do(func() { node.store.follow(context.Background()) })
	case k < 90:
		d.ask(node)
	case k < 93: // past Redis, now or played again
		if len(d.pulls) > 0 {
			node.TakeBrake(d.pulls[d.r.IntN(len(d.pulls))])
		}
	case k < 96:
		node.at = d.tapes[d.r.IntN(2)]
	case k < 97:
		*node.at = tape{raw: []string{"", "", "x", `{"format":1,"version":9,"ses_percent":101,"ceiling":100}`}[d.r.IntN(4)]}
		d.emptied++
	case k < 98:
		d.restart(n)
	}
}

// message delivers, loses or repeats one of a node's messages, any of them.
func (d *disorder) message(n *node) {
	if len(n.inbox) == 0 {
		return
	}
	i := d.r.IntN(len(n.inbox))
	n.inbox[0], n.inbox[i] = n.inbox[i], n.inbox[0]
	switch d.r.IntN(10) {
	case 0:
		n.inbox = n.inbox[1:]
	case 1:
		n.store.hear(n.inbox[0])
	default:
		d.deliver(n)
	}
}

// ask asks an instance for a change of the version that it or another one has.
func (d *disorder) ask(n *node) {
	d.count++
	o := &order{on: n, reason: fmt.Sprint("change ", d.count)}
	version, ctx := n.Current().Version, context.Background()
	if d.r.IntN(4) == 0 {
		version = d.all[d.r.IntN(len(d.all))].Current().Version
	}
	k, share := d.r.IntN(10), Percent(d.r.IntN(100)*100)
	d.orders, d.open = append(d.orders, o), append(d.open, o)
	switch {
	case k < 4:
		o.action = ActionSet
	case k < 5:
		o.action = ActionUndo
	case k < 7:
		o.action = ActionBrake
	default:
		o.action = ActionRelease
		d.name(o) // what it sees before it does anything
	}
	d.do(func() {
		switch o.action {
		case ActionSet:
			o.result, o.err = n.Set(ctx, version, share, o.reason, "ops")
		case ActionUndo:
			o.result, o.err = n.Undo(ctx, version, o.reason, "ops")
		case ActionRelease:
			o.result, o.err = n.Release(ctx, version, o.reason, "ops")
		case ActionBrake:
			o.result, o.err = n.BrakeTo(share*Percent(k%2), "guard", o.reason)
		}
		o.ended.Store(true)
	})
	if o.action == ActionBrake && n.Current().Ceiling > share*Percent(k%2) {
		d.t.Errorf("braked, and the ceiling is %s", n.Current().Ceiling)
	}
}

// name notes the brakes that the author of a release may have seen.
func (d *disorder) name(o *order) {
	for _, p := range o.on.Current().Pulls {
		d.named[p.Origin] = max(d.named[p.Origin], p.Number)
	}
}

// restart ends a process and starts the next, with its file or without.
func (d *disorder) restart(i int) {
	d.restarts++
	old := d.all[i]
	var file record
	if d.r.IntN(2) == 0 {
		file = old.store.mirror.last()
	}
	d.gone = append(d.gone, old)
	d.all[i] = d.start(old.at, file, d.skew[i], []fate{answered, unheard}[d.r.IntN(2)])
	d.memory[i] = memory{held: map[string]int64{}}
}

func (d *disorder) check() {
	d.open = slices.DeleteFunc(d.open, func(o *order) bool {
		if o.action == ActionRelease {
			d.name(o)
		}
		ended := o.ended.Load()
		if ended {
			d.judge(o)
		}
		return ended
	})
	for i, n := range d.all {
		d.checkNode(i, n.Current())
	}
}

// judge looks at what an order's author was told.
func (d *disorder) judge(o *order) {
	var open *unsure
	switch {
	case o.err == nil || errors.Is(o.err, ErrNotSaved):
		d.confirmed++
	case errors.As(o.err, &open):
		d.unsure++
	case o.result == nil:
		d.refused++
		d.refusal[o.reason] = true
	}
}

func (d *disorder) checkNode(i int, s *Snapshot) {
	m := &d.memory[i]
	if s == m.seen && !d.refusal[s.Reason] {
		return
	}
	m.seen = s
	if err := s.check(); err != nil {
		d.t.Errorf("instance %d: %v: %+v", i, err, s.State)
	}
	if s.Version < m.version || d.refusal[s.Reason] {
		d.t.Errorf("instance %d: after version %d, with %q refused %v: %+v", i, m.version, s.Reason, d.refusal[s.Reason], s.State)
	}
	m.version = s.Version
	on := map[string]int64{}
	for _, p := range s.Pulls {
		on[p.Origin] = p.Number
		if p.Number > m.held[p.Origin] {
			d.pulls = append(d.pulls, p)
		}
	}
	for origin, number := range m.held {
		if on[origin] < number && d.named[origin] < number {
			d.t.Errorf("instance %d: brake %s %d is off, and nobody who has seen it has released: %+v", i, origin, number, s.State)
		}
		if on[origin] < number {
			d.lifted++
			delete(m.held, origin)
		}
	}
	for origin, number := range on {
		m.held[origin] = number
	}
}

// heal lets Redis answer again, and everybody reach the same.
func (d *disorder) heal() {
	for _, n := range d.all {
		n.at = d.tapes[0]
	}
	d.settle()
	d.check()
	d.same()
	s := d.all[0].Current()
	if s.Brake != nil {
		d.name(&order{on: d.all[1]})
		d.do(func() {
			if _, err := d.all[1].Release(context.Background(), s.Version, "the end", "ops"); err != nil {
				d.t.Errorf("the last release: %v", err)
			}
		})
		d.settle()
		d.same()
		if s = d.all[0].Current(); s.Brake != nil {
			d.t.Errorf("one release does not end the brake: %+v", s.State)
		}
	}
}

// same: all hold the same, and so does Redis, with a whole history.
func (d *disorder) same() {
	first := d.all[0].Current()
	held, err := decodeShared(d.tapes[0].raw)
	if first.holds() && (err != nil || !held.equal(&first.State)) {
		d.t.Errorf("Redis: %v, %+v; an instance: %+v", err, held, first.State)
	}
	for i, n := range d.all {
		if s := n.Current(); !s.State.equal(&first.State) || s.Unsaved {
			d.t.Errorf("instance %d: unsaved %v, %+v; the first: %+v", i, s.Unsaved, s.State, first.State)
		}
	}
	lines := map[string]int{}
	for _, c := range d.all[0].store.mirror.last().History {
		lines[c.Reason]++
	}
	for _, o := range d.orders {
		lives := false
		for _, n := range d.all {
			lives = lives || n == o.on
		}
		confirmed := o.err == nil || errors.Is(o.err, ErrNotSaved)
		if n := lines[o.reason]; n > 1 || n == 0 && confirmed && lives || n > 0 && d.refusal[o.reason] {
			d.t.Errorf("%s %q (%v) is %d times in the history", o.action, o.reason, o.err, n)
		}
	}
}
