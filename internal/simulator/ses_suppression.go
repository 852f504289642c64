package simulator

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// maxImport is what one import job takes.
const maxImport = 100_000

// suppression is the account-level suppression list and its import jobs. A job is worked off between the first and
// the second question for it, so that a client sees it run.
type suppression struct {
	mu    sync.Mutex        // guards all below
	list  map[string]string // reason by address
	jobs  map[string]*importJob
	order []string
}

type importJob struct {
	url, action       string
	asked             int
	processed, failed int
	failure           string
	created, ended    time.Time
}

func (j *importJob) status() string {
	switch {
	case j.ended.IsZero() && j.asked == 0:
		return "CREATED"
	case j.ended.IsZero():
		return "PROCESSING"
	case j.failure != "":
		return "FAILED"
	}
	return "COMPLETED"
}

// Suppressed returns a copy of the account-level suppression list: reason by address.
func (s *SES) Suppressed() map[string]string {
	s.suppression.mu.Lock()
	defer s.suppression.mu.Unlock()
	out := make(map[string]string, len(s.suppression.list))
	for address, reason := range s.suppression.list {
		out[address] = reason
	}
	return out
}

// ImportJobs returns how many import jobs were created.
func (s *SES) ImportJobs() int {
	s.suppression.mu.Lock()
	defer s.suppression.mu.Unlock()
	return len(s.suppression.order)
}

// createImportJob is POST /v2/email/import-jobs. Only suppression lists can be filled here.
func (s *SES) createImportJob(w http.ResponseWriter, r *http.Request) {
	var in struct {
		ImportDataSource  struct{ DataFormat, S3Url string }
		ImportDestination struct {
			SuppressionListDestination struct{ SuppressionListImportAction string }
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		fail(w, badRequest("The request is no JSON."))
		return
	}
	action := in.ImportDestination.SuppressionListDestination.SuppressionListImportAction
	switch {
	case s.account.get().Sandbox:
		fail(w, badRequest("Your account must have production access to use this operation."))
		return
	case action != "PUT" && action != "DELETE":
		fail(w, badRequest("SuppressionListImportAction must be PUT or DELETE."))
		return
	case in.ImportDataSource.DataFormat != "JSON" || !strings.HasPrefix(in.ImportDataSource.S3Url, "s3://"):
		fail(w, badRequest("The simulator reads JSON at s3:// only."))
		return
	}
	id := s.uuid(uint64(s.requests.Add(1)))
	s.suppression.mu.Lock()
	s.suppression.jobs[id] = &importJob{url: in.ImportDataSource.S3Url, action: action, created: s.cfg.Clock()}
	s.suppression.order = append(s.suppression.order, id)
	s.suppression.mu.Unlock()
	answer(w, http.StatusOK, struct{ JobId string }{id})
}

// getImportJob is GET /v2/email/import-jobs/{id}.
func (s *SES) getImportJob(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	s.suppression.mu.Lock()
	defer s.suppression.mu.Unlock()
	j := s.suppression.jobs[id]
	if j == nil {
		fail(w, apiError{http.StatusNotFound, "NotFoundException", "Import job " + id + " does not exist."})
		return
	}
	if j.asked++; j.asked == 2 {
		s.work(j)
	}
	out := map[string]any{"JobId": id, "JobStatus": j.status(), "CreatedTimestamp": j.created.Unix(),
		"ImportDataSource":  map[string]string{"DataFormat": "JSON", "S3Url": j.url},
		"ImportDestination": map[string]any{"SuppressionListDestination": map[string]string{"SuppressionListImportAction": j.action}}}
	if !j.ended.IsZero() {
		out["CompletedTimestamp"], out["ProcessedRecordsCount"], out["FailedRecordsCount"] = j.ended.Unix(), j.processed, j.failed
	}
	if j.failure != "" {
		out["FailureInfo"] = map[string]string{"ErrorMessage": j.failure}
	}
	answer(w, http.StatusOK, out)
}

// work reads the object of a job. The caller holds the lock.
func (s *SES) work(j *importJob) {
	j.ended = s.cfg.Clock()
	if s.cfg.ReadObject == nil {
		j.failure = "Unable to access the S3 object: AccessDenied."
		return
	}
	object, err := s.cfg.ReadObject(j.url)
	if err != nil {
		j.failure = fmt.Sprintf("Unable to access the S3 object: %v.", err)
		return
	}
	defer object.Close()
	records := map[string]string{}
	lines := bufio.NewScanner(object)
	for lines.Scan() {
		var record struct{ EmailAddress, Reason string }
		if j.processed++; json.Unmarshal(lines.Bytes(), &record) != nil || !strings.Contains(record.EmailAddress, "@") ||
			record.Reason != "BOUNCE" && record.Reason != "COMPLAINT" {
			j.failed++
			continue
		}
		records[record.EmailAddress] = record.Reason
	}
	if lines.Err() != nil || j.processed > maxImport {
		j.failure = fmt.Sprintf("The file has more than %d records.", maxImport)
		return
	}
	for address, reason := range records {
		if j.action == "DELETE" {
			delete(s.suppression.list, address)
			continue
		}
		s.suppression.list[address] = reason
	}
}

// putSuppressedDestination is PUT /v2/email/suppression/addresses.
func (s *SES) putSuppressedDestination(w http.ResponseWriter, r *http.Request) {
	var in struct{ EmailAddress, Reason string }
	if data, err := io.ReadAll(r.Body); err != nil || json.Unmarshal(data, &in) != nil ||
		!strings.Contains(in.EmailAddress, "@") || in.Reason != "BOUNCE" && in.Reason != "COMPLAINT" {
		fail(w, badRequest("EmailAddress and Reason are needed."))
		return
	}
	s.suppression.mu.Lock()
	s.suppression.list[in.EmailAddress] = in.Reason
	s.suppression.mu.Unlock()
	answer(w, http.StatusOK, struct{}{})
}
