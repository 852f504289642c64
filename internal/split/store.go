package split

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// Store keeps the live split. It is the truth for the instance (in memory,
// perhaps with a file) or for the fleet.
type Store interface {
	// Load returns what is stored; false when nothing ever was.
	Load(ctx context.Context) (State, bool, error)
	// CompareAndSwap replaces old by next, and adds c to the history. It
	// returns ErrStale when another version than old's is stored. A brake that
	// old does not know stays. When next cannot be made durable, a next that
	// raises nothing is kept all the same with ErrNotSaved, and any other is
	// not made and gives ErrRefused.
	CompareAndSwap(ctx context.Context, old, next State, c Change) error
	// Lower adds a brake, whatever the version; old counts only when nothing was
	// ever stored. It always takes effect; ErrNotSaved says that it is not
	// durable.
	Lower(ctx context.Context, old State, p Pull, c Change) error
	// Sync saves what is not durable yet.
	Sync(ctx context.Context) error
	// History returns the changes, newest first, at most MaxHistory.
	History(ctx context.Context) ([]Change, error)
}

// MaxHistory bounds the history.
const MaxHistory = 1000

// MemoryStore is the Store of one instance. With persist set, every change
// goes through it first.
type MemoryStore struct {
	persist func(record) error // nil: nothing outlives the process, and nothing fails

	write sync.Mutex // held by a change, also while persist runs

	mu      sync.Mutex // guards what follows; a change holds write too, so that it may read without
	stored  bool
	state   State
	history []Change // oldest first
	dirty   bool     // not durable; guarded by write alone
}

// record is what a MemoryStore hands to persist.
type record struct {
	State   State    `json:"state"`
	History []Change `json:"history"` // oldest first
}

var _ Store = (*MemoryStore)(nil)

// NewMemoryStore returns an empty store.
func NewMemoryStore() *MemoryStore { return &MemoryStore{} }

// Load returns the state held.
func (m *MemoryStore) Load(context.Context) (State, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state, m.stored, nil
}

// CompareAndSwap implements Store.
func (m *MemoryStore) CompareAndSwap(_ context.Context, old, next State, c Change) error {
	m.write.Lock()
	defer m.write.Unlock()
	was := m.current(old)
	if was.Version != old.Version {
		return ErrStale
	}
	next.brakes(&next, &was)
	err := m.save(next, c)
	if err == nil {
		return nil
	}
	if was.raises(&next) {
		m.revert(was)
		return fmt.Errorf("%w: put the disk of state.file in order and repeat: %w", ErrRefused, err)
	}
	return m.keepUnsaved(next, c, err)
}

// revert writes what is in force again after a refused change: an error may
// come after the new state has reached the disk, and a restart must not find
// it there. When that fails too, Sync does it.
func (m *MemoryStore) revert(was State) {
	if m.dirty = m.persist(record{was, m.history}) != nil; m.dirty {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.state, m.stored = was, true
	}
}

// Lower implements Store.
func (m *MemoryStore) Lower(_ context.Context, old State, p Pull, c Change) error {
	m.write.Lock()
	defer m.write.Unlock()
	next := m.current(old)
	next.pull(p)
	if err := m.save(next, c); err != nil {
		return m.keepUnsaved(next, c, err)
	}
	return nil
}

// current is the state held, or the caller's when nothing was ever stored.
func (m *MemoryStore) current(callers State) State {
	if m.stored {
		return m.state
	}
	return callers
}

// Sync implements Store.
func (m *MemoryStore) Sync(context.Context) error {
	m.write.Lock()
	defer m.write.Unlock()
	if !m.dirty {
		return nil
	}
	if err := m.persist(record{m.state, m.history}); err != nil {
		return fmt.Errorf("%w: %w", ErrNotSaved, err)
	}
	m.dirty = false
	return nil
}

// History implements Store.
func (m *MemoryStore) History(context.Context) ([]Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := slices.Clone(m.history)
	slices.Reverse(h)
	return h, nil
}

// save makes the change durable, then keeps it. The caller holds write.
func (m *MemoryStore) save(next State, c Change) error {
	if m.persist != nil {
		if err := m.persist(record{next, m.with(c)}); err != nil {
			return err
		}
	}
	m.keep(next, c)
	m.dirty = false
	return nil
}

func (m *MemoryStore) keepUnsaved(next State, c Change, cause error) error {
	m.keep(next, c)
	m.dirty = true
	return fmt.Errorf("%w: %w", ErrNotSaved, cause)
}

func (m *MemoryStore) keep(next State, c Change) {
	h := m.with(c)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.stored, m.history = next, true, h
}

// with returns the history with c at its end, in a slice of its own.
func (m *MemoryStore) with(c Change) []Change {
	h := m.history[max(0, len(m.history)-MaxHistory+1):]
	return append(slices.Clone(h), c)
}
