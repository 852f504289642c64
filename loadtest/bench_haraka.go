package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// startHaraka starts Haraka with two processes and its smtp_proxy, which like
// the relay answers the client with what the next hop has said, and keeps no
// queue.
func (b *bench) startHaraka(ctx context.Context) error {
	node, err := exec.LookPath("node")
	if err != nil {
		return fmt.Errorf("peer Haraka: Node.js is not installed (sh scripts/need.sh bench)")
	}
	home, err := filepath.Abs(filepath.Join(b.Haraka, "node_modules", "Haraka"))
	if err == nil {
		_, err = os.Stat(home)
	}
	if err != nil {
		return fmt.Errorf("peer Haraka is not installed in %s (sh scripts/need.sh bench)", b.Haraka)
	}
	sink, dir, addr, err := b.place(ctx, "haraka")
	if err != nil {
		return err
	}
	if err := writeHaraka(home, dir, addr, sink.addrs.Cuenote); err != nil {
		return err
	}
	p, err := startProcess("haraka", dir, exec.Command(node, filepath.Join(home, "bin", "haraka"), "-c", dir))
	if err != nil {
		return err
	}
	if err := reachable(addr, time.Minute); err != nil {
		return errors.Join(err, p.stop(5*time.Second), errors.New(logOf(dir, "haraka")))
	}
	b.started(&system{Name: "haraka", Route: "smtp", Peer: true, addr: addr, pid: p.pid(), sink: sink,
		stop: func() error { return p.stop(40 * time.Second) }})
	return nil
}

func writeHaraka(home, dir, addr, next string) error {
	host, port, err := net.SplitHostPort(next)
	if err != nil {
		return err
	}
	config := filepath.Join(dir, "config")
	own, err := os.ReadFile(filepath.Join(home, "config", "connection.ini")) // without it the first connection ends it
	err = errors.Join(err, os.Mkdir(config, 0o755))
	for name, text := range map[string]string{
		"smtp.ini":       "listen=" + addr + "\nnodes=2\n",
		"smtp_proxy.ini": "host=" + host + "\nport=" + port + "\n",
		"plugins":        "rcpt_to.in_host_list\nqueue/smtp_proxy\n",
		"host_list":      "docomo.ne.jp\n",
		"me":             "haraka.loadtest.example\n",
		"connection.ini": string(own),
		"log.ini":        "[main]\nlevel=notice\nformat=default\n",
	} {
		err = errors.Join(err, os.WriteFile(filepath.Join(config, name), []byte(text), 0o644))
	}
	return err
}
