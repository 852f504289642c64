package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"sesrelay/internal/relay"
)

// Times of the ledger.
const (
	claimLife    = 150 * time.Second      // longer than any attempt may run
	claimWait    = 10 * time.Second       // for another attempt that is still running
	mailPath     = 100 * time.Millisecond // for one answer of Redis
	rememberLife = time.Hour
)

// Config sets a Ledger.
type Config struct {
	Client  redis.UniversalClient // made with ContextTimeoutEnabled and MaxRetries -1
	Prefix  string                // state.prefix
	TTL     time.Duration         // of a receipt
	Entries int                   // receipts that this instance keeps in memory, at most
	Now     func() time.Time      // the clock of what is kept in memory; nil: time.Now

	Wait    time.Duration // for another attempt that is still running; 0: 10 s
	Timeout time.Duration // for one answer of Redis on the mail's path; 0: 100 ms
	News    time.Duration // between two readings of the failover memory; 0: 1 s
}

// Ledger is the duplicate ledger of a fleet (relay.Ledger). It is safe for
// concurrent use. After Close it works without Redis.
type Ledger struct {
	cfg        Config
	keys       keys
	local      *relay.MemoryLedger
	remembered *memory
	lookups    *pipe
	settling   *settlements
	metrics    *metrics
	stop       context.CancelFunc
	workers    sync.WaitGroup
}

var _ relay.Ledger = (*Ledger)(nil)

// New starts a ledger. Redis need not be up. reg may be nil.
func New(cfg Config, reg prometheus.Registerer) *Ledger {
	cfg.fill()
	ctx, stop := context.WithCancel(context.Background())
	l := &Ledger{
		cfg: cfg, keys: newKeys(cfg.Prefix), stop: stop,
		local:      relay.NewMemoryLedger(cfg.TTL, cfg.Entries, cfg.Now),
		remembered: newMemory(rememberLife, cfg.Now),
		metrics:    newMetrics(reg),
	}
	l.lookups = newPipe(cfg.Client, cfg.Timeout)
	l.settling = newSettlements(cfg.Client, cfg.Now, l.metrics)
	for range lookupWorkers {
		l.workers.Go(func() { l.lookups.run(ctx) })
	}
	l.workers.Go(func() { l.settling.run(ctx) })
	l.workers.Go(func() { l.readNews(ctx) })
	return l
}

func (c *Config) fill() {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Wait == 0 {
		c.Wait = claimWait
	}
	if c.Timeout == 0 {
		c.Timeout = mailPath
	}
	if c.News == 0 {
		c.News = time.Second
	}
}

// Close writes what is not settled yet, bounded by ctx, and lets Redis go. The
// client stays open: it is the caller's.
func (l *Ledger) Close(ctx context.Context) error {
	err := l.settling.flush(ctx)
	l.stop()
	l.workers.Wait()
	return err
}

// Claim implements relay.Ledger. This instance's own twin is asked first: it
// knows without Redis what this process accepted or is just sending.
func (l *Ledger) Claim(ctx context.Context, fp relay.Fingerprint, owner string) (relay.Claim, error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Wait)
	defer cancel()
	own, err := l.local.Claim(ctx, fp, owner)
	if err != nil || own.State != relay.Claimed {
		return own, err
	}
	theirs, err := l.claimShared(ctx, fp, owner)
	if err != nil {
		l.metrics.alone.Inc()
		return own, nil
	}
	if theirs.State != relay.Claimed {
		l.local.Release(fp, owner)
	}
	return theirs, nil
}

// The first and the longest pause between two questions about an attempt that
// runs on another instance.
const (
	askFirst = 10 * time.Millisecond
	askLast  = 250 * time.Millisecond
)

// claimShared asks Redis until the attempt of another instance has ended or
// ctx is done. Once it was heard that one is running, no answer is no permission
// any more: this instance would send beside it.
func (l *Ledger) claimShared(ctx context.Context, fp relay.Fingerprint, owner string) (relay.Claim, error) {
	heard, unanswered := false, false
	for pause := askFirst; ; pause = min(2*pause, askLast) {
		claim, running, err := l.claimOnce(fp, owner)
		switch {
		case err == nil && !running, err != nil && !heard:
			return claim, err
		case err != nil:
			unanswered = true
		}
		heard = true
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			if unanswered { // one of the answers may have been that the claim is ours
				l.settling.add(l.release(fp, owner))
			}
			return relay.Claim{State: relay.Busy}, nil
		}
	}
}

// claimOnce asks Redis once; running reports that another attempt holds the
// claim. It does not heed the client's leaving: a claim that Redis has made
// must be known, to be settled.
func (l *Ledger) claimOnce(fp relay.Fingerprint, owner string) (c relay.Claim, running bool, err error) {
	reply, err := l.lookups.eval(claimScript, l.keys.of(fp), owner, claimLife.Milliseconds())
	if err != nil {
		return c, false, fmt.Errorf("ledger: claim: %w", err)
	}
	words, ok := reply.([]any)
	if !ok || len(words) != 3 {
		return c, false, errors.New("ledger: claim: the answer of Redis is none of ours")
	}
	state, _ := words[0].(string)
	value, _ := words[1].(string)
	unknowns, _ := words[2].(int64)
	c.Unknowns = int(unknowns)
	switch state {
	case "free":
		c.State = relay.Claimed
	case "accepted":
		c.State, c.Receipt = relay.Duplicate, unpack(value)
	case "unknown":
		c.State = relay.Busy
	case "running":
		running = true
	default: // nobody would ever end it: the mail must not wait for it
		return c, false, errors.New("ledger: claim: what Redis holds is none of ours")
	}
	return c, running, nil
}

// Accept implements relay.Ledger.
func (l *Ledger) Accept(fp relay.Fingerprint, owner string, r relay.Receipt) {
	l.local.Accept(fp, owner, r)
	l.settling.add(settlement{op: opAccept, script: acceptScript, keys: l.keys.of(fp), args: []any{pack(r), l.cfg.TTL.Milliseconds()}})
}

// Release implements relay.Ledger.
func (l *Ledger) Release(fp relay.Fingerprint, owner string) {
	l.local.Release(fp, owner)
	l.settling.add(l.release(fp, owner))
}

func (l *Ledger) release(fp relay.Fingerprint, owner string) settlement {
	return settlement{op: opRelease, script: releaseScript, keys: l.keys.of(fp), args: []any{owner}}
}

// MarkUnknown implements relay.Ledger.
func (l *Ledger) MarkUnknown(fp relay.Fingerprint, owner string, route relay.Route) {
	l.local.MarkUnknown(fp, owner, route)
	count := 0
	if route == relay.SES {
		count = 1
	}
	l.settling.add(settlement{op: opUnknown, script: unknownScript, keys: l.keys.of(fp), args: []any{owner, count, l.cfg.TTL.Milliseconds()}})
}

// Remember implements relay.Ledger.
func (l *Ledger) Remember(key relay.Fingerprint) {
	l.remembered.put(key, l.cfg.Now().Add(rememberLife))
	l.settling.add(settlement{op: opRemember, script: rememberScript, keys: []string{l.keys.remembered},
		args: []any{string(key[:]), rememberLife.Milliseconds(), maxRemembered}})
}

// Remembered implements relay.Ledger. It is answered from memory: what another
// instance remembered is known here within Config.News, and the client does
// not come again that soon.
func (l *Ledger) Remembered(key relay.Fingerprint) bool { return l.remembered.has(key) }

// keys are the names of a fleet's ledger in Redis.
type keys struct{ flight, unknowns, remembered string }

// newKeys puts all names in one hash slot: what stands in braces is hashed.
func newKeys(prefix string) keys {
	if prefix == "" {
		prefix = "relay:" // empty braces would not be a tag
	}
	base := "{" + prefix + "}ledger:"
	return keys{flight: base + "f:", unknowns: base + "n:", remembered: base + "remembered"}
}

func (k *keys) of(fp relay.Fingerprint) []string {
	raw := string(fp[:])
	return []string{k.flight + raw, k.unknowns + raw}
}

// separator stands in no field of a receipt: all are printable.
const separator = "\x00"

func pack(r relay.Receipt) string {
	return "a" + strings.Join([]string{string(r.Route), r.RelayID, r.ID, r.Text}, separator)
}

func unpack(s string) (r relay.Receipt) {
	f := strings.SplitN(strings.TrimPrefix(s, "a"), separator, 4)
	if len(f) == 4 {
		r = relay.Receipt{Route: relay.Route(f[0]), RelayID: f[1], ID: f[2], Text: f[3]}
	}
	return r
}
