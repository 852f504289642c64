package main

import (
	"context"
	"errors"
	"time"
)

// startBare starts the relay that only passes packets on (bare.go).
func (b *bench) startBare(ctx context.Context) error {
	sink, dir, addr, err := b.place(ctx, "bare")
	if err != nil {
		return err
	}
	cmd, err := ownCommand("bare", "--listen", addr, "--next", sink.addrs.Cuenote)
	if err != nil {
		return err
	}
	p, err := startProcess("bare", dir, cmd)
	if err != nil {
		return err
	}
	if err := reachable(addr, 20*time.Second); err != nil {
		return errors.Join(err, p.stop(5*time.Second), errors.New(logOf(dir, "bare")))
	}
	b.started(&system{Name: "bare", Route: "smtp", Peer: true, addr: addr, pid: p.pid(), sink: sink,
		stop: func() error { return p.stop(10 * time.Second) }})
	return nil
}
