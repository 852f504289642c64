package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/internal/quota"
)

// runServe runs the relay of a configuration file until SIGTERM or SIGINT,
// which drain it. SIGHUP reads the file again.
func runServe(ctx context.Context, path string) error {
	cfg, warnings, err := config.Load(path)
	if err != nil {
		return err
	}
	level := &slog.LevelVar{}
	log := newLogger(os.Stderr, cfg.Log.Format, level)
	takeLibraryLog(log)
	logWarnings(log, warnings)
	boundMemory(cfg)
	a, err := newApp(ctx, cfg, log, level, appExtra{})
	if err != nil {
		return err
	}
	reload := func() error { return a.reload(ctx, path) }
	return a.run(ctx, reload)
}

func logWarnings(log *slog.Logger, warnings []config.Warning) {
	for _, w := range warnings {
		log.Warn("configuration", "warning", w.String())
	}
}

// run serves until ctx ends, then drains. A second SIGTERM or SIGINT ends the
// process at once (see main).
func (a *app) run(ctx context.Context, reload func() error) error {
	// From here to the end of the drain: SIGHUP ends a process that does not ask for it.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	stopAdmin, err := a.serveAdmin()
	if err != nil {
		return errors.Join(err, a.closeState())
	}
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	a.background(working)
	endRollout := a.runRollout(working)
	a.poll(a.upstreams.Load())
	if err := a.smtp.Start(); err != nil {
		stopAdmin()
		cancel()
		endRollout()
		return errors.Join(err, a.closeState())
	}
	a.ready.Store(true)
	cfg := a.cfg.Load()
	now := a.live.Current()
	a.log.Info("ready", "hostname", cfg.Hostname, "smtp", addresses(cfg), "admin", cfg.Admin.Address,
		"ses_percent", now.Applied().String(), "split_version", now.Version, "version", version)
	if a.extra.started != nil {
		a.extra.started()
	}
	a.waitForEnd(ctx, hangups, reload)
	a.log.Info("draining", "grace", cfg.Drain.Grace.String(), "deadline", cfg.Drain.Deadline.String())
	err = a.drain()
	cancel()
	endRollout()
	stopAdmin()
	a.saveQuota(a.cfg.Load().State.File)
	a.writeCloudWatch() // what the last minute had
	a.stopTracing()
	return errors.Join(err, a.closeState())
}

// waitForEnd reloads at SIGHUP until ctx ends.
func (a *app) waitForEnd(ctx context.Context, hangups <-chan os.Signal, reload func() error) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			a.hangup(reload)
		}
	}
}

// hangup reloads; a bad file keeps the old configuration and says so.
func (a *app) hangup(reload func() error) {
	if err := reload(); err != nil {
		a.log.Error("reload refused: the old configuration stays in force", "error", err.Error())
		return
	}
	a.log.Info("reloaded")
}

func addresses(cfg *config.Config) []string {
	out := make([]string, len(cfg.Listeners))
	for i, l := range cfg.Listeners {
		out[i] = l.Address
	}
	return out
}

// drain lets load balancers notice first (readyz is 503 for drain.grace while
// everything is still served), then finishes what is in flight.
func (a *app) drain() error {
	a.draining.Store(true)
	a.ready.Store(false)
	cfg := a.cfg.Load()
	ctx, cancel := context.WithTimeout(context.Background(), cfg.Drain.Deadline)
	defer cancel()
	time.Sleep(min(cfg.Drain.Grace, cfg.Drain.Deadline))
	err := a.smtp.Drain(ctx)
	up := a.upstreams.Load()
	up.stop()
	up.close(ctx)
	if err != nil {
		return fmt.Errorf("drain: %w: the clients keep their messages and try again", err)
	}
	a.log.Info("drained")
	return nil
}

// background runs what repeats: memory that goes back, the quota's snapshot,
// and another try to save a split that the disk could not take.
func (a *app) background(ctx context.Context) {
	go every(ctx, time.Minute, a.writeCloudWatch)
	go every(ctx, memoryLook, new(idleMemory).giveBack)
	if a.shared != nil {
		a.shared.start(a)
		return
	}
	go every(ctx, time.Minute, func() { a.saveQuota(a.cfg.Load().State.File) })
	go every(ctx, 10*time.Second, func() {
		unsaved := a.live.Current().Unsaved
		if err := a.live.Sync(ctx); err != nil { // also where a refused change may stand in the file
			a.log.Error("the split in force is still not saved: a restart would forget it", "error", err.Error())
			return
		}
		if unsaved {
			a.log.Info("the split in force is saved again", "split_version", a.live.Current().Version)
		}
	})
}

// every calls f at the interval until ctx ends.
func every(ctx context.Context, d time.Duration, f func()) {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			f()
		case <-ctx.Done():
			return
		}
	}
}

// listenAdmin opens the address of the API.
func listenAdmin(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("admin.address: %w", err)
	}
	return l, nil
}

// serveHTTP serves until the returned function is called.
func serveHTTP(l net.Listener, s *http.Server, log *slog.Logger) (stop func()) {
	s.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	go s.Serve(l)
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if s.Shutdown(ctx) != nil {
			s.Close() // event streams do not end by themselves
		}
	}
}

// quotaFile keeps the day's count across restarts, beside state.file.
func quotaFile(stateFile string) string { return stateFile + ".quota" }

func (a *app) saveQuota(stateFile string) {
	if stateFile == "" {
		return
	}
	l, alone := a.quota.(*quota.Limiter)
	if !alone {
		return // a fleet's count is in Redis
	}
	b, err := l.Snapshot()
	if err == nil {
		err = writeFile(quotaFile(stateFile), b)
	}
	if err != nil {
		a.log.Warn("the day's quota count could not be saved: after a restart it starts from GetAccount", "error", err.Error())
	}
}

func (a *app) restoreQuota(l *quota.Limiter, stateFile string) {
	if stateFile == "" {
		return
	}
	b, err := os.ReadFile(quotaFile(stateFile))
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err == nil {
		err = l.Restore(b)
	}
	if err != nil {
		a.log.Warn("the day's quota count could not be read: it starts from GetAccount", "file", quotaFile(stateFile), "error", err.Error())
	}
}

// writeFile replaces a file as a whole: the old content or the new, never half.
func writeFile(path string, b []byte) error {
	tmp := path + ".tmp"
	err := os.WriteFile(tmp, b, 0o600)
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp) // half of it would take the room that the split needs
	}
	return err
}
