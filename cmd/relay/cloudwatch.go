package main

import (
	"os"
	"time"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/internal/emf"
)

// newCloudWatch makes the writer of metrics for CloudWatch. It exists also
// while they are off, because a reload may turn them on.
func (a *app) newCloudWatch() {
	out := a.extra.stdout
	if out == nil {
		out = os.Stdout
	}
	a.cloudwatch = emf.New(a.reg, out, time.Now)
}

// writeCloudWatch writes one line about the time since the last.
func (a *app) writeCloudWatch() {
	cfg := a.cfg.Load()
	if !cfg.CloudWatch.Enabled {
		a.cloudwatch.Skip()
		return
	}
	if err := a.cloudwatch.Write(cloudWatchTarget(cfg)); err != nil {
		a.log.Warn("metrics for CloudWatch could not be written as a whole", "error", err.Error())
	}
}

// cloudWatchTarget is where the metrics stand: beside those of SES's events,
// which have no dimension.
func cloudWatchTarget(cfg *config.Config) emf.Target {
	c := cfg.CloudWatch
	return emf.Target{Namespace: c.Project + "/" + c.Environment + "/SES", Instance: cfg.Hostname}
}
