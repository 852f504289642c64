package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sesrelay/internal/mask"
)

// Whatever the events, an answer fits into Lambda's limit, names each record
// once and in order, and shortens no more than it must.
func TestAnswerFits(t *testing.T) {
	t.Parallel()
	masker, err := mask.New(mask.Masked, []byte(testKey))
	if err != nil {
		t.Fatal(err)
	}
	header := strings.Repeat(`{"name":"X","value":""},`, 200)
	grows := `{"eventType":"Send","mail":{"messageId":"0106019abc3de4f5-7c191be4-e9ae-4a12-a87d-dd0099a07f8a-000000","headers":[` + header + `{"name":"X","value":""}]}}`
	unknown := `{"eventType":"Send","x":[` + strings.Repeat(`"",`, 2000) + `""]}`
	for name, c := range map[string]struct {
		event                     string
		bytes                     int // of events in the invocation
		reduced, stubbed, dropped bool
	}{
		"a megabyte":           {grows, 1 << 20, false, false, false},
		"headers that grow":    {grows, 3 << 20, true, false, false},
		"nothing but unknowns": {unknown, 3 << 20, true, true, false},
		"many small":           {`{"eventType":"send","destination":"a@b.jp"}`, 20_000 * 44, false, false, false},
		"too many for stubs":   {`{"x":""}`, 8 * 42_000, true, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, _ := start(t, newFakeAWS(), nil)
			one := maskOne(masker, record{data: base64.StdEncoding.EncodeToString([]byte(c.event))})
			var ids []string
			var results []result
			for size := 0; size < c.bytes; size += len(c.event) {
				one.id = fmt.Sprintf("4954698668313554428650745793632162567570019247%016d", len(ids))
				ids, results = append(ids, one.id), append(results, one)
			}
			answer, n := h.answer(invocation{}, results)
			checkAnswer(t, answer, ids)
			body, err := json.Marshal(answer)
			if err != nil {
				t.Fatal(err)
			}
			if len(body) > maxAnswer {
				t.Errorf("answer of %d bytes", len(body))
			}
			reduced, stubbed, gone := 0, 0, 0
			for _, r := range answer.Records {
				data, err := base64.StdEncoding.DecodeString(r.Data)
				if err != nil {
					t.Fatal(err)
				}
				switch {
				case r.Result == dropped:
					gone++
				case bytes.Contains(data, []byte(`"length":`)):
					stubbed++
				case bytes.Contains(data, []byte(`"reduced":true`)):
					reduced++
				}
			}
			if n != reduced+stubbed+gone || (reduced+stubbed+gone > 0) != c.reduced || (stubbed > 0) != c.stubbed || (gone > 0) != c.dropped {
				t.Errorf("%d records: %d reduced, %d stubs, %d dropped; answer %d bytes", len(ids), reduced, stubbed, gone, len(body))
			}
		})
	}
}

func TestFitKeepsTheSmall(t *testing.T) {
	t.Parallel()
	events := [][]byte{[]byte(`{"a":1}`), fmt.Appendf(nil, `{"mail":{"headers":[%q]}}`, strings.Repeat("x", 5000)), []byte(`{"b":2}`)}
	var answers []AnsweredRecord
	for i, e := range events {
		answers = append(answers, AnsweredRecord{RecordID: fmt.Sprint(i), Result: ok, Data: encode(e)})
	}
	if n := fit(answers, events, 1000); n != 1 || answers[0].Data != encode(events[0]) || answers[1].Data != encode([]byte(`{"mail":{},"reduced":true}`)) {
		t.Errorf("%d reduced: %v", n, answers)
	}
}

// The function builds as the template wants it: one static binary for arm64.
func TestBuild(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "bootstrap")
	build := exec.Command("go", "build", "-tags", "lambda.norpc", "-trimpath", "-ldflags", "-s -w", "-o", out, ".")
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	if msg, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, msg)
	}
	head, err := os.ReadFile(out)
	if err != nil || string(head[:4]) != "\x7fELF" || head[18] != 0xB7 { // e_machine EM_AARCH64
		t.Errorf("%v, %x: not an ELF file for arm64", err, head[:20])
	}
	if len(head) > 50<<20 {
		t.Errorf("%d bytes: over the limit of a zip that is uploaded directly", len(head))
	}
}
