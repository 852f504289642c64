package simulator_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"

	"sesrelay/internal/simulator"
)

// answers are the faults that are answers, with the SDK's type for those that it models.
var answers = []struct {
	fault  string
	status int
	code   string
	typed  error
}{
	{simulator.FaultThrottled, 429, "TooManyRequestsException", &types.TooManyRequestsException{}},
	{simulator.FaultThrottling, 400, "ThrottlingException", nil},
	{simulator.FaultDailyQuota, 429, "TooManyRequestsException", &types.TooManyRequestsException{}},
	{simulator.FaultLimitExceeded, 400, "LimitExceededException", &types.LimitExceededException{}},
	{simulator.FaultAccountSuspended, 400, "AccountSuspendedException", &types.AccountSuspendedException{}},
	{simulator.FaultSendingPaused, 400, "SendingPausedException", &types.SendingPausedException{}},
	{simulator.FaultSendingPausedText, 400, "BadRequestException", &types.BadRequestException{}},
	{simulator.FaultMailFromNotVerified, 400, "MailFromDomainNotVerifiedException", &types.MailFromDomainNotVerifiedException{}},
	{simulator.FaultNoConfigurationSet, 404, "NotFoundException", &types.NotFoundException{}},
	{simulator.FaultIdentityNotVerified, 400, "MessageRejected", &types.MessageRejected{}},
	{simulator.FaultMessageRejected, 400, "MessageRejected", &types.MessageRejected{}},
	{simulator.FaultBadRequest, 400, "BadRequestException", &types.BadRequestException{}},
	{simulator.FaultAccessDenied, 403, "AccessDeniedException", nil},
	{simulator.FaultExpiredToken, 403, "ExpiredTokenException", nil},
	{simulator.FaultRequestExpired, 400, "RequestExpired", nil},
	{simulator.FaultInvalidToken, 403, "InvalidClientTokenId", nil},
	{simulator.FaultUnrecognizedClient, 403, "UnrecognizedClientException", nil},
	{simulator.FaultSignatureMismatch, 403, "SignatureDoesNotMatch", nil},
	{simulator.FaultInternalError, 500, "InternalServiceErrorException", &types.InternalServiceErrorException{}},
	{simulator.FaultUnavailable, 503, "ServiceUnavailableException", nil},
	{simulator.FaultUnknownError, 400, "SomethingNewException", nil},
}

// The SDK is the outside witness that each answer has the shape of the real service.
func TestSESErrorsAreTheSDKs(t *testing.T) {
	t.Parallel()
	s := startSES(t, simulator.SESConfig{})
	for _, a := range answers {
		if err := s.Faults().Set(simulator.Fault{Name: a.fault}); err != nil {
			t.Fatal(err)
		}
		_, err := send(s, testMail, "a@example.jp")
		if code(err) != a.code {
			t.Errorf("%s: code %q, want %q (%v)", a.fault, code(err), a.code, err)
		}
		response, ok := errors.AsType[*awshttp.ResponseError](err)
		if !ok || response.HTTPStatusCode() != a.status || response.ServiceRequestID() == "" {
			t.Errorf("%s: %v, want HTTP %d and a request id", a.fault, err, a.status)
		}
		if a.typed != nil && !errors.As(err, reflect.New(reflect.TypeOf(a.typed)).Interface()) {
			t.Errorf("%s: the SDK did not make %T of %v", a.fault, a.typed, err)
		}
	}
	if n := s.Store().Count(); n != 0 {
		t.Errorf("%d mails were recorded by errors", n)
	}
}

// Every fault is either an answer above or has a test of its own in ses_fault_test.go.
func TestSESFaultListIsClosed(t *testing.T) {
	t.Parallel()
	want := []string{simulator.FaultBadGateway}
	for _, a := range answers {
		want = append(want, a.fault)
	}
	for _, c := range connectionFaults {
		want = append(want, c.name)
	}
	slices.Sort(want)
	if got := simulator.SESFaults(); !slices.Equal(got, slices.Compact(want)) {
		t.Errorf("faults\n got %q\nwant %q", got, want)
	}
	s := startSES(t, simulator.SESConfig{})
	for _, bad := range []simulator.Fault{
		{Name: "nonsense"},
		{Name: simulator.FaultThrottled, At: simulator.AtDot},
		{Name: simulator.FaultThrottled, Probability: 1.1},
		{Name: simulator.FaultThrottled, Times: -1},
		{Name: simulator.FaultThrottled, Code: 451},
		{Name: simulator.FaultCutBeforeRead, Address: "a@example.jp"},
		{Name: simulator.FaultThrottled, At: simulator.AtAccount, Address: "a@example.jp"},
		{Name: simulator.FaultHangAfterRecord, At: simulator.AtAccount},
		{Name: simulator.FaultThrottled, Text: "two\r\nlines"},
	} {
		if s.Faults().Set(bad) == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	if len(s.Faults().Active()) != 0 {
		t.Errorf("a refused fault is in force: %v", s.Faults().Active())
	}
}

func TestSESProxyPage(t *testing.T) {
	t.Parallel()
	s := startSES(t, simulator.SESConfig{})
	s.Faults().Set(simulator.Fault{Name: simulator.FaultBadGateway})
	_, err := send(s, testMail, "a@example.jp")
	if response, ok := errors.AsType[*awshttp.ResponseError](err); !ok || response.HTTPStatusCode() != 502 {
		t.Errorf("got %v, want HTTP 502", err)
	}
}

// Faults at the reading calls leave SendEmail alone.
func TestSESFaultsAtOtherCalls(t *testing.T) {
	t.Parallel()
	s := startSES(t, simulator.SESConfig{NoCallLimit: true})
	client, ctx := clientFor(s), t.Context()
	calls := map[string]func() error{
		simulator.AtAccount: func() error { _, err := client.GetAccount(ctx, &sesv2.GetAccountInput{}); return err },
		simulator.AtIdentity: func() error {
			_, err := client.GetEmailIdentity(ctx, &sesv2.GetEmailIdentityInput{EmailIdentity: aws.String("goo.ne.jp")})
			return err
		},
		simulator.AtConfigurationSet: func() error {
			_, err := client.GetConfigurationSet(ctx, &sesv2.GetConfigurationSetInput{ConfigurationSetName: aws.String("x")})
			return err
		},
	}
	for at := range calls {
		s.Faults().Set(simulator.Fault{Name: simulator.FaultAccessDenied, At: at})
		for other, call := range calls {
			if got := code(call()); (got == "AccessDeniedException") != (other == at) {
				t.Errorf("fault at %s, call %s: code %q", at, other, got)
			}
		}
		if _, err := send(s, testMail, "a@example.jp"); err != nil {
			t.Errorf("fault at %s: SendEmail failed: %v", at, err)
		}
	}
	s.Faults().Set(simulator.Fault{Name: simulator.FaultCutBeforeRead, At: simulator.AtAccount})
	if _, err := client.GetAccount(context.Background(), &sesv2.GetAccountInput{}); err == nil || code(err) != "" {
		t.Errorf("cut: %v", err)
	}
}
