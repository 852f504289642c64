// Command mask-events is the Lambda function that stands in the Firehose stream
// of masked SES events: it masks them, writes the log groups and hands the masked
// events back. README.md has its settings, metrics and permissions.
//
// # What happens to a record
//
// Each record is answered exactly once, in the order received, and always as
// "Ok" (or, when an answer would not fit into Lambda's 6 MB, as "Dropped").
//
// "ProcessingFailed" is never said: Firehose then stores the record as it came,
// readable, in the error prefix of the masked bucket. For the same reason a
// handler that has understood the invocation returns no error and catches its
// panics. A record that cannot be masked is replaced by a line that holds its id,
// the class of the error and its length; the record itself goes, encrypted, to the
// error bucket. "Dropped" alone would lose less text to nobody: it leaves no trace
// that something is missing.
//
// What the function cannot decide is an invocation that fails as a whole
// (throttled, out of memory, timed out). Firehose repeats it, and in the end
// writes the untouched records to the error prefix of the masked bucket. The
// bucket's policy must therefore let nobody read that prefix.
//
// # The log groups
//
// A call to PutLogEvents has three outcomes. Accepted: done. Refused (throttled,
// no such stream, cannot connect): tried again until ten seconds before the
// function's deadline. Unknown (a timeout, a reset, a 5xx): not tried again, since
// that could double the lines. Lines refused to the end or unknown are kept in the
// error bucket with the outcome, to be put in when a query by recordId shows that
// they are missing; nothing is lost and nothing is doubled blindly. CloudWatch
// Logs being down does not hold up the masked bucket.
//
// Firehose may repeat an invocation that this function has completed, when the
// answer was lost. A container remembers what it wrote and does not write it
// twice; another container cannot know, so lines carry their recordId, by which
// Insights can count them once (`dedup recordId`).
//
// # Limits
//
// An answer over 6 MB would fail the invocation, for ever, as the repetition is as
// large. So the largest events lose their headers first (each marked "reduced"),
// then everything but type, ids and length, until the answer fits. With the
// stream's buffer at 1 MB neither happens. The complete event is in the raw bucket.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	_ "time/tzdata" // the runtime image need not have it
)

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stdout, nil)))
	h, err := wire(context.Background())
	if err != nil {
		slog.Error("mask-events cannot start", "error", err.Error())
		os.Exit(1)
	}
	lambda.Start(h.Handle)
}

// wire builds the handler from the environment.
func wire(ctx context.Context) (*Handler, error) {
	s, err := readSettings(os.Getenv)
	if err != nil {
		return nil, err
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("AWS configuration: %w", err)
	}
	logs := cloudwatchlogs.NewFromConfig(cfg, func(o *cloudwatchlogs.Options) {
		o.Retryer = aws.NopRetryer{} // a blind repetition could double lines
	})
	return newHandler(s, logs, s3.NewFromConfig(cfg), secretsmanager.NewFromConfig(cfg), os.Stdout, time.Now), nil
}
