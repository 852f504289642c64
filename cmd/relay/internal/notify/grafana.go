package notify

import (
	"context"
	"net/http"
	"strings"

	"sesrelay/internal/rollout"
)

// Grafana gets an annotation for every decision, so that each graph shows when
// the share moved and why.
type Grafana struct {
	base   string
	token  func() (string, error)
	client *http.Client
}

// NewGrafana returns the target of rollout.notify.grafana. The token is read
// for every annotation.
func NewGrafana(base string, token func() (string, error)) *Grafana {
	return &Grafana{strings.TrimSuffix(base, "/"), token, outward()}
}

// Name implements Target.
func (*Grafana) Name() string { return "grafana" }

// annotation is the body of POST /api/annotations ("Annotations HTTP API",
// Grafana documentation). Time is in milliseconds.
type annotation struct {
	Time int64    `json:"time"`
	Tags []string `json:"tags"`
	Text string   `json:"text"`
}

// Tell implements Target.
func (g *Grafana) Tell(ctx context.Context, e rollout.Event) error {
	token, err := g.token()
	if err != nil {
		return err
	}
	return post(ctx, g.client, g.base+"/api/annotations", token,
		annotation{e.At.UnixMilli(), []string{"sesrelay", "rollout", string(e.Action)}, Text(e)})
}
