package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/cmd/relay/internal/notify"
	"sesrelay/cmd/relay/internal/sesevents"
	"sesrelay/internal/rollout"
	"sesrelay/internal/split"
)

// rolloutFile keeps the rollout across restarts, beside state.file.
func rolloutFile(stateFile string) string { return stateFile + ".rollout" }

// newRollout makes the rollout and its guard, and lets them count the mail.
func (a *app) newRollout(ctx context.Context, cfg *config.Config) error {
	c := rollout.Config{
		Instance: cfg.Hostname, Live: a.live, Meter: rollout.NewMeter(), Events: a.extra.events,
		Quota: a.quotaUse, Plan: func(p split.Percent) error { return a.api.Carries(p) },
		Notify: a.notify, Log: a.log, Registerer: a.reg,
	}
	var err error
	if c.Store, err = a.rolloutStore(cfg); err != nil {
		return err
	}
	if a.shared != nil {
		c.Lease, c.Exchange = &fleetLease{words: a.shared.fleet, self: cfg.Hostname}, &fleetCounts{a.shared.fleet}
	}
	if cfg.Rollout.Events == "cloudwatch" || cfg.Rollout.Notify.SNSTopic != "" {
		sdk, err := a.awsConfig(ctx, cfg)
		if err != nil {
			return err
		}
		if cfg.Rollout.Events == "cloudwatch" {
			c.Events = sesevents.New(cloudwatch.NewFromConfig(sdk), cfg.SES.ConfigurationSet)
		}
		if topic := cfg.Rollout.Notify.SNSTopic; topic != "" {
			a.told = append(a.told, notify.NewQueue(notify.NewTopic(sns.NewFromConfig(sdk), topic), a.log))
		}
	}
	a.newTargets(cfg)
	if a.rollout, err = rollout.New(ctx, c, rolloutSettings(cfg)); err != nil {
		return err
	}
	a.observers = append(a.observers, a.meterRollout(c.Meter))
	return nil
}

func (a *app) rolloutStore(cfg *config.Config) (rollout.Store, error) {
	switch {
	case a.shared != nil:
		return rollout.NewRedisStore(a.shared.client, cfg.State.Prefix), nil
	case cfg.State.File != "":
		return rollout.OpenFile(rolloutFile(cfg.State.File))
	}
	return rollout.NewMemoryStore(), nil
}

// newTargets makes the targets that need no AWS.
func (a *app) newTargets(cfg *config.Config) {
	n := cfg.Rollout.Notify
	if n.Webhook != "" {
		a.told = append(a.told, notify.NewQueue(notify.NewWebhook(n.Webhook), a.log))
	}
	if n.Grafana != "" {
		token := func() (string, error) { return config.ReadSecret(n.GrafanaTokenFile) }
		a.told = append(a.told, notify.NewQueue(notify.NewGrafana(n.Grafana, token), a.log))
	}
}

// notify tells every target; it does not wait.
func (a *app) notify(e rollout.Event) {
	for _, q := range a.told {
		q.Tell(e)
	}
}

// awsConfig is for what is asked of AWS beside SES. AWS_ENDPOINT_URL_CLOUDWATCH
// and AWS_ENDPOINT_URL_SNS name other endpoints.
func (a *app) awsConfig(ctx context.Context, cfg *config.Config) (aws.Config, error) {
	options := []func(*awsconfig.LoadOptions) error{awsconfig.WithRegion(cfg.SES.Region), awsconfig.WithLogger(sdkLog{a.log})}
	if a.extra.credentials != nil {
		options = append(options, awsconfig.WithCredentialsProvider(a.extra.credentials))
	}
	sdk, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return sdk, fmt.Errorf("rollout: AWS: %w", err)
	}
	return sdk, nil
}

// rolloutSettings is the part of the configuration that a reload may change.
func rolloutSettings(cfg *config.Config) rollout.Settings {
	r := cfg.Rollout
	gate := rollout.Limits{SuccessMin: percentFloat(r.Gate.SuccessMin), DelayMax: r.Gate.DelayMax, BounceMax: percentFloat(r.Gate.BounceMax)}
	guard := rollout.Limits{
		SuccessMin: percentFloat(r.Guard.SuccessMin), DelayMax: r.Guard.DelayMax,
		BounceMax: percentFloat(r.Guard.BounceMax), ComplaintMax: percentFloat(r.Guard.ComplaintMax),
	}
	least := int64(r.Guard.MinMessages)
	s := rollout.Settings{
		Gate:  rollout.Gate{Limits: gate, MinMessages: least},
		Guard: rollout.Guard{Limits: guard, Goal: gate, MinMessages: least, NoDataMax: r.Guard.NoDataMax},
		Armed: r.Guard.Enabled, Window: r.Guard.Window, ToZero: r.RollbackTo == "zero",
	}
	for _, step := range r.Steps {
		if step.SetPercent != nil {
			s.Steps = append(s.Steps, rollout.SetPercent(split.Percent(*step.SetPercent)))
			continue
		}
		s.Steps = append(s.Steps, rollout.PauseFor(step.Pause))
	}
	return s
}

// percentFloat turns hundredths of a percent into percent.
func percentFloat(hundredths int) float64 { return float64(hundredths) / 100 }

// quotaUse is what the stage report says of the quota.
func (a *app) quotaUse() rollout.QuotaUse {
	q := a.quota.Status()
	u := rollout.QuotaUse{DayUsed: q.DayUsed, DayMax: q.DayMax, Rate: q.Rate}
	if !q.Known {
		u.DayMax = 0
	}
	if q.Guess {
		u.Rate = 0
	}
	return u
}

// runRollout guards and moves the steps until ctx ends; the returned function
// waits until what is left was saved and told.
func (a *app) runRollout(ctx context.Context) (wait func()) {
	var controller, queues sync.WaitGroup
	tell, stop := context.WithCancel(context.WithoutCancel(ctx))
	for _, q := range a.told {
		queues.Go(func() { q.Run(tell) })
	}
	controller.Go(func() { a.rollout.Run(ctx) })
	return func() {
		controller.Wait()
		stop()
		queues.Wait()
	}
}
