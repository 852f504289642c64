package split

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// RedisStore is the Store of a fleet: one state in Redis or Valkey, replaced
// only by whoever has read it (compare-and-swap in a script), told to the
// others by a message and read again every second. What Redis loses, the
// instances write back: each holds the last state it has seen, in memory and in
// state.file.
//
// Without Redis nothing changes at once. An increase is refused; a lowering and
// the brake are in force here, with ErrNotSaved, and reach the fleet when Redis
// answers again. merge says what wins then.
type RedisStore struct {
	// Tell passes a brake on to the instances last known, past Redis; nil: no
	// such way. It returns an error that names whom it did not reach. Set it
	// before the store is used.
	Tell func(ctx context.Context, p Pull, version int64) error

	// Settle is how long Load lets the other instances give an empty Redis back
	// what it lost, before it believes that nothing was ever stored.
	Settle time.Duration

	shared register
	mirror *mirror
	live   *Live // from NewLive
	kick   chan struct{}

	mu   sync.Mutex // guards what follows
	down error      // of the last command; nil: Redis answers
}

var (
	_ Store = (*RedisStore)(nil)
	_ fleet = (*RedisStore)(nil)
)

// NewRedisStore returns a store under the keys of prefix, which share one hash
// slot. The client must bound its commands by their context
// (ContextTimeoutEnabled). The file keeps a copy across restarts; "" keeps
// none. Nothing is asked of Redis yet.
func NewRedisStore(client redis.UniversalClient, prefix, file string) (*RedisStore, error) {
	m, err := openMirror(file)
	if err != nil {
		return nil, err
	}
	tag := HashTag(prefix)
	return newStore(&keys{client, tag + "split", tag + "split:history", tag + "split"}, m), nil
}

func newStore(shared register, m *mirror) *RedisStore {
	return &RedisStore{shared: shared, mirror: m, kick: make(chan struct{}, 1), Settle: 3 * pollEvery / 2, down: errors.New("nothing asked yet")}
}

// HashTag puts a prefix into braces, so that all its keys are in one slot of a
// cluster. A prefix that has braces already stays as it is.
func HashTag(prefix string) string {
	if open := strings.IndexByte(prefix, '{'); open >= 0 && strings.IndexByte(prefix[open:], '}') > 1 {
		return prefix
	}
	if prefix == "" {
		prefix = "relay:"
	}
	return "{" + prefix + "}"
}

// bind implements fleet.
func (s *RedisStore) bind(l *Live) { s.live = l }

// Up reports whether Redis answered the last command, and what it said if not.
func (s *RedisStore) Up() (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down == nil, s.down
}

// note remembers whether Redis answers, and returns err.
func (s *RedisStore) note(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
	return err
}

// read gets the state, and notes whether Redis answers.
func (s *RedisStore) read(ctx context.Context) (stored, error) {
	got, err := s.shared.read(ctx)
	return got, s.note(err)
}

// replace puts next where was has been read, see register.
func (s *RedisStore) replace(ctx context.Context, was stored, next State, changes []Change) error {
	raw, err := encodeShared(next)
	if err != nil {
		return err
	}
	err = s.shared.replace(ctx, was, raw, lines(changes))
	if errors.Is(err, errConflict) || errors.Is(err, errLate) { // an answer too
		s.note(nil)
		return err
	}
	return s.note(err)
}

// loadTries bounds how long a start waits for Redis: about a second.
const loadTries = 3

// Load returns what Redis and state.file hold, joined. Redis away: the file's.
// Neither: 0 %, which is no answer that somebody gave but a safe place to start.
// Only a Redis that answers and has nothing, for as long as the other instances
// need to give it back what it lost, leaves the word to the configuration.
func (s *RedisStore) Load(ctx context.Context) (State, bool, error) {
	got, err := s.readSoon(ctx)
	if errors.Is(err, errNewer) {
		return State{}, false, err
	}
	file, kept := s.mirror.last().State, s.mirror.found()
	switch {
	case got.found && kept:
		return merge(file, got.state), true, nil
	case got.found:
		return got.state, true, nil
	case kept:
		return file, true, nil
	case err == nil && got.raw == "":
		return State{}, false, nil
	}
	return State{Ceiling: Full, Value: Value{ChangedBy: "relay", ChangedAt: time.Now().UTC().Round(0),
		Reason: "neither Redis nor state.file holds a split"}}, true, nil
}

// readSoon reads until Redis answers with a state, a short time.
func (s *RedisStore) readSoon(ctx context.Context) (got stored, err error) {
	for range loadTries {
		if got, err = s.read(ctx); got.found || errors.Is(err, errNewer) {
			return got, err
		}
		if err == nil {
			select {
			case <-time.After(s.Settle / loadTries):
			case <-ctx.Done():
			}
		}
	}
	return got, err
}

// attempts bounds how often a change starts again because others were faster.
const attempts = 16

// CompareAndSwap implements Store.
func (s *RedisStore) CompareAndSwap(ctx context.Context, old, next State, c Change) error {
	err := s.swap(ctx, old, next, c)
	switch {
	case err == nil || errors.Is(err, ErrStale):
		return err
	case !old.raises(&next):
		s.mirror.add(next, c)
		return fmt.Errorf("%w: this instance alone applies it, the others follow when Redis answers: %w", ErrNotSaved, err)
	case errors.Is(err, errSilent):
		return &unsure{err}
	}
	if errors.Is(err, errNewer) {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return fmt.Errorf("%w, for the other instances would not know of it: bring Redis back and repeat (an empty one will do, the instances give it what they hold); "+
		"until then only the brake and a lower share can be set: %w", ErrRefused, err)
}

// unsure is a refusal that Redis may not have heard: the answer was lost.
type unsure struct{ cause error }

func (u *unsure) Error() string {
	return "it is not known whether the change was made: read the split again before you repeat it: " + u.cause.Error()
}
func (u *unsure) Unwrap() error        { return u.cause }
func (u *unsure) Is(target error) bool { return target == ErrRefused }

// swap makes a versioned change in Redis.
func (s *RedisStore) swap(ctx context.Context, old, next State, c Change) error {
	for range attempts {
		was, err := s.read(ctx)
		if err != nil {
			return err
		}
		base := old
		if was.found {
			base = merge(old, was.state)
		}
		if err := s.fits(old, base, c); err != nil {
			return err
		}
		want := next
		want.brakes(&next, &base)
		s.live.adopt(base) // a brake in it counts at once
		err = s.commit(ctx, was, want, c)
		if !errors.Is(err, errConflict) {
			return err
		}
	}
	return ErrStale
}

// fits refuses a change that was made to another state than the one stored. The
// caller finds that one in force when it looks again.
func (s *RedisStore) fits(old, base State, c Change) error {
	moved := base.Version != old.Version || base.SESPercent != old.SESPercent
	braked := c.Action == ActionRelease && !old.knows(base.Pulls)
	if moved || braked {
		s.live.adopt(base)
		return ErrStale
	}
	return nil
}

// commit replaces the state and adds to the history.
func (s *RedisStore) commit(ctx context.Context, was stored, next State, c ...Change) error {
	if err := s.replace(ctx, was, next, c); err != nil {
		return err
	}
	s.mirror.add(next, c...)
	s.nudge() // the mirror's history
	return nil
}

// Lower implements Store. The brake is in force here already; the other
// instances learn it from Redis and, at the same time, from Tell.
func (s *RedisStore) Lower(ctx context.Context, old State, p Pull, c Change) error {
	braked := s.live.Current().State
	s.mirror.add(braked)
	told := make(chan error, 1)
	go func() { told <- s.tell(ctx, p, old.Version) }()
	old.pull(p)
	err := s.lower(ctx, old, c)
	if err == nil {
		return nil
	}
	s.mirror.add(braked, c)
	s.nudge()
	select {
	case peers := <-told:
		err = errors.Join(err, peers)
	case <-ctx.Done():
		err = errors.Join(err, errors.New("not every instance has answered yet"))
	}
	return fmt.Errorf("%w: %w", ErrNotSaved, errors.Join(err, s.mirror.wait(ctx)))
}

func (s *RedisStore) tell(ctx context.Context, p Pull, version int64) error {
	if s.Tell == nil {
		return errors.New("no way to the other instances but Redis")
	}
	// The peers are told to the end, whoever waits for it.
	return s.Tell(context.WithoutCancel(ctx), p, version)
}

// lower merges a brake into what Redis holds.
func (s *RedisStore) lower(ctx context.Context, braked State, c Change) error {
	for range attempts {
		was, err := s.read(ctx)
		if err != nil {
			return err
		}
		next := braked
		if was.found {
			next = merge(braked, was.state)
		}
		if err = s.commit(ctx, was, next, c); err == nil {
			s.live.adopt(next)
			return nil
		}
		if !errors.Is(err, errConflict) {
			return err
		}
	}
	return errConflict
}

// Sync implements Store.
func (s *RedisStore) Sync(ctx context.Context) error {
	if err := s.exchange(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrNotSaved, err)
	}
	return nil
}

// History implements Store: the fleet's or, while Redis is away, the part that
// this instance knows.
func (s *RedisStore) History(ctx context.Context) ([]Change, error) {
	h, err := s.readHistory(ctx)
	if err == nil && len(h) > 0 {
		return h, nil
	}
	return reversed(s.mirror.last().History), nil
}
