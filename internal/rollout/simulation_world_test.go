package rollout

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"sort"
	"time"

	"sesrelay/internal/split"
)

// perDay is the mail of the migration, of both upstreams together.
const perDay = 5_300_000

// servers are the Postfix servers; each sends to a relay that lives.
const servers = 12

// curve is how the day's mail spreads over the hours in Japan: little before
// dawn, a first peak at noon, the highest in the evening. It adds up to 24.
var curve = [24]float64{0.7, 0.45, 0.3, 0.25, 0.25, 0.35, 0.6, 0.95, 1.15, 1.25, 1.2, 1.2,
	1.4, 1.2, 1.1, 1.1, 1.15, 1.25, 1.3, 1.35, 1.45, 1.55, 1.45, 1.05}

// rateAt is mails a second at a moment.
func rateAt(t time.Time) float64 {
	japan := t.UTC().Add(9 * time.Hour)
	h, part := japan.Hour(), float64(japan.Minute())/60
	return perDay / 86400.0 * (curve[h]*(1-part) + curve[(h+1)%24]*part)
}

// world is the mail, both upstreams and what SES reports, on a virtual clock.
type world struct {
	now    time.Time
	r      *rand.Rand
	live   *split.Live // one for all: that a fleet agrees on it is internal/split's to show
	redis  *sharedRedis
	relays []*simRelay
	events *reports
	seen   *observer
	fault  wrong // what is the matter now
}

// wrong is what the upstreams do to the mail. Shares are from 0 to 1.
type wrong struct {
	ses, cuenote float64       // mail that is not accepted
	unknown      float64       // mail for SES without an answer
	delay        time.Duration // of mail through SES
	late         bool          // and through Cuenote too
	bounce       float64       // of what SES took
	complaint    float64       // of what was delivered
	silent       bool          // SES reports nothing
}

// usual is a system in order: it is not without faults.
var usual = wrong{ses: 0.0006, cuenote: 0.0008, unknown: 0.0001, bounce: 0.0015, complaint: 0.0002}

// simRelay is one process of relay serve.
type simRelay struct {
	name  string
	c     *Controller
	meter *Meter
	read  time.Time
	dead  bool
}

func newWorld(seed uint64, set Settings) (*world, error) {
	w := &world{r: rand.New(rand.NewPCG(seed, 9)), fault: usual}
	w.now = time.Date(2026, 12, 1, w.r.IntN(9), w.r.IntN(60), 0, 0, time.UTC) // 9:00 to 18:00 in Japan
	w.redis = &sharedRedis{Store: NewMemoryStore(), w: w, said: map[string]map[string]*Counts{}}
	w.events = &reports{w: w, by: map[string][]reportedMinute{}}
	w.seen = &observer{w: w}
	live, err := split.NewLive(context.Background(), split.NewMemoryStore(), split.LiveConfig{Now: w.clock})
	if err != nil {
		return nil, err
	}
	w.live = live
	for i := range 3 {
		w.relays = append(w.relays, &simRelay{name: fmt.Sprintf("relay-%d", i+1)})
		if err := w.boot(w.relays[i], set); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *world) clock() time.Time { return w.now }

// boot starts a relay, or starts it again: what it has counted is gone.
func (w *world) boot(s *simRelay, set Settings) (err error) {
	s.meter, s.dead = NewMeter(), false
	s.c, err = New(context.Background(), Config{Instance: s.name, Live: w.live, Store: w.redis, Meter: s.meter, Events: w.events,
		Lease: simLease{w.redis, s.name}, Exchange: simExchange{w.redis, s.name},
		Quota: func() QuotaUse { return QuotaUse{DayMax: 5_500_000, Rate: 2000} },
		Plan:  func(split.Percent) error { return nil },
		Log:   slog.New(slog.DiscardHandler), Now: w.clock}, set)
	return err
}

// living are the relays that run, in order.
func (w *world) living() (out []*simRelay) {
	for _, s := range w.relays {
		if !s.dead {
			out = append(out, s)
		}
	}
	return out
}

// leader is the relay that holds the lease; nil: none.
func (w *world) leader() *simRelay {
	for _, s := range w.living() {
		if s.c.leads {
			return s
		}
	}
	return nil
}

// step is some time of mail, and a look of every relay.
func (w *world) step(d time.Duration) {
	w.now = w.now.Add(d)
	mails := rateAt(w.now.Add(-d/2)) * d.Seconds() / servers
	living := w.living()
	for i := range servers {
		w.send(living[i%len(living)], int64(mails+w.r.Float64()))
	}
	if !w.redis.away {
		for _, s := range living { // they trade every second, and a look may be five
			w.redis.said[s.name] = s.c.Meter.Total()
		}
	}
	for _, s := range living {
		if w.now.Sub(s.read) >= readEvery {
			s.read = w.now
			s.c.ReadEvents(context.Background())
		}
		s.c.Tick(context.Background())
	}
}

// send is the mail of one server by the share in force.
func (w *world) send(s *simRelay, mails int64) {
	applied, f := w.live.Current().Applied(), &w.fault
	toSES := w.draw(mails, applied.Float()/100)
	failed, unknown := w.draw(toSES, f.ses), int64(0)
	unknown = w.draw(toSES-failed, f.unknown)
	took := toSES - failed - unknown
	toCuenote := mails - toSES
	refused := w.draw(toCuenote, f.cuenote)

	s.meter.mu.Lock()
	c := s.meter.counts(applied.Tag())
	c.SES.Failed += failed
	c.SES.Unknown += unknown
	w.accept(&c.SES, took, f.delay)
	c.Cuenote.Failed += refused
	late := time.Duration(0)
	if f.late {
		late = f.delay
	}
	w.accept(&c.Cuenote, toCuenote-refused, late)
	s.meter.mu.Unlock()

	rep := Reported{Send: took, Bounce: w.draw(took, f.bounce)}
	rep.Delivery = took - rep.Bounce
	rep.Complaint = w.draw(rep.Delivery, f.complaint)
	if !f.silent && took > 0 {
		w.events.add(applied.Tag(), rep)
	} else {
		rep = Reported{}
	}
	w.seen.add(look{at: w.now, relay: s.name, ses: tally{took, failed + unknown, f.delay}, cuenote: tally{toCuenote - refused, refused, late}, rep: rep})
}

// accept counts mail as the meter would one by one: a second or two, or late.
func (w *world) accept(h *Hop, n int64, late time.Duration) {
	h.Accepted += n
	h.Recipients += n
	h.Latency.add(latencyScale.bucket(0.05), n)
	slow := w.draw(n, 0.02)
	h.Delay.add(delayScale.bucket(late.Seconds()+1), n-slow)
	h.Delay.add(delayScale.bucket(late.Seconds()+20), slow)
}

// draw is how many of n meet a chance of p: binomial, from Poisson where few
// do and from the normal distribution where many do.
func (w *world) draw(n int64, p float64) int64 {
	mean := float64(n) * p
	switch {
	case p >= 1:
		return n
	case mean <= 0:
		return 0
	case p > 0.5:
		return n - w.draw(n, 1-p)
	case mean > 30:
		return min(n, max(0, int64(math.Round(mean+w.r.NormFloat64()*math.Sqrt(mean*(1-p))))))
	}
	k, left := int64(-1), 1.0
	for floor := math.Exp(-mean); left > floor; k++ {
		left *= w.r.Float64()
	}
	return min(n, k)
}

// errAway is what a client of a Redis that is away gets.
var errAway = errors.New("redis: connection refused")

// sharedRedis is the state, the lease and the counts that the relays share.
type sharedRedis struct {
	Store
	w      *world
	away   bool
	holder string
	until  time.Time
	said   map[string]map[string]*Counts
}

func (f *sharedRedis) Load(ctx context.Context) (State, bool, error) {
	if f.away {
		return State{}, false, errAway
	}
	return f.Store.Load(ctx)
}

func (f *sharedRedis) Swap(ctx context.Context, old int64, next State) error {
	if f.away {
		return errAway
	}
	return f.Store.Swap(ctx, old, next)
}

// state is what is stored, whoever can read it.
func (f *sharedRedis) state() State {
	s, _, _ := f.Store.Load(context.Background())
	return s
}

// simLife is how long a lease lasts without a word, as in cmd/relay.
const simLife = 5 * time.Second

type simLease struct {
	*sharedRedis
	self string
}

func (l simLease) Hold(context.Context) bool {
	if l.away || l.holder != l.self && l.w.now.Before(l.until) {
		return false
	}
	l.holder, l.until = l.self, l.w.now.Add(simLife)
	return true
}

func (l simLease) Holder() string { return l.holder }

type simExchange struct {
	*sharedRedis
	self string
}

// Trade drops what dead relays have said, as their keys in Redis would run out.
func (x simExchange) Trade(_ context.Context, mine map[string]*Counts) (map[string]map[string]*Counts, error) {
	if x.away {
		return nil, errAway
	}
	x.said[x.self] = mine
	for _, s := range x.w.relays {
		if s.dead {
			delete(x.said, s.name)
		}
	}
	others := maps.Clone(x.said)
	delete(others, x.self)
	return others, nil
}

// reports is what CloudWatch holds, by step and minute. A minute can be read
// two minutes after it began.
type reports struct {
	w  *world
	by map[string][]reportedMinute // oldest first
}

type reportedMinute struct {
	at time.Time
	Reported
}

const reportedAfter = 2 * time.Minute

func (e *reports) add(step string, r Reported) {
	m, all := e.w.now.Truncate(time.Minute), e.by[step]
	if n := len(all); n == 0 || all[n-1].at.Before(m) {
		e.by[step] = append(all, reportedMinute{at: m})
	}
	e.by[step][len(e.by[step])-1].Add(r)
}

// Read implements Events.
func (e *reports) Read(_ context.Context, step string, from, to time.Time) (map[time.Time]Reported, error) {
	out := map[time.Time]Reported{}
	all := e.by[step]
	first := sort.Search(len(all), func(i int) bool { return !all[i].at.Before(from) })
	for _, m := range all[first:] {
		if m.at.Before(to) && e.w.now.Sub(m.at) >= reportedAfter {
			out[m.at] = m.Reported
		}
	}
	return out, nil
}
