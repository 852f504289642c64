package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// startable is what a rollout needs to start at once, in a row.
var startable = settings{"rollout.steps": "[{set_percent: 1}]"}

// withToken names the token that a Grafana needs.
var withToken = settings{"rollout.steps": "[{set_percent: 1}]", "rollout.notify.grafana_token_file": "{PASSWORD}"}

// withGrafana is a target that a token can be for.
var withGrafana = settings{"rollout.steps": "[{set_percent: 1}]", "rollout.notify.grafana": `"http://{HOOK}"`}

// rolloutShown is the part of GET /v1/rollout that the rows look at.
type rolloutShown struct {
	RollbackTo string `json:"rollback_to"`
	Events     struct{ Source string }
	Steps      []struct {
		SetPercent *float64 `json:"set_percent"`
		Pause      *string
	}
	Guard struct {
		Window  string
		Reasons []string
	}
}

func (s *keyStage) rollout() (v rolloutShown) {
	s.t.Helper()
	s.relay.get(s.t, "/v1/rollout", &v)
	return v
}

// steps lists the steps that start would take.
func (s *keyStage) steps() string {
	var out []string
	for _, step := range s.rollout().Steps {
		if step.SetPercent != nil {
			out = append(out, fmt.Sprint(*step.SetPercent))
		} else {
			out = append(out, *step.Pause)
		}
	}
	return strings.Join(out, " ")
}

// limit reads a limit of the gate or the guard as the metrics show it.
func limit(of, criterion string) func(*keyStage) string {
	return func(s *keyStage) string { return s.metric(fmt.Sprintf("relay_%s_limit{criterion=%q}", of, criterion)) }
}

// metric is the value of one time series.
func (s *keyStage) metric(series string) string {
	s.t.Helper()
	for line := range strings.Lines(s.metrics()) {
		if name, value, ok := cutLast(strings.TrimSpace(line), " "); ok && name == series {
			return value
		}
	}
	return "no " + series
}

func (s *keyStage) metrics() string {
	s.t.Helper()
	resp, err := http.Get("http://" + s.relay.admin + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// startHook listens for what a rollout tells, and gives its address.
func (s *keyStage) startHook() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.told = make(chan string, 100)
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		text := fmt.Sprintf("%s %s %s", r.Method, r.URL.Path, b)
		if strings.Contains(text, "annotations") {
			text += "\nAuthorization: " + r.Header.Get("Authorization")
		}
		select {
		case s.told <- text:
		default:
		}
	})}
	go server.Serve(l)
	s.t.Cleanup(func() { server.Close() })
	return l.Addr().String()
}

// toldOfStart starts a rollout and returns what the hook was told first.
// Whoever is told nothing is known by the rollout having started, and a second.
func (s *keyStage) toldOfStart() string {
	s.relay.cli(s.t, "rollout", "start", "--reason", "test")
	wait := 20 * time.Second
	if s.quiet {
		wait = time.Second
	}
	select {
	case text := <-s.told:
		return strings.TrimSpace(text)
	case <-time.After(wait):
		return "nobody"
	}
}

// namespace is where the metrics of CloudWatch's embedded format go; the last
// document is written at the end of the process.
func (s *keyStage) namespace() string {
	s.mail()
	s.relay.stop(s.t, 20*time.Second)
	_, text, ok := strings.Cut(s.relay.out.String(), `"Namespace":"`)
	if !ok {
		return "nothing"
	}
	name, _, _ := strings.Cut(text, `"`)
	return name
}

// infoLines says whether the lines of accepted mail were all written.
func (s *keyStage) infoLines() string {
	const mails = 10
	for range mails {
		s.mail()
	}
	s.relay.stop(s.t, 20*time.Second)
	written := strings.Count(s.relay.out.String(), `"msg":"transaction"`)
	switch {
	case written == mails:
		return "all"
	case written > 0:
		return "thinned"
	}
	return "none"
}
