package relay

import (
	"context"
	"slices"
	"time"
)

// Transaction is one mail transaction of a client. It is used by one goroutine
// at a time. After Data, DataEach or Abort it is over.
type Transaction struct {
	r   *Relay
	cfg *Config
	env *Envelope

	decided  bool
	decision Decision
	legs     []*leg        // one; over LMTP one for each route that was decided and taken
	opened   []*leg        // all that ever began, for the end
	rcpts    []Address     // accepted, in order
	refused  []Refusal     // not yet in a record
	busy     time.Duration // spent in the relay, waiting for the client not counted
	waited   time.Duration // of that, spent waiting for upstreams
	spent    bool          // the quota was found spent, and counted
	over     bool
	watch    Watch // nil: nobody watches
}

// Recipient offers one recipient and returns the reply to RCPT.
func (t *Transaction) Recipient(ctx context.Context, to Address) Reply {
	start := t.r.now()
	defer func() { t.busy += t.r.now().Sub(start) }()
	if t.over {
		return ReplyLocalError // the session does not ask
	}
	if len(t.rcpts) >= t.cfg.MaxRecipients {
		return ReplyTooManyRcpts // counts for nothing: the client sends the rest again
	}
	err := t.add(ctx, to)
	if err == nil {
		t.rcpts = append(t.rcpts, to)
		return ReplyRecipientOK
	}
	reply := ReplyTo(err)
	t.refused = append(t.refused, Refusal{To: to, Reply: reply, Err: err})
	return reply
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
	if l.route == Cuenote {
		return t.offer(ctx, l, to)
	}
	if reason := t.cfg.Router.FitRecipient(t.env, to); reason != "" {
		return t.move(ctx, l, reason, to)
	}
	err := t.offer(ctx, l, to)
	if err != nil && refusesRecipient(AsError(err)) {
		return t.move(ctx, l, ReasonRecipient, to)
	}
	return err
}

// refusesRecipient reports whether SES cannot take a recipient that the router
// found fit: it has its own last word, such as one more than fit in a call.
func refusesRecipient(e *Error) bool {
	return e.Outcome == NotAccepted && e.Signal == SignalNone && (e.Kind == Rejected || e.Kind == ClientFault)
}

// decide reads the split, once per transaction (over LMTP once per recipient).
func (t *Transaction) decide(to Address) Decision {
	if t.decided && !t.env.LMTP {
		d := t.decision // those before were refused, so that there is no leg yet
		if reason := t.cfg.Router.FitRecipient(t.env, to); d.Route == SES && reason != "" {
			d.Route, d.Reason, d.SESOpen = Cuenote, reason, false
		}
		return d
	}
	start := t.stepStart()
	d := t.cfg.Router.Route(t.env, to)
	if d.Route == SES && t.cfg.Ledger.Remembered(memoryKey(t.env, to)) {
		d.Route, d.Reason = Cuenote, ReasonRemembered
	}
	t.step(StepRoute, d.Route, start, nil)
	if !t.decided {
		t.decided, t.decision = true, d
	}
	return d
}

// start opens the leg of the decision, or the configured other way when that
// upstream cannot take mail now.
func (t *Transaction) start(ctx context.Context, d Decision, to Address) error {
	l, err := t.open(ctx, d.Route, d.Reason, to)
	if l == nil {
		other, reason, ok := t.otherWay(d, to, AsError(err))
		if !ok {
			return err
		}
		cause := AsError(err)
		if l, err = t.open(ctx, other, reason, to); l == nil {
			return noOtherWay(cause, err)
		}
	}
	l.decided, l.sesOpen = d.Route, d.SESOpen
	l.eligible, l.held = d.Route == SES || d.Reason == ReasonRemembered, d.Held
	t.legs = append(t.legs, l)
	return err
}

// otherWay says where mail may go whose upstream cannot take it at RCPT.
func (t *Transaction) otherWay(d Decision, to Address, e *Error) (Route, Reason, bool) {
	if e.Outcome == Unknown {
		return "", "", false
	}
	if d.Route == SES {
		switch {
		case refusesRecipient(e):
			return Cuenote, ReasonRecipient, true
		case e.Kind == Exhausted:
			t.countExhausted(t.cfg.Policy.SESExhausted)
			return Cuenote, ReasonQuota, t.cfg.Policy.SESExhausted
		case e.Class == classBreaker:
			return Cuenote, ReasonBreaker, t.cfg.Policy.SESUnavailable
		}
		return Cuenote, ReasonUnavailable, t.cfg.Policy.SESUnavailable
	}
	// A refusal of this recipient is an answer, not an outage.
	outage := e.Kind == Unavailable && e.Signal != SignalNone
	return SES, ReasonUnavailable, outage && t.mayOverflow(&leg{to: []Address{to}, sesOpen: d.SESOpen})
}

// addEach is add for LMTP, where every recipient has its own final reply and
// so its own route.
func (t *Transaction) addEach(ctx context.Context, to Address) error {
	for _, l := range t.legs {
		if slices.Contains(l.to, to) {
			return nil // the same recipient again is one delivery
		}
	}
	return t.addTo(ctx, t.decide(to), to)
}

// addTo offers a recipient to the leg of its decision.
func (t *Transaction) addTo(ctx context.Context, d Decision, to Address) error {
	for _, l := range t.legs {
		if l.decided != d.Route || l.overflowed() && !t.mayOverflow(&leg{to: []Address{to}, sesOpen: d.SESOpen}) {
			continue
		}
		l.sesOpen = l.sesOpen && d.SESOpen
		err := t.offer(ctx, l, to)
		if err == nil || l.route == Cuenote || !refusesRecipient(AsError(err)) {
			return err
		}
		d.Route, d.Reason, d.SESOpen = Cuenote, ReasonRecipient, false
		return t.addTo(ctx, d, to)
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
	t.end()
	defer t.unwatch()
	if len(t.refused) == 0 {
		return
	}
	// Nothing was sent, but recipients were refused: that is worth a line.
	rec := t.newRecord(t.decision.Route, t.decision.Reason)
	if len(t.legs) > 0 {
		rec.Route, rec.Reason, rec.Eligible, rec.Held = t.legs[0].route, t.legs[0].reason, t.legs[0].eligible, t.legs[0].held
	}
	first := rec.Refused[0]
	rec.Result, rec.Reply, rec.Err = resultOf(first.Reply), first.Reply, first.Err
	t.finish(rec)
}

// end gives back what the transaction holds of its upstreams.
func (t *Transaction) end() {
	t.over = true
	for _, l := range t.opened {
		l.abort()
	}
}

// countExhausted moves relay_quota_exhausted_total.
func (t *Transaction) countExhausted(overflow bool) {
	if t.spent {
		return // once for a mail, however many recipients found it so
	}
	t.spent = true
	action := "defer"
	if overflow {
		action = "overflow"
	}
	t.r.metrics.exhausted.WithLabelValues(action).Inc()
}

// newRecord starts the record of the transaction or of one leg. The recipients
// refused at RCPT stand in the first.
func (t *Transaction) newRecord(route Route, reason Reason) *Record {
	rec := &Record{
		Envelope: *t.env, Decision: t.decision, Refused: t.refused,
		Route: route, Reason: reason, Delay: -1,
	}
	t.refused = nil
	return rec
}

// finish completes a record and hands it out.
func (t *Transaction) finish(rec *Record) {
	rec.Duration, rec.Upstream, rec.Ended = t.busy, t.waited, t.r.now()
	t.r.metrics.record(rec)
	if t.watch != nil {
		t.watch.Record(rec)
	}
	if t.r.observe != nil {
		t.r.observe(rec)
	}
}
