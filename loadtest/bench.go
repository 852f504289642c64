package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sesrelay/internal/simulator"
)

// benchOptions are what "loadtest bench" is told.
type benchOptions struct {
	Relays   []string // NAME=FILE, or FILE
	Routes   []string
	Peers    []string
	Haraka   string // folder with node_modules/Haraka
	Mails    int
	Rounds   int
	Sessions int
	Size     string
	Sizes    []string
	Profile  string // prefix of files
}

// benchRoutes are the ways through a relay that are measured.
var benchRoutes = []string{"ses-https", "ses-http", "cuenote"}

func newBench() *cobra.Command {
	cmd := &cobra.Command{Use: "bench", Args: cobra.NoArgs,
		Short: "CPU time and memory of a mail, from outside, beside Postfix and Haraka",
		Long: `bench drives "relay serve", with everything on, and other relays with Postfix's smtp-source into the same
sinks, one after the other, in several rounds, and reads from /proc what each process has used. Its lines are ready for benchstat.
Without a subcommand: cpu, sizes and memory.`}
	o := &benchOptions{}
	o.flags(cmd.PersistentFlags())
	run := func(parts ...func(context.Context, *bench) error) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, _ []string) error {
			return runBench(cmd.Context(), cmd.OutOrStdout(), o, parts)
		}
	}
	cmd.RunE = run(benchCPU, benchSizes, benchMemory)
	cmd.AddCommand(
		&cobra.Command{Use: "cpu", Short: "CPU seconds of 1,000 mails, beside the peers", Args: cobra.NoArgs, RunE: run(benchCPU)},
		&cobra.Command{Use: "sizes", Short: "CPU time of a mail by its size", Args: cobra.NoArgs, RunE: run(benchSizes)},
		&cobra.Command{Use: "memory", Short: "Memory of idle connections, of mails in flight, and at the limit", Args: cobra.NoArgs, RunE: run(benchMemory)},
	)
	return cmd
}

func (o *benchOptions) flags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringArrayVar(&o.Relays, "relay", []string{"bin/relay"}, "a relay's binary, `[NAME=]FILE`; several are compared")
	f.StringSliceVar(&o.Routes, "routes", benchRoutes, "of the relay")
	f.StringSliceVar(&o.Peers, "peers", []string{"postfix", "haraka", "bare"}, `beside it; bare passes packets on and does nothing else; "" = none`)
	f.StringVar(&o.Haraka, "haraka", ".cache/haraka", "`FOLDER` in which npm has installed Haraka")
	f.IntVar(&o.Mails, "mails", 10_000, "of each measurement; a quarter of it for the peers")
	f.IntVar(&o.Rounds, "rounds", 5, "the median of them counts")
	f.IntVar(&o.Sessions, "sessions", 100, "of smtp-source, at once")
	f.StringVar(&o.Size, "size", "8KiB", "of a mail's body")
	f.StringSliceVar(&o.Sizes, "sizes", []string{"8KiB", "100KiB", "1MiB", "10MiB", "40MiB"}, "what sizes measures; SES takes 28MiB at most, and gets 27MiB instead of more")
	f.StringVar(&o.Profile, "profile", "", "save CPU and allocation profiles of the relays as `PREFIX`-NAME-ROUTE.{cpu,allocs}; measures with them on")
}

// check says what is wrong with the options.
func (o *benchOptions) check() error {
	for _, r := range o.Routes {
		if !slices.Contains(benchRoutes, r) {
			return fmt.Errorf("--routes %q: %s", r, strings.Join(benchRoutes, ", "))
		}
	}
	for _, s := range append([]string{o.Size}, o.Sizes...) {
		if _, err := parseSize(s); err != nil {
			return err
		}
	}
	if o.Mails < 100 || o.Rounds < 1 || o.Sessions < 1 || o.Sessions > 2000 {
		return errors.New("--mails is 100 or more, --rounds 1 or more, --sessions 1 to 2000")
	}
	for _, r := range o.Relays {
		if info, err := os.Stat(relayFile(r)); err != nil || info.IsDir() {
			return fmt.Errorf("--relay %s: no such program; build it with: make build", r)
		}
	}
	return nil
}

// relayFile and relayName are the parts of [NAME=]FILE.
func relayFile(text string) string {
	if _, file, named := strings.Cut(text, "="); named {
		return file
	}
	return text
}

func relayName(text string) string {
	if name, _, named := strings.Cut(text, "="); named {
		return name
	}
	return filepath.Base(text)
}

// bench is one run: the sinks that everything delivers to, and what is written.
type bench struct {
	*benchOptions
	out     io.Writer
	dir     string
	sinks   map[bool]*benchSink // by whether SES speaks TLS
	systems []*system
	serial  int // of the systems' folders
}

// benchSink is a sink process.
type benchSink struct {
	*process
	addrs   sinkAddresses
	control sinkClient
	ca      string // file; "" without TLS
}

// runBench makes the sinks, runs the parts, and ends what it has started.
func runBench(ctx context.Context, out io.Writer, o *benchOptions, parts []func(context.Context, *bench) error) (err error) {
	if err := o.check(); err != nil {
		return usageError(err)
	}
	if _, err := smtpSource(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "relay-bench") // short: Postfix's sockets lie below
	if err != nil {
		return err
	}
	b := &bench{benchOptions: o, out: out, dir: dir, sinks: map[bool]*benchSink{}}
	defer func() { err = errors.Join(err, b.stopSystems(), b.tearDown()) }()
	if err := os.Chmod(dir, 0o755); err != nil { // Postfix gives up root
		return err
	}
	b.head()
	for _, part := range parts {
		if err := errors.Join(part(ctx, b), b.stopSystems()); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) tearDown() (err error) {
	for _, s := range b.sinks {
		err = errors.Join(err, s.stop(5*time.Second))
	}
	return errors.Join(err, os.RemoveAll(b.dir))
}

// sink returns the sink with or without TLS, started when it is first needed.
func (b *bench) sink(ctx context.Context, tls bool) (*benchSink, error) {
	if s := b.sinks[tls]; s != nil {
		return s, nil
	}
	dir, err := b.folder("sink")
	if err != nil {
		return nil, err
	}
	s := &benchSink{}
	o := sinkOptions{SESTLS: tls, Records: 1000, IDs: 1000}
	if tls {
		s.ca = filepath.Join(dir, "ses.pem")
		o.Certificate = s.ca
	}
	if s.process, s.addrs, err = startSink(ctx, dir, o); err != nil {
		return nil, err
	}
	b.sinks[tls] = s
	s.control = sinkClient{s.addrs.Control}
	account := simulator.Account{MaxSendRate: 100_000, Max24HourSend: 1e9} // counts, and does not bind
	return s, s.control.set(ctx, "ses", sinkState{Account: &account})
}

// folder makes a new folder for a process.
func (b *bench) folder(name string) (string, error) {
	b.serial++
	dir := filepath.Join(b.dir, fmt.Sprintf("%s-%d", name, b.serial))
	return dir, os.Mkdir(dir, 0o755)
}

// arrived is how many mails both hops of a sink have taken.
func (s *benchSink) arrived(ctx context.Context) (int64, error) {
	st, err := s.control.stats(ctx)
	return st.SES.Messages + st.Cuenote.Messages, err
}
