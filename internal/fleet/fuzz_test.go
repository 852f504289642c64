package fleet

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/split"
)

// FuzzHear gives any body to the handler of the brake, signed by the fleet: it
// may put the brake on and never does anything else. Unsigned it does nothing.
func FuzzHear(f *testing.F) {
	now := time.Now().UTC()
	f.Add(encode(f, message{From: "b", Nonce: "1", Brake: split.Pull{Origin: "b", Number: 1, Brake: split.Brake{By: "guard", Reason: "bounces", At: now}}}))
	f.Add(`{}`)
	f.Add(`{"nonce":"x","brake":{"to":-1}}`)
	f.Add(`{"nonce":"x","version":-9223372036854775808,"sent":"9999-12-31T23:59:59Z","brake":{"by":"a\r\nb","reason":"\u0000","at":"0001-01-01T00:00:00Z"}}`)
	f.Add(`{"nonce":"x","brake":{"origin":"c","number":1,"ceiling":10,"at":"9999-12-31T23:59:59-23:59"}}`)
	f.Add(`{"nonce":"x","brake":{"origin":"b","number":9223372036854775807}}`)
	live, err := split.NewLive(f.Context(), split.NewMemoryStore(), split.LiveConfig{Initial: 5000})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		fleet := newFleet(nil, Config{ID: "a", Live: live, Key: []byte("k"), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
		for _, s := range []string{seal([]byte("k"), "braked", []byte(body)), "", seal([]byte("k"), "brake", []byte(body))} {
			before := live.Current()
			r := httptest.NewRequest(http.MethodPost, Path, strings.NewReader(body))
			r.Header.Set(signature, s)
			w := httptest.NewRecorder()
			fleet.Handler().ServeHTTP(w, r)
			now := live.Current()
			if now.SESPercent != before.SESPercent || now.Version != before.Version || now.Applied() > before.Applied() || !now.Applied().Valid() {
				t.Fatalf("%q: from %+v to %+v", body, before, now)
			}
			if w.Code != 200 && now.Applied() != before.Applied() || w.Code >= 500 {
				t.Fatalf("%q: %d, applied %s", body, w.Code, now.Applied())
			}
		}
		if _, err := json.Marshal(live.Current().State); err != nil {
			t.Fatalf("%q put on a brake that cannot be kept: %v", body, err)
		}
		if s := live.Current(); s.Brake != nil {
			if _, err := live.Release(t.Context(), s.Version, "again", "fuzz"); err != nil {
				t.Fatalf("%q put on a brake that cannot be released: %v", body, err)
			}
		}
	})
}
