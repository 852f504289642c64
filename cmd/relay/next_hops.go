package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/internal/cuenote"
	"sesrelay/internal/ses"
)

// unverifiedFor is how long a sender domain stays away from SES after SES has
// said that it is not verified there.
const unverifiedFor = 10 * time.Minute

// newSES makes the SES upstream, with credentials from the SDK's default chain
// (environment, shared files, container, instance, IAM Roles Anywhere by process).
func (a *app) newSES(ctx context.Context, cfg *config.Config) (*ses.Client, error) {
	credentials := a.extra.credentials
	if credentials == nil {
		sdk, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(cfg.SES.Region), awsconfig.WithLogger(sdkLog{a.log}))
		if err != nil {
			return nil, fmt.Errorf("ses: credentials: %w", err)
		}
		credentials = sdk.Credentials
	}
	return ses.New(ses.Config{
		Region: cfg.SES.Region, Endpoint: cfg.SES.Endpoint, Credentials: credentials,
		ConfigurationSet: cfg.SES.ConfigurationSet, KeepMessageTags: cfg.SES.KeepMessageTags,
		MaxInFlight: cfg.SES.MaxInFlight, MessageSize: cfg.SES.MessageSize, Timeout: cfg.SES.Timeout,
		Identities:   a.router.Verified,
		OnUnverified: func(domain string) { a.router.MarkUnverified(domain, time.Now().Add(unverifiedFor)) },
		OnThrottle:   a.quota.Throttled,
		RootCAs:      a.extra.rootCAs,
		Registerer:   a.reg,
	})
}

// sdkLog takes what the AWS SDK would write to standard error by itself, where
// every line is one of ours.
type sdkLog struct{ log *slog.Logger }

// Logf implements logging.Logger of smithy-go.
func (l sdkLog) Logf(class logging.Classification, format string, v ...any) {
	level := slog.LevelDebug
	if class == logging.Warn {
		level = slog.LevelWarn
	}
	l.log.Log(context.Background(), level, "AWS SDK", "text", fmt.Sprintf(format, v...))
}

// newCuenote makes the Cuenote upstream. The password file is read for every
// new connection, so that a changed one counts without a reload.
func (a *app) newCuenote(cfg *config.Config) (*cuenote.Client, error) {
	c := cuenote.Config{
		Address: cfg.Cuenote.Address, TLS: cuenote.TLSMode(cfg.Cuenote.TLS), CAFile: cfg.Cuenote.CAFile,
		ServerName: cfg.Cuenote.ServerName, Username: cfg.Cuenote.Username,
		Connections: cfg.Cuenote.Connections, Rate: a.cuenoteRate(cfg), Timeout: cfg.Cuenote.Timeout,
		Hostname: cfg.Hostname, Logger: a.log, Registerer: a.reg,
	}
	if cfg.Cuenote.Username != "" {
		c.Password = cfg.CuenotePassword
	}
	return cuenote.New(c)
}

// cuenoteRate is this instance's part of cuenote.rate, which is the fleet's.
func (a *app) cuenoteRate(cfg *config.Config) float64 {
	return cfg.Cuenote.Rate / float64(max(1, a.fleetSize.Load()))
}

// shareCuenoteRate divides the rate anew.
func (a *app) shareCuenoteRate(cfg *config.Config, up *upstreams) {
	if cfg.Cuenote.Rate > 0 {
		up.cuenote.SetRate(a.cuenoteRate(cfg))
	}
}
