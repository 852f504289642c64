package ses

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"sesrelay/internal/relay"
)

// unreliable is a server that reads, answers, stops and cuts at random, and
// keeps the ids of the mails that it has read to their end.
type unreliable struct {
	mu   sync.Mutex // guards what follows
	rng  *rand.Rand
	got  map[string]int
	gone sync.WaitGroup
}

func (u *unreliable) draw(n int) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.rng.IntN(n)
}

func (u *unreliable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.gone.Add(1)
	defer u.gone.Done()
	what := u.draw(8)
	if what == 0 {
		cut(w, u.draw(2) == 0)
		return
	}
	if what == 1 { // stops somewhere in the body, then cuts
		io.CopyN(io.Discard, r.Body, int64(u.draw(1<<20))) //nolint:errcheck // cut either way
		time.Sleep(time.Duration(u.draw(40)) * time.Millisecond)
		cut(w, u.draw(2) == 0)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	id := idOf(body)
	u.mu.Lock()
	u.got[id]++
	u.mu.Unlock()
	switch what {
	case 2:
		cut(w, u.draw(2) == 0)
	case 3:
		time.Sleep(time.Duration(u.draw(60)) * time.Millisecond)
		fallthrough
	default:
		io.WriteString(w, `{"MessageId":"m-1"}`) //nolint:errcheck // the client may be gone
	}
}

// idOf returns the X-Test-Id of the mail in a request.
func idOf(body []byte) string {
	_, data, _ := strings.Cut(string(body), `"Data":"`)
	data, _, _ = strings.Cut(data, `"`)
	raw, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return "broken base64"
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(string(raw), "X-Test-Id: "), "\r\n")
	return id
}

// cut ends the connection of a request without an answer.
func cut(w http.ResponseWriter, reset bool) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if reset {
		c.(*net.TCPConn).SetLinger(0) //nolint:errcheck // a plain close will do
	}
	c.Close()
}

// TestNotAcceptedIsCertain is the invariant that failover stands on: a mail
// that is called "not accepted" for want of an answer was never received whole,
// and no mail is received twice, whatever the server, the deadline and the
// connection reuse do.
func TestNotAcceptedIsCertain(t *testing.T) {
	t.Parallel()
	noProxy := func(*http.Request) (*url.URL, error) { return nil, nil }
	for _, by := range []struct {
		name, sender string
		proxy        func(*http.Request) (*url.URL, error)
	}{{"direct", SenderDirect, nil}, {"direct by net/http", SenderDirect, noProxy}, {"sdk", SenderSDK, nil}} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/tls=%v", by.name, secure), func(t *testing.T) {
				t.Parallel()
				u := &unreliable{rng: rand.New(rand.NewPCG(1, 2)), got: map[string]int{}}
				s := httptest.NewUnstartedServer(u)
				s.Config.ErrorLog = quiet
				roots := startServer(s, secure)
				c := newClient(t, s.URL, by.sender, func(cfg *Config) { cfg.RootCAs, cfg.Proxy, cfg.InFlightWait = roots, by.proxy, time.Minute })
				outcomes := bombard(t, c, 4, 40)
				c.Close()
				s.Close()
				u.gone.Wait()
				u.judge(t, outcomes)
			})
		}
	}
}

// bombard sends mails of all sizes with deadlines that often strike in the
// middle, and returns how each ended: nil for accepted.
func bombard(t *testing.T, c *Client, workers, each int) map[string]*relay.Error {
	var mu sync.Mutex
	outcomes := map[string]*relay.Error{}
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(worker), 3))
			for i := range each {
				id := fmt.Sprintf("%d-%d", worker, i)
				size := 1 << rng.IntN(21)
				hurried := *c
				hurried.cfg.Timeout = time.Duration(5+rng.IntN(150))*time.Millisecond - time.Duration(size)*time.Second/(1<<20)
				_, err := begin(t, &hurried, "to@example.com").Send(t.Context(), newBody("X-Test-Id: "+id+"\r\n\r\n", strings.Repeat("x", size)))
				e, _ := errors.AsType[*relay.Error](err)
				mu.Lock()
				outcomes[id] = e
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return outcomes
}

func (u *unreliable) judge(t *testing.T, outcomes map[string]*relay.Error) {
	t.Helper()
	classes := map[string]int{}
	for id, e := range outcomes {
		class := "accepted"
		if e != nil {
			class = e.Class
		}
		classes[class]++
		switch n := u.got[id]; {
		case n > 1:
			t.Errorf("mail %s was received %d times", id, n)
		case e == nil && n != 1:
			t.Errorf("mail %s is called accepted and was not received", id)
		case e != nil && e.Outcome == relay.NotAccepted && n > 0:
			t.Errorf("mail %s is called not accepted and was received: %v", id, e)
		}
	}
	if len(u.got) > len(outcomes) || u.got["broken base64"] > 0 {
		t.Errorf("%d mails received of %d, %d broken", len(u.got), len(outcomes), u.got["broken base64"])
	}
	if classes["accepted"] == 0 || classes[ClassConnectionLost]+classes[ClassTimeout] == 0 {
		t.Errorf("nothing was put to the test: %v", classes)
	}
	t.Logf("outcomes: %v", classes)
}
