package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/internal/split"
)

// errRestart names what a reload cannot change.
var errRestart = errors.New("needs a restart")

// reload reads the configuration again. Everything is checked and built before
// anything changes; with an error the old configuration stays in force.
// Transactions under way end with the configuration they began with.
func (a *app) reload(ctx context.Context, path string) error {
	cfg, warnings, err := config.Load(path)
	if err != nil {
		return err
	}
	logWarnings(a.log, warnings)
	old := a.cfg.Load()
	if err := restartNeeded(old, cfg); err != nil {
		return err
	}
	acc, err := access(cfg)
	if err != nil {
		return err
	}
	if _, err := split.NewRouter(a.live, routerConfig(cfg, a.extra)); err != nil {
		return err
	}
	settings, err := adminSettings(cfg)
	if err != nil {
		return err
	}
	masker, err := a.newMasker(cfg)
	if err != nil {
		return err
	}
	rc, up, err := a.relayConfig(ctx, cfg)
	if err != nil {
		return err
	}
	// The last step that can fail. The two after it were checked above, and by config.Load.
	if err := a.smtp.SetListeners(listeners(cfg)); err != nil {
		up.close(ctx)
		return err
	}
	err = errors.Join(a.router.Reconfigure(routerConfig(cfg, a.extra)), a.quota.Reconfigure(quotaConfig(cfg)))
	a.setLog(cfg, masker)
	if old.Split.SESPercent != cfg.Split.SESPercent {
		a.log.Warn("split.ses_percent counts only when a relay starts and nothing is stored: to move the split use relay split set",
			"ses_percent", split.Percent(cfg.Split.SESPercent).String(), "in_force", a.live.Current().SESPercent.String())
	}
	a.smtp.SetAccess(acc)
	a.api.Reconfigure(settings)
	a.rollout.Reconfigure(rolloutSettings(cfg))
	a.relay.Reconfigure(rc)
	a.cfg.Store(cfg)
	previous := a.upstreams.Swap(up)
	previous.stop()
	a.poll(up)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		previous.close(ctx)
	}()
	return err
}

// restartNeeded reports every changed key that is read at the start only.
func restartNeeded(old, new *config.Config) error {
	var errs []error
	changed := func(key string, differs bool) {
		if differs {
			errs = append(errs, fmt.Errorf("%s has changed: this %w", key, errRestart))
		}
	}
	changed("hostname", old.Hostname != new.Hostname)
	changed("tls", old.TLS != new.TLS)
	changed("limits.message_size", old.Limits.MessageSize != new.Limits.MessageSize)
	changed("limits.connections", old.Limits.Connections != new.Limits.Connections)
	changed("limits.connections_per_client", old.Limits.ConnectionsPerClient != new.Limits.ConnectionsPerClient)
	changed("limits.memory", old.Limits.Memory != new.Limits.Memory)
	changed("state.file", old.State.File != new.State.File)
	changed("state.redis", old.State.Redis != new.State.Redis)
	changed("state.prefix", old.State.Prefix != new.State.Prefix)
	changed("state.secret_file", old.State.SecretFile != new.State.SecretFile)
	changed("state.ledger_ttl", old.State.LedgerTTL != new.State.LedgerTTL)
	changed("rollout.events", old.Rollout.Events != new.Rollout.Events)
	changed("rollout.notify", old.Rollout.Notify != new.Rollout.Notify)
	changed("admin.address", old.Admin.Address != new.Admin.Address)
	changed("admin.advertise", old.Admin.Advertise != new.Admin.Advertise)
	changed("log.format", old.Log.Format != new.Log.Format)
	return errors.Join(errs...)
}
