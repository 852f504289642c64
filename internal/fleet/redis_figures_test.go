package fleet

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestPublishedByThoseWhoLive(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	all := joinAll(t, 3, "redis://"+server.Addr)
	for _, m := range all {
		if err := m.Publish(t.Context(), "report", []byte(m.ID)); err != nil {
			t.Fatal(err)
		}
	}
	others := func() string {
		got, err := all[0].Published(t.Context(), "report")
		if err != nil {
			t.Fatal(err)
		}
		return string(got[all[1].self.Run]) + " " + string(got[all[2].self.Run]) + " " + string(got[all[0].self.Run])
	}
	if got := others(); got != "relay-2 relay-3 " {
		t.Errorf("%q", got)
	}
	all[2].stop()
	eventually(t, 5*time.Second, "what one that left has said is gone", func() bool { return others() == "relay-2  " })
	if err := all[0].Publish(t.Context(), "report", make([]byte, maxPublished+1)); err == nil {
		t.Error("too much was published")
	}
	server.Kill()
	if _, err := all[0].Published(t.Context(), "report"); err == nil {
		t.Error("read without Redis")
	}
}

// One holds a lease; it passes on when the holder does not prolong it.
func TestHold(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	all := joinAll(t, 2, "redis://"+server.Addr)
	hold := func(i int) bool {
		mine, err := all[i].Hold(t.Context(), "rollout", 300*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		return mine
	}
	first, again, other := hold(0), hold(0), hold(1)
	if !first || !again || other {
		t.Fatal("two hold one lease, or none does")
	}
	eventually(t, 5*time.Second, "the lease passes on", func() bool { return hold(1) })
	if hold(0) {
		t.Error("two hold one lease")
	}
	server.Kill()
	if mine, err := all[1].Hold(t.Context(), "rollout", time.Second); mine || err == nil {
		t.Error("held without Redis")
	}
}

// Questions need no Redis, and are answered for the fleet's own instances only.
func TestAsk(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	all := joinAll(t, 3, "redis://"+server.Addr)
	for _, m := range all {
		m.mux.Handle("POST "+AskPath, m.AskHandler(func(about, text string) []byte {
			if text == "unknown" {
				return nil
			}
			return []byte(m.ID + " " + about + " " + text)
		}))
	}
	server.Kill()
	got := all[0].Ask(t.Context(), "trace", "01jd")
	if len(got) != 2 || string(got[0].Body) != "relay-2 trace 01jd" || string(got[1].Body) != "relay-3 trace 01jd" {
		t.Fatalf("%q", got)
	}
	if got := all[0].Ask(t.Context(), "trace", "unknown"); got[0].Err == nil || got[0].Body != nil {
		t.Errorf("%v", got)
	}
	all[2].secrets.fix("another key")
	if got := all[0].Ask(t.Context(), "trace", "01jd"); got[0].Err != nil || got[1].Err == nil {
		t.Errorf("%v", got)
	}
	for name, change := range map[string]func(*question){
		"for another instance": func(q *question) { q.To = "somebody" },
		"of yesterday":         func(q *question) { q.Sent = q.Sent.Add(-24 * time.Hour) },
	} {
		q := question{Nonce: "1", Sent: time.Now(), To: all[1].self.Run, About: "trace", Text: "01jd"}
		change(&q)
		body, _ := json.Marshal(q)
		r := httptest.NewRequest(http.MethodPost, AskPath, strings.NewReader(string(body)))
		r.Header.Set(signature, seal([]byte(secret), "ask", body))
		w := httptest.NewRecorder()
		if all[1].mux.ServeHTTP(w, r); w.Code != http.StatusForbidden {
			t.Errorf("a question %s: %d", name, w.Code)
		}
	}
	// Whoever listens at an instance's address, and knows no secret, is not believed.
	liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(signature, r.Header.Get(signature))
		w.Write([]byte(`{"records":[]}`))
	}))
	defer liar.Close()
	to := all[1].self
	to.Admin = liar.URL
	if _, err := all[0].askOne(t.Context(), to, question{Nonce: "1", Sent: time.Now()}); err == nil {
		t.Error("an answer without signature was believed")
	}
}
