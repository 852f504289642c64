package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/cmd/relay/internal/finding"
)

// alarmsTimeout bounds the question; it is asked beside those of SES.
const alarmsTimeout = 10 * time.Second

// checkAlarms compares the alarms of the stack monitoring with the limits of
// the rollout: two guards that act at different values make the night longer.
// An endpoint of one's own for SES has no alarms, unless one for CloudWatch is
// named too.
func checkAlarms(ctx context.Context, cfg *config.Config, sdk aws.Config) []finding.Finding {
	const name = "cloudwatch alarms"
	if cfg.SES.Endpoint != "" && os.Getenv("AWS_ENDPOINT_URL_CLOUDWATCH") == "" && os.Getenv("AWS_ENDPOINT_URL") == "" {
		return one(finding.Skipped(name, "ses.endpoint is not AWS", finding.Run("to compare them there", "export AWS_ENDPOINT_URL_CLOUDWATCH=URL")))
	}
	ctx, cancel := context.WithTimeout(ctx, alarmsTimeout)
	defer cancel()
	prefix := cfg.CloudWatch.Project + "-" + cfg.CloudWatch.Environment + "-"
	alarms, err := readAlarms(ctx, cloudwatch.NewFromConfig(sdk), prefix)
	if err != nil {
		return one(finding.Warning(name, err.Error(), finding.Page("allow cloudwatch:DescribeAlarms for (aws sts get-caller-identity), or look yourself", alarmsPage(cfg, prefix))))
	}
	return judgeAlarms(cfg, prefix, alarms)
}

func readAlarms(ctx context.Context, api cloudwatch.DescribeAlarmsAPIClient, prefix string) (map[string]types.MetricAlarm, error) {
	out := map[string]types.MetricAlarm{}
	pages := cloudwatch.NewDescribeAlarmsPaginator(api, &cloudwatch.DescribeAlarmsInput{
		AlarmNamePrefix: &prefix, AlarmTypes: []types.AlarmType{types.AlarmTypeMetricAlarm},
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("DescribeAlarms: %w", err)
		}
		for _, a := range page.MetricAlarms {
			out[strings.TrimPrefix(aws.ToString(a.AlarmName), prefix)] = a
		}
	}
	return out, nil
}

// alarmLimit joins an alarm with the key that has the same meaning.
type alarmLimit struct {
	alarm string // name behind project and environment
	key   string
	limit float64 // in the alarm's unit
	unit  string
}

// alarmLimits are those whose thresholds are a key's own value. The delay has
// none: its alarms ask for 95 of 100 mails within a time that the metric names.
func alarmLimits(r *config.Rollout) []alarmLimit {
	return []alarmLimit{
		{"success-rate-critical", "rollout.guard.success_min", percentFloat(r.Guard.SuccessMin), " %"},
		{"success-rate-warning", "rollout.gate.success_min", percentFloat(r.Gate.SuccessMin), " %"},
		{"bounce-rate-critical", "rollout.guard.bounce_max", percentFloat(r.Guard.BounceMax), " %"},
		{"bounce-rate-warning", "rollout.gate.bounce_max", percentFloat(r.Gate.BounceMax), " %"},
		{"complaint-rate-critical", "rollout.guard.complaint_max", percentFloat(r.Guard.ComplaintMax), " %"},
	}
}

// delayLimits are the times in the names of the alarms' metrics.
func delayLimits(r *config.Rollout) []alarmLimit {
	return []alarmLimit{
		{"delivery-delay-critical", "rollout.guard.delay_max", r.Guard.DelayMax.Seconds(), " s"},
		{"delivery-delay-warning", "rollout.gate.delay_max", r.Gate.DelayMax.Seconds(), " s"},
	}
}

var delayMetrics = map[string]float64{"DeliveredWithinOneMinute": 60, "DeliveredWithinFiveMinutes": 300}

// judgeAlarms compares; one line for each difference, and one that says how
// many agree.
func judgeAlarms(cfg *config.Config, prefix string, alarms map[string]types.MetricAlarm) (found []finding.Finding) {
	const name = "cloudwatch alarms"
	if len(alarms) == 0 {
		return one(finding.Warning(name, "there are none named "+prefix+"... in "+cfg.SES.Region,
			finding.Run("correct cloudwatch_metrics.project and .environment, or deploy the stack", launchMonitoring(cfg))))
	}
	agree := 0
	compare := func(l alarmLimit, value func(types.MetricAlarm) (float64, bool)) {
		a, exists := alarms[l.alarm]
		v, known := value(a)
		switch {
		case !exists:
			found = append(found, finding.Warning(name, prefix+l.alarm+" does not exist", finding.Run("deploy the stack", launchMonitoring(cfg))))
		case !known || math.Abs(v-l.limit) > 1e-9:
			found = append(found, finding.Warning(name, fmt.Sprintf("%s%s acts at %s, %s is %g%s", prefix, l.alarm, number(v, known, l.unit), l.key, l.limit, l.unit),
				finding.Run("make them equal, "+l.key+" in the relay's file or the template", launchMonitoring(cfg))))
		default:
			agree++
		}
		if exists && !aws.ToBool(a.ActionsEnabled) {
			found = append(found, finding.Warning(name, prefix+l.alarm+" tells nobody: its actions are off",
				finding.Run("", "aws cloudwatch enable-alarm-actions --alarm-names "+prefix+l.alarm+" --region "+cfg.SES.Region)))
		}
	}
	for _, l := range alarmLimits(&cfg.Rollout) {
		compare(l, func(a types.MetricAlarm) (float64, bool) { return aws.ToFloat64(a.Threshold), a.Threshold != nil })
	}
	for _, l := range delayLimits(&cfg.Rollout) {
		compare(l, delayOf)
	}
	for short, a := range alarms {
		if a.StateValue == types.StateValueAlarm {
			found = append(found, finding.Warning(name, prefix+short+" is in ALARM: "+cut(aws.ToString(a.StateReason), 120), finding.Page("", alarmsPage(cfg, prefix+short))))
		}
	}
	return append(found, finding.OK(name, fmt.Sprintf("%d named %s...; the limits of %d are those of rollout.guard and rollout.gate", len(alarms), prefix, agree)))
}

// delayOf reads the time from the metric that the alarm looks at.
func delayOf(a types.MetricAlarm) (float64, bool) {
	for _, q := range a.Metrics {
		if q.MetricStat != nil && q.MetricStat.Metric != nil {
			if seconds, ok := delayMetrics[aws.ToString(q.MetricStat.Metric.MetricName)]; ok {
				return seconds, true
			}
		}
	}
	seconds, ok := delayMetrics[aws.ToString(a.MetricName)]
	return seconds, ok
}

func number(v float64, known bool, unit string) string {
	if !known {
		return "a value that is not to be read"
	}
	return fmt.Sprintf("%g%s", v, unit)
}

// folder is the environment's in infra/config.
func folder(cfg *config.Config) string {
	if cfg.CloudWatch.Environment == "development" {
		return "dev"
	}
	return "prod"
}

func launchMonitoring(cfg *config.Config) string {
	return "cd infra && uv run sceptre launch " + folder(cfg) + "/monitoring.yaml"
}

func alarmsPage(cfg *config.Config, search string) string {
	return fmt.Sprintf("https://%[1]s.console.aws.amazon.com/cloudwatch/home?region=%[1]s#alarmsV2:?search=%[2]s", cfg.SES.Region, search)
}
