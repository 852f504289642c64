package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"sesrelay/internal/relay"
)

const (
	eventTime = time.Second // between two events
	maxTail   = 20          // transactions in one event; the rest are counted
)

// callerView is the event "caller": who the relay takes the reader for. The
// console offers what the role may do.
type callerView struct {
	Name string `json:"name"`
	Role string `json:"role"`
}

// tail is the event "transactions".
type tail struct {
	Records []TraceRecord `json:"records"` // oldest first
	Skipped uint64        `json:"skipped"` // that found no room
}

// events streams server-sent events: "caller" first, "status" once a second and
// at once when the split moves, and "transactions", masked, when there were any.
func (a *API) events(w http.ResponseWriter, r *http.Request) error {
	select {
	case a.streams <- struct{}{}:
		defer func() { <-a.streams }()
	default:
		return refuse(http.StatusServiceUnavailable, "too many streams of events are open")
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	if r.Method == http.MethodHead {
		return nil
	}
	s := stream{w: w, c: http.NewResponseController(w)}
	// The server's read timeout would end the stream as if the client had left.
	if err := s.c.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	s.raw("retry: 2000\n\n")
	who := callerOf(r)
	s.send("caller", callerView{who.name, who.role.String()})
	a.run(r, &s)
	return nil
}

// run sends until the client leaves, or may no longer read.
func (a *API) run(r *http.Request, s *stream) {
	tick := time.NewTicker(eventTime)
	defer tick.Stop()
	var seen uint64
	for s.err == nil {
		split := a.Split.Current()
		s.send("status", a.status())
		seen = a.sendTail(s, seen)
		select {
		case <-r.Context().Done():
			return
		case <-a.closing:
			return
		case <-split.Changed():
		case <-tick.C:
		}
		if _, _, p := a.admit(r); p != nil {
			return // the token was taken away
		}
	}
}

func (a *API) sendTail(s *stream, seen uint64) uint64 {
	records, count := a.Traces.last(maxTail, seen)
	if len(records) == 0 {
		return count
	}
	t := tail{Records: make([]TraceRecord, 0, len(records))}
	for _, rec := range records {
		t.Records = append(t.Records, a.show(rec))
	}
	if seen > 0 {
		t.Skipped = count - seen - uint64(len(records))
	}
	s.send("transactions", t)
	return count
}

// stream writes events; after the first error it writes no more.
type stream struct {
	w   http.ResponseWriter
	c   *http.ResponseController
	err error
}

func (s *stream) send(event string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		s.err = err
		return
	}
	s.raw(fmt.Sprintf("event: %s\ndata: %s\n\n", event, b)) // JSON has no line ends
}

func (s *stream) raw(text string) {
	if s.err != nil {
		return
	}
	// Each event has its own time: a client that does not read is let go.
	if s.err = s.c.SetWriteDeadline(time.Now().Add(ioTime)); s.err != nil {
		return
	}
	if _, s.err = s.w.Write([]byte(text)); s.err == nil {
		s.err = s.c.Flush()
	}
}

// Observe is a relay observer that feeds traces and figures.
func Observe(t *Traces, s *Stats) func(*relay.Record) {
	return func(rec *relay.Record) {
		t.Observe(rec)
		s.Observe(rec)
	}
}
