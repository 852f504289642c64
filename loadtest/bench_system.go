package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// system is something under test that runs: a relay, or one of its peers.
type system struct {
	Name  string
	Route string
	Peer  bool
	addr  string // takes mail
	pid   int    // its processes descend from it
	sink  *benchSink
	api   string // base URL; "" when it has none
	stop  func() error
}

// startAll starts every relay on every route, and the peers that are installed.
func (b *bench) startAll(ctx context.Context) error {
	for _, route := range b.Routes {
		for _, relay := range b.Relays {
			if _, err := b.startOne(ctx, relay, route, ""); err != nil {
				return err
			}
		}
	}
	for _, peer := range b.Peers {
		if err := b.startPeer(ctx, peer); err != nil {
			b.loud("%s is NOT MEASURED: %v", peer, err)
		}
	}
	return nil
}

func (b *bench) startPeer(ctx context.Context, name string) error {
	switch name {
	case "postfix":
		return b.startPostfix(ctx)
	case "haraka":
		return b.startHaraka(ctx)
	case "bare":
		return b.startBare(ctx)
	}
	return fmt.Errorf("no such peer: postfix, haraka, bare")
}

// place is what a peer needs: a sink of its own, a folder, and an address to listen on.
func (b *bench) place(ctx context.Context, name string) (sink *benchSink, dir, addr string, err error) {
	if sink, err = b.sink(ctx, true); err != nil {
		return nil, "", "", err
	}
	if dir, err = b.folder(name); err != nil {
		return nil, "", "", err
	}
	port, err := freePorts(1)
	if err != nil {
		return nil, "", "", err
	}
	return sink, dir, port[0], nil
}

// startOne starts a relay on a route; extra are further sections of its
// configuration.
func (b *bench) startOne(ctx context.Context, relay, route, extra string) (*system, error) {
	sink, err := b.sink(ctx, route != "ses-http")
	if err != nil {
		return nil, err
	}
	dir, err := b.folder("relay")
	if err != nil {
		return nil, err
	}
	o := relayOptions{Binary: relayFile(relay), TLS: "none", SES: sink.addrs.SES, Cuenote: sink.addrs.Cuenote,
		CAFile: sink.ca, Extra: extra}
	if route != "cuenote" {
		o.Percent = 100
	}
	r, err := startRelay(ctx, dir, o)
	if err != nil {
		return nil, err
	}
	return b.started(&system{Name: relayName(relay), Route: route, addr: r.SMTP, pid: r.pid(), sink: sink, api: r.API,
		stop: func() error { return r.process.stop(35 * time.Second) }}), nil
}

func (b *bench) started(s *system) *system {
	b.systems = append(b.systems, s)
	return s
}

// stopSystems ends every system, and not the sinks.
func (b *bench) stopSystems() (err error) {
	for _, s := range b.systems {
		err = errors.Join(err, s.stop())
	}
	b.systems = nil
	return err
}

// label names a system in benchstat's way.
func (s *system) label() string {
	return fmt.Sprintf("system=%s/route=%s", strings.ReplaceAll(s.Name, "/", "_"), s.Route)
}

// loud says what must not be overlooked.
func (b *bench) loud(format string, v ...any) {
	fmt.Fprintf(b.out, "\n!!! "+format+"\n\n", v...)
}

// logOf is a system's own log, for an error message.
func logOf(dir, name string) string { return lastLines(filepath.Join(dir, name+".log")) }
