package ses

import (
	"context"
	"errors"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/smithy-go"
)

// noCode is the SDK's word for an error without a code.
const noCode = "UnknownError"

// viaSDK sends with sesv2.Client.SendEmail: the reference for direct.
type viaSDK struct{ api *sesv2.Client }

func (s *viaSDK) close() {} // the wire is the client's

func (s *viaSDK) send(ctx context.Context, a *attempt, r *request) (answer, error) {
	in, err := r.input()
	if err != nil {
		return answer{}, err
	}
	out, err := s.api.SendEmail(context.WithValue(ctx, attemptKey{}, a), in)
	if err == nil { // also for a 2xx that is no 200
		id, _ := middleware.GetRequestIDMetadata(out.ResultMetadata)
		return answer{status: a.status, requestID: id, messageID: aws.ToString(out.MessageId)}, nil
	}
	if a.status == 0 { // the SDK speaks of a response here too
		return answer{}, err
	}
	ans := answer{status: a.status}
	if resp, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		ans.requestID = resp.ServiceRequestID()
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		ans.code, ans.message = api.ErrorCode(), api.ErrorMessage()
	}
	if ans.code == noCode {
		ans.code = ""
	}
	return ans, nil
}

// input is the request in the SDK's types.
func (r *request) input() (*sesv2.SendEmailInput, error) {
	raw, err := r.raw()
	if err != nil {
		return nil, err
	}
	in := &sesv2.SendEmailInput{
		Content:     &types.EmailContent{Raw: &types.RawMessage{Data: raw}},
		Destination: &types.Destination{ToAddresses: make([]string, len(r.to))},
	}
	for i, to := range r.to {
		in.Destination.ToAddresses[i] = to.String()
	}
	if r.configurationSet != "" {
		in.ConfigurationSetName = &r.configurationSet
	}
	if r.feedback != "" {
		in.FeedbackForwardingEmailAddress = &r.feedback
	}
	for _, t := range r.tags {
		in.EmailTags = append(in.EmailTags, types.MessageTag{Name: aws.String(t.name), Value: aws.String(t.value)})
	}
	return in, nil
}

// raw collects the content.
func (r *request) raw() ([]byte, error) {
	raw := make([]byte, 0, r.content.Size())
	for {
		part, err := r.content.Next()
		if err == io.EOF { //nolint:errorlint // the permission to end is io.EOF itself
			break
		}
		if err != nil {
			return nil, err
		}
		if raw = append(raw, part...); int64(len(raw)) > r.content.Size() {
			return nil, errSize
		}
	}
	if int64(len(raw)) != r.content.Size() {
		return nil, errSize
	}
	return raw, nil
}
