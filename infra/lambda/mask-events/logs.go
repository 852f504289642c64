package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go"
)

// logStreams is what is used of CloudWatch Logs.
type logStreams interface {
	PutLogEvents(context.Context, *cloudwatchlogs.PutLogEventsInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.PutLogEventsOutput, error)
	CreateLogStream(context.Context, *cloudwatchlogs.CreateLogStreamInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.CreateLogStreamOutput, error)
}

// logGroup writes lines into one group. One goroutine uses it at a time.
type logGroup struct {
	client    logStreams
	name      string
	container string // the last part of the log streams' names
	zone      *time.Location
	now       func() time.Time
	written   *written
	pause     time.Duration // before the first repetition
}

// callTimeout bounds one call.
const callTimeout = 10 * time.Second

// unwritten is a line that was not, or perhaps not, written.
type unwritten struct {
	line
	outcome string // "refused" or "unknown"
	reason  string
}

// write writes the lines that this container has not written before and returns
// those that failed. After a batch that failed it sends no more: the next would
// wait as long, and Firehose waits as well.
func (g *logGroup) write(ctx context.Context, lines []line) (failed []unwritten) {
	var fresh []line
	for _, l := range lines {
		if l.message != "" && !g.written.has(l.recordID) {
			fresh = append(fresh, l)
		}
	}
	broken := ""
	for _, batch := range batches(fresh) {
		if broken != "" {
			failed = append(failed, fail(batch, refused, broken)...)
			continue
		}
		outcome, reason, rejected := g.put(ctx, batch)
		if outcome == accepted {
			failed = append(failed, fail(rejected, refused, "rejected by its time")...)
		} else {
			failed = append(failed, fail(batch, outcome, reason)...)
			broken = "not sent after: " + reason
		}
	}
	for _, l := range fresh {
		g.written.add(l.recordID) // or kept in the error bucket, which is as good
	}
	return failed
}

func fail(lines []line, outcome outcome, reason string) []unwritten {
	var out []unwritten
	for _, l := range lines {
		out = append(out, unwritten{line: l, outcome: outcome.String(), reason: reason})
	}
	return out
}

// outcome is what an answer of PutLogEvents says about the lines.
type outcome uint8

const (
	accepted outcome = iota
	refused          // surely not written, and never will be
	later            // surely not written; may be tried again
	noStream         // surely not written; the log stream is missing
	unknown          // perhaps written
)

func (o outcome) String() string {
	switch o {
	case accepted:
		return "accepted"
	case unknown:
		return "unknown"
	}
	return "refused"
}

// put writes one batch. Only what was surely not written is tried again, until
// ctx ends.
func (g *logGroup) put(ctx context.Context, batch []line) (o outcome, reason string, rejected []line) {
	stream := g.now().In(g.zone).Format("2006/01/02/") + g.container
	input := g.input(stream, batch)
	created := false
	for pause := g.pause; ; pause = min(2*pause, 4*time.Second) {
		if ctx.Err() != nil {
			return refused, "out of time, last: " + reason, nil
		}
		out, err := g.call(ctx, input)
		o, reason = judge(err)
		switch {
		case o == accepted:
			return o, "", rejectedLines(batch, out)
		case o == noStream && !created:
			if err := g.create(ctx, stream); err != nil {
				return refused, "create log stream: " + errorCode(err), nil
			}
			created = true
			continue
		case o == noStream:
			return refused, reason, nil
		case o != later:
			return o, reason, nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause)):
		}
	}
}

func (g *logGroup) input(stream string, batch []line) *cloudwatchlogs.PutLogEventsInput {
	input := &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String(g.name), LogStreamName: aws.String(stream)}
	for _, l := range batch {
		input.LogEvents = append(input.LogEvents, types.InputLogEvent{
			Message: aws.String(l.message), Timestamp: aws.Int64(l.at.UnixMilli()),
		})
	}
	return input
}

func (g *logGroup) call(ctx context.Context, input *cloudwatchlogs.PutLogEventsInput) (*cloudwatchlogs.PutLogEventsOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return g.client.PutLogEvents(ctx, input)
}

func (g *logGroup) create(ctx context.Context, stream string) error {
	_, err := g.client.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String(g.name), LogStreamName: aws.String(stream)})
	if _, exists := errors.AsType[*types.ResourceAlreadyExistsException](err); exists {
		return nil
	}
	return err
}

// judge reads an answer of PutLogEvents. What is not surely refused is unknown.
func judge(err error) (outcome, string) {
	if err == nil {
		return accepted, ""
	}
	code := errorCode(err)
	switch code {
	case "DataAlreadyAcceptedException":
		return accepted, ""
	case "ResourceNotFoundException":
		return noStream, code
	case "ThrottlingException", "LimitExceededException", "TooManyRequestsException":
		return later, code
	}
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
		return later, "cannot connect"
	}
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		switch status := response.HTTPStatusCode(); {
		case status == 429:
			return later, code
		case 400 <= status && status < 500:
			return refused, code
		}
	}
	return unknown, code
}

// errorCode is the name AWS gives an error; the text might quote lines.
func errorCode(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "timeout"
	}
	return "connection broken"
}

// rejectedLines returns the lines of an accepted batch that were left out, as too
// old, too new or expired.
func rejectedLines(batch []line, out *cloudwatchlogs.PutLogEventsOutput) []line {
	if out == nil || out.RejectedLogEventsInfo == nil {
		return nil
	}
	info := out.RejectedLogEventsInfo
	from := int(max(aws.ToInt32(info.TooOldLogEventEndIndex), aws.ToInt32(info.ExpiredLogEventEndIndex)))
	to := len(batch)
	if info.TooNewLogEventStartIndex != nil {
		to = int(*info.TooNewLogEventStartIndex)
	}
	from, to = min(max(from, 0), len(batch)), min(max(to, 0), len(batch))
	return append(append([]line(nil), batch[:from]...), batch[max(from, to):]...)
}
