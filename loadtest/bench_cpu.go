package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"text/tabwriter"
)

// warmMails are sent through a system before it is measured: connections,
// pools, and code that is compiled when it is hot.
const warmMails = 1000

// benchCPU measures every system in turn, round by round, so that what else the
// machine does meets all of them.
func benchCPU(ctx context.Context, b *bench) error {
	if err := b.startAll(ctx); err != nil {
		return err
	}
	size, _ := parseSize(b.Size) // checked
	for _, s := range b.systems {
		if _, err := b.measure(ctx, s, warmMails, size); err != nil {
			return err
		}
	}
	profiles := b.startProfiles(ctx)
	rounds := map[*system][]measurement{}
	for round := range b.Rounds {
		order := slices.Clone(b.systems)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, s := range order {
			m, err := b.measure(ctx, s, b.mailsOf(s), size)
			if err != nil {
				return err
			}
			b.line(s, b.Size, m)
			rounds[s] = append(rounds[s], m)
		}
	}
	b.table(rounds)
	return profiles()
}

// mailsOf is how many mails a system gets: the peers need longer for each.
func (b *bench) mailsOf(s *system) int {
	if s.Peer {
		return max(100, b.Mails/4)
	}
	return b.Mails
}

// head says what benchstat wants to know about the machine.
func (b *bench) head() {
	fmt.Fprintf(b.out, "goos: %s\ngoarch: %s\npkg: sesrelay/loadtest\ncpu: %s\n", runtime.GOOS, runtime.GOARCH, cpuModel())
}

// line is one measurement, ready for benchstat.
func (b *bench) line(s *system, size string, m measurement) {
	fmt.Fprintf(b.out, "BenchmarkEndToEnd/%s/size=%s-%d\t%d\t%.4f cpu-s/1000\t%.0f mails/s\t%.1f peak-MiB\t%.2f others-cores\n",
		s.label(), size, runtime.NumCPU(), m.Mails, m.perThousand(), float64(m.Mails)/m.Took.Seconds(), float64(m.Peak)/(1<<20), m.Others)
}

// table shows medians, and each system's share of the peers' medians.
func (b *bench) table(rounds map[*system][]measurement) {
	fmt.Fprintf(b.out, "\nMedians of %d rounds, %d sessions, %s; load average %s\n", b.Rounds, b.Sessions, b.Size, loadAverage())
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "system\troute\tCPU s/1,000\tfrom\tto\tmails/s\tpeak MiB\tothers, cores")
	var peers []*system
	for _, s := range b.systems {
		if s.Peer {
			peers = append(peers, s)
			fmt.Fprintf(w, "\t%s is", s.Name)
		}
	}
	fmt.Fprintln(w)
	for _, s := range b.systems {
		cpu := column(rounds[s], measurement.perThousand)
		fmt.Fprintf(w, "%s\t%s\t%.3f\t%.3f\t%.3f\t%.0f\t%.0f\t%.2f", s.Name, s.Route, median(cpu), slices.Min(cpu), slices.Max(cpu),
			median(column(rounds[s], func(m measurement) float64 { return float64(m.Mails) / m.Took.Seconds() })),
			median(column(rounds[s], func(m measurement) float64 { return float64(m.Peak) / (1 << 20) })),
			median(column(rounds[s], func(m measurement) float64 { return m.Others })))
		for _, p := range peers {
			fmt.Fprintf(w, "\t%.1f ×", median(column(rounds[p], measurement.perThousand))/median(cpu))
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	fmt.Fprintln(b.out)
}

func column(list []measurement, of func(measurement) float64) []float64 {
	out := make([]float64, len(list))
	for i, m := range list {
		out[i] = of(m)
	}
	return out
}

// median is the middle value, or the mean of the two middle ones.
func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	if len(v) == 0 {
		return 0
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
