// Package sesevents reads from CloudWatch what became of the mail that SES
// accepted: the counters of the configuration set's event destination with the
// dimension relay-step (infra/templates/ses.yaml, StepMetricsDestination).
package sesevents

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"sesrelay/internal/rollout"
	"sesrelay/internal/ses"
)

// Namespace and dimensions of what SES publishes ("Set up an Amazon CloudWatch
// event destination", SES developer guide).
const (
	namespace    = "AWS/SES"
	setDimension = "ses:configuration-set"
)

// counters are the metrics, and where each is counted.
var counters = []struct {
	metric string
	in     func(*rollout.Reported) *int64
}{
	{"Send", func(r *rollout.Reported) *int64 { return &r.Send }},
	{"Delivery", func(r *rollout.Reported) *int64 { return &r.Delivery }},
	{"Bounce", func(r *rollout.Reported) *int64 { return &r.Bounce }},
	{"Complaint", func(r *rollout.Reported) *int64 { return &r.Complaint }},
	{"Reject", func(r *rollout.Reported) *int64 { return &r.Reject }},
	{"RenderingFailure", func(r *rollout.Reported) *int64 { return &r.RenderingFailure }},
	{"DeliveryDelay", func(r *rollout.Reported) *int64 { return &r.DeliveryDelay }},
}

// Client is the one call of CloudWatch that is needed.
type Client interface {
	GetMetricData(ctx context.Context, in *cloudwatch.GetMetricDataInput, opts ...func(*cloudwatch.Options)) (*cloudwatch.GetMetricDataOutput, error)
}

// Reader reads the counters of one configuration set.
type Reader struct {
	client Client
	set    string
}

var _ rollout.Events = (*Reader)(nil)

// New returns a reader. It asks nobody yet.
func New(client Client, configurationSet string) *Reader { return &Reader{client, configurationSet} }

const maxPages = 50 // of one answer

// Read implements rollout.Events. CloudWatch keeps minutes for 15 days.
func (r *Reader) Read(ctx context.Context, step string, from, to time.Time) (map[time.Time]rollout.Reported, error) {
	from = from.Truncate(time.Minute)
	if !to.After(from) {
		return nil, nil
	}
	in := &cloudwatch.GetMetricDataInput{StartTime: &from, EndTime: &to, ScanBy: types.ScanByTimestampAscending, MetricDataQueries: r.queries(step)}
	out := map[time.Time]rollout.Reported{}
	for range maxPages {
		answer, err := r.client.GetMetricData(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("cloudwatch: GetMetricData: %w", err)
		}
		if err := take(answer, out); err != nil {
			return nil, err
		}
		if aws.ToString(answer.NextToken) == "" {
			return out, nil
		}
		in.NextToken = answer.NextToken
	}
	return nil, fmt.Errorf("cloudwatch: GetMetricData has more than %d pages", maxPages)
}

func (r *Reader) queries(step string) []types.MetricDataQuery {
	out := make([]types.MetricDataQuery, len(counters))
	for i, c := range counters {
		out[i] = types.MetricDataQuery{Id: aws.String(id(i)), ReturnData: aws.Bool(true), MetricStat: &types.MetricStat{
			Metric: &types.Metric{Namespace: aws.String(namespace), MetricName: aws.String(c.metric), Dimensions: []types.Dimension{
				{Name: aws.String(setDimension), Value: aws.String(r.set)},
				{Name: aws.String(ses.StepTag), Value: aws.String(ses.StepValue(step))},
			}},
			Period: aws.Int32(60), Stat: aws.String("Sum"),
		}}
	}
	return out
}

func id(i int) string { return fmt.Sprintf("c%d", i) }

// take adds an answer's points to the minutes.
func take(answer *cloudwatch.GetMetricDataOutput, out map[time.Time]rollout.Reported) error {
	for _, result := range answer.MetricDataResults {
		if result.StatusCode == types.StatusCodeForbidden || result.StatusCode == types.StatusCodeInternalError {
			return fmt.Errorf("cloudwatch: %s: %s", aws.ToString(result.Label), result.StatusCode)
		}
		for i, c := range counters {
			if aws.ToString(result.Id) != id(i) {
				continue
			}
			for n, at := range result.Timestamps {
				if n < len(result.Values) {
					m := out[at.UTC().Truncate(time.Minute)]
					*c.in(&m) += int64(result.Values[n])
					out[at.UTC().Truncate(time.Minute)] = m
				}
			}
		}
	}
	return nil
}
