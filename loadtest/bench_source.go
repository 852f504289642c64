package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"time"
)

// smtpSource finds Postfix's load generator, which most systems keep out of PATH.
func smtpSource() (string, error) {
	for _, name := range []string{"smtp-source", "/usr/sbin/smtp-source"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("smtp-source is not installed: it comes with Postfix (sh scripts/need.sh bench)")
}

// sourceTime bounds one run of smtp-source.
const sourceTime = 5 * time.Minute

// source sends mails with smtp-source, connections kept, every recipient
// another one. It does not pipeline, so that every reply is a packet.
func source(ctx context.Context, addr string, sessions, mails, size int, more ...string) error {
	path, err := smtpSource()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sourceTime)
	defer cancel()
	args := append([]string{"-d", "-N", "-s", strconv.Itoa(min(sessions, mails)), "-m", strconv.Itoa(mails), "-l", strconv.Itoa(size),
		"-M", "mta1." + senderDomain, "-f", "news@" + senderDomain, "-t", "user@docomo.ne.jp"}, more...)
	out, err := exec.CommandContext(ctx, path, append(args, addr)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("smtp-source to %s: %w: %.500s", addr, err, out)
	}
	return nil
}

// measurement is one run of smtp-source through a system.
type measurement struct {
	Mails  int
	CPU    time.Duration // of the system
	Took   time.Duration // until the last mail had arrived
	Others float64       // cores used by everything else
	Peak   int64         // bytes of memory, at most so far
}

// perThousand is CPU seconds for 1,000 mails.
func (m measurement) perThousand() float64 { return m.CPU.Seconds() * 1000 / float64(m.Mails) }

// settle is how long a system may still be busy with mail that has arrived:
// its log line, its metrics.
const settle = 100 * time.Millisecond

// measure sends mails through a system and waits until all have arrived, none
// twice. One mail for each session comes before what is measured: in steady
// traffic the connections to the next hop are open.
func (b *bench) measure(ctx context.Context, s *system, mails, size int) (m measurement, err error) {
	if err := b.send(ctx, s, b.Sessions, size); err != nil {
		return m, err
	}
	cpu, err := treeUsage(s.pid)
	if err != nil {
		return m, err
	}
	busy, start := busyTime(), time.Now()
	if err := b.send(ctx, s, mails, size); err != nil {
		return m, err
	}
	m = measurement{Mails: mails, Took: time.Since(start)}
	time.Sleep(settle)
	after, err := treeUsage(s.pid)
	m.CPU, m.Peak = after.CPU-cpu.CPU, after.PeakRSS
	m.Others = (busyTime() - busy - m.CPU).Seconds() / (m.Took + settle).Seconds()
	return m, err
}

// send sends mails and waits until all have arrived.
func (b *bench) send(ctx context.Context, s *system, mails, size int) error {
	before, err := s.sink.arrived(ctx)
	if err == nil {
		err = source(ctx, s.addr, b.Sessions, mails, size)
	}
	if err == nil {
		err = s.sink.await(ctx, before+int64(mails))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.label(), err)
	}
	return nil
}

// await waits until a sink has taken want mails in all.
func (s *benchSink) await(ctx context.Context, want int64) error {
	for end := time.Now().Add(2 * time.Minute); ; {
		got, err := s.arrived(ctx)
		switch {
		case err != nil:
			return err
		case got == want:
			return nil
		case got > want:
			return fmt.Errorf("%d mails arrived of %d: some were doubled", got, want)
		case time.Now().After(end):
			return fmt.Errorf("%d mails arrived of %d", got, want)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
