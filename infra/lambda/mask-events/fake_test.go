package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// fakeAWS speaks the wire protocols of CloudWatch Logs and Secrets Manager (JSON
// 1.1) and of S3, and refuses what they refuse.
type fakeAWS struct {
	mu      sync.Mutex
	groups  map[string]map[string][]fakeLine // group, stream
	objects map[string]fakeObject
	key     string
	puts    int
	broken  []string // what was wrong with a request

	// script says what the next PutLogEvents do, first to last; then all is well.
	script []func(w http.ResponseWriter, store func())
	s3Down bool
}

type fakeLine struct {
	Timestamp int64  `json:"timestamp"`
	Message   string `json:"message"`
}

type fakeObject struct {
	body   string
	header http.Header
}

const testKey = "0123456789abcdefghijABCDEFGHIJ0123456789abcdefghijABCDEFGHIJ0123"

var groupNames = []string{"/aws/ses/email-events", "/aws/kinesisfirehose/ses-raw-logs", "/aws/kinesisfirehose/ses-masked-logs"}

func newFakeAWS() *fakeAWS {
	f := &fakeAWS{groups: map[string]map[string][]fakeLine{}, objects: map[string]fakeObject{}, key: testKey}
	for _, g := range groupNames {
		f.groups[g] = map[string][]fakeLine{}
	}
	return f
}

func (f *fakeAWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is out of time in the middle of its request, which AWS would not get either
	}
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err == nil {
			body, _ = io.ReadAll(z)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch target := r.Header.Get("X-Amz-Target"); {
	case strings.HasSuffix(target, ".PutLogEvents"):
		f.putLogEvents(w, body)
	case strings.HasSuffix(target, ".CreateLogStream"):
		f.createLogStream(w, body)
	case strings.HasSuffix(target, ".GetSecretValue"):
		if f.key == "" {
			awsError(w, 400, "ResourceNotFoundException")
			return
		}
		answerJSON(w, map[string]any{"Name": "key", "SecretString": f.key})
	case r.Method == http.MethodPut && target == "":
		if f.s3Down {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		f.objects[r.URL.Path] = fakeObject{string(body), r.Header.Clone()}
	default:
		f.broken = append(f.broken, r.Method+" "+r.URL.Path+" "+target)
		awsError(w, 400, "UnknownOperationException")
	}
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_ = json.NewEncoder(w).Encode(v)
}

func awsError(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"__type":"`+code+`","message":"by the test"}`)
}

func (f *fakeAWS) createLogStream(w http.ResponseWriter, body []byte) {
	var in struct{ LogGroupName, LogStreamName string }
	_ = json.Unmarshal(body, &in)
	streams, ok := f.groups[in.LogGroupName]
	if !ok {
		awsError(w, 400, "ResourceNotFoundException")
		return
	}
	if _, ok := streams[in.LogStreamName]; ok {
		awsError(w, 400, "ResourceAlreadyExistsException")
		return
	}
	streams[in.LogStreamName] = nil
	answerJSON(w, map[string]any{})
}

func (f *fakeAWS) putLogEvents(w http.ResponseWriter, body []byte) {
	var in struct {
		LogGroupName, LogStreamName string
		LogEvents                   []fakeLine
	}
	if err := json.Unmarshal(body, &in); err != nil {
		f.broken = append(f.broken, "PutLogEvents: "+err.Error())
	}
	f.puts++
	store := func() {
		f.groups[in.LogGroupName][in.LogStreamName] = append(f.groups[in.LogGroupName][in.LogStreamName], in.LogEvents...)
	}
	if len(f.script) > 0 {
		do := f.script[0]
		f.script = f.script[1:]
		if do != nil {
			do(w, store)
			return
		}
	}
	if _, ok := f.groups[in.LogGroupName][in.LogStreamName]; !ok {
		awsError(w, 400, "ResourceNotFoundException")
		return
	}
	if wrong := wrongBatch(in.LogEvents, time.Now()); wrong != "" {
		f.broken = append(f.broken, "PutLogEvents: "+wrong)
		awsError(w, 400, "InvalidParameterException")
		return
	}
	store()
	answerJSON(w, map[string]any{"nextSequenceToken": "1"})
}

// wrongBatch checks what the CloudWatch Logs API reference demands of a batch.
func wrongBatch(events []fakeLine, now time.Time) string {
	size := 0
	for _, e := range events {
		size += len(e.Message) + 26
		switch at := time.UnixMilli(e.Timestamp); {
		case e.Message == "":
			return "empty message"
		case len(e.Message)+26 > 256<<10:
			return "message over 256 KiB"
		case at.After(now.Add(2*time.Hour)) || at.Before(now.Add(-14*24*time.Hour)):
			return "time out of range: " + at.String()
		}
	}
	first, last := events[0].Timestamp, events[len(events)-1].Timestamp
	switch {
	case size > 1<<20:
		return "over 1 MiB"
	case len(events) > 10_000:
		return "over 10,000 events"
	case !slices.IsSortedFunc(events, func(a, b fakeLine) int { return int(a.Timestamp - b.Timestamp) }):
		return "not in order of time"
	case last-first > 24*3600*1000:
		return "spans over 24 hours"
	}
	return ""
}

// lines returns the messages of a group, all streams together.
func (f *fakeAWS) lines(group string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, stream := range f.groups[group] {
		for _, l := range stream {
			out = append(out, l.Message)
		}
	}
	return out
}

// object returns the only object whose key begins with prefix.
func (f *fakeAWS) object(t *testing.T, prefix string) fakeObject {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []fakeObject
	for key, o := range f.objects {
		if strings.HasPrefix(key, "/error-logs/"+prefix+"/year=20") && strings.HasSuffix(key, ".jsonl") {
			found = append(found, o)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d objects under %s, want 1: %v", len(found), prefix, f.objects)
	}
	return found[0]
}

// start returns a handler that uses the real clients against f.
func start(t testing.TB, f *fakeAWS, change func(*settings)) (*Handler, *bytes.Buffer) {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(func() {
		server.Close()
		for _, wrong := range f.broken {
			t.Errorf("the service would refuse: %s", wrong)
		}
	})
	cfg := aws.Config{
		Region: "ap-northeast-1", BaseEndpoint: aws.String(server.URL), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "SECRET", ""),
	}
	s := settings{
		eventGroup: groupNames[0], rawGroup: groupNames[1], maskedGroup: groupNames[2], errorBucket: "error-logs",
		keySecret: "key", namespace: "ses-migration/test/SES", function: "mask", zone: time.FixedZone("JST", 9*3600),
	}
	if change != nil {
		change(&s)
	}
	logs := cloudwatchlogs.NewFromConfig(cfg, func(o *cloudwatchlogs.Options) { o.Retryer = aws.NopRetryer{} })
	store := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	var metrics bytes.Buffer
	h := newHandler(s, logs, store, secretsmanager.NewFromConfig(cfg), &metrics, time.Now)
	for _, g := range h.groups {
		g.pause = time.Millisecond
	}
	return h, &metrics
}

// firehose makes an invocation of records, with ids as Firehose gives them.
func firehose(records ...[]byte) (payload json.RawMessage, ids []string) {
	return firehoseFrom(0, records...)
}

// firehoseFrom is firehose for a later invocation: ids count on from first.
func firehoseFrom(first int, records ...[]byte) (payload json.RawMessage, ids []string) {
	var rows []map[string]any
	for i, r := range records {
		id := fmt.Sprintf("4954698668313554428650745793632162567570019247%016d", first+i)
		ids = append(ids, id)
		rows = append(rows, map[string]any{
			"recordId": id, "approximateArrivalTimestamp": time.Now().Add(-time.Minute).UnixMilli() + int64(i),
			"data": base64.StdEncoding.EncodeToString(r),
		})
	}
	payload, _ = json.Marshal(map[string]any{
		"invocationId": "invocationIdExample", "region": "ap-northeast-1", "records": rows,
		"deliveryStreamArn": "arn:aws:firehose:ap-northeast-1:123456789012:deliverystream/ses-migration-prod-masked-logs-stream",
	})
	return payload, ids
}

// invoke calls h as Lambda does, with a deadline, and decodes the answered data.
func invoke(t testing.TB, h *Handler, payload json.RawMessage) (*Answer, []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	answer, err := h.Handle(ctx, payload)
	if err != nil {
		t.Fatal(err)
	}
	var data []string
	for _, r := range answer.Records {
		d, err := base64.StdEncoding.DecodeString(r.Data)
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, string(d))
	}
	return answer, data
}

// checkAnswer fails unless every id is answered once, in order, and never as
// ProcessingFailed.
func checkAnswer(t testing.TB, a *Answer, ids []string) {
	t.Helper()
	if len(a.Records) != len(ids) {
		t.Fatalf("%d answers for %d records", len(a.Records), len(ids))
	}
	for i, r := range a.Records {
		if r.RecordID != ids[i] || r.Result != "Ok" && r.Result != "Dropped" {
			t.Fatalf("answer %d: %s %s, want %s", i, r.RecordID, r.Result, ids[i])
		}
	}
}
