package split

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
)

// A brake that is on is released by one instance while another one pulls it
// anew, in every order of what they ask of Redis and of the messages between
// them: the new brake stays on, unless whoever released had seen it.
func TestReleaseTakesOffWhatItsAuthorSaw(t *testing.T) {
	t.Parallel()
	kept := 0
	runs := orders(t, func(choose func(int) int) {
		synctest.Test(t, func(t *testing.T) {
			if releaseAgainstBrake(t, choose, false) {
				kept++
			}
		})
	})
	t.Logf("%d orders, %d of them with a brake that had to stay", runs, kept)
	if runs < 100 || kept < runs/4 {
		t.Error("too little was tried")
	}
}

// releaseAgainstBrake is one order. It returns whether the second brake had to
// stay on. With third, the instance that pulled the first takes part too.
func releaseAgainstBrake(t *testing.T, choose func(int) int, third bool) bool {
	w := newWorld(t, 3)
	defer w.end()
	ctx := context.Background()
	first, author, second := w.all[0], w.all[1], w.all[2]
	w.do(func() { first.Set(ctx, 0, 5000, "week 1", "ops") })
	w.settle()
	w.do(func() { first.Brake("first", "bounces") })
	w.settle()
	if s := author.Current(); s.Applied() != 0 || s.Version != 1 {
		t.Fatalf("%+v", s.State)
	}
	seen, pulled := false, false
	begin := []func(){
		func() {
			seen = sees(author.Current(), "second")
			author.Release(ctx, 1, "fixed", "ops")
		},
		func() {
			pulled = true
			second.Brake("second", "delay")
		},
		func() { first.store.follow(ctx) },
	}
	if !third {
		begin = begin[:2]
	}
	for {
		for !third && len(first.inbox) > 0 {
			w.deliver(first)
		}
		events := w.events(&begin)
		if len(events) == 0 {
			break
		}
		events[choose(len(events))]()
		if pulled && !seen && second.Current().Applied() > 0 {
			t.Errorf("the second brake is off where it was pulled: %+v", second.Current().State)
			return true
		}
	}
	w.settle()
	for i, n := range w.all {
		if s := n.Current(); (s.Applied() == 0) == seen || !s.State.equal(&first.Current().State) {
			t.Errorf("instance %d in the end, seen %v: %+v", i, seen, s.State)
		}
	}
	return !seen
}

// sees reports whether a brake of somebody is known to be on.
func sees(s *Snapshot, by string) bool {
	return slices.ContainsFunc(s.Pulls, func(p Pull) bool { return p.By == by })
}

// events are what can happen next: something begins, a question is answered, a
// message arrives.
func (w *world) events(begin *[]func()) (all []func()) {
	for i, f := range *begin {
		if f != nil {
			all = append(all, func() { (*begin)[i] = nil; w.do(f) })
		}
	}
	for q := w.next(); q != nil && (q.what == "history" || q.what == "restore"); q = w.next() {
		w.answer(q, answered) // their order with the rest changes nothing about brakes
	}
	for _, q := range w.asked() {
		all = append(all, func() { w.answer(q, answered) })
	}
	for _, n := range w.all {
		if len(n.inbox) > 0 {
			all = append(all, func() { w.deliver(n) })
		}
	}
	return all
}

// A share set by an instance that has not heard of the brake leaves the brake in
// Redis: one that starts right then finds it.
func TestSetKeepsTheBrakeInRedis(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		defer w.end()
		w.do(func() { w.all[0].Set(t.Context(), 0, 5000, "week 1", "ops") })
		w.settle()
		w.do(func() { w.all[0].Brake("ops", "stop") })
		for q := w.next(); q != nil; q = w.next() {
			w.answer(q, answered)
		}
		w.do(func() { w.all[1].Set(t.Context(), 1, 6000, "week 2", "ops") })
		for q := w.next(); q != nil; q = w.next() {
			w.answer(q, answered)
		}
		s, err := decodeShared(w.all[0].at.raw)
		if err != nil || s.Version != 2 || s.Applied() != 0 || w.all[1].Current().Applied() != 0 {
			t.Errorf("%v, %+v", err, s)
		}
	})
}

// A copy that is kept for a change begun before a brake does not write over the
// brake: after a crash state.file still has it.
func TestMirrorKeepsTheBrake(t *testing.T) {
	t.Parallel()
	m, err := openMirror("")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	before := State{Value: Value{Version: 1, SESPercent: 5000}, Ceiling: Full}
	m.add(pulled(before, "a", 1))
	before.Version = 2
	m.add(before)
	if s := m.last().State; s.Version != 2 || s.Applied() != 0 {
		t.Errorf("%+v", s)
	}
}
