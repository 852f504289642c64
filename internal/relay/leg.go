package relay

import "context"

// leg is the part of a transaction that one upstream handles.
type leg struct {
	route    Route
	decided  Route // by the split and the rules: route is another after an overflow
	reason   Reason
	eligible bool // the split and the rules left it to SES
	held     bool // the requested split and the rules did, the brake did not
	sesOpen  bool // of every decision behind it
	diverted bool // from the other upstream, behind DATA
	hop      *Hop
	ticket   Ticket
	delivery Delivery
	to       []Address // accepted by the upstream
	refused  []Refusal // refused by it
	attempts []Attempt
}

// overflowed reports whether the mail is at SES because Cuenote could not take it:
// it was not meant for SES, or had gone to Cuenote already.
func (l *leg) overflowed() bool { return l.route == SES && (l.decided == Cuenote || l.diverted) }

// classBreaker is the class of the refusal by an open breaker.
const classBreaker = "breaker"

// open begins a delivery with an upstream and offers the recipients. When the
// upstream answered for the recipients the leg is returned, with the error of
// the first that was refused; when it could not take mail at all, only the error.
func (t *Transaction) open(ctx context.Context, route Route, reason Reason, to ...Address) (*leg, error) {
	l := &leg{route: route, decided: route, reason: reason, hop: t.cfg.hop(route)}
	var ok bool
	if l.ticket, ok = l.hop.Breaker.Allow(); !ok {
		return nil, &Error{Kind: Unavailable, Signal: SignalCount, Class: classBreaker, Reply: ReplyPaused}
	}
	t.opened = append(t.opened, l) // from here on it is aborted at the latest with the transaction
	if route == SES && t.cfg.Quota.Spent(len(to)) {
		l.ticket.Cancel()
		return nil, &Error{Kind: Exhausted, Class: "quota", Reply: ReplyThrottled}
	}
	start := t.stepStart()
	d, err := l.hop.Upstream.Begin(ctx, t.env)
	t.step(StepConnect, route, start, err)
	if err != nil {
		l.ticket.Settle(AsError(err))
		return nil, err
	}
	l.delivery = d
	if err = t.offer(ctx, l, to...); err == nil || len(l.to) > 0 {
		return l, err
	}
	e := AsError(err)
	if e.Signal == SignalNone && route == Cuenote {
		return l, err
	}
	if e.Signal != SignalNone {
		l.ticket.Settle(e) // what SES says of a recipient is no answer from the net
	}
	l.abort()
	return nil, err
}

// offer adds recipients to a leg. It returns the first error, or rather the
// first that is about the upstream as a whole.
func (t *Transaction) offer(ctx context.Context, l *leg, to ...Address) error {
	start := t.r.now()
	errs := l.delivery.AddRecipients(ctx, to)
	t.waited += t.r.now().Sub(start)
	var first error
	for i, a := range to {
		err := errs[i]
		if err == nil {
			l.to = append(l.to, a)
			continue
		}
		l.refused = append(l.refused, Refusal{To: a, Reply: ReplyTo(err), Err: err})
		if first == nil || AsError(first).Signal == SignalNone && AsError(err).Signal != SignalNone {
			first = err
		}
	}
	t.step(StepRecipients, l.route, start, first)
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

// mayOverflow reports whether the mail of a leg may go to SES although it was
// not meant for it. The split is asked anew: between the first recipient and
// now the brake may have been pulled.
func (t *Transaction) mayOverflow(l *leg) bool {
	for _, to := range l.to {
		if !t.cfg.Router.Route(t.env, to).SESOpen || t.cfg.Router.FitRecipient(t.env, to) != "" {
			return false
		}
	}
	return l.sesOpen && t.cfg.Policy.CuenoteUnavailable
}

// abort ends a leg with nothing sent. It may be called at any time and again.
func (l *leg) abort() {
	if l.delivery != nil {
		l.delivery.Abort()
	}
	l.ticket.Cancel()
}
