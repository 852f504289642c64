package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/mask"
)

// personal is what the samples hold and nobody but Admin may read.
var personal = []string{"hanako", "suzuki", "yamada", "山田", "鈴木", "花子", "再発行", "202.217.75.98", "192.0.2.61", "iPhone", "goo-id", ".foo", "192.168.1.100", "9012345678"}

// samples are events of every type; they are package mask's, so that both agree.
func samples(t testing.TB) (names []string, events [][]byte) {
	t.Helper()
	files, err := filepath.Glob("../../../internal/mask/testdata/events/*.json")
	if err != nil || len(files) < 12 {
		t.Fatalf("%d samples, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var one bytes.Buffer
		if err := json.Compact(&one, data); err != nil {
			t.Fatal(err)
		}
		names, events = append(names, filepath.Base(file)), append(events, one.Bytes())
	}
	return names, events
}

func noPersonal(t testing.TB, where string, texts ...string) {
	t.Helper()
	for _, s := range texts {
		for _, p := range personal {
			if strings.Contains(strings.ToLower(s), strings.ToLower(p)) {
				t.Errorf("%s: %q in %.300s", where, p, s)
			}
		}
	}
}

func TestEveryEvent(t *testing.T) {
	t.Parallel()
	f := newFakeAWS()
	h, metrics := start(t, f, nil)
	names, events := samples(t)
	payload, ids := firehose(events...)
	answer, data := invoke(t, h, payload)
	checkAnswer(t, answer, ids)
	masker, err := mask.New(mask.Masked, []byte(testKey))
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range data {
		normal, err := normalise(events[i], ids[i])
		if err != nil {
			t.Fatal(err)
		}
		want, err := masker.Event(normal)
		if err != nil {
			t.Fatal(err)
		}
		if d != string(want)+"\n" {
			t.Errorf("%s: got %s, want %s", names[i], d, want)
		}
	}
	noPersonal(t, "answer", data...)
	noPersonal(t, "masked group", f.lines(groupNames[2])...)
	for i, group := range groupNames {
		if got := f.lines(group); len(got) != len(events) {
			t.Errorf("%s: %d lines of %d", group, len(got), len(events))
		} else if i == 1 && got[3] != string(events[3]) {
			t.Errorf("raw group: %s, want it as received", got[3])
		}
	}
	if want := `"MaskingFailures":0,"MaskingRecords":` + "13"; !strings.Contains(metrics.String(), want) {
		t.Errorf("metrics %s, want %s", metrics, want)
	}
	if len(f.objects) != 0 {
		t.Errorf("objects in the error bucket: %v", f.objects)
	}
}

// The queries S-45 and S-84 read these fields.
func TestNormalise(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{`{"eventType":"Bounce","bounce":{"bounceType":"Permanent"},"mail":{"destination":["a@x.jp","b@y.jp"],"tags":{"ses:source-ip":["202.217.75.98"]}}}`,
			`{"bounce":{"bounceType":"Permanent"},"destination":"a@x.jp, b@y.jp","eventType":"bounce","mail":{"destination":["a@x.jp","b@y.jp"],"tags":{"ses:source-ip":["202.217.75.98"]}},"recordId":"1","sourceIp":"202.217.75.98"}`},
		{`{"eventType":"send","destination":"user@example.com","sourceIp":"192.168.1.100"}`,
			`{"destination":"user@example.com","eventType":"send","recordId":"1","sourceIp":"192.168.1.100"}`},
		{`{"notificationType":"Delivery","delivery":{"processingTimeMillis":1.50}}`,
			`{"delivery":{"processingTimeMillis":1.50},"eventType":"delivery","notificationType":"Delivery","recordId":"1"}`},
		{`{"mail":"<odd>","eventType":7}`, `{"eventType":7,"mail":"<odd>","recordId":"1"}`},
	} {
		got, err := normalise([]byte(c.in), "1")
		if err != nil || string(got) != c.want {
			t.Errorf("%s\n got %s, %v\nwant %s", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{"", "[]", "null", `"x"`, "{", "{}{}"} {
		if got, err := normalise([]byte(in), "1"); err == nil {
			t.Errorf("%q: %s", in, got)
		}
	}
}

// The call by hand of the requirements (S-83), word for word.
func TestKinesisByHand(t *testing.T) {
	t.Parallel()
	f := newFakeAWS()
	h, _ := start(t, f, nil)
	data := base64.StdEncoding.EncodeToString([]byte(`{"eventType":"send","destination":"user@example.com","sourceIp":"192.168.1.100"}`))
	answer, masked := invoke(t, h, json.RawMessage(`{"Records":[{"kinesis":{"data":"`+data+`"}}]}`))
	checkAnswer(t, answer, []string{"0"})
	body, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"event":{"destination":"u***#`, `@example.com"`, `"eventType":"send"`, `"sourceIp":"192.168.1.0/24"`, `"batchItemFailures":[]`} {
		if !strings.Contains(string(body), want) {
			t.Errorf("%s is not in %s", want, body)
		}
	}
	noPersonal(t, "answer", masked...)
	// of a real stream, wrapped base64 included
	answer, _ = invoke(t, h, json.RawMessage(`{"Records":[{"eventID":"shardId-000000000000:49","kinesis":{"sequenceNumber":"49","approximateArrivalTimestamp":1764000000.123,"data":"`+data[:40]+`\n`+data[40:]+`"}}]}`))
	checkAnswer(t, answer, []string{"shardId-000000000000:49"})
	if lines := f.lines(groupNames[2]); len(lines) != 2 || strings.Contains(lines[1], "masking-failed") {
		t.Errorf("masked group: %q", lines)
	}
}

func TestBadInvocation(t *testing.T) {
	t.Parallel()
	h, _ := start(t, newFakeAWS(), nil)
	for _, in := range []string{`{}`, `[]`, `"taro@goo.ne.jp"`, `{"records":"taro@goo.ne.jp"}`, `{"Records":[{"kinesis":"taro@goo.ne.jp"}]}`} {
		if a, err := h.Handle(t.Context(), json.RawMessage(in)); err == nil || a != nil || strings.Contains(err.Error(), "taro") {
			t.Errorf("%s: %v, %v", in, a, err)
		}
	}
	answer, _ := invoke(t, h, json.RawMessage(`{"records":[]}`))
	checkAnswer(t, answer, nil)
}

func TestFailsClosed(t *testing.T) {
	t.Parallel()
	f := newFakeAWS()
	h, metrics := start(t, f, func(s *settings) { s.errorKey = "arn:aws:kms:ap-northeast-1:123456789012:key/k" })
	_, events := samples(t)
	bad := [][]byte{
		[]byte("hanako.suzuki@docomo.ne.jp"), []byte(`{"mail":{"source":"hanako.suzuki@docomo.ne.jp"`), {}, []byte(`["hanako"]`),
		append(slices.Clone(events[0]), "hanako"...), []byte("\xff\xfe hanako\x00"), []byte(`{"a":` + strings.Repeat("[", 50) + `"hanako"` + strings.Repeat("]", 50) + "}"),
	}
	payload, ids := firehose(append([][]byte{events[0]}, append(bad, events[1])...)...)
	payload = bytes.Replace(payload, []byte(`"data":""`), []byte(`"data":"not base64 hanako"`), 1)
	answer, data := invoke(t, h, payload)
	checkAnswer(t, answer, ids)
	noPersonal(t, "answer", data...)
	noPersonal(t, "masked group", f.lines(groupNames[2])...)
	for i, d := range data {
		failed := strings.HasPrefix(d, `{"errorClass":"not`) && strings.Contains(d, `"recordId":"`+ids[i]+`"`)
		if want := i > 0 && i <= len(bad); failed != want {
			t.Errorf("record %d: %s", i, d)
		}
	}
	o := f.object(t, "masking-failed")
	if n := strings.Count(o.body, "\n"); n != len(bad) || !strings.Contains(o.body, base64.StdEncoding.EncodeToString(bad[0])) {
		t.Errorf("error bucket: %d lines: %s", n, o.body)
	}
	if o.header.Get("X-Amz-Server-Side-Encryption") != "aws:kms" || o.header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id") == "" {
		t.Errorf("not encrypted: %v", o.header)
	}
	if !strings.Contains(metrics.String(), `"MaskingFailures":7`) {
		t.Errorf("metrics: %s", metrics)
	}
	if n := len(f.lines(groupNames[0])); n != 3 { // the two good ones, and the one nested too deep to mask
		t.Errorf("event group: %d lines", n)
	}
}

// Without the key nothing is masked, so nothing is shown; the next invocation
// tries again.
func TestNoKey(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "too short"} {
		f := newFakeAWS()
		f.key = key
		h, _ := start(t, f, nil)
		_, events := samples(t)
		payload, ids := firehose(events[:3]...)
		answer, data := invoke(t, h, payload)
		checkAnswer(t, answer, ids)
		noPersonal(t, "answer", data...)
		for _, d := range data {
			if !strings.Contains(d, `"errorClass":"no key"`) {
				t.Errorf("key %q: %s", key, d)
			}
		}
		if n := strings.Count(f.object(t, "masking-failed").body, "\n"); n != 3 {
			t.Errorf("key %q: %d records in the error bucket", key, n)
		}
		f.mu.Lock()
		f.key = testKey
		f.mu.Unlock()
		if _, data = invoke(t, h, payload); strings.Contains(data[0], "masking-failed") {
			t.Errorf("key %q: still without it: %s", key, data[0])
		}
	}
}

// A panic is one record's error, or the whole invocation's; it is never an error
// of the function, which Firehose would answer by storing the records readable.
func TestPanic(t *testing.T) {
	t.Parallel()
	f := newFakeAWS()
	h, _ := start(t, f, nil)
	_, events := samples(t)
	payload, ids := firehose(events[:2]...)
	h.groups[0].client, h.groups[1].written = nil, nil // both panic when used
	answer, data := invoke(t, h, payload)
	checkAnswer(t, answer, ids)
	noPersonal(t, "answer", data...)
	if o := f.object(t, "logs-failed"); strings.Count(o.body, `"reason":"panic"`) != 4 {
		t.Errorf("error bucket: %s", o.body)
	}
	h.groups = nil
	h.key = nil
	answer, data = invoke(t, h, payload)
	checkAnswer(t, answer, ids)
	noPersonal(t, "answer", data...)
	if !strings.Contains(data[0], `"errorClass":"panic"`) {
		t.Errorf("%s", data[0])
	}
}

func TestErrorBucketDown(t *testing.T) {
	t.Parallel()
	f := newFakeAWS()
	f.s3Down = true
	h, metrics := start(t, f, nil)
	payload, ids := firehose([]byte("hanako"))
	answer, data := invoke(t, h, payload)
	checkAnswer(t, answer, ids)
	noPersonal(t, "answer", data...)
	if !strings.Contains(metrics.String(), `"ErrorCopiesFailed":1`) {
		t.Errorf("metrics: %s", metrics)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	env := map[string]string{"ERROR_BUCKET": "b", "MASK_KEY_SECRET": "k", "ADDRESSES": "hashed"}
	s, err := readSettings(func(n string) string { return env[n] })
	if err != nil || s.zone.String() != "Asia/Tokyo" || s.mode != mask.Hashed {
		t.Errorf("%+v, %v", s, err)
	}
	env = map[string]string{"ADDRESSES": "full", "TIME_ZONE": "Mars/Base", "MASKED_LOG_GROUP": "g", "EVENT_LOG_GROUP": "g"}
	_, err = readSettings(func(n string) string { return env[n] })
	if err == nil {
		t.Fatal("accepted")
	}
	for _, name := range []string{"ERROR_BUCKET", "MASK_KEY_SECRET", "ADDRESSES", "TIME_ZONE", "MASKED_LOG_GROUP"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named: %v", name, err)
		}
	}
}

// Near the deadline nothing is waited for: the answer comes first.
func TestDeadline(t *testing.T) {
	t.Parallel()
	f := newFakeAWS()
	h, _ := start(t, f, nil)
	for range 10_000 {
		f.script = append(f.script, throttled)
	}
	_, events := samples(t)
	payload, ids := firehose(events...)
	ctx, cancel := context.WithTimeout(t.Context(), forBucket+200*time.Millisecond)
	defer cancel()
	answer, err := h.Handle(ctx, payload)
	if err != nil {
		t.Fatal(err)
	}
	checkAnswer(t, answer, ids)
	deadline, _ := ctx.Deadline()
	if left := time.Until(deadline); left < forAnswer {
		t.Errorf("%v left", left)
	}
	if o := f.object(t, "logs-failed"); strings.Count(o.body, "\n") != 3*len(events) {
		t.Errorf("error bucket: %d lines", strings.Count(o.body, "\n"))
	}
}
