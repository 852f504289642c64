package quota

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"sesrelay/internal/relay"
)

// Times of a fleet's quota.
const (
	leaseLife   = 250 * time.Millisecond // of a token that nobody used
	answerTime  = 100 * time.Millisecond // for Redis; longer is away
	answerSlack = 50 * time.Millisecond  // for this process, to notice
	retryAway   = 250 * time.Millisecond // between two questions while it is away
	beat        = time.Second            // between two reports at the latest
	turnLife    = 90 * time.Second       // of the poller's lease
	turnRest    = 30 * time.Second       // between the fleet's questions, also when the poller leaves
)

// FleetConfig says what a Fleet stands on.
type FleetConfig struct {
	Client redis.UniversalClient // made with ContextTimeoutEnabled and MaxRetries -1
	Prefix string                // state.prefix
	ID     string                // of this run of this instance: never used before
	Size   int                   // instances to reckon with while Redis has never answered; 0: 1
	Turn   time.Duration         // life of the poller's lease: some polling intervals; 0: 90 s
}

// Fleet is the sending quota of many instances together (relay.Quota). It is
// safe for concurrent use. What an instance may send it borrows from Redis in
// small leases; while Redis is away it takes its share of the rate.
type Fleet struct {
	fleet   FleetConfig
	metrics *metrics
	keys    []string
	kick    chan struct{} // somebody waits, or there is news for Redis
	stop    context.CancelFunc
	done    chan struct{}

	mu     sync.Mutex // guards what follows; never held while waiting
	cfg    Config
	ledger book
}

var _ relay.Quota = (*Fleet)(nil)

// NewFleet starts the quota of an instance. Redis need not be up. reg may be nil.
func NewFleet(cfg Config, fleet FleetConfig, reg prometheus.Registerer) (*Fleet, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if fleet.Client == nil || fleet.ID == "" {
		return nil, errors.New("quota: a fleet needs a Redis client and an id for this instance")
	}
	if fleet.Turn == 0 {
		fleet.Turn = turnLife
	}
	ctx, stop := context.WithCancel(context.Background())
	f := &Fleet{fleet: fleet, cfg: cfg, keys: fleetKeys(fleet.Prefix), kick: make(chan struct{}, 1), stop: stop, done: make(chan struct{})}
	f.ledger = newBook(time.Now(), max(1, fleet.Size))
	f.metrics = newMetrics(reg, f.Status)
	go f.run(ctx)
	f.wake()
	return f, nil
}

// fleetKeys puts all names in one hash slot: what stands in braces is hashed.
func fleetKeys(prefix string) []string {
	if prefix == "" {
		prefix = "relay:" // empty braces would not be a tag
	}
	base := "{" + prefix + "}quota:"
	return []string{base + "state", base + "minutes", base + "members", base + "reports", base + "turn"}
}

// Close makes the last report, bounded by ctx, and ends the exchange with
// Redis. The client stays open: it is the caller's.
func (f *Fleet) Close(ctx context.Context) error {
	f.stop()
	<-f.done
	f.mu.Lock()
	ask := f.ledger.farewell(time.Now(), &f.cfg)
	f.mu.Unlock()
	if _, err := f.ask(ctx, ask); err != nil {
		return fmt.Errorf("quota: last report: %w", err)
	}
	if err := f.fleet.Client.ZRem(ctx, f.keys[2], f.fleet.ID).Err(); err != nil {
		return fmt.Errorf("quota: leave the fleet: %w", err)
	}
	if err := leaveScript.Run(ctx, f.fleet.Client, []string{f.keys[4], f.keys[0]}, f.fleet.ID, turnRest.Milliseconds()).Err(); err != nil {
		return fmt.Errorf("quota: leave the poller's lease: %w", err)
	}
	return nil
}

func (f *Fleet) wake() {
	select {
	case f.kick <- struct{}{}:
	default: // it is awake already
	}
}

// answered is what became of a question.
type answered struct {
	sent, heard time.Time
	reply       reply
	err         error
}

// run talks with Redis, one question at a time, and lends tokens by itself
// while Redis is away.
func (f *Fleet) run(ctx context.Context) {
	defer close(f.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	answers := make(chan answered, 1)
	asking := false
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-answers:
			asking = false
			f.hear(a)
		case <-f.kick:
		case <-timer.C:
		}
		now := time.Now()
		f.mu.Lock()
		q, due, next := f.ledger.next(now, &f.cfg, asking)
		f.mu.Unlock()
		if due {
			asking = true
			go func() { answers <- f.put(ctx, q, now) }()
		}
		timer.Reset(next)
	}
}

// put asks, and waits for the answer no longer than a client's mail may.
func (f *Fleet) put(ctx context.Context, q question, sent time.Time) answered {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	r, err := f.ask(ctx, q)
	return answered{sent: sent, heard: time.Now(), reply: r, err: err}
}

func (f *Fleet) hear(a answered) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a.err != nil || a.heard.Sub(a.sent) > answerTime+answerSlack {
		f.ledger.unheard(a.heard, &f.cfg)
		return
	}
	f.ledger.heard(a.sent, a.heard, a.reply, &f.cfg)
}

// ask runs the lease script.
func (f *Fleet) ask(ctx context.Context, q question) (r reply, err error) {
	bit := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	words, err := leaseScript.Run(ctx, f.fleet.Client, f.keys[:4], f.fleet.ID, q.rate, q.depth, q.few.n, q.few.needed, q.many.n, q.many.needed,
		q.spare, q.fewAhead.Milliseconds(), q.manyAhead.Milliseconds(), q.dayMax, q.sent, q.acked, q.held,
		bit(q.back), q.known, q.instances, int(q.throttled), q.epoch).StringSlice()
	if err != nil {
		return r, fmt.Errorf("quota: lease: %w", err)
	}
	v := make([]float64, len(words))
	for i, w := range words {
		if v[i], err = strconv.ParseFloat(w, 64); err != nil {
			return r, fmt.Errorf("quota: lease: %w", err)
		}
	}
	if len(v) != 14 {
		return r, fmt.Errorf("quota: lease: %d values are none of our answers", len(v))
	}
	return reply{lent: int(v[0]), extra: int(v[1]), from: ms(v[2]), gap: ms(v[3]), ahead: ms(v[4]), instances: int(v[5]),
		lost: v[6], part: v[7], used: v[8], dayUntil: ms(v[9]), rate: v[10], day: v[11], short: v[12] > 0, epoch: int64(v[13])}, nil
}

func ms(v float64) time.Duration { return time.Duration(v * float64(time.Millisecond)) }

// Turn reports whether this instance is the one that polls GetAccount for the
// fleet. It takes the lease when it is free, and prolongs its own. While Redis
// is away everybody polls: each for itself.
func (f *Fleet) Turn() bool {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	mine, err := turnScript.Run(ctx, f.fleet.Client, f.keys[4:], f.fleet.ID, f.fleet.Turn.Milliseconds()).Int()
	return err != nil || mine == 1
}

// SetAccount brings SendQuota of GetAccount, as Limiter's, for the fleet. Call
// it where Turn is true. It waits for Redis a short time.
func (f *Fleet) SetAccount(max24, maxRate, sent float64) {
	a, ok := readAccount(max24, maxRate, sent)
	if !ok {
		return
	}
	f.mu.Lock()
	f.ledger.setAccount(a, sent, &f.cfg)
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	// Without Redis the account counts here; the next poll tells the others.
	_ = accountScript.Run(ctx, f.fleet.Client, f.keys[:1], a.Rate, a.Day, sent).Err()
	f.wake()
}
