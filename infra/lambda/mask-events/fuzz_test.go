package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// generatedLocal makes a local part that occurs nowhere else.
func generatedLocal(r *rand.Rand) string {
	return fmt.Sprintf("qz%cw%06dxv", 'a'+rune(r.IntN(26)), r.IntN(1_000_000))
}

// mutate makes of a sample an event with address in one of the forms met, at a
// random string, and sometimes breaks it: cut off, a byte changed, doubled.
func mutate(r *rand.Rand, sample []byte, local string) []byte {
	address := local + "@docomo.ne.jp"
	forms := []string{
		address, "<" + address + ">", `"山田" <` + address + ">", url.QueryEscape(address), strings.Replace(address, "@", "=40", 1),
		"550 5.1.1 " + local + ": no mailbox <" + address + ">", "bounce+" + local + "=docomo.ne.jp@goo.ne.jp", strings.Replace(address, "@", "&#64;", 1),
		"https://goo.ne.jp/?u=" + address, `"` + local + ` x"@docomo.ne.jp`,
	}
	var event any
	if err := json.Unmarshal(sample, &event); err != nil {
		panic(err) // the samples are JSON
	}
	form := forms[r.IntN(len(forms))]
	for range 1 + r.IntN(3) {
		place(r, event, form)
	}
	out, _ := json.Marshal(event)
	switch r.IntN(10) {
	case 0:
		out = out[:r.IntN(len(out))]
	case 1:
		out[r.IntN(len(out))] = byte(r.IntN(256))
	case 2:
		out = append(out, out...)
	case 3:
		out = append(out, '\n')
	}
	return out
}

// place puts s in place of a string somewhere in v, or adds it under a new name.
func place(r *rand.Rand, v any, s string) {
	switch v := v.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		if len(names) == 0 || r.IntN(10) == 0 {
			v[s] = s
			return
		}
		name := names[r.IntN(len(names))]
		if _, leaf := v[name].(string); leaf {
			v[name] = s
			return
		}
		place(r, v[name], s)
	case []any:
		if len(v) == 0 {
			return
		}
		i := r.IntN(len(v))
		if _, leaf := v[i].(string); leaf {
			v[i] = s
			return
		}
		place(r, v[i], s)
	}
}

// Ten thousand events, whole and broken: each is answered once, none shows its
// address to those who read the masked side, none is missing in the logs.
func TestTenThousandEvents(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(2026, 11))
	_, events := samples(t)
	f := newFakeAWS()
	h, metrics := start(t, f, nil)
	var masked, raw []string
	locals := map[string]bool{}
	const each = 250
	invocations := 40
	if raceDetector {
		invocations = 8 // the detector makes this ten times as slow, and sees the same code
	}
	for range invocations {
		var records [][]byte
		for range each {
			local := generatedLocal(r)
			locals[local] = true
			records = append(records, mutate(r, events[r.IntN(len(events))], local))
		}
		payload, ids := firehoseFrom(len(raw), records...)
		answer, data := invoke(t, h, payload)
		checkAnswer(t, answer, ids)
		masked = append(masked, data...)
		for _, rec := range records {
			raw = append(raw, string(rec))
		}
	}
	masked = append(masked, f.lines(groupNames[2])...)
	survives(t, locals, masked)
	failures := 0
	for _, d := range masked[:len(raw)] {
		if !strings.HasSuffix(d, "}\n") || strings.Count(d, "\n") != 1 || !json.Valid([]byte(d)) {
			t.Fatalf("not one line of JSON: %.300q", d)
		}
		if strings.Contains(d, `"masking-failed"`) {
			failures++
		}
	}
	if failures < len(raw)/10 || failures > len(raw)*3/10 {
		t.Errorf("%d of %d could not be masked; about a quarter is broken", failures, len(raw))
	}
	if got := len(f.lines(groupNames[1])); got < len(raw)-invocations { // an event cut to nothing is no line
		t.Errorf("raw group has %d lines of %d", got, len(raw))
	}
	if got := len(f.lines(groupNames[2])); got != len(raw) {
		t.Errorf("masked group has %d lines of %d", got, len(raw))
	}
	if n := strings.Count(metrics.String(), "\n"); n != invocations {
		t.Errorf("%d lines of metrics", n)
	}
}

// survives fails when a local part is readable in texts.
func survives(t *testing.T, locals map[string]bool, texts []string) {
	t.Helper()
	const length = len("qzaw000000xv")
	for _, s := range texts {
		for rest := s; ; {
			i := strings.Index(rest, "qz")
			if i < 0 || i+length > len(rest) {
				break
			}
			if locals[rest[i:i+length]] {
				t.Fatalf("%s survives in %s", rest[i:i+length], s)
			}
			rest = rest[i+2:]
		}
	}
}

// inMemory is AWS without a network, for the fuzzer's sake; everything succeeds.
type inMemory struct{}

func (inMemory) PutLogEvents(context.Context, *cloudwatchlogs.PutLogEventsInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.PutLogEventsOutput, error) {
	return &cloudwatchlogs.PutLogEventsOutput{}, nil
}

func (inMemory) CreateLogStream(context.Context, *cloudwatchlogs.CreateLogStreamInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.CreateLogStreamOutput, error) {
	return &cloudwatchlogs.CreateLogStreamOutput{}, nil
}

func (inMemory) PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	return &s3.PutObjectOutput{}, nil
}

func (inMemory) GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	return &secretsmanager.GetSecretValueOutput{SecretString: aws.String(testKey)}, nil
}

// FuzzHandler: whatever the payload, nothing panics; whatever the record, it is
// answered once, with one line of JSON.
func FuzzHandler(f *testing.F) {
	_, events := samples(f)
	for _, e := range events {
		f.Add(e, "4954")
	}
	payload, _ := firehose(events[:2]...)
	f.Add([]byte(payload), "")
	f.Add([]byte(`{"Records":[{"eventID":"1","kinesis":{"data":"e30=","approximateArrivalTimestamp":1764000000.5}}]}`), "")
	f.Add([]byte("\xff"), "\n")
	s := settings{eventGroup: "event", rawGroup: "raw", maskedGroup: "masked", errorBucket: "error-logs", keySecret: "key", zone: time.UTC}
	h := newHandler(s, inMemory{}, inMemory{}, inMemory{}, io.Discard, time.Now)
	f.Fuzz(func(t *testing.T, record []byte, id string) {
		payload, ids := firehose([]byte(`{"eventType":"Send"}`), record)
		answer, data := invoke(t, h, payload)
		checkAnswer(t, answer, ids)
		for _, d := range data {
			if strings.Count(d, "\n") != 1 || !json.Valid([]byte(d)) {
				t.Fatalf("%q", d)
			}
		}
		quoted, _ := json.Marshal(map[string]any{"Records": []any{map[string]any{"eventID": id, "kinesis": map[string]any{"data": record}}}})
		answer, _ = invoke(t, h, quoted)
		if len(answer.Records) != 1 || answer.Records[0].Result != ok {
			t.Fatalf("%+v", answer)
		}
		if answer, err := h.Handle(t.Context(), record); err == nil && answer == nil {
			t.Fatal("neither answer nor error")
		}
	})
}
