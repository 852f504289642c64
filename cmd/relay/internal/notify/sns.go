package notify

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"sesrelay/internal/rollout"
)

// Publisher is the one call of SNS that is needed.
type Publisher interface {
	Publish(ctx context.Context, in *sns.PublishInput, opts ...func(*sns.Options)) (*sns.PublishOutput, error)
}

// Topic is an SNS topic.
type Topic struct {
	client Publisher
	arn    string
}

// NewTopic returns the target of rollout.notify.sns_topic.
func NewTopic(client Publisher, arn string) *Topic { return &Topic{client, arn} }

// Name implements Target.
func (*Topic) Name() string { return "sns" }

// Tell implements Target. A subject has at most 100 characters of ASCII, and no
// line end (SNS API reference, Publish).
func (t *Topic) Tell(ctx context.Context, e rollout.Event) error {
	subject := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, Headline(e))
	_, err := t.client.Publish(ctx, &sns.PublishInput{TopicArn: &t.arn, Subject: aws.String(subject[:min(100, len(subject))]), Message: aws.String(Text(e))})
	return err
}
