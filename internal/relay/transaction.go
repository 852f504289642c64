package relay

import (
	"context"
	"time"
)

// Transaction is one mail transaction of a client. It is used by one goroutine
// at a time. After Data, DataEach or Abort it is over.
type Transaction struct {
	r     *Relay
	cfg   *Config
	env   *Envelope
	begun time.Time

	decided  bool
	decision Decision
	legs     []*leg    // one; over LMTP at most one per route
	rcpts    []Address // accepted, in order
	refused  []Refusal
	last     Reply         // that the client got
	busy     time.Duration // spent in the relay, waiting for the client not counted
	waited   time.Duration // of that, spent waiting for upstreams
	over     bool
}

// leg is the part of a transaction that one upstream handles.
type leg struct {
	route    Route
	reason   Reason
	eligible bool // the split and the rules left it to SES
	hop      *Hop
	ticket   Ticket
	delivery Delivery
	to       []Address // accepted by the upstream
	refused  []Refusal // refused by it
	attempts []Attempt
}

// Recipient offers one recipient and returns the reply to RCPT.
func (t *Transaction) Recipient(ctx context.Context, to Address) Reply {
	start := t.r.now()
	defer func() { t.busy += t.r.now().Sub(start) }()
	if len(t.rcpts) >= t.cfg.MaxRecipients {
		return ReplyTooManyRcpts // counts for nothing: the client sends the rest again
	}
	err := t.add(ctx, to)
	if err == nil {
		t.rcpts = append(t.rcpts, to)
		t.last = ReplyRecipientOK
		return t.last
	}
	t.last = ReplyTo(err)
	t.refused = append(t.refused, Refusal{To: to, Reply: t.last, Err: err})
	return t.last
}

// add finds the leg for a recipient and offers it there.
func (t *Transaction) add(ctx context.Context, to Address) error {
	if len(t.legs) == 0 {
		return t.start(ctx, t.decide(to), to)
	}
	if t.env.LMTP {
		return t.addEach(ctx, to)
	}
	l := t.legs[0]
	if l.route == SES {
		if reason := t.cfg.Router.FitRecipient(t.env, to); reason != "" {
			return t.move(ctx, l, reason, to)
		}
	}
	return t.offer(ctx, l, to)
}

// decide reads the split, once per transaction (over LMTP once per recipient).
func (t *Transaction) decide(to Address) Decision {
	if t.decided && !t.env.LMTP {
		return t.decision
	}
	d := t.cfg.Router.Route(t.env, to)
	if d.Route == SES && t.cfg.Ledger.Remembered(memoryKey(t.env, to)) {
		d.Route, d.Reason = Cuenote, ReasonRemembered
	}
	if !t.decided {
		t.decided, t.decision = true, d
	}
	return d
}

// start opens the leg of the decision, or the configured other way when that
// upstream cannot take mail now.
func (t *Transaction) start(ctx context.Context, d Decision, to Address) error {
	l, err := t.open(ctx, d.Route, d.Reason, to)
	if err != nil && l == nil {
		other, reason, ok := t.otherWay(d, to, AsError(err))
		if !ok {
			return err
		}
		cause := AsError(err)
		if l, err = t.open(ctx, other, reason, to); l == nil {
			return noOtherWay(cause, err)
		}
	}
	l.eligible = d.Route == SES
	t.legs = append(t.legs, l)
	return err
}

// otherWay says where mail may go whose upstream cannot take it at RCPT.
func (t *Transaction) otherWay(d Decision, to Address, e *Error) (Route, Reason, bool) {
	if e.Outcome == Unknown {
		return "", "", false
	}
	if d.Route == SES {
		if e.Kind == Exhausted {
			t.countExhausted(t.cfg.Policy.SESExhausted)
			return Cuenote, ReasonQuota, t.cfg.Policy.SESExhausted
		}
		reason := ReasonUnavailable
		if e.Class == classBreaker {
			reason = ReasonBreaker
		}
		return Cuenote, reason, t.cfg.Policy.SESUnavailable
	}
	// A refusal of this recipient is an answer, not an outage.
	ok := t.cfg.Policy.CuenoteUnavailable && e.Kind == Unavailable && e.Signal != SignalNone &&
		d.SESOpen && t.cfg.Router.FitRecipient(t.env, to) == ""
	return SES, ReasonUnavailable, ok
}

// classBreaker is the class of the refusal by an open breaker.
const classBreaker = "breaker"

// open begins a delivery with an upstream and offers the recipients. When the
// upstream answered for the recipients the leg is returned, with the error of
// the first that was refused; when it could not take mail at all, only the error.
func (t *Transaction) open(ctx context.Context, route Route, reason Reason, to ...Address) (*leg, error) {
	l := &leg{route: route, reason: reason, hop: t.cfg.hop(route)}
	var ok bool
	if l.ticket, ok = l.hop.Breaker.Allow(); !ok {
		return nil, &Error{Kind: Unavailable, Signal: SignalCount, Class: classBreaker, Reply: ReplyPaused}
	}
	if route == SES && t.cfg.Quota.Spent(len(to)) {
		l.ticket.Cancel()
		return nil, &Error{Kind: Exhausted, Class: "quota", Reply: ReplyThrottled}
	}
	var err error
	if l.delivery, err = l.hop.Upstream.Begin(ctx, t.env); err != nil {
		l.ticket.Settle(AsError(err))
		return nil, err
	}
	if err = t.offer(ctx, l, to...); err != nil && AsError(err).Signal != SignalNone {
		l.ticket.Settle(AsError(err))
		l.abort()
		return nil, err
	}
	return l, err
}

// offer adds recipients to a leg and returns the first error.
func (t *Transaction) offer(ctx context.Context, l *leg, to ...Address) error {
	start := t.r.now()
	errs := l.delivery.AddRecipients(ctx, to)
	t.waited += t.r.now().Sub(start)
	var first error
	for i, err := range errs {
		if err == nil {
			l.to = append(l.to, to[i])
			continue
		}
		l.refused = append(l.refused, Refusal{To: to[i], Reply: ReplyTo(err), Err: err})
		if first == nil {
			first = err
		}
	}
	return first
}

// move takes the whole transaction to Cuenote for a later recipient that SES
// cannot take. The earlier recipients are handed over first; when one of them
// is refused there the transaction stays, and the new one has to come again.
func (t *Transaction) move(ctx context.Context, l *leg, reason Reason, to Address) error {
	next, err := t.open(ctx, Cuenote, reason, l.to...)
	if err != nil {
		if next != nil {
			next.abort()
		}
		return &Error{Kind: Unavailable, Class: "one_route", Reply: ReplyOneRoute, Err: err}
	}
	l.abort()
	t.legs[0] = next
	return t.offer(ctx, next, to)
}

// addEach is add for LMTP, where every recipient has its own final reply and
// so its own route.
func (t *Transaction) addEach(ctx context.Context, to Address) error {
	d := t.decide(to)
	for _, l := range t.legs {
		if l.route == d.Route {
			return t.offer(ctx, l, to)
		}
	}
	return t.start(ctx, d, to)
}

// HoldsConnection reports whether the transaction keeps an upstream connection
// busy while the client thinks.
func (t *Transaction) HoldsConnection() bool {
	for _, l := range t.legs {
		if l.route == Cuenote && !t.over {
			return true
		}
	}
	return false
}

// Abort ends the transaction: RSET, QUIT, a new greeting, a lost connection.
// It may be called at any time and more than once.
func (t *Transaction) Abort() {
	if t.over {
		return
	}
	t.over = true
	for _, l := range t.legs {
		l.abort()
	}
	if len(t.refused) == 0 {
		return
	}
	// Nothing was sent, but recipients were refused: that is worth a line.
	rec := t.newRecord(t.decision.Route, t.decision.Reason)
	if len(t.legs) > 0 {
		rec.Route, rec.Reason = t.legs[0].route, t.legs[0].reason
	}
	rec.Result, rec.Reply = resultOf(t.refused[0].Reply), t.refused[0].Reply
	rec.Err = t.refused[0].Err
	t.finish(rec)
}

// abort ends a leg with nothing sent.
func (l *leg) abort() {
	l.delivery.Abort()
	l.ticket.Cancel()
}

// countExhausted moves relay_quota_exhausted_total.
func (t *Transaction) countExhausted(overflow bool) {
	action := "defer"
	if overflow {
		action = "overflow"
	}
	t.r.metrics.exhausted.WithLabelValues(action).Inc()
}

// newRecord starts the record of the transaction or of one leg.
func (t *Transaction) newRecord(route Route, reason Reason) *Record {
	return &Record{
		Envelope: *t.env, Decision: t.decision, Refused: t.refused,
		Route: route, Reason: reason, Delay: -1,
	}
}

// finish completes a record and hands it out.
func (t *Transaction) finish(rec *Record) {
	rec.Duration, rec.Upstream, rec.Ended = t.busy, t.waited, t.r.now()
	t.r.metrics.record(rec)
	if t.r.observe != nil {
		t.r.observe(rec)
	}
}
