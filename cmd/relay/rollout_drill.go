package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/internal/rollout"
	"sesrelay/internal/simulator"
	"sesrelay/internal/split"
)

// drillFault is one thing that goes wrong, and what has to follow.
type drillFault struct {
	name   string
	inject func(*drill) error
	reason rollout.Name  // that the guard has to name
	wait   time.Duration // beyond what is allowed: until it can be measured at all
}

// drillFaults are the faults of a fire drill.
func drillFaults(cfg *config.Config) []drillFault {
	return []drillFault{
		{"throttling", func(d *drill) error {
			return d.ses.Faults().Set(simulator.Fault{Name: simulator.FaultThrottled})
		}, rollout.Acceptance, 0},
		{"outage", func(d *drill) error { return d.ses.SetOutage(simulator.OutageRefuse) }, rollout.Acceptance, 0},
		{"bounces", func(d *drill) error {
			d.events.set(func(e *drillEvents) { e.bounce = time.Now() })
			return nil
		}, rollout.Bounce, 0},
		{"silence", func(d *drill) error {
			d.events.set(func(e *drillEvents) { e.silent = time.Now() })
			return nil
		}, rollout.NoData, cfg.Rollout.Guard.NoDataMax},
	}
}

// drillResult is one line of the drill's report. Times are in seconds.
type drillResult struct {
	Fault   string  `json:"fault"`
	OK      bool    `json:"ok"`
	From    float64 `json:"from"`
	To      float64 `json:"to"`
	Took    float64 `json:"took"`    // from the fault to the split being in force
	Allowed float64 `json:"allowed"` //
	After   int     `json:"after"`   // mails that SES accepted more than a second after that
	Text    string  `json:"text"`
}

// drill is a relay with simulated next hops, in this process and on loopback.
type drill struct {
	app    *app
	ses    *simulator.SES
	store  *simulator.Store
	events *drillEvents
	ended  chan error
}

// drillOptions are the command line's.
type drillOptions struct {
	rate   float64       // mails a second
	within time.Duration // the stated time
	warm   time.Duration // of good mail before the fault
}

// runDrill plays one fault: a rollout at its last step but one, promoted, and
// then the fault. The guard has to put the split back to the step before.
func runDrill(ctx context.Context, cfg *config.Config, f drillFault, o drillOptions) (res drillResult, err error) {
	res = drillResult{Fault: f.name, Allowed: (o.within + f.wait).Seconds()}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d, err := startDrill(ctx, cfg)
	if err != nil {
		return res, err
	}
	defer d.stop(cancel)
	go demoTraffic(ctx, cfg.Listeners[0].Address, o.rate, slog.New(slog.DiscardHandler))
	if err := d.climb(ctx, o.warm); err != nil {
		return res, err
	}
	from := d.app.live.Current().Applied()
	res.From = from.Float()
	start := time.Now()
	if err := f.inject(d); err != nil {
		return res, err
	}
	d.judge(ctx, &res, f, from, start)
	return res, nil
}

// startDrill runs the relay until ctx ends.
func startDrill(ctx context.Context, cfg *config.Config) (*drill, error) {
	d := &drill{store: simulator.NewStore(simulator.StoreConfig{DiscardBodies: true}), ended: make(chan error, 1)}
	d.events = &drillEvents{store: d.store}
	var err error
	d.ses, err = simulator.NewSES(simulator.SESConfig{
		Store: d.store, ConfigurationSets: []string{cfg.SES.ConfigurationSet},
		Credentials: map[string]string{demoKeyID: demoSecret}, Account: simulator.Account{MaxSendRate: 5000, Max24HourSend: 10_000_000},
	})
	if err != nil {
		return nil, fmt.Errorf("simulated SES: %w", err)
	}
	next, err := simulator.NewSMTP(simulator.SMTPConfig{Store: d.store, SMTPUTF8: true})
	if err != nil {
		return nil, fmt.Errorf("simulated Cuenote: %w", err)
	}
	cfg.SES.Endpoint, cfg.Cuenote.Address = d.ses.URL(), next.Addr()
	level := &slog.LevelVar{}
	ready := make(chan struct{})
	d.app, err = newApp(ctx, cfg, slog.New(slog.DiscardHandler), level, appExtra{
		credentials: credentials.NewStaticCredentialsProvider(demoKeyID, demoSecret, ""), anySender: true,
		started: func() { close(ready) }, events: d.events,
	})
	if err != nil {
		return nil, err
	}
	go func() {
		d.ended <- d.app.run(ctx, func() error { return errors.New("a drill has no configuration to read again") })
		d.ses.Close()
		next.Close()
	}()
	select {
	case <-ready:
		return d, nil
	case err := <-d.ended:
		return nil, errors.Join(err, errors.New("the relay of the drill has ended"))
	}
}

func (d *drill) stop(cancel func()) {
	cancel()
	select {
	case <-d.ended:
	case <-time.After(10 * time.Second):
	}
}

// climb starts the rollout, lets good mail flow, and promotes to the last step.
func (d *drill) climb(ctx context.Context, warm time.Duration) error {
	for i, action := range []rollout.Action{rollout.ActionStart, rollout.ActionPromote} {
		o := rollout.Order{Who: "drill", Reason: "fire drill", Force: true, Full: i > 0}
		if err := d.app.rollout.Do(ctx, action, o); err != nil {
			return err
		}
		if err := pause(ctx, warm); err != nil {
			return err
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// judge waits until the split is back, and looks whether SES gets less from then on.
func (d *drill) judge(ctx context.Context, res *drillResult, f drillFault, from split.Percent, start time.Time) {
	limit := time.After(time.Duration(res.Allowed * float64(time.Second)))
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for d.app.live.Current().Applied() == from {
		select {
		case <-tick.C:
		case <-limit:
			res.Text = "the split was not put back in time"
			return
		case <-ctx.Done():
			res.Text = "interrupted"
			return
		}
	}
	back := time.Now()
	res.Took, res.To = back.Sub(start).Seconds(), d.app.live.Current().Applied().Float()
	pause(ctx, 2500*time.Millisecond)
	v := d.app.rollout.View(ctx)
	trip := v.Guard.LastTrip
	if trip == nil {
		res.Text = "the split was put back, and no trip is on record"
		return
	}
	res.Text = trip.Text
	res.After = sentAtStep(d.store.Of(simulator.UpstreamSES), back.Add(time.Second), from)
	named := false
	for _, n := range trip.Reasons {
		named = named || n == f.reason
	}
	res.OK = named && res.After == 0 && v.Phase == rollout.RolledBack
}

// sentAtStep counts the mails that SES accepted after a moment and that were
// still decided under a step, which has been left.
func sentAtStep(mails []simulator.Record, after time.Time, step split.Percent) (n int) {
	for _, r := range mails {
		if r.Time.After(after) && r.SES.Tags["relay-step"] == step.Tag() {
			n++
		}
	}
	return n
}

// drillConfig is the demo's configuration with the steps and limits to drill,
// on free ports. The guard is quick unless a configuration says otherwise.
func drillConfig(given *config.Config) (*config.Config, error) {
	var ports [2]string
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		ports[i] = l.Addr().String()
		l.Close()
	}
	cfg := demoConfig(demoOptions{SMTP: ports[0], HTTP: ports[1]})
	cfg.Drain.Deadline = 2 * time.Second
	cfg.Hostname = "relay.drill"
	g := &cfg.Rollout.Guard
	g.Window, g.NoDataMax, g.MinMessages = 30*time.Second, 10*time.Second, 100
	if given != nil {
		cfg.Rollout, cfg.Breaker, cfg.SES.ConfigurationSet = given.Rollout, given.Breaker, given.SES.ConfigurationSet
		cfg.Rollout.Notify, cfg.Rollout.Events, cfg.Rollout.Guard.Enabled = config.Notify{}, "none", true
		return cfg, nil
	}
	set := func(percent int) config.Step { h := percent * 100; return config.Step{SetPercent: &h} }
	cfg.Rollout.Steps = []config.Step{set(50), {}, set(100)}
	return cfg, nil
}
