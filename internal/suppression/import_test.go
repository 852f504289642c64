package suppression_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/suppression"
)

// account is an SES and an S3 that fail when they are told to.
type account struct {
	objects  map[string][]byte
	jobs     map[string]string // object by job
	asked    map[string]int
	ended    map[string]suppression.Job
	list     map[string]suppression.Reason
	calls    int
	failAt   int // the call, counted from 1, that fails after it took effect
	busy     int // calls that say "later" first
	jobFails int // jobs that fail as a whole
}

func newAccount() *account {
	return &account{objects: map[string][]byte{}, jobs: map[string]string{}, asked: map[string]int{}, ended: map[string]suppression.Job{}, list: map[string]suppression.Reason{}}
}

var errCut = errors.New("connection reset")

// done counts a call that took effect.
func (a *account) done() error {
	if a.calls++; a.calls == a.failAt {
		return errCut
	}
	return nil
}

func (a *account) Put(_ context.Context, key string, body []byte) error {
	a.objects[key] = body
	return a.done()
}

func (a *account) Delete(_ context.Context, key string) error {
	delete(a.objects, key)
	return a.done()
}

func (a *account) StartImport(_ context.Context, url string) (string, error) {
	if a.busy > 0 {
		a.busy--
		return "", fmt.Errorf("CreateImportJob: %w", suppression.ErrBusy)
	}
	id := fmt.Sprintf("job-%d", len(a.jobs)+1)
	a.jobs[id] = strings.TrimPrefix(url, "s3://bucket/")
	return id, a.done()
}

func (a *account) ImportJob(_ context.Context, id string) (suppression.Job, error) {
	if j, ended := a.ended[id]; ended {
		return j, a.done()
	}
	body, exists := a.objects[a.jobs[id]]
	if !exists {
		return suppression.Job{Failure: "no such object"}, a.done()
	}
	if a.asked[id]++; a.asked[id] == 1 {
		return suppression.Job{}, a.done()
	}
	if a.jobFails > 0 {
		a.jobFails--
		return suppression.Job{Failure: "AccessDenied"}, a.done()
	}
	j := suppression.Job{Ended: true}
	for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); j.Processed++ {
		var r struct {
			EmailAddress string
			Reason       suppression.Reason
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return j, err
		}
		a.list[r.EmailAddress] = r.Reason
	}
	a.ended[id] = j
	return j, a.done()
}

func (a *account) Suppress(_ context.Context, address string, r suppression.Reason) error {
	a.list[address] = r
	return a.done()
}

func addresses(t *testing.T, n int) *suppression.List {
	t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "user-%d@goo.ne.jp\n", i)
	}
	l, err := suppression.Read(strings.NewReader(b.String()), suppression.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// importer is an import as a process begins it: all it knows is in the state file.
func (a *account) importer(state, bucket string) *suppression.Import {
	return &suppression.Import{Reason: suppression.Bounce, Region: "ap-northeast-1", Bucket: bucket, Prefix: "p/", State: state, Part: 10,
		S3: a, SES: a, Wait: func(time.Duration) error { return nil }}
}

// Cut off at each call in turn, an import that is begun anew ends with every
// address in the list and no object left; and the state file holds no address.
func TestImportGoesOn(t *testing.T) {
	t.Parallel()
	for bucket, n := range map[string]int{"bucket": 25, "": 7} {
		l := addresses(t, n)
		for failAt := 1; ; failAt++ {
			a := newAccount()
			a.failAt = failAt
			state := filepath.Join(t.TempDir(), "state")
			_, err := a.importer(state, bucket).Run(t.Context(), l)
			if a.calls < failAt { // ended before
				if err != nil || failAt < 6 {
					t.Fatalf("%d calls, %v", a.calls, err)
				}
				break
			}
			if !errors.Is(err, errCut) {
				t.Fatalf("call %d was cut: %v", failAt, err)
			}
			if text, err := os.ReadFile(state); err != nil || bytes.ContainsRune(text, '@') {
				t.Fatalf("state: %s %v", text, err)
			}
			r, err := a.importer(state, bucket).Run(t.Context(), l)
			if err != nil || r.Imported != n || r.Failed != 0 || len(a.list) != n || len(a.objects) != 0 {
				t.Errorf("bucket %q, cut at call %d: %v, %d imported, %d in the list, %d objects left", bucket, failAt, err, r.Imported, len(a.list), len(a.objects))
			}
			if a.list["user-0@goo.ne.jp"] != suppression.Bounce {
				t.Errorf("reason %q", a.list["user-0@goo.ne.jp"])
			}
		}
	}
}

// What is done is not done again; a job that failed is begun anew; "later" is waited for.
func TestImportRepeats(t *testing.T) {
	t.Parallel()
	l, a, state := addresses(t, 3), newAccount(), filepath.Join(t.TempDir(), "state")
	a.jobFails, a.busy = 1, 3
	_, err := a.importer(state, "bucket").Run(t.Context(), l)
	if err == nil || !strings.Contains(err.Error(), "job-1 failed: AccessDenied") {
		t.Fatal(err)
	}
	if r, err := a.importer(state, "bucket").Run(t.Context(), l); err != nil || r.Imported != 3 || len(a.jobs) != 2 {
		t.Fatal(r, err, a.jobs)
	}
	calls := a.calls
	if r, err := a.importer(state, "bucket").Run(t.Context(), l); err != nil || r.Imported != 3 || a.calls != calls {
		t.Errorf("a third run made %d calls: %+v, %v", a.calls-calls, r, err)
	}
	other := a.importer(state, "bucket")
	other.Reason = suppression.Complaint
	if _, err := other.Run(t.Context(), l); err == nil || !strings.Contains(err.Error(), "another import") {
		t.Errorf("another reason: %v", err)
	}
	if _, err := a.importer(state, "bucket").Run(t.Context(), addresses(t, 4)); err == nil || !strings.Contains(err.Error(), "another import") {
		t.Errorf("another list: %v", err)
	}
}

// An end of the process is seen while SES works.
func TestImportEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	a := newAccount()
	i := a.importer(filepath.Join(t.TempDir(), "state"), "bucket")
	i.Wait = nil
	i.Progress = func(int, int) { cancel() }
	if _, err := i.Run(ctx, addresses(t, 3)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
