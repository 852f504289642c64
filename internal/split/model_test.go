package split

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// world is a fleet without Redis in which nothing happens by itself: every
// question to the register waits until the test answers it, and every message
// until the test delivers it. So the test decides the order of all events, the
// same each time. It runs in a bubble of synctest.
type world struct {
	t       *testing.T
	all     []*node
	each    func()     // looks at the world after every event; nil: nobody does
	gone    []*node    // their processes have ended; what they asked of Redis may still come there
	mu      sync.Mutex // guards what follows
	waiting []*question
}

// tape is what one Redis holds.
type tape struct {
	raw   string
	lines []string // newest first
}

func (s *tape) head() string {
	return fmt.Sprint(len(s.lines), strings.Join(s.lines[:min(1, len(s.lines))], ""))
}

// node is one instance.
type node struct {
	*Live
	store *RedisStore
	world *world
	at    *tape    // the Redis it reaches
	inbox []string // messages on their way to it
}

// question is a call of the register that waits for its answer.
type question struct {
	from   *node
	what   string
	effect func() error
	answer chan error
}

// fate is what becomes of a question.
type fate int

const (
	answered  fate = iota
	unheard        // it is lost on the way there
	forgotten      // the answer is lost on the way back
	repeated       // and the client asks again
)

func newWorld(t *testing.T, n int) *world {
	w := &world{t: t}
	at := &tape{}
	for range n {
		w.all = append(w.all, w.start(at, record{}, 0, answered))
	}
	return w
}

// start runs an instance whose clock is off by skew, with what an earlier one
// left in its state.file. Redis answers it or does not.
func (w *world) start(at *tape, file record, skew time.Duration, redis fate) *node {
	m, err := openMirror("")
	if err != nil {
		w.t.Fatal(err)
	}
	m.rec, m.stored = file, file.State.holds()
	n := &node{world: w, at: at}
	n.store = newStore(n, m)
	var ended atomic.Bool
	w.do(func() {
		n.Live, err = NewLive(context.Background(), n.store, LiveConfig{Initial: 100, Now: func() time.Time { return time.Now().Add(skew) }})
		ended.Store(true)
	})
	for !ended.Load() {
		waiting := w.asked()
		if i := slices.IndexFunc(waiting, func(q *question) bool { return q.from == n }); i >= 0 {
			w.answer(waiting[i], redis)
			continue
		}
		time.Sleep(n.store.Settle) // an empty Redis is asked again
		synctest.Wait()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// do begins something and returns when it waits or has ended.
func (w *world) do(f func()) {
	go f()
	synctest.Wait()
}

// asked returns the questions that wait, the oldest first.
func (w *world) asked() []*question {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.waiting)
}

// next is the question that has waited longest; nil: none.
func (w *world) next() *question {
	if all := w.asked(); len(all) > 0 {
		return all[0]
	}
	return nil
}

// answer lets one question go on.
func (w *world) answer(q *question, f fate) {
	w.mu.Lock()
	w.waiting = slices.DeleteFunc(w.waiting, func(o *question) bool { return o == q })
	w.mu.Unlock()
	var err error
	if f != unheard {
		err = q.effect()
	}
	if f == repeated {
		err = q.effect()
	} else if f != answered {
		err = errSilent
	}
	q.answer <- err
	synctest.Wait()
	w.look()
}

func (w *world) look() {
	if w.each != nil {
		w.each()
	}
}

// deliver hands over the oldest message.
func (w *world) deliver(n *node) {
	payload := n.inbox[0]
	n.inbox = n.inbox[1:]
	n.store.hear(payload)
	w.look()
}

// settle ends what is under way, delivers all messages and lets every instance
// exchange until nothing changes.
func (w *world) settle() {
	for range 4 {
		w.drain()
		for _, n := range w.all {
			w.do(func() { n.store.follow(context.Background()) })
			w.drain()
		}
	}
}

func (w *world) drain() {
	for q := w.next(); q != nil; q = w.next() {
		w.answer(q, answered)
	}
	for _, n := range w.all {
		for len(n.inbox) > 0 {
			w.deliver(n)
		}
	}
}

// end stops what runs in the bubble.
func (w *world) end() {
	w.drain()
	for _, n := range slices.Concat(w.all, w.gone) {
		n.store.Close()
	}
}

// ask waits for the test.
func (n *node) ask(what string, effect func() error) error {
	q := &question{from: n, what: what, effect: effect, answer: make(chan error)}
	n.world.mu.Lock()
	n.world.waiting = append(n.world.waiting, q)
	n.world.mu.Unlock()
	return <-q.answer
}

// read implements register.
func (n *node) read(context.Context) (got stored, err error) {
	err = n.ask("read", func() error {
		got = stored{raw: n.at.raw, head: n.at.head()}
		return got.decode()
	})
	return got, err
}

// replace implements register.
func (n *node) replace(_ context.Context, was stored, raw string, lines []any) error {
	return n.ask("replace", func() error {
		held := n.at.raw
		if held != was.raw && held != raw {
			return errConflict
		}
		n.at.raw = raw
		for _, line := range lines {
			if !slices.Contains(n.at.lines, line.(string)) {
				n.at.lines = append([]string{line.(string)}, n.at.lines...)
			}
		}
		for _, o := range n.world.all {
			if o.at == n.at && raw != held {
				o.inbox = append(o.inbox, raw)
			}
		}
		return nil
	})
}

// history implements register.
func (n *node) history(context.Context) (all []string, err error) {
	err = n.ask("history", func() error { all = slices.Clone(n.at.lines); return nil })
	return all, err
}

// restore implements register.
func (n *node) restore(_ context.Context, head string, lines []any) (done bool, err error) {
	err = n.ask("restore", func() error {
		if done = n.at.head() == head; done {
			n.at.lines = nil
			for _, line := range lines {
				n.at.lines = append(n.at.lines, line.(string))
			}
		}
		return nil
	})
	return done, err
}

// listen implements register.
func (n *node) listen(ctx context.Context, _ func(string)) { <-ctx.Done() }

var _ register = (*node)(nil)

// orders runs a scenario once for every order of its events: it asks choose for
// a number below n, and gets all of them one after the other.
func orders(t *testing.T, scenario func(choose func(n int) int)) (runs int) {
	var path, width []int
	for begun := time.Now(); ; runs++ {
		if time.Since(begun) > 5*time.Minute {
			t.Fatalf("not at the end after %d orders", runs)
		}
		depth := 0
		scenario(func(n int) int {
			if depth == len(path) {
				path, width = append(path, 0), append(width, n)
			}
			depth++
			return path[depth-1]
		})
		last := len(path) - 1
		for last >= 0 && path[last] == width[last]-1 {
			last--
		}
		if last < 0 || t.Failed() {
			return runs + 1
		}
		path, width = path[:last+1], width[:last+1]
		path[last]++
	}
}
