package emf

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Writer writes documents. It is safe for concurrent use.
type Writer struct {
	gatherer prometheus.Gatherer
	out      io.Writer
	now      func() time.Time

	mu     sync.Mutex // guards what follows
	before state      // at the last document, or when the writer was made
}

// New returns a writer whose first document begins now. now is the clock.
func New(g prometheus.Gatherer, out io.Writer, now func() time.Time) *Writer {
	w := &Writer{gatherer: g, out: out, now: now}
	w.before, _ = gather(g, now()) // what is missing counts from 0, and Write says so
	return w
}

// Write writes a document with what happened since the last one, in one write,
// so that it stays one line beside other writers.
func (w *Writer) Write(t Target) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, incomplete := w.next()
	line, err := document(t, s.now.at, values(s))
	if err == nil {
		_, err = w.out.Write(line)
	}
	if err := errors.Join(incomplete, err); err != nil {
		return fmt.Errorf("emf: %w", err)
	}
	return nil
}

// Skip forgets what happened since the last document: while nothing is to be
// written, nothing piles up for the next one.
func (w *Writer) Skip() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next()
}

// next moves on to the state of now. The caller holds mu.
func (w *Writer) next() (span, error) {
	now, err := gather(w.gatherer, w.now())
	s := span{before: w.before, now: now}
	w.before = now
	return s, err
}
