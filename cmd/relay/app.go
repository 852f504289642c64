package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/cmd/relay/internal/notify"
	"sesrelay/internal/admin"
	"sesrelay/internal/cuenote"
	"sesrelay/internal/emf"
	"sesrelay/internal/mask"
	"sesrelay/internal/quota"
	"sesrelay/internal/relay"
	"sesrelay/internal/rollout"
	"sesrelay/internal/ses"
	"sesrelay/internal/smtp"
	"sesrelay/internal/split"
)

// app is one running relay. The parts at the top live as long as the process;
// those in upstreams are made anew when the configuration is read again.
type app struct {
	log                             *slog.Logger
	level                           *slog.LevelVar
	reg                             *prometheus.Registry
	store                           splitStore
	live                            *split.Live
	router                          *split.Router
	quota                           sendingQuota
	ledger                          relay.Ledger
	shared                          *shared // nil: one instance alone
	fleetSize                       atomic.Int64
	memory                          *relay.Budget
	relay                           *relay.Relay
	smtp                            *smtp.Server
	lines                           atomic.Pointer[transactionLog]
	sample                          *sampler
	ready                           atomic.Bool
	draining                        atomic.Bool
	maskKey                         string // of this process, where log.key_file names none
	extra                           appExtra
	cfg                             atomic.Pointer[config.Config]
	upstreams                       atomic.Pointer[upstreams]
	account                         atomic.Pointer[ses.Account] // nil until SES has answered
	accountTrouble, identityTrouble troubles
	identitiesRead                  atomic.Bool
	observers                       []func(*relay.Record)
	api                             *admin.API
	cloudwatch                      *emf.Writer
	rollout                         *rollout.Controller
	told                            []*notify.Queue
	tracer                          relay.Tracer // nil: no traces are wanted
	stopTracing                     func()
}

// upstreams are the two next hops of one configuration.
type upstreams struct {
	ses     *ses.Client
	cuenote *cuenote.Client
	stop    func() // ends what is polled through them
}

// close lets what is under way finish, until ctx ends.
func (u *upstreams) close(ctx context.Context) {
	u.cuenote.Close(ctx)
	u.ses.Close()
}

// appExtra is what the configuration file does not say: the demo's own.
type appExtra struct {
	credentials aws.CredentialsProvider // nil: the SDK's default chain
	rootCAs     *x509.CertPool          // nil: the system's
	anySender   bool                    // every sender domain may go to SES
	routes      []admin.Route           // pages beside the API
	started     func()                  // called once when mail is taken; nil: nobody waits for it
	stdout      io.Writer               // metrics for CloudWatch; nil: os.Stdout
	events      rollout.Events          // instead of rollout.events; nil: as configured
}

// newApp builds a relay from a checked configuration. It opens state.file and
// reads files and credentials, and listens nowhere yet.
func newApp(ctx context.Context, cfg *config.Config, log *slog.Logger, level *slog.LevelVar, extra appExtra) (*app, error) {
	sample := &sampler{}
	log = slog.New(sampledLog{log.Handler(), sample})
	a := &app{log: log, sample: sample, level: level, reg: prometheus.NewRegistry(), extra: extra, maskKey: rand.Text()}
	a.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a.memory = relay.NewBudget(cfg.Limits.Memory)
	if err := a.openState(ctx, cfg); err != nil {
		return nil, err
	}
	a.newTracing(ctx, cfg.Hostname)
	rc, up, err := a.relayConfig(ctx, cfg)
	if err != nil {
		return nil, errors.Join(err, a.closeState())
	}
	masker, err := a.newMasker(cfg)
	if err != nil {
		return nil, errors.Join(err, a.closeState())
	}
	a.setLog(cfg, masker)
	a.relay = relay.New(rc, a.memory, a.reg, a.observe, time.Now)
	a.upstreams.Store(up)
	a.cfg.Store(cfg)
	a.newCloudWatch()
	if err := a.newRollout(ctx, cfg); err != nil {
		return nil, errors.Join(err, a.closeState())
	}
	if err := a.newAdmin(cfg); err != nil {
		return nil, errors.Join(err, a.closeState())
	}
	if a.smtp, err = a.newSMTP(cfg); err != nil {
		return nil, errors.Join(err, a.closeState())
	}
	return a, nil
}

// routerConfig is the part of the configuration that decides routes.
func routerConfig(cfg *config.Config, extra appExtra) split.Config {
	c := split.Config{
		By: split.By(cfg.Split.By), ClientFrom: split.ClientFrom(cfg.Split.ClientFrom),
		Identities: cfg.SES.Identities, MessageSize: cfg.SES.MessageSize,
	}
	if extra.anySender {
		c.Identities = []string{split.AnyIdentity}
	}
	for _, r := range cfg.Split.Rules {
		rule := split.Rule{
			Name: r.Name, Sender: r.Sender, SenderDomain: r.SenderDomain, Recipient: r.Recipient,
			RecipientDomain: r.RecipientDomain, Client: r.Client, NullSender: r.NullSender,
			LargerThan: r.LargerThan, Route: r.Route,
		}
		if r.Percent != nil {
			p := split.Percent(*r.Percent)
			rule.Percent = &p
		}
		c.Rules = append(c.Rules, rule)
	}
	return c
}

func quotaConfig(cfg *config.Config) quota.Config {
	return quota.Config{
		Rate: cfg.Quota.Rate, Day: float64(cfg.Quota.Daily),
		Headroom: cfg.Quota.Headroom, MaxWait: cfg.Quota.MaxWait,
	}
}

// relayConfig makes the upstreams and what the transactions work with.
func (a *app) relayConfig(ctx context.Context, cfg *config.Config) (relay.Config, *upstreams, error) {
	up := &upstreams{}
	var err error
	if up.ses, err = a.newSES(ctx, cfg); err != nil {
		return relay.Config{}, nil, err
	}
	if up.cuenote, err = a.newCuenote(cfg); err != nil {
		return relay.Config{}, nil, err
	}
	breaker := relay.BreakerConfig{
		FailureRatio: cfg.Breaker.FailureRatio, MinRequests: cfg.Breaker.MinRequests, OpenFor: cfg.Breaker.OpenFor,
	}
	return relay.Config{
		Hostname: cfg.Hostname,
		SES: relay.Hop{
			Upstream: up.ses, Breaker: relay.NewBreaker(breaker, time.Now),
			Header: up.ses.Header(), Copies: up.ses.Copies(),
		},
		Cuenote: relay.Hop{Upstream: up.cuenote, Breaker: relay.NewBreaker(breaker, time.Now)},
		Policy: relay.Policy{
			SESUnavailable:     cfg.SES.OnUnavailable == "cuenote",
			SESRejected:        cfg.SES.OnRejected == "cuenote",
			SESExhausted:       cfg.Quota.OnExhausted == "cuenote",
			CuenoteUnavailable: cfg.Cuenote.OnUnavailable == "ses",
		},
		Router: a.router, Quota: a.quota, Ledger: a.ledger,
		MaxRecipients: cfg.Limits.Recipients, Rehearse: cfg.Split.Rehearse, KeepTags: cfg.SES.KeepMessageTags,
		Judge: up.ses.Judge, Tracer: a.tracer,
	}, up, nil
}

// newMasker makes the masker of the log section. Without a key file pseudonyms
// agree within this process only.
func (a *app) newMasker(cfg *config.Config) (*mask.Masker, error) {
	mode, err := mask.ParseMode(cfg.Log.Addresses)
	if err != nil {
		return nil, err
	}
	key, err := config.ReadSecret(cfg.Log.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("log.key_file: %w", err)
	}
	if key == "" {
		key = a.maskKey
	}
	m, err := mask.New(mode, []byte(key))
	if err != nil {
		return nil, fmt.Errorf("log.key_file: %w", err)
	}
	return m, nil
}

// setLog applies the log section.
func (a *app) setLog(cfg *config.Config, m *mask.Masker) {
	a.level.Set(logLevel(cfg.Log))
	a.sample.limit.Store(int64(cfg.Log.InfoPerSecond))
	a.lines.Store(&transactionLog{log: a.log, mask: m, sample: a.sample})
}

// observe takes the record of every finished transaction.
func (a *app) observe(r *relay.Record) {
	a.lines.Load().write(r)
	for _, o := range a.observers {
		o(r)
	}
}

// newSMTP makes the SMTP and LMTP service.
func (a *app) newSMTP(cfg *config.Config) (*smtp.Server, error) {
	sc := smtp.Config{
		Hostname: cfg.Hostname, Listeners: listeners(cfg),
		Limits: smtp.Limits{
			MessageSize: cfg.Limits.MessageSize, Connections: cfg.Limits.Connections,
			ConnectionsPerClient: cfg.Limits.ConnectionsPerClient,
		},
		Begin:  func(env *relay.Envelope) smtp.Transaction { return a.relay.Begin(env) },
		NewID:  func() string { return relay.NewID(time.Now()) },
		Logger: slog.New(sessionMask{a.log.Handler(), func() *mask.Masker { return a.lines.Load().mask }}), Registerer: a.reg,
	}
	var err error
	if sc.Access, err = access(cfg); err != nil {
		return nil, err
	}
	if cfg.TLS.CertificateFile != "" {
		cert, err := smtp.LoadCertificate(cfg.TLS.CertificateFile, cfg.TLS.KeyFile, a.log)
		if err != nil {
			return nil, err
		}
		sc.Certificate = cert.Get
	}
	return smtp.New(sc)
}

// access reads who may relay.
func access(cfg *config.Config) (smtp.Access, error) {
	acc := smtp.Access{Networks: cfg.Access.Networks}
	if cfg.Access.UsersFile == "" {
		return acc, nil
	}
	var err error
	if acc.Users, err = smtp.ReadUsers(cfg.Access.UsersFile); err != nil {
		return acc, fmt.Errorf("access.users_file: %w", err)
	}
	return acc, nil
}

func listeners(cfg *config.Config) []smtp.Listener {
	out := make([]smtp.Listener, len(cfg.Listeners))
	for i, l := range cfg.Listeners {
		out[i] = smtp.Listener{
			Address: l.Address, Protocol: smtp.Protocol(l.Protocol), TLS: smtp.TLSMode(l.TLS),
			ProxyFrom: l.ProxyProtocolFrom,
		}
	}
	return out
}
