package simulator_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/smithy-go"

	"sesrelay/internal/simulator"
)

const testMail = "From: Info <info@goo.ne.jp>\r\nTo: a@example.jp\r\nSubject: =?UTF-8?B?44GT44KT44Gr44Gh44Gv?=\r\nX-Test-Id: 1\r\n\r\nHello\r\n"

func startSES(t testing.TB, cfg simulator.SESConfig) *simulator.SES {
	t.Helper()
	if cfg.Credentials == nil {
		cfg.Credentials = map[string]string{"AKIDTEST": "secret"}
	}
	s, err := simulator.NewSES(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func clientFor(s *simulator.SES, change ...func(*sesv2.Options)) *sesv2.Client {
	o := sesv2.Options{
		Region: "ap-northeast-1", BaseEndpoint: aws.String(s.URL()), Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("AKIDTEST", "secret", ""),
	}
	if s.CertPool() != nil {
		o.HTTPClient = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.CertPool()}}}
	}
	for _, f := range change {
		f(&o)
	}
	return sesv2.New(o)
}

func input(raw string, to ...string) *sesv2.SendEmailInput {
	return &sesv2.SendEmailInput{
		Content:     &types.EmailContent{Raw: &types.RawMessage{Data: []byte(raw)}},
		Destination: &types.Destination{ToAddresses: to},
	}
}

func send(s *simulator.SES, raw string, to ...string) (string, error) {
	out, err := clientFor(s).SendEmail(context.Background(), input(raw, to...))
	if err != nil {
		return "", err
	}
	return aws.ToString(out.MessageId), nil
}

func TestSESRecordsWhatWasSent(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		s := startSES(t, simulator.SESConfig{TLS: secure})
		in := input(testMail, "a@example.jp", "b@example.jp")
		in.ConfigurationSetName = aws.String("set")
		in.FeedbackForwardingEmailAddress = aws.String("bounce@goo.ne.jp")
		in.EmailTags = []types.MessageTag{{Name: aws.String("relay-step"), Value: aws.String("10")}}
		out, err := clientFor(s).SendEmail(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Store().Wait(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		r, ok := s.Store().Find(*out.MessageId)
		if !ok {
			t.Fatalf("no record with id %s", *out.MessageId)
		}
		if string(r.Raw) != testMail || strings.Join(r.To, " ") != "a@example.jp b@example.jp" || r.Upstream != simulator.UpstreamSES {
			t.Errorf("recorded %+v", r)
		}
		if r.SES.ConfigurationSet != "set" || r.SES.FeedbackAddress != "bounce@goo.ne.jp" || r.SES.Tags["relay-step"] != "10" || r.SES.FromEmailAddress != "" {
			t.Errorf("recorded parameters %+v", r.SES)
		}
		if sum := r.Summary(); sum.Subject != "こんにちは" || sum.From != "Info <info@goo.ne.jp>" {
			t.Errorf("summary %+v", sum)
		}
	}
}

func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}
