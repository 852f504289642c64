package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// topic is an SNS topic of moto with a subscriber over HTTP.
type topic struct {
	arn string

	mu       sync.Mutex // guards subjects
	subjects []string   // of what arrived
}

// topic makes a topic, and subscribes to it as an operator's pager does.
func (m *moto) topic(t *testing.T) *topic {
	t.Helper()
	p := &topic{arn: "arn:aws:sns:ap-northeast-1:123456789012:guard"}
	pager := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n struct{ Type, TopicArn, Subject, Message string }
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil || n.Type != "Notification" {
			return // the confirmation of the subscription
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.subjects = append(p.subjects, n.Subject)
	}))
	t.Cleanup(pager.Close)
	m.sns(t, url.Values{"Action": {"CreateTopic"}, "Name": {"guard"}})
	m.sns(t, url.Values{"Action": {"Subscribe"}, "TopicArn": {p.arn}, "Protocol": {"http"}, "Endpoint": {pager.URL}})
	return p
}

// sns calls the SNS query API.
func (m *moto) sns(t *testing.T, form url.Values) {
	t.Helper()
	form.Set("Version", "2010-03-31")
	r, _ := http.NewRequest("POST", m.url, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/ap-northeast-1/sns/aws4_request, SignedHeaders=host, Signature=0")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		t.Fatalf("%s: %s: %s", form.Get("Action"), answer.Status, text)
	}
}

// told waits until a notification about something has arrived.
func (p *topic) told(t *testing.T, words string) {
	t.Helper()
	eventually(t, 30*time.Second, "waiting for a notification: "+words, func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, s := range p.subjects {
			if strings.Contains(strings.ToLower(s), words) {
				return nil
			}
		}
		return fmt.Errorf("%q", p.subjects)
	})
}
