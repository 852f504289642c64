package apiclient

import (
	"context"
	"net/http"

	"sesrelay/internal/rollout"
)

// Rollout reads where the rollout stands.
func (c *Client) Rollout(ctx context.Context) (*rollout.View, Answer, error) {
	return c.rollout(ctx, request{method: http.MethodGet, path: "/v1/rollout"})
}

// Order asks for start, pause, resume, promote or abort.
func (c *Client) Order(ctx context.Context, action rollout.Action, o rollout.Order) (*rollout.View, Answer, error) {
	return c.rollout(ctx, request{method: http.MethodPost, path: "/v1/rollout/" + string(action), body: o})
}

func (c *Client) rollout(ctx context.Context, r request) (*rollout.View, Answer, error) {
	a, err := c.do(ctx, r)
	if err != nil {
		return nil, a, err
	}
	v := &rollout.View{}
	return v, a, a.decode(v)
}

// Report reads the stage report.
func (c *Client) Report(ctx context.Context) (*rollout.Report, Answer, error) {
	a, err := c.do(ctx, request{method: http.MethodGet, path: "/v1/rollout/report"})
	if err != nil {
		return nil, a, err
	}
	r := &rollout.Report{}
	return r, a, a.decode(r)
}
