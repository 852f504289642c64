package fleet

import (
	"encoding/json"
	"io"
	"net/http"
	"time"

	"sesrelay/internal/split"
)

// replayAfter bounds how long a message may travel when the split has changed
// since it was sent. Clocks may differ by as much.
const replayAfter = 10 * time.Minute

// Handler takes what Tell sends, at POST Path. It puts the brake on and answers
// 200, signed. 403: the signature is not of this fleet; 409: an old message.
func (f *Fleet) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMessage))
		key := f.secrets.sealedWith("brake", body, r.Header.Get(signature))
		if err != nil || key == nil {
			http.Error(w, "not signed by an instance of this fleet", http.StatusForbidden)
			return
		}
		var m message
		if err := json.Unmarshal(body, &m); err != nil || m.Nonce == "" {
			http.Error(w, "no message about a brake", http.StatusBadRequest)
			return
		}
		if f.old(&m) {
			http.Error(w, "the split has changed since this was sent", http.StatusConflict)
			return
		}
		if f.first(m.Nonce) {
			f.Live.TakeBrake(m.Brake)
			f.Log.Warn("brake: told by another instance", "from", m.From, "by", m.Brake.By, "reason", m.Brake.Reason)
		}
		now := f.Live.Current()
		answer, _ := json.Marshal(braked{now.Version, now.Applied(), now.Ceiling}) // numbers alone
		w.Header().Set(signature, seal(key, "braked "+m.Nonce, answer))
		w.Write(answer)
	})
}

// old reports whether a message is a replay of one whose brake has been
// released, as far as can be told without a common clock.
func (f *Fleet) old(m *message) bool {
	s := f.Live.Current()
	if released(s, m.Brake) {
		return true
	}
	age := time.Since(m.Sent)
	return m.Version < s.Version && (age > replayAfter || age < -replayAfter)
}

func released(s *split.Snapshot, b split.Brake) bool {
	l := s.Lifted
	return l != nil && l.By == b.By && l.Reason == b.Reason && l.At.Equal(b.At)
}

// first reports whether a nonce comes for the first time. A message that is
// sent again, because its answer was lost, brakes nothing anew.
func (f *Fleet) first(nonce string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for n, at := range f.heard {
		if now.Sub(at) > 2*replayAfter {
			delete(f.heard, n)
		}
	}
	_, again := f.heard[nonce]
	f.heard[nonce] = now
	return !again
}
