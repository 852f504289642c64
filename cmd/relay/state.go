package main

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/internal/quota"
	"sesrelay/internal/relay"
	"sesrelay/internal/split"
)

// splitStore keeps the split; closed at the end.
type splitStore interface {
	split.Store
	Close() error
}

// memoryStore is a store without a file.
type memoryStore struct{ *split.MemoryStore }

func (memoryStore) Close() error { return nil }

// sendingQuota is quota.Limiter, or quota.Fleet for many instances.
type sendingQuota interface {
	relay.Quota
	SetAccount(max24, maxRate, sent float64)
	Throttled(daily bool)
	Reconfigure(quota.Config) error
	Status() quota.Status
}

// ledgerEntries bounds the duplicate ledger: 192 bytes each, five minutes at
// 100,000 mails a minute, which is how soon Postfix tries again.
const ledgerEntries = 500_000

// openState makes what outlives a transaction: the split with its router, the
// quota and the ledger. With state.redis they are the fleet's.
func (a *app) openState(ctx context.Context, cfg *config.Config) error {
	if err := a.openStore(cfg); err != nil {
		return err
	}
	err := a.readSplit(ctx, cfg)
	if err == nil && a.shared != nil {
		if err = a.shared.join(a, cfg); err == nil {
			a.quota, a.ledger = a.shared.quota, a.shared.ledger
		}
	}
	if err == nil && a.shared == nil {
		err = a.openQuota(cfg)
		a.ledger = relay.NewMemoryLedger(cfg.State.LedgerTTL, ledgerEntries, time.Now)
	}
	if err != nil {
		return errors.Join(err, a.closeState())
	}
	a.fleetSize.Store(int64(a.size()))
	return nil
}

func (a *app) openStore(cfg *config.Config) (err error) {
	switch {
	case cfg.State.Redis != "":
		if a.shared, err = openShared(cfg); err == nil {
			a.store = a.shared.store
		}
	case cfg.State.File != "":
		var file *split.FileStore
		if file, err = split.OpenFile(cfg.State.File); err == nil {
			a.store = file
		}
	default:
		a.store = memoryStore{split.NewMemoryStore()}
	}
	return err
}

// readSplit reads what is stored and makes the router.
func (a *app) readSplit(ctx context.Context, cfg *config.Config) (err error) {
	a.live, err = split.NewLive(ctx, a.store, split.LiveConfig{
		Initial: split.Percent(cfg.Split.SESPercent), Registerer: a.reg,
	})
	if err != nil {
		return err
	}
	a.reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "relay_state_up", Help: "1 while the store of the split takes changes: Redis, or state.file.",
	}, a.stateUp))
	a.reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "relay_instances", Help: "Instances of the fleet that live or, while Redis is away, that lived last.",
	}, func() float64 { return float64(a.size()) }))
	a.router, err = split.NewRouter(a.live, routerConfig(cfg, a.extra))
	return err
}

func (a *app) stateUp() float64 {
	up := !a.live.Current().Unsaved
	if a.shared != nil {
		up, _ = a.shared.up()
	}
	if up {
		return 1
	}
	return 0
}

// openQuota makes the quota of one instance alone.
func (a *app) openQuota(cfg *config.Config) error {
	l, err := quota.New(quotaConfig(cfg), a.reg)
	if err != nil {
		return err
	}
	a.restoreQuota(l, cfg.State.File)
	a.quota = l
	return nil
}

// size is how many instances share the quota and Cuenote's rate.
func (a *app) size() int {
	if a.shared == nil || a.shared.fleet == nil {
		return 1
	}
	return a.shared.size()
}

// closeState writes what is left and lets go of it.
func (a *app) closeState() error {
	return errors.Join(a.shared.close(), a.store.Close())
}
