package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"text/tabwriter"
	"time"

	"sesrelay/internal/simulator"
)

// What the memory is measured at.
const (
	idleConnections = 10_000
	mailsInFlight   = 1000             // ses.max_in_flight
	memoryLimit     = 512 << 20        // limits.memory, unless told otherwise
	slowSES         = 10 * time.Second // so that all of them are in flight at once
)

// benchMemory measures the memory of idle connections, of small mails in
// flight, and of more large mails than limits.memory lets in.
func benchMemory(ctx context.Context, b *bench) error {
	fmt.Fprintf(b.out, "\nMemory (resident, of the relay's process)\n")
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "system\twhat\tMiB before\tMiB at most\teach\ttarget")
	for _, relay := range b.Relays {
		for _, part := range []func(context.Context, *tabwriter.Writer, string) error{b.idle, b.inFlight, b.full} {
			if err := part(ctx, w, relay); err != nil {
				return err
			}
			if err := b.stopSystems(); err != nil {
				return err
			}
		}
	}
	return w.Flush()
}

func memoryLine(w *tabwriter.Writer, s *system, what string, before, after int64, each, target string) {
	fmt.Fprintf(w, "%s\t%s\t%.0f\t%.0f\t%s\t%s\n", s.Name, what, float64(before)/(1<<20), float64(after)/(1<<20), each, target)
}

// idle opens connections that say EHLO and nothing more.
func (b *bench) idle(ctx context.Context, w *tabwriter.Writer, relay string) error {
	s, err := b.startOne(ctx, relay, "cuenote", fmt.Sprintf("limits: {connections: %[1]d, connections_per_client: %[1]d}\n", idleConnections+1000))
	if err != nil {
		return err
	}
	before, err := readUsage(s.pid)
	if err != nil {
		return err
	}
	conns, err := greet(s.addr, idleConnections)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	if err != nil {
		return err
	}
	time.Sleep(time.Second)
	after, err := readUsage(s.pid)
	memoryLine(w, s, fmt.Sprintf("%d idle connections", idleConnections), before.RSS, after.RSS,
		fmt.Sprintf("%.1f KB", float64(after.RSS-before.RSS)/idleConnections/1000), "under 200 MiB in all")
	return err
}

// greet opens connections and says EHLO on each.
func greet(addr string, n int) (conns []net.Conn, err error) {
	for range n {
		c, err := net.DialTimeout("tcp", addr, 5*time.Second)
		if err != nil {
			return conns, err
		}
		conns = append(conns, c)
		c.SetDeadline(time.Now().Add(10 * time.Second))
		r := bufio.NewReaderSize(c, 512)
		if _, err := r.ReadString('\n'); err != nil {
			return conns, err
		}
		fmt.Fprintf(c, "EHLO mta1.%s\r\n", senderDomain)
		for line := "250-"; strings.HasPrefix(line, "250-"); {
			if line, err = r.ReadString('\n'); err != nil {
				return conns, err
			}
		}
	}
	return conns, nil
}

// inFlight keeps small mails waiting for a slow SES.
func (b *bench) inFlight(ctx context.Context, w *tabwriter.Writer, relay string) error {
	before, after, s, err := b.crowd(ctx, relay, mailsInFlight, mailsInFlight, 8<<10)
	if err != nil {
		return err
	}
	memoryLine(w, s, fmt.Sprintf("%d mails of 8 KiB in flight", mailsInFlight), before.RSS, after.PeakRSS,
		fmt.Sprintf("%.1f KB", float64(after.PeakRSS-before.RSS)/mailsInFlight/1000), "under 120 KB each")
	return nil
}

// full sends more large mail at once than limits.memory lets in; what finds no
// room is deferred.
func (b *bench) full(ctx context.Context, w *tabwriter.Writer, relay string) error {
	before, after, s, err := b.crowd(ctx, relay, 100, 200, 10<<20, "-A")
	if err != nil {
		return err
	}
	memoryLine(w, s, "100 sessions with mails of 10 MiB", before.RSS, after.PeakRSS, "",
		fmt.Sprintf("under %d MiB (limits.memory + 150)", memoryLimit>>20+150))
	return nil
}

// crowd sends mails to a slow SES, all at once, and reads the memory before and
// at its peak.
func (b *bench) crowd(ctx context.Context, relay string, sessions, mails, size int, more ...string) (before, after usage, s *system, err error) {
	if s, err = b.startOne(ctx, relay, "ses-https", ""); err != nil {
		return
	}
	slow, none := simulator.Latency{Fixed: slowSES}, simulator.Latency{}
	if err = s.sink.control.set(ctx, "ses", sinkState{Latency: &slow}); err != nil {
		return
	}
	defer s.sink.control.set(context.WithoutCancel(ctx), "ses", sinkState{Latency: &none})
	if before, err = readUsage(s.pid); err != nil {
		return
	}
	if err = source(ctx, s.addr, sessions, mails, size, more...); err != nil {
		return
	}
	after, err = readUsage(s.pid)
	return
}
