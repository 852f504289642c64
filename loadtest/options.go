package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"sesrelay/internal/simulator"
)

// options are what the command line sets, with the scenario's own defaults.
type options struct {
	Relay, Out            string
	Rate                  float64 // mails per second
	For, Warmup           time.Duration
	Percent               float64
	Sizes, Recipients     string
	Senders               int
	Clients, Room         int
	Attempts              int
	Backoff               time.Duration
	Protocol, TLS         string
	Auth, Probe           bool
	Idle, ReuseFor        time.Duration
	ReuseCount            int
	SESTLS                bool
	SESLatency            string
	CuenoteLatency        string
	Seed                  uint64
	Thresholds            []string
	JSON, Quiet           bool
	Instances             int           // relays
	Shared                bool          // state in Redis for one relay, too
	QuotaRate             float64       // scenario quota
	Outage                time.Duration // scenario outage
	From, To, By, KneeP99 float64       // scenario ramp
	Each                  time.Duration // scenario ramp
}

// perMinute is 100,000 mails a minute as a rate per second.
const perMinute = 100_000.0 / 60

// senderDomain is what every mail comes from: an identity of the simulated SES.
const senderDomain = "goo.ne.jp"

// usual are the defaults that scenarios begin with.
func usual() *options {
	return &options{
		Relay: "bin/relay", Out: filepath.Join("loadtest", "results"),
		Rate: perMinute, For: time.Minute, Warmup: 5 * time.Second, Percent: 50,
		Sizes: "8KiB", Recipients: "1", Senders: 1000,
		Clients: 1000, Room: 10_000, Attempts: 1, Backoff: 2 * time.Second,
		Protocol: "smtp", TLS: "none", Probe: true,
		Idle: 2 * time.Second, ReuseFor: 60 * time.Second,
		Instances: 1,
		SESTLS:    true, SESLatency: "80ms,250ms", CuenoteLatency: "30ms,150ms", Seed: 1,
	}
}

func (o *options) flags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVar(&o.Relay, "relay", o.Relay, "the relay's binary, `FILE`")
	f.IntVar(&o.Instances, "instances", o.Instances, "relays that share their state in a redis-server of the run's own; connections take turns")
	f.BoolVar(&o.Shared, "shared-state", o.Shared, "the state of one relay is in Redis, too")
	f.StringVar(&o.Out, "out", o.Out, "`FOLDER` for report and JSON")
	f.Float64Var(&o.Rate, "rate", o.Rate, "mails per second")
	f.DurationVar(&o.For, "for", o.For, "measured time")
	f.DurationVar(&o.Warmup, "warmup", o.Warmup, "time before it, reconciled but not in the percentiles")
	f.Float64Var(&o.Percent, "percent", o.Percent, "share of SES, 0 to 100")
	f.StringVar(&o.Sizes, "sizes", o.Sizes, "sizes by weight, `8KiB:80,100KiB:20`")
	f.StringVar(&o.Recipients, "recipients", o.Recipients, "recipients of a mail by weight, `1:90,5:10`")
	f.IntVar(&o.Senders, "senders", o.Senders, "different reverse-paths")
	f.IntVar(&o.Clients, "clients", o.Clients, "connections at most, as so many Postfix smtp processes")
	f.IntVar(&o.Room, "room", o.Room, "starts that may wait for one; further ones are dropped")
	f.IntVar(&o.Attempts, "attempts", o.Attempts, "attempts at a mail that gets 4xx or no answer")
	f.DurationVar(&o.Backoff, "backoff", o.Backoff, "time between them")
	f.StringVar(&o.Protocol, "protocol", o.Protocol, "smtp or lmtp")
	f.StringVar(&o.TLS, "tls", o.TLS, "towards the relay: none, starttls or implicit")
	f.BoolVar(&o.Auth, "auth", o.Auth, "AUTH PLAIN on every connection (needs --tls)")
	f.BoolVar(&o.Probe, "probe", o.Probe, "RSET before a connection is used again, as Postfix does")
	f.DurationVar(&o.Idle, "idle", o.Idle, "an idle connection is closed after it")
	f.DurationVar(&o.ReuseFor, "reuse-for", o.ReuseFor, "a connection is used for so long")
	f.IntVar(&o.ReuseCount, "reuse-count", o.ReuseCount, "a connection is used for so many mails; 0 = no limit")
	f.BoolVar(&o.SESTLS, "ses-tls", o.SESTLS, "simulated SES over https")
	f.StringVar(&o.SESLatency, "ses-latency", o.SESLatency, "of the simulated SES: `P50,P99` (lognormal) or one fixed time")
	f.StringVar(&o.CuenoteLatency, "cuenote-latency", o.CuenoteLatency, "of the simulated Cuenote, written alike")
	f.Uint64Var(&o.Seed, "seed", o.Seed, "of sizes, senders and recipients")
	f.StringArrayVar(&o.Thresholds, "threshold", nil, "another limit, `NAME=NUMBER` or NAME=off; names: "+strings.Join(thresholdNames(), ", "))
	f.BoolVar(&o.JSON, "json", false, "print the result as JSON")
	f.BoolVar(&o.Quiet, "quiet", false, "no progress")
}

// check says what is wrong with the options.
func (o *options) check() error {
	if _, err := o.load(); err != nil {
		return err
	}
	for _, text := range []string{o.SESLatency, o.CuenoteLatency} {
		if _, err := parseLatency(text); err != nil {
			return err
		}
	}
	switch {
	case o.Rate <= 0 || o.Rate > 100_000:
		return fmt.Errorf("--rate %g: a rate is above 0 and at most 100000 mails per second", o.Rate)
	case o.For < time.Second || o.For > 24*time.Hour:
		return fmt.Errorf("--for %s: between 1s and 24h", o.For)
	case o.Warmup < 0 || o.Percent < 0 || o.Percent > 100:
		return fmt.Errorf("--warmup is not negative, and --percent is 0 to 100")
	case o.Clients < 1 || o.Room < 0 || o.Attempts < 1 || o.Attempts > 200 || o.Senders < 1:
		return fmt.Errorf("--clients, --attempts and --senders are 1 or more, --attempts at most 200, --room is not negative")
	case o.Instances < 1 || o.Instances > 32:
		return fmt.Errorf("--instances %d: 1 to 32", o.Instances)
	case o.Protocol != "smtp" && o.Protocol != "lmtp":
		return fmt.Errorf("--protocol %q: smtp or lmtp", o.Protocol)
	case o.TLS != "none" && o.TLS != "starttls" && o.TLS != "implicit":
		return fmt.Errorf("--tls %q: none, starttls or implicit", o.TLS)
	case o.Auth && o.TLS == "none":
		return fmt.Errorf("--auth needs --tls starttls or implicit: the relay offers AUTH under TLS only")
	}
	if info, err := os.Stat(o.Relay); err != nil || info.IsDir() {
		return fmt.Errorf("--relay %s: no such program; build it with: make build", o.Relay)
	}
	return nil
}

// load is what the options say about the generator; target and schedule are set
// when the relay runs.
func (o *options) load() (load, error) {
	l := load{
		Reuse:   reuse{Idle: o.Idle, For: o.ReuseFor, Count: o.ReuseCount},
		Clients: o.Clients, Room: o.Room, Attempts: o.Attempts, Backoff: o.Backoff,
		Mail: mailbag{seed: o.Seed, senders: o.Senders, senderDomain: senderDomain},
	}
	var err error
	if l.Mail.sizes, err = parseDistribution(o.Sizes, parseSize); err != nil {
		return l, fmt.Errorf("--sizes: %w", err)
	}
	if l.Mail.recipients, err = parseDistribution(o.Recipients, parseRecipients); err != nil {
		return l, fmt.Errorf("--recipients: %w", err)
	}
	return l, nil
}

// parseLatency reads "80ms,250ms" (P50, P99) or "20ms" (fixed).
func parseLatency(text string) (l simulator.Latency, err error) {
	first, second, both := strings.Cut(text, ",")
	d, err := time.ParseDuration(first)
	if err != nil {
		return l, fmt.Errorf("latency %q: write 80ms,250ms or 20ms", text)
	}
	if !both {
		return simulator.Latency{Fixed: d}, nil
	}
	l.P50 = d
	if l.P99, err = time.ParseDuration(second); err != nil {
		return l, fmt.Errorf("latency %q: write 80ms,250ms or 20ms", text)
	}
	return l, nil
}
