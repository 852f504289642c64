package emf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// target is where the tests' documents belong.
var target = Target{Namespace: "ses-migration/production/SES", Instance: "relay-1.goo.ne.jp"}

// fleet is a registry with the relay's metrics, moved by hand, and a writer.
type fleet struct {
	t                                       *testing.T
	now                                     time.Time
	out                                     bytes.Buffer
	writes                                  int
	w                                       *Writer
	messages, recipients, attempts, trips   *prometheus.CounterVec
	delay                                   *prometheus.HistogramVec
	guard                                   *prometheus.GaugeVec
	cpu                                     prometheus.Counter
	dayMax, limit, effective, up, connected prometheus.Gauge
}

// Write counts the writes: a document is one.
func (f *fleet) Write(p []byte) (int, error) { f.writes++; return f.out.Write(p) }

func newFleet(t *testing.T) *fleet {
	f := &fleet{t: t, now: time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC)}
	reg := prometheus.NewRegistry()
	vec := func(name string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name}, labels)
		reg.MustRegister(v)
		return v
	}
	gauge := func(name string, v float64) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name})
		g.Set(v)
		reg.MustRegister(g)
		return g
	}
	f.messages, f.recipients = vec("relay_messages_total", "upstream", "outcome"), vec("relay_recipients_total", "upstream", "outcome")
	f.attempts, f.trips = vec("relay_attempts_total", "upstream", "outcome"), vec("relay_guard_trips_total", "reason")
	f.guard = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "relay_guard_value"}, []string{"criterion"})
	f.guard.WithLabelValues("bounce").Set(math.NaN())
	reg.MustRegister(f.guard)
	f.messages.WithLabelValues("ses", "accepted")
	f.delay = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "relay_delivery_delay_seconds",
		Buckets: []float64{1, 10, 60, 300, 600}}, []string{"upstream"})
	f.cpu = prometheus.NewCounter(prometheus.CounterOpts{Name: "process_cpu_seconds_total"})
	reg.MustRegister(f.delay, f.cpu)
	f.dayMax, f.limit = gauge("relay_ses_quota_day_max", -1), gauge("go_gc_gomemlimit_bytes", math.MaxInt64)
	f.effective, f.up, f.connected = gauge("relay_split_effective_percent", math.NaN()), gauge("relay_state_up", 1), gauge("relay_connections", 7)
	gauge("relay_ses_quota_day_used", 250)
	gauge("go_sched_gomaxprocs_threads", 2)
	gauge("process_resident_memory_bytes", 300)
	f.w = New(reg, f, func() time.Time { return f.now })
	return f
}

// line lets a minute pass and returns the document.
func (f *fleet) line() map[string]any {
	f.t.Helper()
	f.now = f.now.Add(time.Minute)
	f.out.Reset()
	if err := f.w.Write(target); err != nil {
		f.t.Fatal(err)
	}
	text := f.out.String()
	if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
		f.t.Errorf("not one line: %q", text)
	}
	checkDocument(f.t, text)
	var doc map[string]any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		f.t.Fatal(err)
	}
	return doc
}

// checkDocument judges a line by the specification: by the schema, and by what
// a schema cannot say of references and their targets.
func checkDocument(t *testing.T, line string) {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("testdata/emf.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(doc); err != nil {
		t.Errorf("%v\nin %s", err, line)
		return
	}
	root := doc.(map[string]any)
	for _, d := range root["_aws"].(map[string]any)["CloudWatchMetrics"].([]any) {
		for _, set := range d.(map[string]any)["Dimensions"].([]any) {
			for _, name := range set.([]any) {
				if _, ok := root[name.(string)].(string); !ok {
					t.Errorf("the dimension %v has the target %v", name, root[name.(string)])
				}
			}
			if len(set.([]any)) == 0 {
				t.Error("without a dimension the names are those of SES's events")
			}
		}
		for _, m := range d.(map[string]any)["Metrics"].([]any) {
			name := m.(map[string]any)["Name"].(string)
			if _, ok := root[name].(json.Number); !ok {
				t.Errorf("the metric %s has the target %v", name, root[name])
			}
		}
	}
}

// want compares members; nil means that the document has no such member.
func want(t *testing.T, doc map[string]any, members map[string]any) {
	t.Helper()
	for name, w := range members {
		got, ok := doc[name]
		if w == nil && ok || w != nil && fmt.Sprint(got) != fmt.Sprint(w) {
			t.Errorf("%s is %v, want %v", name, got, w)
		}
	}
}

func TestDocument(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.messages.WithLabelValues("ses", "accepted").Add(1000) // before the first document, after the writer: counts
	want(t, f.line(), map[string]any{"SentSES": 1000, "Throughput": 1000})

	f.messages.WithLabelValues("ses", "accepted").Add(150)
	f.messages.WithLabelValues("cuenote", "accepted").Add(50)
	f.messages.WithLabelValues("ses", "unknown").Add(3)
	f.messages.WithLabelValues("cuenote", "deferred").Add(4)
	f.messages.WithLabelValues("cuenote", "rejected").Add(5)
	f.messages.WithLabelValues("ses", "duplicate").Add(6)
	f.recipients.WithLabelValues("ses", "accepted").Add(170)
	f.attempts.WithLabelValues("ses", "accepted").Add(150)
	f.attempts.WithLabelValues("ses", "unknown").Add(3)
	f.attempts.WithLabelValues("ses", "unavailable").Add(47)
	f.trips.WithLabelValues("success").Inc()
	f.guard.WithLabelValues("bounce").Set(0.5)
	f.guard.WithLabelValues("complaint").Set(0.25)
	f.cpu.Add(60)
	f.dayMax.Set(1000)
	f.limit.Set(600)
	f.effective.Set(12.5)
	f.up.Set(0)
	for range 95 {
		f.delay.WithLabelValues("ses").Observe(5)
	}
	for range 5 {
		f.delay.WithLabelValues("ses").Observe(200)
	}
	doc := f.line()
	want(t, doc, map[string]any{
		"Source": "relay", "Instance": "relay-1.goo.ne.jp", "Heartbeat": 1,
		"SentSES": 150, "SentCuenote": 50, "Throughput": 200, "RecipientsSES": 170,
		"Unknown": 3, "Deferred": 4, "Rejected": 5, "Duplicates": 6,
		"SendSuccessRate": 75, "SendAttempts": 200, "CuenoteSuccessRate": nil, "CuenoteAttempts": 0,
		"DeliveryDelay": 10000, "CuenoteDeliveryDelay": nil, // 95 of 100 are in the bucket that ends at 10 s
		"BounceRate": 0.5, "ComplaintRate": 0.25,
		"QuotaDayUsed": 25, "CPUUtilization": 50, "MemoryUtilization": 50,
		"SplitEffective": 12.5, "StateDown": 1, "GuardTrips": 1, "Connections": 7,
	})
	aws := doc["_aws"].(map[string]any)
	if at := int64(aws["Timestamp"].(float64)); at != f.now.UnixMilli() {
		t.Errorf("the time is %d, want %d", at, f.now.UnixMilli())
	}
	if ns := aws["CloudWatchMetrics"].([]any)[0].(map[string]any)["Namespace"]; ns != "ses-migration/production/SES" {
		t.Errorf("the namespace is %v", ns)
	}
	if f.writes != 2 {
		t.Errorf("%d writes for two documents: another writer could come between", f.writes)
	}
}

// No mail, no quota and no limit are neither good nor bad.
func TestWhatIsNotKnownIsLeftOut(t *testing.T) {
	t.Parallel()
	doc := newFleet(t).line()
	want(t, doc, map[string]any{
		"Heartbeat": 1, "SendSuccessRate": nil, "DeliveryDelay": nil, "QuotaDayUsed": nil, "MemoryUtilization": nil,
		"SplitEffective": nil, "BounceRate": nil, "ComplaintRate": nil, "Throughput": 0, "BreakerOpenSES": nil, "StateDown": 0,
	})
	var named []string
	for _, m := range doc["_aws"].(map[string]any)["CloudWatchMetrics"].([]any)[0].(map[string]any)["Metrics"].([]any) {
		named = append(named, m.(map[string]any)["Name"].(string))
	}
	if strings.Contains(strings.Join(named, " "), "SendSuccessRate") {
		t.Errorf("named without a value: %v", named)
	}
}

// While nothing is to be written nothing piles up.
func TestSkip(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.messages.WithLabelValues("ses", "accepted").Add(1000)
	f.w.Skip()
	f.messages.WithLabelValues("ses", "accepted").Inc()
	want(t, f.line(), map[string]any{"SentSES": 1})
	want(t, f.line(), map[string]any{"SentSES": 0})
}

// A delay above the last bound is not lost, and one below a bound is not above it.
func TestQuantile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		seconds []float64
		want    any
	}{
		{[]float64{0.5}, 950}, {[]float64{60, 60, 60, 60}, 57500}, {[]float64{1000}, 600000}, {[]float64{1000, 5}, 600000}, {nil, nil},
	} {
		f := newFleet(t)
		for _, s := range c.seconds {
			f.delay.WithLabelValues("ses").Observe(s)
		}
		doc := f.line()
		want(t, doc, map[string]any{"DeliveryDelay": c.want})
	}
}

// The schema refuses what CloudWatch would not take: a test with it can fail.
func TestSchemaRefuses(t *testing.T) {
	t.Parallel()
	schema, err := jsonschema.NewCompiler().Compile("testdata/emf.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	const good = `{"_aws":{"Timestamp":1764324000000,"CloudWatchMetrics":[{"Namespace":"a/b/SES","Dimensions":[["Source"]],"Metrics":[{"Name":"N","Unit":"Count"}]}]},"Source":"relay","N":1}`
	for _, c := range []struct {
		old, new string
		ok       bool
	}{
		{"", "", true},
		{`"Count"`, `"count"`, false},
		{`1764324000000`, `1764324000`, false},
		{`"a/b/SES"`, `"AWS/SES"`, false},
		{`[["Source"]]`, `["Source"]`, false},
		{`,"Metrics":[{"Name":"N","Unit":"Count"}]`, ``, false},
		{`"N":1`, `"N":{"a":1}`, false},
		{`"N":1`, `"N":null`, false},
		{`"_aws"`, `"aws"`, false},
	} {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(strings.Replace(good, c.old, c.new, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(doc); (err == nil) != c.ok {
			t.Errorf("%s -> %s: %v", c.old, c.new, err)
		}
	}
}

// The table of the documentation and the code have the same names and units.
func TestDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/cloudwatch.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| ((?:`[A-Za-z]+`(?:, )?)+) \\| ([A-Za-z]+) \\| (?:Sum|Average|Maximum)").FindAllStringSubmatch(string(text), -1) {
		for name := range strings.SplitSeq(row[1], ", ") {
			documented[strings.Trim(name, "`")] = row[2]
		}
	}
	for _, f := range figures {
		if documented[f.name] != f.unit {
			t.Errorf("%s is documented as %q, and has the unit %s", f.name, documented[f.name], f.unit)
		}
		delete(documented, f.name)
	}
	for name := range documented {
		t.Errorf("%s is documented and never written", name)
	}
}
