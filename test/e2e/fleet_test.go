package e2e

import (
	"errors"
	"testing"

	"sesrelay/internal/redistest"
)

// startRedis runs a real redis-server until the test ends.
func startRedis(t *testing.T, args ...string) *redistest.Server {
	t.Helper()
	s, err := redistest.Start(t.TempDir(), args...)
	if errors.Is(err, redistest.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

// splitView is the part of GET /v1/split that the fleet's tests look at.
type splitView struct {
	Version    int64   `json:"version"`
	SESPercent float64 `json:"ses_percent"`
	Applied    float64 `json:"applied"`
	Brake      *struct {
		By string `json:"by"`
	} `json:"brake"`
	Instances []struct {
		ID      string  `json:"id"`
		Version int64   `json:"version"`
		Applied float64 `json:"applied"`
	} `json:"instances"`
}

// view is what an instance says of the split.
func (r *relayProcess) view(t *testing.T) (v splitView) {
	t.Helper()
	r.get(t, "/v1/split", &v)
	return v
}

func (r *relayProcess) instances(t *testing.T) int   { return len(r.view(t).Instances) }
func (r *relayProcess) percent(t *testing.T) float64 { return r.view(t).Applied }
