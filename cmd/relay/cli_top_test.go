package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"sesrelay/cmd/relay/internal/apiclient"
)

// A relay that hangs keeps nobody waiting: a look ends, says so, and the next
// one is tried.
func TestTopLooksAgainWhenTheRelayHangs(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	asked := make(chan struct{}, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-hang:
			writeJSON(w, `{"instance":"relay-1"}`)
		case <-r.Context().Done():
		}
	}))
	defer s.Close()
	client, err := apiclient.New(s.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	next := looks(ctx, client, 10*time.Millisecond)
	<-asked
	if l := <-next; l.err == nil {
		t.Errorf("a relay that hangs: %+v", l)
	}
	close(hang)
	for l := range next {
		if l.err == nil {
			if l.status.Instance != "relay-1" {
				t.Errorf("%+v", l.status)
			}
			return
		}
	}
}
