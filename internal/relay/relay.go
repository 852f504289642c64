package relay

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Hop is an upstream with what the relay needs to know about it.
type Hop struct {
	Upstream Upstream
	Breaker  *Breaker
	// Header is the complete header lines that this route adds below the trace
	// header; "" for none.
	Header string
	// Copies is how much memory a send takes beside the content itself, as a
	// multiple of its size: an encoded copy for a JSON API, 0 for a stream.
	Copies float64
}

// Policy says where mail may go that an upstream did not accept.
type Policy struct {
	SESUnavailable     bool // ses.on_unavailable: cuenote
	SESRejected        bool // ses.on_rejected: cuenote
	SESExhausted       bool // quota.on_exhausted: cuenote
	CuenoteUnavailable bool // cuenote.on_unavailable: ses; never while the applied percentage is 0
}

// Config is what a Relay works with. It is replaced as a whole; a transaction
// keeps the one it began with.
type Config struct {
	Hostname      string // in the trace header and the loop check
	SES, Cuenote  Hop
	Policy        Policy
	Router        Router
	Quota         Quota
	Ledger        Ledger
	MaxRecipients int
	Rehearse      bool   // judge for SES, without sending, mail that goes elsewhere
	KeepTags      bool   // hand the client's X-SES-MESSAGE-TAGS to the upstream
	Tracer        Tracer // nil: nobody watches
	// Judge says what SES would refuse about a complete mail; nil to ask only the Router.
	Judge func(env *Envelope, to []Address, c *Content) *Error
}

// hop returns the upstream of a route.
func (c *Config) hop(r Route) *Hop {
	if r == SES {
		return &c.SES
	}
	return &c.Cuenote
}

// Relay makes transactions.
type Relay struct {
	cfg     atomic.Pointer[Config]
	sending [2]atomic.Int64 // messages under way to SES and to Cuenote
	memory  *Budget
	metrics *metrics
	observe func(*Record)
	now     func() time.Time
}

// New returns a relay. observe is called once per transaction at its end, on
// the goroutine of the session; it must be quick. now is the clock.
func New(cfg Config, memory *Budget, reg prometheus.Registerer, observe func(*Record), now func() time.Time) *Relay {
	r := &Relay{memory: memory, observe: observe, now: now}
	r.cfg.Store(&cfg)
	r.metrics = newMetrics(reg, r)
	return r
}

// Reconfigure replaces the configuration for the transactions that begin from now on.
func (r *Relay) Reconfigure(cfg Config) { r.cfg.Store(&cfg) }

// Begin starts a mail transaction, at MAIL. It always succeeds: what an
// upstream says about the reverse-path is told at the first recipient.
func (r *Relay) Begin(env *Envelope) *Transaction {
	t := &Transaction{r: r, cfg: r.cfg.Load(), env: env}
	if t.cfg.Tracer != nil {
		t.watch = t.cfg.Tracer.Begin(env)
	}
	return t
}

// HopStatus is what operators see of an upstream beside its counters.
type HopStatus struct {
	Open     bool   // the breaker
	Because  string // class of the error that opened it
	InFlight int64  // messages under way
}

// Hop returns the state of an upstream.
func (r *Relay) Hop(route Route) HopStatus {
	s := HopStatus{InFlight: r.underWay(route).Load()}
	s.Open, s.Because = r.cfg.Load().hop(route).Breaker.Open()
	return s
}

func (r *Relay) underWay(route Route) *atomic.Int64 {
	if route == SES {
		return &r.sending[0]
	}
	return &r.sending[1]
}

// tagger is implemented by deliveries that carry message tags (SES).
type tagger interface {
	// SetTags is called once before Send. step is the value of the relay-step
	// tag, client the body of the client's X-SES-MESSAGE-TAGS or "".
	SetTags(step, client string)
}

// totalTime bounds everything between the end of the client's data and the
// reply: Postfix waits 600 s, and a second address is tried at once when the
// first does not answer.
const totalTime = 118 * time.Second

// detach gives a context that outlives the client: once an upstream has the
// request, the answer is waited for whether the client is still there or not.
func detach(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), totalTime)
}
