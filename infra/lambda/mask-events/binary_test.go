package main

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// runtimeAPI is Lambda's side of the runtime interface: it hands out one
// invocation and waits for the answer.
type runtimeAPI struct {
	payload json.RawMessage
	taken   bool
	answer  chan []byte // what was posted, with its path
}

func (a *runtimeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/invocation/next") && !a.taken:
		a.taken = true
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", "af9c3624-2842-4a1d-8f3e-1d5ee1f4e1b0")
		w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(time.Minute).UnixMilli(), 10))
		_, _ = w.Write(a.payload)
	case strings.HasSuffix(r.URL.Path, "/invocation/next"):
		<-r.Context().Done() // no further work
	default:
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		a.answer <- append([]byte(r.URL.Path+"\n"), body...)
	}
}

// The program itself, as Lambda starts it: environment, clients, runtime
// interface, answer.
func TestBinary(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "bootstrap")
	if msg, err := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, msg)
	}
	f := newFakeAWS()
	services := httptest.NewServer(f)
	defer services.Close()
	_, events := samples(t)
	payload, ids := firehose(events[0], []byte("hanako"))
	api := &runtimeAPI{payload: payload, answer: make(chan []byte, 1)}
	runtime := httptest.NewServer(api)
	defer runtime.Close()

	cmd := exec.Command(binary)
	cmd.Env = []string{
		"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(runtime.URL, "http://"), "AWS_LAMBDA_FUNCTION_NAME=mask", "PATH=" + os.Getenv("PATH"),
		"AWS_ENDPOINT_URL=" + services.URL, "AWS_REGION=ap-northeast-1", "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b",
		"EVENT_LOG_GROUP=" + groupNames[0], "RAW_LOG_GROUP=" + groupNames[1], "MASKED_LOG_GROUP=" + groupNames[2],
		"ERROR_BUCKET=error-logs", "MASK_KEY_SECRET=key", "METRICS_NAMESPACE=ses-migration/test/SES",
	}
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var posted []byte
	select {
	case posted = <-api.answer:
	case <-time.After(time.Minute):
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // killed
	path, body, _ := strings.Cut(string(posted), "\n")
	if !strings.HasSuffix(path, "/response") {
		t.Fatalf("posted %q\n%s", posted, &output)
	}
	var answer Answer
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	checkAnswer(t, &answer, ids)
	for _, r := range answer.Records {
		data, err := base64.StdEncoding.DecodeString(r.Data)
		if err != nil {
			t.Fatal(err)
		}
		noPersonal(t, "answer", string(data))
	}
	noPersonal(t, "the function's log", output.String())
	if !strings.Contains(output.String(), `"MaskingFailures":1`) {
		t.Errorf("no metrics: %s", &output)
	}
	if n := len(f.lines(groupNames[2])); n != 2 {
		t.Errorf("masked group has %d lines", n)
	}
	f.object(t, "masking-failed")
	if len(f.broken) > 0 {
		t.Errorf("the service would refuse: %v", f.broken)
	}

	cmd = exec.Command(binary) // nothing configured: says what is missing
	cmd.Env = []string{"AWS_REGION=ap-northeast-1"}
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "ERROR_BUCKET") || !strings.Contains(string(out), "MASK_KEY_SECRET") {
		t.Errorf("without settings: %v\n%s", err, out)
	}
}
