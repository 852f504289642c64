package main

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A relay whose environment names a collector sends it the spans of its mail,
// the last ones at its end; they hold nothing of the mail's people.
func TestRelayExportsTraces(t *testing.T) {
	var mu sync.Mutex
	names, text := map[string]int{}, ""
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			body, _ = gzip.NewReader(r.Body) // what is not gzip is no protobuf either
		}
		b, err := io.ReadAll(body)
		var req coltrace.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(b, &req)
		}
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		text += req.String()
		for _, rs := range req.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					names[s.Name]++
				}
			}
		}
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	c := newContract(t)
	reply := c.mail("taro@goo.ne.jp", "Received: from a by b; "+time.Now().Format(time.RFC1123Z)+"\r\n")
	c.want(200, "PUT", "/v1/split", `{"ses_percent":100,"reason":"r","force":true}`, []string{`If-Match: "0"`})
	c.mail("taro@goo.ne.jp", "")
	c.stop()
	waitFor(t, "the last spans", func() bool { mu.Lock(); defer mu.Unlock(); return names["transaction"] == 2 })
	mu.Lock()
	defer mu.Unlock()
	for _, name := range []string{"route", "connect", "recipients", "content", "ledger", "quota", "upstream"} {
		if names[name] == 0 {
			t.Errorf("no span %s: %v", name, names)
		}
	}
	if id := strings.Fields(reply)[2]; !strings.Contains(text, id) {
		t.Errorf("the relay id %s is in no span", id)
	}
	for _, secret := range []string{"taro", "hanako", "docomo", "127.0.0.1", "mx-1"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s was exported", secret)
		}
	}
}
