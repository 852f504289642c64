package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sesrelay/internal/redistest"
)

// fleet is some instances with one Redis and the same two hops.
type fleet struct {
	*hops
	all []*relayProcess
}

// fleetOptions is what a test of a fleet sets.
type fleetOptions struct {
	relayOptions
	size   int
	redis  func(i int) string // state.redis of an instance
	noFile func(i int) bool   // without state.file; nil: all have one
	apart  bool               // each at an address of its own, as on machines of their own
	clocks bool               // each has its own, to be set
}

// at is one Redis for all.
func at(s *redistest.Server) func(int) string { return through(s.Addr) }

// through gives every instance its own address of Redis, the last one to all that are left.
func through(addrs ...string) func(int) string {
	return func(i int) string { return "redis://" + addrs[min(i, len(addrs)-1)] }
}

// fleetSlots bounds how many fleets run at once: what Redis does not answer in
// time is away, and a machine with 60 processes answers nothing in time.
var fleetSlots = make(chan struct{}, 4)

// startFleet runs the instances until the test ends, and returns when all know
// each other.
func startFleet(t *testing.T, o fleetOptions) *fleet {
	t.Helper()
	return joinFleet(t, startHops(t), o)
}

// joinFleet is startFleet with hops of one's own.
func joinFleet(t *testing.T, h *hops, o fleetOptions) *fleet {
	t.Helper()
	fleetSlots <- struct{}{}
	t.Cleanup(func() { <-fleetSlots }) // after the processes have ended
	f := &fleet{hops: h}
	for i := range o.size {
		f.all = append(f.all, launchRelay(t, f.instance(t, o, i)))
	}
	for _, r := range f.all {
		r.serving(t)
	}
	f.wait(t, "the instances to see each other", func(r *relayProcess) error {
		if n := r.instances(t); n != o.size || !r.up(t) {
			return fmt.Errorf("it knows %d, Redis answers: %t", n, r.up(t))
		}
		return nil
	})
	return f
}

// apart is an SMTP address that an instance shares with no other.
func apart(t *testing.T, i int) string {
	t.Helper()
	_, port, _ := strings.Cut(freePort(t), ":")
	return fmt.Sprintf("127.0.0.%d:%s", i+2, port)
}

// instance is the configuration of one.
func (f *fleet) instance(t *testing.T, o fleetOptions, i int) relayOptions {
	one := o.relayOptions
	one.ses, one.cuenote = f.ses.URL(), f.cuenote.Addr()
	if o.apart {
		one.smtp = apart(t, i)
	}
	own := settings{"hostname": fmt.Sprintf("relay-%d.goo.ne.jp", i+1), "state.redis": strconv.Quote(o.redis(i))}
	if o.noFile == nil || !o.noFile(i) {
		own["state.file"] = strconv.Quote(filepath.Join(t.TempDir(), "state"))
	}
	one.set = own.with(o.set)
	if o.clocks {
		one.clock = newClock(t)
	}
	return one
}

// wait waits until ok holds for every instance.
func (f *fleet) wait(t *testing.T, what string, ok func(r *relayProcess) error) {
	t.Helper()
	eventually(t, time.Minute, "waiting for "+what, func() error {
		for i, r := range f.all {
			if err := ok(r); err != nil {
				return fmt.Errorf("instance %d: %w", i+1, err)
			}
		}
		return nil
	})
}

// apply waits until every instance gives SES a percentage.
func (f *fleet) apply(t *testing.T, percent float64) {
	t.Helper()
	f.wait(t, fmt.Sprintf("%g %% at SES", percent), func(r *relayProcess) error {
		if v := r.soon(t); v.Applied != percent {
			return fmt.Errorf("%g %% at version %d", v.Applied, v.Version)
		}
		return nil
	})
}

// eachAnswers sends one mail by every instance and looks at the reply.
func (f *fleet) eachAnswers(t *testing.T, name, pattern string) {
	t.Helper()
	for i, r := range f.all {
		id := fmt.Sprintf("%s%d", name, i+1)
		like(t, id, deliver(t, r.smtp, plainMail(id)), pattern)
	}
}

// soon is view without a question to Redis, for which a frozen one keeps
// everybody waiting.
func (r *relayProcess) soon(t *testing.T) splitView {
	t.Helper()
	var v statusView
	r.get(t, "/v1/status", &v)
	return v.Split
}

// up is relay_state_up.
func (r *relayProcess) up(t *testing.T) bool { return r.metric(t, "relay_state_up") == 1 }

// metric reads one series of /metrics; -1: there is none.
func (r *relayProcess) metric(t *testing.T, series string) float64 {
	t.Helper()
	resp, err := http.Get("http://" + r.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	for line := range strings.Lines(string(body)) {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	return -1
}

// statusView is the part of `relay status --json` that these tests look at.
type statusView struct {
	Split  splitView `json:"split"`
	Alarms []struct {
		Level, Text string
	} `json:"alarms"`
}

// status is what the command shows.
func (r *relayProcess) status(t *testing.T) (v statusView) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.cli(t, "status", "--json")), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// alarmed reports whether an alarm has a text.
func (v *statusView) alarmed(text string) bool {
	for _, a := range v.Alarms {
		if strings.Contains(a.Text, text) {
			return true
		}
	}
	return false
}

// change is one line of the history.
type historyLine struct {
	Version             int64
	Who, Action, Reason string
	Before, After       float64
	At                  time.Time
}

// history is the list of changes, newest first, as an instance knows it.
func (r *relayProcess) history(t *testing.T) []historyLine {
	t.Helper()
	var v struct{ Changes []historyLine }
	r.get(t, "/v1/split/history", &v)
	return v.Changes
}

// put asks for a percentage as the API's client does and returns the status.
func (r *relayProcess) put(t *testing.T, percent float64, version int64, reason string) int {
	t.Helper()
	body := fmt.Sprintf(`{"ses_percent":%g,"reason":%q,"force":true}`, percent, reason)
	req, err := http.NewRequest(http.MethodPut, "http://"+r.admin+"/v1/split", strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0
	}
	req.Header.Set("If-Match", fmt.Sprintf("%q", strconv.FormatInt(version, 10)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// refused runs a command that has to fail and returns what it printed.
func (r *relayProcess) refused(t *testing.T, args ...string) string {
	t.Helper()
	out, err := r.command(args...).CombinedOutput()
	if err == nil {
		t.Errorf("relay %s was not refused:\n%s", strings.Join(args, " "), out)
	}
	return string(out)
}

// startProxy leads to a Redis until the test ends.
func startProxy(t *testing.T, to string) *redistest.Proxy {
	t.Helper()
	p, err := redistest.NewProxy(to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// stalls measures how long this process, in which the simulated hops run, was
// kept from running: a machine with neighbours delays mail, and what is judged
// by the clock has to know by how much.
type stalls struct {
	mu   sync.Mutex
	list []stall
}

type stall struct {
	at   time.Time
	lost time.Duration
}

const stallTick = 5 * time.Millisecond

// watchStalls measures until the test ends.
func watchStalls(t *testing.T) *stalls {
	s := &stalls{}
	end := t.Context().Done()
	go func() {
		for last := time.Now(); ; {
			select {
			case <-end:
				return
			case <-time.After(stallTick):
			}
			now := time.Now()
			if lost := now.Sub(last) - stallTick; lost > 4*stallTick {
				s.mu.Lock()
				s.list = append(s.list, stall{now, lost})
				s.mu.Unlock()
			}
			last = now
		}
	}()
	return s
}

// between returns what was lost in a span, in sum and at once.
func (s *stalls) between(from, to time.Time) (sum, longest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.list {
		if x.at.After(from) && x.at.Add(-x.lost).Before(to) {
			sum, longest = sum+x.lost, max(longest, x.lost)
		}
	}
	return sum, longest
}
