package main

import (
	"fmt"
	"net/netip"
	"os"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/internal/admin"
	"sesrelay/internal/relay"
	"sesrelay/internal/split"
)

// tracesKept is how many finished transactions can be looked up.
const tracesKept = 20_000

// newAdmin makes the API and lets it observe the transactions.
func (a *app) newAdmin(cfg *config.Config) error {
	settings, err := adminSettings(cfg)
	if err != nil {
		return err
	}
	traces, stats := admin.NewTraces(tracesKept), admin.NewStats(a.reg, nil)
	a.observers = append(a.observers, admin.Observe(traces, stats))
	c := admin.Config{
		Instance: cfg.Hostname, Version: version,
		Split: a.live, Router: a.router, Quota: a.quota.Status,
		Upstreams: a.upstreamStatus, Alarms: a.alarms,
		Ready: func() (ready, draining bool) { return a.ready.Load(), a.draining.Load() },
		Stats: stats, Traces: traces,
		Masker:   func() admin.Masker { return a.lines.Load().mask },
		Gatherer: a.reg, Log: a.log, Extra: a.extra.routes,
	}
	c.Rollout = a.rollout
	if a.shared != nil {
		c.Fleet, c.Extra = a.shared, append(c.Extra, a.shared.routes(func(about, text string) []byte { return a.api.Answer(about, text) })...)
	}
	a.api = admin.New(c, settings)
	return nil
}

// adminSettings is the part of the configuration that the API goes by.
func adminSettings(cfg *config.Config) (admin.Settings, error) {
	s := admin.Settings{
		Networks: map[admin.Role][]netip.Prefix{
			admin.Admin: cfg.Admin.Networks.Admin, admin.Readonly: cfg.Admin.Networks.ReadOnly,
			admin.Monitoring: cfg.Admin.Networks.Monitoring,
		},
		Traffic: split.Traffic{
			PeakPerMinute: float64(cfg.Traffic.PeakPerMinute), PerDay: float64(cfg.Traffic.PerDay),
			RecipientsPerMessage: cfg.Traffic.RecipientsPerMessage,
		},
		Cuenote: cfg.Cuenote.Rate,
	}
	if cfg.Admin.TokensFile == "" {
		return s, nil
	}
	f, err := os.Open(cfg.Admin.TokensFile)
	if err != nil {
		return s, fmt.Errorf("admin.tokens_file: %w", err)
	}
	defer f.Close()
	if s.Tokens, err = admin.ParseTokens(f); err != nil {
		return s, fmt.Errorf("admin.tokens_file %s: %w", cfg.Admin.TokensFile, err)
	}
	return s, nil
}

// upstreamStatus is what the API shows of the next hops.
func (a *app) upstreamStatus() []admin.Upstream {
	out := make([]admin.Upstream, 0, 2)
	for _, route := range []relay.Route{relay.SES, relay.Cuenote} {
		h := a.relay.Hop(route)
		out = append(out, admin.Upstream{Name: route, Open: h.Open, Because: h.Because, InFlight: h.InFlight})
	}
	return out
}

// serveAdmin opens the API.
func (a *app) serveAdmin() (stop func(), err error) {
	l, err := listenAdmin(a.cfg.Load().Admin.Address)
	if err != nil {
		return nil, err
	}
	return serveHTTP(admin.Limit(l), a.api.Server(), a.log), nil
}
