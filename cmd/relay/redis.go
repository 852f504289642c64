package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/internal/admin"
	"sesrelay/internal/fleet"
	"sesrelay/internal/ledger"
	"sesrelay/internal/quota"
	"sesrelay/internal/ses"
	"sesrelay/internal/split"
)

// shared is what an instance has in common with the others of its fleet. All of
// it stands in one Redis, and each part says in its own documentation what it
// does without.
type shared struct {
	client  redis.UniversalClient
	store   *split.RedisStore
	fleet   *fleet.Fleet
	quota   *quota.Fleet
	ledger  *ledger.Ledger
	trouble troubles // of Redis
	late    troubles // Redis answers, and not in the time that a mail has
	lateFor int      // looks in a row at which it was; watch's alone
	workers sync.WaitGroup
	end     context.CancelFunc // of the workers; nil: not started
}

// lastWords bounds what is still told to Redis at the end of the process.
const lastWords = time.Second

// openShared makes the client and the store of the split. Redis need not be up.
func openShared(cfg *config.Config) (*shared, error) {
	client, err := fleet.Dial(cfg.State.Redis)
	if err != nil {
		return nil, err
	}
	store, err := split.NewRedisStore(client, cfg.State.Prefix, cfg.State.File)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return &shared{client: client, store: store}, nil
}

// join makes the rest, once the split is read.
func (s *shared) join(a *app, cfg *config.Config) error {
	key, err := config.ReadSecret(cfg.State.SecretFile)
	if err != nil {
		return fmt.Errorf("state.secret_file: %w", err)
	}
	s.fleet = fleet.New(s.client, cfg.State.Prefix, fleet.Config{
		ID: cfg.Hostname, Admin: advertised(cfg), Build: version, Live: a.live, Key: []byte(key), Log: a.log,
	})
	s.store.Tell = s.fleet.Tell
	s.quota, err = quota.NewFleet(quotaConfig(cfg), quota.FleetConfig{
		Client: s.client, Prefix: cfg.State.Prefix, ID: rand.Text(), Size: readFleetSize(cfg.State.File),
	}, a.reg)
	if err != nil {
		return err
	}
	s.ledger = ledger.New(ledger.Config{
		Client: s.client, Prefix: cfg.State.Prefix, TTL: cfg.State.LedgerTTL, Entries: ledgerEntries,
	}, a.reg)
	return nil
}

// start follows the fleet until close.
func (s *shared) start(a *app) {
	ctx, cancel := context.WithCancel(context.Background())
	s.end = cancel
	s.workers.Go(func() { s.store.Run(ctx) })
	s.workers.Go(func() { s.fleet.Run(ctx) })
	s.workers.Go(func() { every(ctx, time.Second, func() { s.watch(a) }) })
	s.workers.Go(func() { every(ctx, publishEvery, func() { s.publish(ctx, a) }) })
}

// watch notes whether Redis answers, and shares Cuenote's rate anew when
// instances have come or gone.
func (s *shared) watch(a *app) {
	_, err := s.up()
	was := s.trouble.now.Load()
	s.trouble.note(err, time.Now())
	switch {
	case err != nil && was == nil:
		a.log.Error("Redis does not answer: the split stays, the quota falls to this instance's share, the ledger is local", "error", err.Error(), "instances", s.size())
	case err == nil && was != nil:
		a.log.Info("Redis answers again", "away", time.Since(was.since).Round(time.Second).String())
	}
	s.watchQuota(err == nil)
	if a.fleetSize.Swap(int64(s.size())) != int64(s.size()) {
		a.shareCuenoteRate(a.cfg.Load(), a.upstreams.Load())
		a.log.Info("the fleet has another size", "instances", s.size())
		writeFleetSize(a.cfg.Load().State.File, s.size(), a.log)
	}
}

// lateAfter is how many looks in a row find the quota without Redis before that
// is worth an alarm: one slow answer is nothing.
const lateAfter = 3

// errLate: the split has its answers, the quota's and the ledger's come too late.
var errLate = errors.New("answers take longer than 100 ms")

// watchQuota notes a Redis that is too slow for the mail's way.
func (s *shared) watchQuota(up bool) {
	if !up || s.quota.Up() {
		s.lateFor = 0
		s.late.note(nil, time.Time{})
		return
	}
	if s.lateFor++; s.lateFor >= lateAfter {
		s.late.note(errLate, time.Now())
	}
}

// up is true when Redis answers all that ask it.
func (s *shared) up() (bool, error) {
	for _, part := range []func() (bool, error){s.store.Up, s.fleet.Up} {
		if up, err := part(); !up {
			return false, err
		}
	}
	return true, nil
}

// size is how many instances there are or, while Redis is away, were last.
func (s *shared) size() int { return max(1, len(s.fleet.Instances())) }

// close leaves the fleet: what is not written yet is, if Redis answers soon. If
// not, that is said, and no failure: the mail is delivered.
func (s *shared) close() error {
	if s == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	if s.ledger != nil {
		s.unwritten(s.ledger.Close(ctx))
	}
	if s.quota != nil {
		s.unwritten(s.quota.Close(ctx))
	}
	if s.end != nil {
		s.end()
		s.workers.Wait()
	}
	return s.client.Close()
}

func (s *shared) unwritten(err error) {
	if err != nil {
		s.fleet.Log.Warn("Redis was not told everything before the end", "error", err.Error())
	}
}

var _ admin.Fleet = (*shared)(nil)

// Instances implements admin.Fleet.
func (s *shared) Instances() []admin.Instance { return instanceViews(s.fleet.Instances()) }

// Look implements admin.Fleet: whoever waits for a change wants no list of a
// second ago.
func (s *shared) Look(ctx context.Context) []admin.Instance {
	return instanceViews(s.fleet.Look(ctx))
}

func instanceViews(all []fleet.Instance) []admin.Instance {
	out := make([]admin.Instance, len(all))
	for i, f := range all {
		out[i] = admin.Instance{ID: f.ID, Version: f.Version, Applied: f.Applied}
	}
	return out
}

// Trouble implements admin.Fleet.
func (s *shared) Trouble() (cause string, since time.Time) {
	if t := s.trouble.now.Load(); t != nil {
		return t.cause, t.since
	}
	return "", time.Time{}
}

// What the instances publish for each other.
const (
	publishedReport  = "report"  // admin.API.Report
	publishedAccount = "account" // ses.Account, by whoever polls it
)

// publishEvery is how old the figures of the other instances are at most.
const publishEvery = 2 * time.Second

// publish gives the others this instance's figures.
func (s *shared) publish(ctx context.Context, a *app) {
	b, err := a.api.Report()
	if err == nil {
		err = s.fleet.Publish(ctx, publishedReport, b)
	}
	if err != nil {
		a.log.Debug("figures are not published", "error", err.Error())
	}
}

// tellAccount gives the others what SES said of the account: one instance asks
// for all. Without Redis each asks for itself.
func (s *shared) tellAccount(acc ses.Account) {
	if b, err := json.Marshal(acc); err == nil {
		_ = s.fleet.Publish(context.Background(), publishedAccount, b)
	}
}

// account is what another instance was told of the account.
func (s *shared) account() (newest ses.Account, ok bool) {
	all, err := s.fleet.Published(context.Background(), publishedAccount)
	if err != nil {
		return newest, false
	}
	for _, b := range all {
		var acc ses.Account
		if json.Unmarshal(b, &acc) == nil && acc.At.After(newest.At) {
			newest = acc
		}
	}
	return newest, newest.Known()
}

// Reports implements admin.Fleet.
func (s *shared) Reports(ctx context.Context) (out [][]byte, err error) {
	if up, err := s.fleet.Up(); !up {
		return nil, err // nobody waits for a Redis that is known to be away
	}
	all, err := s.fleet.Published(ctx, publishedReport)
	for _, b := range all {
		out = append(out, b)
	}
	return out, err
}

// Ask implements admin.Fleet.
func (s *shared) Ask(ctx context.Context, about, text string) (answers [][]byte, missed []string) {
	for _, a := range s.fleet.Ask(ctx, about, text) {
		if a.Err != nil {
			missed = append(missed, a.Instance+" ("+cause(a.Err)+")")
			continue
		}
		answers = append(answers, a.Body)
	}
	return answers, missed
}

// routes are for the other instances. They need no token: what is asked is
// signed with the fleet's secret.
func (s *shared) routes(answer func(about, text string) []byte) []admin.Route {
	return []admin.Route{
		{Pattern: http.MethodPost + " " + fleet.Path, Role: admin.Anyone, Handler: s.fleet.Handler()},
		{Pattern: http.MethodPost + " " + fleet.AskPath, Role: admin.Anyone, Handler: s.fleet.AskHandler(answer)},
	}
}

// advertised is the base URL at which the other instances reach this one's
// API: admin.advertise, else admin.address and, when that is every address of
// the machine, the one from which Redis is reached.
func advertised(cfg *config.Config) string {
	if cfg.Admin.Advertise != "" {
		return cfg.Admin.Advertise
	}
	host, port, err := net.SplitHostPort(cfg.Admin.Address)
	if err != nil {
		return ""
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = addressTowards(cfg.State.Redis)
	}
	if host == "" {
		return ""
	}
	return "http://" + net.JoinHostPort(host, port)
}

// addressTowards is this machine's address on the way to a URL's host; "" when
// there is no way. Nothing is sent.
func addressTowards(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = "6379"
	}
	c, err := net.DialTimeout("udp", net.JoinHostPort(u.Hostname(), port), time.Second)
	if err != nil {
		return ""
	}
	defer c.Close()
	host, _, _ := net.SplitHostPort(c.LocalAddr().String())
	return host
}
