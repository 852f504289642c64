package main

// written remembers the last records whose lines a container has written, so that
// a repeated invocation does not write them again. It forgets in generations:
// between one and two times its size are known.
type written struct {
	size          int
	now, previous map[string]struct{}
}

func newWritten(size int) *written {
	return &written{size: size, now: map[string]struct{}{}}
}

func (w *written) has(id string) bool {
	if _, ok := w.now[id]; ok {
		return true
	}
	_, ok := w.previous[id]
	return ok
}

func (w *written) add(id string) {
	if id == "" {
		return
	}
	if len(w.now) >= w.size {
		w.previous, w.now = w.now, make(map[string]struct{}, w.size)
	}
	w.now[id] = struct{}{}
}
