package split

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// mirror is this instance's copy of what the fleet holds: in memory, and in
// state.file when there is one. The file is written behind the caller's back,
// so that a disk that hangs delays no change.
type mirror struct {
	mem   *MemoryStore
	close func() error
	wake  chan struct{}
	done  chan struct{}

	mu      sync.Mutex // guards what follows
	rec     record
	stored  bool
	head    string        // the shared history's length and newest line when rec's was read from it
	err     error         // of the last write
	written chan struct{} // closed when rec is on disk, or could not be written
	closed  bool
}

// openMirror opens state.file; "" keeps the copy in memory alone.
func openMirror(path string) (*mirror, error) {
	m := &mirror{mem: NewMemoryStore(), close: func() error { return nil }, wake: make(chan struct{}, 1), done: make(chan struct{})}
	if path != "" {
		file, err := OpenFile(path)
		if err != nil {
			return nil, err
		}
		m.mem, m.close = &file.MemoryStore, file.Close
	}
	m.rec, m.stored = record{m.mem.state, m.mem.history}, m.mem.stored
	go m.write()
	return m, nil
}

// last returns what was put last.
func (m *mirror) last() record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rec
}

// current reports whether s was put last, with the history that ends in head.
func (m *mirror) current(s *State, head string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stored && m.head == head && s.equal(&m.rec.State)
}

// found reports whether anything was ever put, by an earlier process too.
func (m *mirror) found() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stored
}

// put keeps a copy with the shared history, newest first, as it was when head
// was its length and newest line. A change that this instance has made since
// stays in the copy, and is shared by the next exchange.
func (m *mirror) put(s State, history []Change, head string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := union(history, m.rec.History)
	if m.head = head; len(all) > len(history) {
		m.head = unread
	}
	m.keep(s, reversed(all))
}

// add keeps a copy with changes of this instance, which the shared history may
// lack.
func (m *mirror) add(s State, c ...Change) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.head = unread
	m.keep(s, reversed(union(reversed(m.rec.History), c)))
}

// unread is no head of a history.
const unread = ""

// keep stores a copy, joined with the one before: a change that was begun before
// a brake was pulled must not write over it. It wakes the writer. The caller
// holds mu.
func (m *mirror) keep(s State, history []Change) {
	if m.stored {
		s = merge(m.rec.State, s)
	}
	if m.closed || m.stored && s.equal(&m.rec.State) && slices.Equal(history, m.rec.History) {
		return
	}
	m.rec, m.stored = record{s, history}, true
	if m.written == nil {
		m.written = make(chan struct{})
	}
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// write saves what was put until close.
func (m *mirror) write() {
	defer close(m.done)
	for range m.wake {
		m.mu.Lock()
		rec, written := m.rec, m.written
		m.written = nil
		m.mu.Unlock()
		if written == nil {
			continue
		}
		err := m.mem.replace(rec)
		m.mu.Lock()
		m.err = err
		m.mu.Unlock()
		close(written)
	}
}

// wait waits until what was put is on disk, and returns the error of writing it.
func (m *mirror) wait(ctx context.Context) error {
	m.mu.Lock()
	written := m.written
	m.mu.Unlock()
	if written != nil {
		select {
		case <-written:
		case <-ctx.Done():
			return fmt.Errorf("state.file: the disk does not answer: %w", ctx.Err())
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// Close writes what is left and releases the file.
func (m *mirror) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	close(m.wake)
	m.mu.Unlock()
	<-m.done
	return m.close()
}

// replace keeps a state that is the truth elsewhere.
func (m *MemoryStore) replace(r record) error {
	m.write.Lock()
	defer m.write.Unlock()
	if m.persist != nil {
		if err := m.persist(r); err != nil {
			return fmt.Errorf("state.file: %w", err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.stored, m.history = r.State, true, r.History
	return nil
}
