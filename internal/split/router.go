package split

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"sesrelay/internal/relay"
)

// Config is what a Router goes by besides the live percentage.
type Config struct {
	By         By         // "" is message
	ClientFrom ClientFrom // "" is address
	Salt       string     // of the sticky buckets; the same on every instance of a fleet
	Rules      []Rule
	// Identities are the sender domains, with their subdomains, that may go to
	// SES. Empty: those that SetIdentities brings, and nobody before that.
	Identities  []string
	MessageSize int64 // bytes that SES takes; 0: no limit

	Draw func() uint64    // 64 random bits for each transaction; nil is math/rand/v2
	Now  func() time.Time // nil is time.Now
}

// settings is a Config made ready. It never changes.
type settings struct {
	Config
	rules *Rules
}

// Router decides routes (relay.Router). It is safe for concurrent use, and
// none of its methods waits for anything.
type Router struct {
	live  *Live
	cfg   atomic.Pointer[settings]
	known atomic.Pointer[identities]

	mu        sync.Mutex // held to change cfg or known
	delivered *identities
}

var _ relay.Router = (*Router)(nil)

// NewRouter returns a router that applies the live value.
func NewRouter(live *Live, cfg Config) (*Router, error) {
	r := &Router{live: live, delivered: &identities{}}
	r.known.Store(r.delivered)
	if err := r.Reconfigure(cfg); err != nil {
		return nil, err
	}
	return r, nil
}

// Reconfigure replaces the configuration for the next transaction. With an
// error the old one stays.
func (r *Router) Reconfigure(cfg Config) error {
	s, configured, err := prepare(cfg)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	next := *r.delivered
	if len(cfg.Identities) > 0 {
		next = *configured
	}
	next.refused = r.known.Load().refused
	r.known.Store(&next)
	r.cfg.Store(s)
	return nil
}

func prepare(cfg Config) (*settings, *identities, error) {
	var err error
	if cfg.By, err = ParseBy(string(cfg.By)); err != nil {
		return nil, nil, err
	}
	if cfg.ClientFrom, err = ParseClientFrom(string(cfg.ClientFrom)); err != nil {
		return nil, nil, err
	}
	rules, err := Compile(cfg.Rules)
	if err != nil {
		return nil, nil, err
	}
	configured, err := newIdentities(cfg.Identities)
	if err != nil {
		return nil, nil, err
	}
	if cfg.Draw == nil {
		cfg.Draw = rand.Uint64
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &settings{Config: cfg, rules: rules}, configured, nil
}

// SetIdentities brings what SES lists as verified. It is in force only while
// the configuration names none.
func (r *Router) SetIdentities(names []string) error {
	id, err := newIdentities(names)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delivered = id
	if len(r.cfg.Load().Identities) > 0 {
		return nil
	}
	next := *id
	next.refused = r.known.Load().refused
	r.known.Store(&next)
	return nil
}

// MarkUnverified keeps mail from a domain, and from those below it, away from
// SES until the given time: SES refused its identity.
func (r *Router) MarkUnverified(domain string, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known.Store(r.known.Load().withRefused(domain, until, r.cfg.Load().Now()))
}

// Verified reports whether a domain is, or lies under, an identity that may
// send through SES.
func (r *Router) Verified(domain string) bool {
	return r.known.Load().verified("", domain, r.cfg.Load().Now())
}

// By returns what the split goes by.
func (r *Router) By() By { return r.cfg.Load().By }

// Route decides the route of a transaction at its first recipient, or of one
// recipient over LMTP. The live value is read once.
func (r *Router) Route(env *relay.Envelope, to relay.Address) relay.Decision {
	cfg := r.cfg.Load()
	d, share := r.decide(cfg, env, to)
	bucket := cfg.bucket(env, to)
	switch {
	case toSES(bucket, share.applied):
		d.Route = relay.SES
	case toSES(bucket, share.requested):
		d.Held = true
	}
	return d
}

// shares are the percentages of SES for such mail, without the brake and with it.
type shares struct{ requested, applied Percent }

// decide returns the shares of SES for such mail, and the decision before the
// bucket is asked.
func (r *Router) decide(cfg *settings, env *relay.Envelope, to relay.Address) (relay.Decision, shares) {
	now := r.live.Current()
	applied := now.Applied()
	d := relay.Decision{Route: relay.Cuenote, Reason: relay.ReasonSplit, Version: now.Version, Step: applied.Tag(), SESOpen: applied > 0}
	if reason := r.fit(cfg, env, to); reason != "" {
		d.Reason, d.SESOpen = reason, false
		return d, shares{}
	}
	split := shares{now.SESPercent, applied}
	rule := cfg.rules.first(env, to)
	if rule == nil {
		return d, split
	}
	d.Rule = rule.name
	if rule.live {
		return d, split
	}
	d.Reason = relay.ReasonRule
	d.SESOpen = d.SESOpen && !rule.pinned()
	return d, shares{rule.share, min(rule.share, now.Ceiling)} // the brake holds for rules too
}

// Explanation is what Explain says.
type Explanation struct {
	relay.Decision
	Share Percent // of such mail that goes to SES
	Drawn bool    // anew for each transaction; Route is then where more of it goes
	From  Percent // the least share at which this key goes to SES; 0 where no key decides
}

// Explain says where a mail would go, without a draw: asked twice, it gives the
// same answer.
func (r *Router) Explain(env *relay.Envelope, to relay.Address) Explanation {
	cfg := r.cfg.Load()
	d, s := r.decide(cfg, env, to)
	share := s.applied
	e := Explanation{Decision: d, Share: share, Drawn: cfg.By == ByMessage && share > 0 && share < Full}
	bucket := Full / 2
	if cfg.By != ByMessage {
		bucket = cfg.bucket(env, to)
		if e.Reason == relay.ReasonSplit {
			e.From = bucket + 1
		}
	}
	if toSES(bucket, share) {
		e.Route = relay.SES
	}
	return e
}

func (c *settings) bucket(env *relay.Envelope, to relay.Address) Percent {
	if c.By == ByMessage {
		return scale(c.Draw())
	}
	return Bucket(c.Salt, Key(c.By, c.ClientFrom, env, to))
}

func (r *Router) fit(cfg *settings, env *relay.Envelope, to relay.Address) relay.Reason {
	if reason := cfg.fitEnvelope(env, r.known.Load()); reason != "" {
		return reason
	}
	return fitAddress(to)
}

// FitRecipient says why SES cannot take this recipient or this envelope; ""
// when it can. A recipient whose rule says cuenote counts as one that SES
// cannot take: a pin holds for later recipients too, and against overflow.
func (r *Router) FitRecipient(env *relay.Envelope, to relay.Address) relay.Reason {
	cfg := r.cfg.Load()
	if reason := r.fit(cfg, env, to); reason != "" {
		return reason
	}
	if rule := cfg.rules.first(env, to); rule != nil && rule.pinned() {
		return relay.ReasonRule
	}
	return ""
}

// FitContent says why SES cannot take this content; "" when it can.
func (r *Router) FitContent(_ *relay.Envelope, c *relay.Content) relay.Reason {
	return r.cfg.Load().fitContent(c, r.known.Load())
}
