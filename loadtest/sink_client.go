package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
)

// sinkClient asks the sink process.
type sinkClient struct{ base string }

func (c sinkClient) call(ctx context.Context, method, path string, body io.Reader, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("sink: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1024))
		return fmt.Errorf("sink: %s %s: %s: %s", method, path, res.Status, strings.TrimSpace(string(text)))
	}
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		return fmt.Errorf("sink: %s %s: %w", method, path, err)
	}
	return nil
}

func (c sinkClient) stats(ctx context.Context) (s sinkStats, err error) {
	return s, c.call(ctx, "GET", "/stats", nil, &s)
}

func (c sinkClient) deliveries(ctx context.Context) (list []arrivedAt, err error) {
	return list, c.call(ctx, "GET", "/deliveries", nil, &list)
}

// perSecond is the recipients that an upstream took, by Unix second.
func (c sinkClient) perSecond(ctx context.Context, upstream string) (m map[int64]int64, err error) {
	return m, c.call(ctx, "GET", "/per-second/"+upstream, nil, &m)
}

// set changes a hop: "ses" or "cuenote".
func (c sinkClient) set(ctx context.Context, hop string, s sinkState) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return c.call(ctx, "PUT", "/"+hop, bytes.NewReader(b), new(struct{}))
}

func (c sinkClient) reconcile(ctx context.Context, claims iter.Seq[claim]) (*reconciliation, error) {
	body, w := io.Pipe()
	go func() { w.CloseWithError(writeClaims(w, claims)) }()
	r := new(reconciliation)
	return r, c.call(ctx, "POST", "/reconcile", body, r)
}
