package fleet

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/split"
)

func encode(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// alone is an instance without Redis.
func alone(t *testing.T) *Fleet {
	live, err := split.NewLive(t.Context(), split.NewMemoryStore(), split.LiveConfig{Initial: 5000})
	if err != nil {
		t.Fatal(err)
	}
	return newFleet(nil, Config{ID: "a", Live: live, Key: []byte("k"), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
}

func TestHandler(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC()
	good := message{From: "b", Nonce: "1", Brake: split.Pull{Origin: "b", Number: 1, Brake: split.Brake{By: "guard", Reason: "bounces", At: now}}}
	old := good
	old.Brake.At = now.Add(-24 * time.Hour)
	nameless := good
	nameless.Brake.Origin = ""
	for _, c := range []struct {
		name, body, purpose, key string
		version                  int64
		want                     int
		braked                   bool
	}{
		{"signed", encode(t, good), "brake", "k", 0, 200, true},
		{"sent before the last change, just now", encode(t, good), "brake", "k", 1, 200, true},
		{"by a clock that is a day behind, and the split has changed", encode(t, old), "brake", "k", 1, 200, true},
		{"a brake without a name is a brake", encode(t, nameless), "brake", "k", 0, 200, true},
		{"another key", encode(t, good), "brake", "x", 0, 403, false},
		{"an answer played back", encode(t, good), "braked", "k", 0, 403, false},
		{"no message", "{}", "brake", "k", 0, 400, false},
		{"no JSON", "x", "brake", "k", 0, 400, false},
		{"too long", strings.Repeat(" ", maxMessage) + encode(t, good), "brake", "k", 0, 403, false},
	} {
		f := alone(t)
		for v := range c.version {
			if _, err := f.Live.Set(t.Context(), v, 5000, "r", "w"); err != nil {
				t.Fatal(err)
			}
		}
		r := httptest.NewRequest(http.MethodPost, Path, strings.NewReader(c.body))
		r.Header.Set(signature, seal([]byte(c.key), c.purpose, []byte(c.body)))
		w := httptest.NewRecorder()
		f.Handler().ServeHTTP(w, r)
		if braked := f.Live.Current().Applied() == 0; w.Code != c.want || braked != c.braked {
			t.Errorf("%s: %d, braked %v; want %d, %v", c.name, w.Code, braked, c.want, c.braked)
		}
		if (w.Code == 200) != (f.secrets.sealedWith("braked 1", w.Body.Bytes(), w.Header().Get(signature)) != nil) {
			t.Errorf("%s: the answer's signature is wrong", c.name)
		}
	}
	f := alone(t)
	f.secrets.fixed = nil
	r := httptest.NewRequest(http.MethodPost, Path, strings.NewReader(encode(t, good)))
	r.Header.Set(signature, seal(nil, "brake", []byte(encode(t, good))))
	w := httptest.NewRecorder()
	if f.Handler().ServeHTTP(w, r); w.Code != 403 {
		t.Errorf("without a key: %d", w.Code)
	}
}

// A message that is played again after the release brakes nothing.
func TestReplayAfterRelease(t *testing.T) {
	t.Parallel()
	f := alone(t)
	now := time.Now().UTC()
	body := encode(t, message{From: "b", Nonce: "1", Brake: split.Pull{Origin: "b", Number: 1, Brake: split.Brake{By: "guard", Reason: "bounces", At: now}}})
	send := func() int {
		r := httptest.NewRequest(http.MethodPost, Path, strings.NewReader(body))
		r.Header.Set(signature, seal([]byte("k"), "brake", []byte(body)))
		w := httptest.NewRecorder()
		f.Handler().ServeHTTP(w, r)
		return w.Code
	}
	if send() != 200 || f.Live.Current().Applied() != 0 {
		t.Fatal("no brake")
	}
	if _, err := f.Live.Release(t.Context(), 0, "fixed", "ops"); err != nil {
		t.Fatal(err)
	}
	if code := send(); code != 200 || f.Live.Current().Applied() != 5000 {
		t.Fatalf("%d, applied %s", code, f.Live.Current().Applied())
	}
}

// However many names come and go in Redis, a bounded number is told of a brake,
// those that live now among them.
func TestPeersAreBounded(t *testing.T) {
	t.Parallel()
	f := alone(t)
	var last []Instance
	for n := range 5 {
		last = nil
		for i := range maxInstances / 2 {
			last = append(last, Instance{ID: "x", Run: fmt.Sprintf("%d/%d", n, i)})
		}
		f.learn(last, nil)
	}
	if len(f.peers) > maxInstances {
		t.Errorf("%d peers", len(f.peers))
	}
	for _, i := range last {
		if _, ok := f.peers[i.Run]; !ok {
			t.Fatalf("%s is forgotten", i.Run)
		}
	}
}
