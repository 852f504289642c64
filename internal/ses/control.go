package ses

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/smithy-go"
)

const (
	// controlRate is what all calls but sending share, per account and second.
	controlRate = 1
	// controlTimeout bounds one such call.
	controlTimeout = 10 * time.Second
)

// ErrNotOffered says that the endpoint does not know the call. Stand-ins for
// SES do that; SES does not.
var ErrNotOffered = errors.New("the endpoint does not offer this call")

// control makes one call that is not sending, in its turn.
func control[In, Out any](ctx context.Context, c *Client, call func(context.Context, *In, ...func(*sesv2.Options)) (*Out, error), in *In) (*Out, error) {
	if err := c.turns.Wait(ctx); err != nil {
		return nil, fmt.Errorf("ses: waiting for a turn: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	out, err := call(ctx, in)
	if err == nil {
		return out, nil
	}
	if notOffered(err) {
		err = fmt.Errorf("%w (%w)", ErrNotOffered, err)
	}
	return nil, fmt.Errorf("ses: %w", err)
}

// notOffered recognises the answers of an endpoint that lacks a call: 404, 405
// or 501 that do not come with an error code of SES.
func notOffered(err error) bool {
	if errorCode(err) != "" {
		return false
	}
	switch statusOf(err) {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return true
	}
	return false
}

// statusOf returns the HTTP status behind an error of the SDK; 0 when there was
// no answer.
func statusOf(err error) int {
	resp, ok := errors.AsType[*awshttp.ResponseError](err)
	if !ok || resp.Response == nil || resp.Response.Response == nil {
		return 0
	}
	return resp.HTTPStatusCode()
}

// errorCode returns the exception name of an error of the SDK; "" when there is none.
func errorCode(err error) string {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok || api.ErrorCode() == noCode {
		return ""
	}
	return api.ErrorCode()
}
