package rollout

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Store keeps the state of the rollout, for one instance or for the fleet.
type Store interface {
	// Load returns what is stored; false when nothing ever was.
	Load(ctx context.Context) (State, bool, error)
	// Swap replaces the state whose version is old (0: nothing stored) by next,
	// whose version is higher. ErrStale: another one is stored. After any other
	// error next may be stored all the same, now or soon.
	Swap(ctx context.Context, old int64, next State) error
}

// ErrStale is a state that somebody else has replaced meanwhile.
var ErrStale = errors.New("rollout: the state has changed meanwhile")

// MemoryStore is the Store of one instance, with a file or without.
type MemoryStore struct {
	path    string                            // "": nothing outlives the process
	replace func(path string, b []byte) error // replaceFile, but for tests

	mu      sync.Mutex // guards what follows; not held while the disk works
	state   State
	stored  bool
	writing bool // a write has not ended; no other begins
}

var _ Store = (*MemoryStore)(nil)

// NewMemoryStore returns an empty store.
func NewMemoryStore() *MemoryStore { return &MemoryStore{} }

// OpenFile returns a store that outlives the process. A file that cannot be
// read is an error that says what to do: to forget a rollout is no accident.
func OpenFile(path string) (*MemoryStore, error) {
	m := &MemoryStore{path: path, replace: replaceFile}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		m.state, err = decode(b)
	}
	if err != nil {
		return nil, fmt.Errorf("rollout: %s: %w: restore it from a backup, or move it away; the split itself is not in it", path, err)
	}
	m.stored = true
	return m, nil
}

// Load implements Store.
func (m *MemoryStore) Load(context.Context) (State, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state, m.stored, nil
}

// diskTime is how long Swap waits for the disk: whoever saves may be the one
// who judges, and a disk that hangs must not keep the guard from it.
const diskTime = 2 * time.Second

// Swap implements Store. What the disk does not take is not in force. What it
// takes later than diskTime is: the next Load has it.
func (m *MemoryStore) Swap(ctx context.Context, old int64, next State) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.state.Version != old:
		return ErrStale
	case m.path == "":
		m.state, m.stored = next, true
		return nil
	case m.writing:
		return fmt.Errorf("%w: the disk has not ended the last write", ErrStore)
	}
	b, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	m.writing = true
	done := make(chan error, 1)
	go func() { done <- m.write(next, b) }()
	m.mu.Unlock()
	defer m.mu.Lock()
	ctx, cancel := context.WithTimeout(ctx, diskTime)
	defer cancel()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = errors.New("the disk does not answer")
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	return nil
}

// write brings a state to the disk, and then into force.
func (m *MemoryStore) write(next State, b []byte) error {
	err := m.replace(m.path, b)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.writing = false; err == nil {
		m.state, m.stored = next, true
	}
	return err
}

// decode reads a stored state and checks what the rest relies on.
func decode(b []byte) (State, error) {
	var s State
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&s); err != nil {
		return State{}, fmt.Errorf("the state of the rollout is damaged: %w", err)
	}
	known := false
	for _, p := range Phases {
		known = known || p == s.Phase
	}
	if !known || s.Version < 1 || s.Index < -1 || s.Index >= max(1, len(s.Steps)) || !s.Percent.Valid() {
		return State{}, errors.New("the state of the rollout is damaged")
	}
	if len(s.Steps) > 0 {
		if err := CheckSteps(s.Steps); err != nil {
			return State{}, fmt.Errorf("the state of the rollout is damaged: %w", err)
		}
	}
	return s, nil
}

// replaceFile leaves the old content or the new, whenever the process dies or
// the power fails. An error means the old one: behind the rename there is none,
// or a restart would find a step that was refused.
func replaceFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_ = dir.Sync() // else a power loss may bring the old state, which the split's version shows: held
		_ = dir.Close()
	}
	return nil
}
