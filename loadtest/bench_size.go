package main

import (
	"context"
	"fmt"
	"text/tabwriter"
)

// largestForSES is what SES gets of a larger size: 28 MiB are its limit, and the
// header comes on top.
const largestForSES = 27 << 20

// sizeLimits let mails of 40 MiB and their headers through.
const sizeLimits = "limits: {message_size: 48MiB, memory: 1GiB}\n"

// benchSizes measures how the cost of a mail grows with its size. What a byte
// costs must not grow with it.
func benchSizes(ctx context.Context, b *bench) error {
	fmt.Fprintf(b.out, "\nCost by size, medians of %d rounds\n", b.Rounds)
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "system\troute\tbody\tmails\tCPU ms a mail\tCPU ms a MiB\tpeak MiB")
	for _, route := range b.Routes {
		for _, relay := range b.Relays {
			if err := b.sizesOf(ctx, w, relay, route); err != nil {
				return err
			}
		}
	}
	return w.Flush()
}

func (b *bench) sizesOf(ctx context.Context, w *tabwriter.Writer, relay, route string) error {
	for _, text := range b.Sizes {
		s, err := b.startOne(ctx, relay, route, sizeLimits) // anew, so that its peak is this size's
		if err != nil {
			return err
		}
		if err := b.oneSize(ctx, w, s, text); err != nil {
			return err
		}
		if err := b.stopSystems(); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) oneSize(ctx context.Context, w *tabwriter.Writer, s *system, text string) error {
	size, _ := parseSize(text) // checked
	if s.Route != "cuenote" && size > largestForSES {
		size, text = largestForSES, "27MiB"
	}
	mails, sessions := b.mailsOfSize(size), b.Sessions
	defer func() { b.Sessions = sessions }()
	b.Sessions = min(sessions, max(4, (256<<20)/size)) // 1 GiB in flight is not what is measured
	if _, err := b.measure(ctx, s, min(warmMails, mails), size); err != nil {
		return err
	}
	var rounds []measurement
	for range b.Rounds {
		m, err := b.measure(ctx, s, mails, size)
		if err != nil {
			return err
		}
		rounds = append(rounds, m)
	}
	ms := median(column(rounds, measurement.perThousand)) // seconds for 1,000 = milliseconds for one
	fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%.3f\t%.2f\t%.0f\n", s.Name, s.Route, text, mails, ms, ms*(1<<20)/float64(size), float64(rounds[len(rounds)-1].Peak)/(1<<20))
	return nil
}

// mailsOfSize is as many as make about so many bytes as the mails of the
// usual size, and enough for the clock of /proc (10 ms).
func (b *bench) mailsOfSize(size int) int {
	usual, _ := parseSize(b.Size)
	return max(12, b.Mails*usual/size*4)
}
