package fleet

import (
	"encoding/json"
	"io"
	"net/http"
)

// Handler takes what Tell sends, at POST Path. It puts the brake on and answers
// 200, signed. 403: the signature is not of this fleet. A message that comes
// again, or is played again, changes nothing: the brake in it has a name, and is
// on already or was released under it. So no clock is asked.
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
		if before := f.Live.Current(); f.Live.TakeBrake(m.Brake) != before {
			f.Log.Warn("brake: told by another instance", "from", m.From, "by", m.Brake.By, "reason", m.Brake.Reason)
		}
		now := f.Live.Current()
		answer, _ := json.Marshal(braked{f.self.Run, now.Version, now.Applied(), now.Ceiling}) // nothing that could fail
		w.Header().Set(signature, seal(key, "braked "+m.Nonce, answer))
		w.Write(answer)
	})
}
