package fleet

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// AskPath is where AskHandler is to be found on every instance's API. It needs
// no token: the signature says who may.
const AskPath = "/v1/fleet/ask"

// Bounds of a question and of its answer.
const (
	askTimeout  = 2 * time.Second
	maxQuestion = 8 << 10
	maxAnswer   = 1 << 20
)

// replayAfter bounds how long a question may travel, and by how much clocks may
// differ.
const replayAfter = 10 * time.Minute

// question is what one instance asks of another.
type question struct {
	Nonce string    `json:"nonce"`
	Sent  time.Time `json:"sent"`
	To    string    `json:"to"` // the run that is meant: it answers for nobody else
	About string    `json:"about"`
	Text  string    `json:"text"`
}

// Answer is what one instance said.
type Answer struct {
	Instance string // its name
	Body     []byte
	Err      error // it could not be reached, or did not answer as an instance of this fleet
}

// Ask puts a question to every other instance that lives, all at once, and
// returns what they say in order of their names. It needs no Redis. A question
// changes nothing: what is asked twice is answered twice.
func (f *Fleet) Ask(ctx context.Context, about, text string) []Answer {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var out []Answer
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, i := range f.Instances() {
		if i.Run == f.self.Run {
			continue
		}
		wg.Go(func() {
			body, err := f.askOne(ctx, i, question{Nonce: rand.Text(), Sent: time.Now().UTC(), To: i.Run, About: about, Text: text})
			mu.Lock()
			defer mu.Unlock()
			out = append(out, Answer{i.ID, body, err})
		})
	}
	wg.Wait()
	slices.SortFunc(out, func(a, b Answer) int { return bytes.Compare([]byte(a.Instance), []byte(b.Instance)) })
	return out
}

func (f *Fleet) askOne(ctx context.Context, to Instance, q question) ([]byte, error) {
	keys := f.secrets.all()
	switch {
	case len(keys) == 0:
		return nil, errors.New("there is no secret of the fleet yet")
	case to.Admin == "":
		return nil, errors.New("it has no address for the others")
	}
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.Admin+AskPath, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(signature, seal(keys[0], "ask", body))
	resp, err := f.Client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("answered %s", resp.Status)
	case len(answer) > maxAnswer:
		return nil, fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	case !hmac.Equal([]byte(resp.Header.Get(signature)), []byte(seal(keys[0], "answer "+q.Nonce, answer))):
		return nil, errors.New("the answer is not signed by an instance of this fleet")
	}
	return answer, nil
}

// AskHandler answers at POST AskPath with what answer returns for a subject and
// a text. 403: the signature is not of this fleet, or the question is not for
// this instance or too old; 404: nothing is known.
func (f *Fleet) AskHandler(answer func(about, text string) []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxQuestion))
		key := f.secrets.sealedWith("ask", body, r.Header.Get(signature))
		var q question
		if err != nil || key == nil || json.Unmarshal(body, &q) != nil {
			http.Error(w, "not signed by an instance of this fleet", http.StatusForbidden)
			return
		}
		if age := time.Since(q.Sent); q.To != f.self.Run || age > replayAfter || age < -replayAfter {
			http.Error(w, "not for this instance, or too old", http.StatusForbidden)
			return
		}
		b := answer(q.About, q.Text)
		if len(b) > maxAnswer {
			b = nil
		}
		if b == nil {
			http.Error(w, "nothing is known", http.StatusNotFound)
			return
		}
		w.Header().Set(signature, seal(key, "answer "+q.Nonce, b))
		w.Header().Set("Content-Type", "application/json")
		w.Write(b)
	})
}
