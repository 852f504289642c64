package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/internal/admin"
	"sesrelay/internal/simulator"
)

// demoKey signs the demo's requests; the simulated SES checks the signature.
const demoKeyID, demoSecret = "AKIDDEMO", "demo-secret"

// runDemo runs the whole system on loopback: the relay as serve runs it, and
// behind it a simulated SES and a simulated Cuenote that keep what they get.
func runDemo(ctx context.Context, o demoOptions) error {
	cfg := demoConfig(o)
	store := simulator.NewStore(simulator.StoreConfig{})
	sesHop, err := simulator.NewSES(simulator.SESConfig{
		Store: store, ConfigurationSets: []string{cfg.SES.ConfigurationSet},
		Credentials: map[string]string{demoKeyID: demoSecret},
		Account:     demoAccount(o),
	})
	if err != nil {
		return fmt.Errorf("simulated SES: %w", err)
	}
	defer sesHop.Close()
	cuenoteHop, err := simulator.NewSMTP(simulator.SMTPConfig{Store: store, SMTPUTF8: true})
	if err != nil {
		return fmt.Errorf("simulated Cuenote: %w", err)
	}
	defer cuenoteHop.Close()
	cfg.SES.Endpoint, cfg.Cuenote.Address = sesHop.URL(), cuenoteHop.Addr()

	level := &slog.LevelVar{}
	log := newLogger(os.Stderr, "text", level)
	a, err := newApp(ctx, cfg, log, level, appExtra{
		credentials: credentials.NewStaticCredentialsProvider(demoKeyID, demoSecret, ""), anySender: true, routes: demoRoutes(store),
		started: func() {
			greet(os.Stdout, o)
			if o.Traffic > 0 {
				go demoTraffic(ctx, o.SMTP, o.Traffic, log)
			}
		},
	})
	if err != nil {
		return err
	}
	a.level.Set(slog.LevelWarn)
	err = a.run(ctx, func() error { return fmt.Errorf("the demo has no configuration file") })
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("%w\nSomething else listens there. Choose other addresses: relay demo --smtp 127.0.0.1:2526 --http 127.0.0.1:8026", err)
	}
	return err
}

// demoConfig is the default configuration on the demo's addresses.
func demoConfig(o demoOptions) *config.Config {
	cfg := config.Default()
	cfg.Hostname = "relay.demo"
	cfg.Listeners = []config.Listener{{Address: o.SMTP, Protocol: "smtp", TLS: "none"}}
	cfg.Admin.Address = o.HTTP
	cfg.Access.Networks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	cfg.Drain.Grace = 0
	return cfg
}

func demoAccount(o demoOptions) simulator.Account {
	return simulator.Account{MaxSendRate: o.QuotaRate, Max24HourSend: o.QuotaDay}
}

// demoRoutes shows what arrived.
func demoRoutes(store *simulator.Store) []admin.Route {
	return []admin.Route{
		{Pattern: "GET /demo/messages", Role: admin.Readonly, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(store.Summaries(0))
		})},
		{Pattern: "GET /demo/style.css", Role: admin.Readonly, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/css; charset=utf-8")
			io.WriteString(w, demoStyle)
		})},
		{Pattern: "GET /demo", Role: admin.Readonly, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			writeDemoPage(w, store.Summaries(200))
		})},
	}
}

// greet says what to do next.
func greet(w io.Writer, o demoOptions) {
	fmt.Fprintf(w, `relay demo: mail on %[1]s, console on http://%[2]s

Send a mail (any SMTP client will do):

  %[3]s

See it arrive:

  curl -s http://%[2]s/demo/messages        or open http://%[2]s/demo

It went to Cuenote, because the split is 0 %%. Move a quarter of the mail to SES:

  relay split set 25 --reason "week 1"%[4]s

and back at once:

  relay brake%[4]s

Ctrl-C ends the demo. Nothing is kept.
`, o.SMTP, o.HTTP, tryMail(o.SMTP), apiFlag(o.HTTP))
}

// tryMail is a command that sends a mail with what every machine has.
func tryMail(addr string) string {
	return fmt.Sprintf(`printf 'From: you@goo.ne.jp\nTo: friend@example.jp\nSubject: Hello\n\nHello from the demo.\n' |
    curl -sS smtp://%s --mail-from you@goo.ne.jp --mail-rcpt friend@example.jp -T - --crlf`, addr)
}

// apiFlag is what the CLI needs when the API is not at its default address.
func apiFlag(addr string) string {
	if strings.HasSuffix(addr, ":8025") {
		return ""
	}
	return " --api http://" + addr
}
