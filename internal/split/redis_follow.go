package split

import (
	"context"
	"errors"
	"slices"
	"time"
)

// pollEvery is how often the state is read even when no message came. A message
// that is lost costs this much.
const pollEvery = time.Second

// Run follows the fleet until ctx ends: it puts in force what the others have
// changed, and gives Redis what Redis does not have. NewLive must have been
// given the store before.
func (s *RedisStore) Run(ctx context.Context) {
	go s.shared.listen(ctx, s.hear)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		s.follow(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.kick:
		}
	}
}

// follow exchanges once. While Redis is away it keeps a copy of what is in
// force: a brake that another instance has told of must outlive a restart too.
func (s *RedisStore) follow(ctx context.Context) {
	if s.exchange(ctx) == nil { // note keeps the error
		return
	}
	if now := s.live.Current().State; now.holds() {
		s.mirror.add(now)
	}
}

// nudge implements fleet.
func (s *RedisStore) nudge() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// refresh implements fleet.
func (s *RedisStore) refresh(ctx context.Context) { s.exchange(ctx) }

// hear puts a message in force. A message that cannot be read is left to the
// exchange, which says so; what was missed is read at once.
func (s *RedisStore) hear(payload string) {
	if state, err := decodeShared(payload); err == nil {
		s.live.adopt(state)
	}
	s.nudge()
}

// exchange makes Redis and this instance hold the same: what merge makes of
// both.
func (s *RedisStore) exchange(ctx context.Context) error {
	for range attempts {
		was, err := s.read(ctx)
		if err != nil {
			return err
		}
		want, write := s.reconcile(was)
		if !write {
			return s.took(ctx, was, want)
		}
		err = s.commit(ctx, was, want)
		if err == nil {
			return s.took(ctx, was, want)
		}
		if !errors.Is(err, errConflict) {
			return err
		}
	}
	return errConflict
}

// reconcile joins what Redis and this instance hold, and says whether Redis has
// to be told.
func (s *RedisStore) reconcile(was stored) (want State, write bool) {
	mine := s.live.Current().State
	want = mine
	if was.found {
		want = merge(mine, was.state)
	}
	if was.found {
		write = !want.equal(&was.state)
	} else {
		write = mine.holds()
	}
	return want, write
}

// took puts in force what Redis holds now, and keeps a copy with the history.
func (s *RedisStore) took(ctx context.Context, was stored, held State) error {
	if !was.found && !held.holds() {
		return nil // nobody has ever set anything
	}
	s.live.adopt(held)
	if s.mirror.current(&held, was.head) {
		return nil
	}
	history, err := s.shareHistory(ctx, was.head)
	if err != nil {
		s.mirror.add(held)
		return err
	}
	s.mirror.put(held, history, was.head)
	return nil
}

func reversed(h []Change) []Change {
	h = slices.Clone(h)
	slices.Reverse(h)
	return h
}

// Close writes state.file for the last time and releases it. The client is the
// caller's. Run must have ended.
func (s *RedisStore) Close() error { return s.mirror.Close() }
