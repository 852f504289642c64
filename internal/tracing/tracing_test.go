package tracing

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlptrace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"sesrelay/internal/relay"
)

// collector is an OTLP receiver over HTTP: it decodes what it gets.
type collector struct {
	*httptest.Server
	t *testing.T

	mu    sync.Mutex // guards what follows
	spans []*otlptrace.Span
	res   map[string]string // attributes of the resource
	raw   bytes.Buffer      // everything that came, decoded, as text
}

func newCollector(t *testing.T) *collector {
	c := &collector{t: t, res: map[string]string{}}
	c.Server = httptest.NewServer(http.HandlerFunc(c.take))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) take(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			c.t.Error(err)
			return
		}
		body = z
	}
	b, err := io.ReadAll(body)
	var req coltrace.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(b, &req)
	}
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		c.t.Errorf("%s %s: %v", r.URL.Path, r.Header.Get("Content-Type"), err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw.WriteString(req.String())
	for _, rs := range req.ResourceSpans {
		for _, a := range rs.Resource.Attributes {
			c.res[a.Key] = a.Value.GetStringValue()
		}
		for _, ss := range rs.ScopeSpans {
			c.spans = append(c.spans, ss.Spans...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// attribute is a span's, as text; "" when it has none of the name.
func spanAttribute(s *otlptrace.Span, key string) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			if v := a.Value.GetStringValue(); v != "" {
				return v
			}
			return fmt.Sprint(a.Value.GetIntValue())
		}
	}
	return ""
}

// start makes a tracer whose environment is set by pairs.
func start(t *testing.T, pairs ...string) *Tracer {
	t.Helper()
	env := map[string]string{}
	for _, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		env[name] = value
		t.Setenv(name, value)
	}
	tr, err := New(t.Context(), func(name string) string { return env[name] }, "relay-1", "v1", slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

var secrets = []string{"taro.yamada", "hanako.suzuki", "203.0.113.77", "jiro.helo", "goro.user", "rokuro.text", "4SECRETQUEUE", "shiro.receipt"}

func testAddress(t *testing.T, s string) relay.Address {
	t.Helper()
	a, err := relay.ParseAddress(s, false)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// transaction traces one that failed over from SES to Cuenote.
func transaction(t *testing.T, tr *Tracer, id string, begun time.Time) bool {
	t.Helper()
	env := relay.Envelope{ID: id, ReversePath: testAddress(t, "taro.yamada@goo.ne.jp"), Begun: begun,
		Client: relay.Client{Addr: netip.MustParseAddr("203.0.113.77"), HELO: "jiro.helo", User: "goro.user", Extended: true, TLS: true}}
	w := tr.Begin(&env)
	if w == nil {
		return false
	}
	at := func(ms int) time.Time { return begun.Add(time.Duration(ms) * time.Millisecond) }
	refused := &relay.Error{Kind: relay.Unavailable, Class: "throttled", Reply: relay.ReplyThrottled, Err: errors.New("rokuro.text@docomo.ne.jp")}
	w.Step(relay.StepRoute, relay.SES, at(1), at(2), nil)
	w.Step(relay.StepContent, "", at(10), at(20), nil)
	w.Step(relay.StepLedger, "", at(20), at(21), nil)
	w.Step(relay.StepQuota, relay.SES, at(21), at(23), nil)
	w.Step(relay.StepUpstream, relay.SES, at(23), at(40), refused)
	w.Step(relay.StepUpstream, relay.Cuenote, at(41), at(60), nil)
	w.Record(&relay.Record{Envelope: env, Recipients: []relay.Address{testAddress(t, "hanako.suzuki@docomo.ne.jp")}, Route: relay.Cuenote,
		Reason: relay.ReasonUnavailable, Result: relay.ResultAccepted, Reply: relay.Reply{Code: 250, Text: "accepted by cuenote: shiro.receipt"},
		Receipt: relay.Receipt{ID: "shiro.receipt"}, QueueID: "4SECRETQUEUE", Size: 4711, Delay: time.Second, Ended: at(61)})
	w.End()
	return true
}

// A transaction arrives at an OTLP receiver as a tree, with its times, and with
// nothing that belongs to a person.
func TestSpansArrive(t *testing.T) {
	c := newCollector(t)
	tr := start(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL, "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=production", "OTEL_SERVICE_NAME=goo-relay")
	begun := time.Now().Add(-time.Minute)
	if !transaction(t, tr, "06k0abc", begun) {
		t.Fatal("not sampled")
	}
	if err := tr.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	var root *otlptrace.Span
	children := map[string]*otlptrace.Span{}
	for _, s := range c.spans {
		if len(s.ParentSpanId) == 0 {
			root = s
			continue
		}
		children[s.Name+" "+spanAttribute(s, "relay.upstream")] = s
	}
	if root == nil || root.Name != "transaction" {
		t.Fatalf("no root: %s", c.raw.String())
	}
	want := TraceID("06k0abc")
	for _, name := range []string{"route ses", "content ", "ledger ", "quota ses", "upstream ses", "upstream cuenote"} {
		s := children[name]
		if s == nil {
			t.Errorf("no span %q", name)
			continue
		}
		if !bytes.Equal(s.ParentSpanId, root.SpanId) || !bytes.Equal(s.TraceId, want[:]) {
			t.Errorf("%q is no child of the transaction", name)
		}
	}
	if took := time.Duration(root.EndTimeUnixNano - root.StartTimeUnixNano); took != 61*time.Millisecond || root.StartTimeUnixNano != uint64(begun.UnixNano()) {
		t.Errorf("the transaction took %s", took)
	}
	if s := children["upstream ses"]; s != nil && (s.Status.Code != otlptrace.Status_STATUS_CODE_ERROR || spanAttribute(s, "error.type") != "throttled" || s.EndTimeUnixNano-s.StartTimeUnixNano != 17e6) {
		t.Errorf("the attempt at SES: %s", s)
	}
	for key, value := range map[string]string{"relay.id": "06k0abc", "relay.outcome": "accepted", "relay.upstream": "cuenote", "relay.reason": "unavailable",
		"relay.reply_code": "250", "relay.recipients": "1", "relay.size": "4711"} {
		if got := spanAttribute(root, key); got != value {
			t.Errorf("%s is %q, want %q", key, got, value)
		}
	}
	for key, value := range map[string]string{"service.name": "goo-relay", "service.instance.id": "relay-1", "service.version": "v1", "deployment.environment.name": "production"} {
		if c.res[key] != value {
			t.Errorf("resource: %s is %q, want %q", key, c.res[key], value)
		}
	}
	for _, s := range secrets {
		if strings.Contains(c.raw.String(), s) {
			t.Errorf("%s was exported", s)
		}
	}
}

// The sampler of the environment decides, by the relay id: every instance and
// every retry of a look-up comes to the same.
func TestSampler(t *testing.T) {
	c := newCollector(t)
	tr := start(t, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="+c.URL+"/v1/traces", "OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.25")
	defer tr.Shutdown(context.Background()) // nothing more is asked of it
	sampled := 0
	for i := range 2000 {
		id := fmt.Sprintf("06k0%d", i)
		first := transaction(t, tr, id, time.Now())
		if first {
			sampled++
		}
		if i < 50 && transaction(t, tr, id, time.Now()) != first {
			t.Errorf("%s: decided twice, differently", id)
		}
	}
	if sampled < 400 || sampled > 600 {
		t.Errorf("%d of 2000 sampled, want a quarter", sampled)
	}
}

func TestWanted(t *testing.T) {
	t.Parallel()
	for env, want := range map[string]bool{
		"": false, "OTEL_SERVICE_NAME=x": false, "OTEL_TRACES_EXPORTER=otlp": true, "OTEL_TRACES_EXPORTER=none": false,
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318": true, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://c:4318/v1/traces": true,
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318 OTEL_TRACES_EXPORTER=none":    false,
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318 OTEL_SDK_DISABLED=true":       false,
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318 OTEL_TRACES_EXPORTER=console": false,
	} {
		if got := Wanted(environment(env)); got != want {
			t.Errorf("%q: %t", env, got)
		}
	}
}

func environment(pairs string) func(string) string {
	return func(name string) string {
		for pair := range strings.FieldsSeq(pairs) {
			if n, v, _ := strings.Cut(pair, "="); n == name {
				return v
			}
		}
		return ""
	}
}

// What cannot be done is refused with what to write.
func TestOtherProtocolsAreRefused(t *testing.T) {
	t.Parallel()
	_, err := New(t.Context(), environment("OTEL_EXPORTER_OTLP_PROTOCOL=grpc"), "i", "v", slog.Default())
	if err == nil || !strings.Contains(err.Error(), "http/protobuf") {
		t.Error(err)
	}
}
