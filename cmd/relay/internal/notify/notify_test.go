package notify

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sns"

	"sesrelay/internal/rollout"
	"sesrelay/internal/split"
)

// The four that somebody has to be told of, with words of their subject.
var told = map[rollout.Action]string{
	rollout.ActionAdvance: "Step completed", rollout.ActionHold: "Rollout held", rollout.ActionRollback: "ROLLED BACK", rollout.ActionAbort: "Rollout aborted",
}

func event(a rollout.Action) rollout.Event {
	return rollout.Event{Instance: "relay-1", Decision: rollout.Decision{
		At: time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC), Action: a, Who: "guard", Reason: "SES accepted 3 %: 日本語", From: 5000, To: 1000,
		Criteria: []rollout.Criterion{{Name: rollout.Acceptance, Text: "3 % of 500 messages"}},
	}}
}

// inbox is a server that fails the first request of every kind.
type inbox struct {
	mu     sync.Mutex
	failed bool
	path   string
	auth   string
	bodies []string
}

func (i *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.failed {
		i.failed = true
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	b, _ := io.ReadAll(r.Body)
	i.path, i.auth, i.bodies = r.URL.Path, r.Header.Get("Authorization"), append(i.bodies, string(b))
}

// flaky is a target that fails until a moment.
type flaky struct {
	err   error
	until time.Time
	tries int
	got   []rollout.Action
}

func (*flaky) Name() string { return "flaky" }
func (f *flaky) Tell(_ context.Context, e rollout.Event) error {
	f.tries++
	if f.err != nil && time.Now().Before(f.until) {
		return f.err
	}
	f.got = append(f.got, e.Action)
	return nil
}

// An event outlives half an hour without a way out, and not a day; one that the
// target refuses by its word does not keep the next one waiting.
func TestKeptForLong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		err        error
		away, wait time.Duration
		want       int
		tries      int // at most
	}{
		{"half an hour", errors.New("connection refused"), 30 * time.Minute, 32 * time.Minute, 1, 40},
		{"a day", errors.New("connection refused"), 24 * time.Hour, 25 * time.Hour, 0, 70},
		{"refused", errRefused, 24 * time.Hour, time.Hour, 0, 5},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &flaky{err: c.err, until: time.Now().Add(c.away)}
			q := NewQueue(f, slog.New(slog.DiscardHandler))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go q.Run(ctx)
			q.Tell(event(rollout.ActionRollback))
			time.Sleep(c.wait)
			synctest.Wait()
			if len(f.got) != c.want || f.tries > c.tries {
				t.Errorf("%s: %d were told in %d tries", c.name, len(f.got), f.tries)
			}
		})
	}
}

// tell sends the four through a queue, and waits until they were delivered.
func tell(t *testing.T, target Target, arrived func() int) {
	t.Helper()
	q := NewQueue(target, slog.New(slog.DiscardHandler))
	q.pause = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { q.Run(ctx) })
	for a := range told {
		q.Tell(event(a))
	}
	for end := time.Now().Add(30 * time.Second); arrived() < len(told); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d were told", arrived(), len(told))
		}
	}
	cancel()
	wg.Wait()
}

func (i *inbox) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.bodies)
}

// A webhook gets all four, with text for people and the decision for programs,
// also when the first try fails.
func TestWebhook(t *testing.T) {
	t.Parallel()
	box := &inbox{}
	server := httptest.NewServer(box)
	defer server.Close()
	tell(t, NewWebhook(server.URL+"/hook"), box.count)
	seen := map[rollout.Action]bool{}
	for _, b := range box.bodies {
		var p payload
		if err := json.Unmarshal([]byte(b), &p); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		a := p.Event.Action
		seen[a] = true
		if !strings.HasPrefix(p.Text, told[a]+": SES 50 % -> 10 %") || !strings.Contains(p.Text, "日本語") || p.Event.From != split.Percent(5000) || len(p.Event.Criteria) != 1 {
			t.Errorf("%s: %s", a, b)
		}
	}
	if len(seen) != len(told) {
		t.Errorf("%v", seen)
	}
}

// Grafana gets an annotation for each.
func TestGrafana(t *testing.T) {
	t.Parallel()
	box := &inbox{}
	server := httptest.NewServer(box)
	defer server.Close()
	tell(t, NewGrafana(server.URL+"/", func() (string, error) { return "tok", nil }), box.count)
	if box.path != "/api/annotations" || box.auth != "Bearer tok" {
		t.Errorf("%s with %q", box.path, box.auth)
	}
	for _, b := range box.bodies {
		var a annotation
		if err := json.Unmarshal([]byte(b), &a); err != nil || a.Time != event("").At.UnixMilli() || len(a.Tags) != 3 || !strings.HasPrefix(a.Text, told[rollout.Action(a.Tags[2])]) {
			t.Errorf("%v: %s", err, b)
		}
	}
}

// publisher keeps what SNS is asked to publish.
type publisher struct {
	mu  sync.Mutex
	got []*sns.PublishInput
}

func (p *publisher) Publish(_ context.Context, in *sns.PublishInput, _ ...func(*sns.Options)) (*sns.PublishOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, in)
	return &sns.PublishOutput{}, nil
}

func (p *publisher) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.got)
}

// A topic gets each with a subject that SNS takes.
func TestTopic(t *testing.T) {
	t.Parallel()
	p := &publisher{}
	tell(t, NewTopic(p, "arn:aws:sns:ap-northeast-1:123456789012:relay"), p.count)
	seen := map[string]bool{}
	for _, in := range p.got {
		if !strings.HasSuffix(*in.TopicArn, ":relay") || len(*in.Subject) > 100 || strings.ContainsFunc(*in.Subject, func(r rune) bool { return r < ' ' || r > '~' }) || !strings.HasPrefix(*in.Message, *in.Subject) {
			t.Errorf("%s: %s: %s", *in.TopicArn, *in.Subject, *in.Message)
		}
		seen[*in.Subject] = true
	}
	for _, words := range told {
		if !seen[words+": SES 50 % -> 10 %"] {
			t.Errorf("%s was not published: %v", words, seen)
		}
	}
}
