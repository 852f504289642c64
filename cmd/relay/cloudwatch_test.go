package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// emfLines are the documents on standard output.
func (s *served) emfLines() (docs []map[string]any) {
	s.t.Helper()
	for line := range strings.Lines(s.stdout.String()) {
		var doc map[string]any
		if err := json.Unmarshal([]byte(line), &doc); err != nil {
			s.t.Fatalf("not a JSON line on standard output: %q", line)
		}
		docs = append(docs, doc)
	}
	return docs
}

// Every mail is counted in one line, also the last ones before the end; a
// reload turns the lines off and on, and nothing piles up meanwhile.
func TestCloudWatchMetrics(t *testing.T) {
	t.Parallel()
	c := newContract(t)
	received := "Received: from a by b; Sat, 28 Nov 2026 10:00:00 +0900\r\n"
	metrics := func(line string) {
		t.Helper()
		c.settings = append(c.settings[:len(c.settings):len(c.settings)], line)
		c.write()
		c.reloads("")
		c.settings = c.settings[:len(c.settings)-1]
	}
	c.mail("taro@goo.ne.jp", received)
	c.writeCloudWatch()
	if docs := c.emfLines(); docs != nil {
		t.Errorf("off by default, and wrote %v", docs)
	}
	metrics("cloudwatch_metrics: {enabled: true, project: ses-migration, environment: development}")
	c.mail("taro@goo.ne.jp", received)
	c.writeCloudWatch()
	docs := c.emfLines()
	if len(docs) != 1 || docs[0]["SentCuenote"] != 1.0 || docs[0]["Instance"] != "relay-1.goo.ne.jp" || docs[0]["CuenoteSuccessRate"] != 100.0 {
		t.Fatalf("%v", docs)
	}
	if ns := docs[0]["_aws"].(map[string]any)["CloudWatchMetrics"].([]any)[0].(map[string]any)["Namespace"]; ns != "ses-migration/development/SES" {
		t.Errorf("namespace %v", ns)
	}
	for _, name := range []string{"CPUUtilization", "QuotaDayUsed", "SplitRequested", "BreakerOpenSES", "BreakerOpenCuenote", "StateDown", "Connections"} {
		if _, ok := docs[0][name]; !ok {
			t.Errorf("a running relay does not write %s", name)
		}
	}
	c.mail("taro@goo.ne.jp", received)
	c.mail("taro@goo.ne.jp", received)
	c.stop()
	waitFor(t, "the last line", func() bool { return len(c.emfLines()) == 2 })
	if last := c.emfLines()[1]; last["SentCuenote"] != 2.0 || last["Throughput"] != 2.0 {
		t.Errorf("the end: %v", last)
	}
}
