package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/cmd/relay/internal/finding"
)

// fakeAlarms answers a page of two alarms at a time.
type fakeAlarms []types.MetricAlarm

func (f fakeAlarms) DescribeAlarms(_ context.Context, in *cloudwatch.DescribeAlarmsInput, _ ...func(*cloudwatch.Options)) (*cloudwatch.DescribeAlarmsOutput, error) {
	from := len(aws.ToString(in.NextToken))
	out := &cloudwatch.DescribeAlarmsOutput{}
	for i := from; i < len(f) && i < from+2; i++ {
		if strings.HasPrefix(*f[i].AlarmName, *in.AlarmNamePrefix) {
			out.MetricAlarms = append(out.MetricAlarms, f[i])
		}
	}
	if from+2 < len(f) {
		out.NextToken = aws.String(strings.Repeat("x", from+2))
	}
	return out, nil
}

// stackAlarms are those of infra/templates/monitoring.yaml that have a twin.
func stackAlarms() fakeAlarms {
	alarm := func(name string, threshold float64, metric string) types.MetricAlarm {
		return types.MetricAlarm{AlarmName: aws.String("ses-migration-production-" + name), Threshold: &threshold, ActionsEnabled: aws.Bool(true),
			Metrics: []types.MetricDataQuery{{Expression: aws.String("IF(n >= 200, value, 100)")},
				{MetricStat: &types.MetricStat{Metric: &types.Metric{MetricName: &metric}}}}}
	}
	return fakeAlarms{
		alarm("success-rate-critical", 95, "SendSuccessRate"), alarm("success-rate-warning", 99.5, "SendSuccessRate"),
		alarm("bounce-rate-critical", 5, "BounceRate"), alarm("bounce-rate-warning", 0.5, "BounceRate"),
		alarm("complaint-rate-critical", 0.5, "ComplaintRate"),
		alarm("delivery-delay-critical", 95, "DeliveredWithinFiveMinutes"), alarm("delivery-delay-warning", 95, "DeliveredWithinOneMinute"),
		{AlarmName: aws.String("ses-migration-development-success-rate-critical"), Threshold: aws.Float64(1)},
	}
}

// The stacks' alarms and the guard act at the same values, and each difference
// is named with both, and with what to do.
func TestAlarmsAgainstTheGuard(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*config.Config, fakeAlarms)
		want   []string // a warning each: parts of detail and fix, with "|" between them
	}{
		"as in the repository": {func(*config.Config, fakeAlarms) {}, nil},
		"guard":                {func(c *config.Config, _ fakeAlarms) { c.Rollout.Guard.BounceMax = 300 }, []string{"bounce-rate-critical acts at 5 %, rollout.guard.bounce_max is 3 %|uv run sceptre launch prod/monitoring.yaml"}},
		"delay":                {func(c *config.Config, _ fakeAlarms) { c.Rollout.Guard.DelayMax *= 2 }, []string{"delivery-delay-critical acts at 300 s, rollout.guard.delay_max is 600 s|make them equal"}},
		"alarm":                {func(_ *config.Config, a fakeAlarms) { *a[1].Threshold = 98 }, []string{"success-rate-warning acts at 98 %, rollout.gate.success_min is 99.5 %|template"}},
		"off":                  {func(_ *config.Config, a fakeAlarms) { *a[0].ActionsEnabled = false }, []string{"success-rate-critical tells nobody|enable-alarm-actions"}},
		"standing":             {func(_ *config.Config, a fakeAlarms) { a[2].StateValue = types.StateValueAlarm }, []string{"bounce-rate-critical is in ALARM|console.aws.amazon.com/cloudwatch"}},
		"gone":                 {func(_ *config.Config, a fakeAlarms) { a[4].AlarmName = aws.String("other") }, []string{"complaint-rate-critical does not exist|sceptre launch"}},
		"no stack":             {func(c *config.Config, _ fakeAlarms) { c.CloudWatch.Environment = "staging" }, []string{"there are none named ses-migration-staging-|correct cloudwatch_metrics.project and .environment"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, alarms := config.Default(), stackAlarms()
			c.change(cfg, alarms)
			p := cfg.CloudWatch.Project + "-" + cfg.CloudWatch.Environment + "-"
			read, err := readAlarms(t.Context(), alarms, p)
			if err != nil {
				t.Fatal(err)
			}
			var warnings []finding.Finding
			for _, f := range judgeAlarms(cfg, p, read) {
				if f.Level() != finding.LevelOK {
					warnings = append(warnings, f)
				}
			}
			if len(warnings) != len(c.want) {
				t.Fatalf("%+v, want %d warnings", warnings, len(c.want))
			}
			for i, want := range c.want {
				detail, fix, _ := strings.Cut(want, "|")
				if !strings.Contains(warnings[i].Detail(), detail) || !strings.Contains(warnings[i].Fix(), fix) {
					t.Errorf("%+v, want %s", warnings[i], want)
				}
			}
		})
	}
}

// The alarms of a CloudWatch that is not ours, with what becomes of them there.
func TestCheckAlarms(t *testing.T) {
	s := startS3(t) // moto has all services at one address
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDTEST")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_ENDPOINT_URL_CLOUDWATCH", s.url)
	cfg := config.Default()
	sdk, err := awsconfig.LoadDefaultConfig(t.Context(), awsconfig.WithRegion(cfg.SES.Region))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, checkAlarms(t.Context(), cfg, sdk), "warning cloudwatch alarms") // none there
	api := cloudwatch.NewFromConfig(sdk)
	put := func(name string, threshold float64, metric string) {
		t.Helper()
		if _, err := api.PutMetricAlarm(t.Context(), &cloudwatch.PutMetricAlarmInput{
			AlarmName: aws.String("ses-migration-production-" + name), Threshold: &threshold, ComparisonOperator: types.ComparisonOperatorLessThanThreshold,
			EvaluationPeriods: aws.Int32(5), MetricName: &metric, Namespace: aws.String("ses-migration/production/SES"), Period: aws.Int32(60),
			Statistic: types.StatisticAverage, ActionsEnabled: aws.Bool(true),
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range stackAlarms() {
		if name, ours := strings.CutPrefix(*a.AlarmName, "ses-migration-production-"); ours {
			put(name, *a.Threshold, *a.Metrics[1].MetricStat.Metric.MetricName)
		}
	}
	expect(t, checkAlarms(t.Context(), cfg, sdk), "ok cloudwatch alarms")
	put("success-rate-critical", 90, "SendSuccessRate")
	put("delivery-delay-warning", 95, "DeliveredWithinFiveMinutes")
	found := checkAlarms(t.Context(), cfg, sdk)
	expect(t, found, "warning cloudwatch alarms", "warning cloudwatch alarms", "ok cloudwatch alarms")
	for i, want := range []string{"success-rate-critical acts at 90 %, rollout.guard.success_min is 95 %", "delivery-delay-warning acts at 300 s, rollout.gate.delay_max is 60 s"} {
		if !strings.Contains(found[i].Detail(), want) {
			t.Errorf("%s, want %s", found[i].Detail(), want)
		}
	}
}

// A CloudWatch that refuses, is not there or is not asked keeps nobody from
// looking: the page is named.
func TestCheckAlarmsWithoutAnswer(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDTEST")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	denied := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `<ErrorResponse xmlns="http://monitoring.amazonaws.com/doc/2010-08-01/"><Error><Type>Sender</Type><Code>AccessDenied</Code>`+
			`<Message>User: relay is not authorized to perform: cloudwatch:DescribeAlarms</Message></Error></ErrorResponse>`)
	}))
	t.Cleanup(denied.Close)
	cfg := config.Default()
	for endpoint, want := range map[string]string{denied.URL: "not authorized to perform: cloudwatch:DescribeAlarms", "http://" + freeAddress(t): "DescribeAlarms: "} {
		t.Setenv("AWS_ENDPOINT_URL_CLOUDWATCH", endpoint)
		sdk, err := awsconfig.LoadDefaultConfig(t.Context(), awsconfig.WithRegion(cfg.SES.Region))
		if err != nil {
			t.Fatal(err)
		}
		found := checkAlarms(t.Context(), cfg, sdk)
		expect(t, found, "warning cloudwatch alarms")
		if f := found[0]; !strings.Contains(f.Detail(), want) || f.Command() != "https://ap-northeast-1.console.aws.amazon.com/cloudwatch/home?region=ap-northeast-1#alarmsV2:?search=ses-migration-production-" {
			t.Errorf("%s -> %s", f.Detail(), f.Fix())
		}
	}
	t.Setenv("AWS_ENDPOINT_URL_CLOUDWATCH", "")
	t.Setenv("AWS_ENDPOINT_URL", "")
	cfg.SES.Endpoint = "http://127.0.0.1:1"
	expect(t, checkAlarms(t.Context(), cfg, aws.Config{}), "skipped cloudwatch alarms")
}
