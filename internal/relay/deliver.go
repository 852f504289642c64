package relay

import (
	"context"
	"errors"
	"time"
)

// maxUnknowns is how often SES may leave a mail unanswered before it takes Cuenote.
const maxUnknowns = 2

// lastCall is how long after the start of a delivery the end of the data may
// still be written. An upstream that then takes its whole time (118 s at most)
// has answered before the ledger's claim is over (150 s, of which waiting for
// other claims takes 10 s), so that no retry runs beside it.
const lastCall = 20 * time.Second

// deliver hands a complete message to its upstream, and to the other one when
// it was surely not accepted and the configuration allows.
func (t *Transaction) deliver(ctx context.Context, l *leg, m *message, unknowns int) ending {
	m.until = t.r.now().Add(lastCall)
	if l.route == SES {
		reason := t.unfit(l.to, &m.Content)
		if reason == "" && unknowns >= maxUnknowns {
			reason = ReasonUnknownTwice
		} else if reason != "" {
			l.eligible = false
		}
		if reason != "" {
			return t.redirect(ctx, l, m, reason, &Error{Kind: Unavailable, Class: string(reason), Reply: ReplyUnavailable})
		}
	}
	e := t.send(ctx, l, m)
	if e.err == nil {
		return e
	}
	cause := AsError(e.err)
	if reason, ok := t.failover(l, cause); ok && !t.r.now().After(m.until) {
		return t.redirect(ctx, l, m, reason, cause)
	}
	return e
}

// unfit says why SES cannot take this complete mail; "" when it can.
func (t *Transaction) unfit(to []Address, c *Content) Reason {
	if reason := t.cfg.Router.FitContent(t.env, c); reason != "" {
		return reason
	}
	if t.env.Size == 0 && t.pinnedBySize(to, c.Size) {
		return ReasonRule
	}
	if t.cfg.Judge != nil && t.cfg.Judge(t.env, to, c) != nil {
		return ReasonContent
	}
	return ""
}

// pinnedBySize reports whether a rule keeps mail of that size at Cuenote. A client
// that declares its size (RFC 1870), as Postfix does, was asked at RCPT.
func (t *Transaction) pinnedBySize(to []Address, size int64) bool {
	env := *t.env
	env.Size = size
	for _, a := range to {
		if t.cfg.Router.FitRecipient(&env, a) == ReasonRule {
			return true
		}
	}
	return false
}

// failover says whether mail that this leg did not take may go the other way.
func (t *Transaction) failover(l *leg, e *Error) (Reason, bool) {
	if e.Outcome == Unknown || e.Kind == ClientFault {
		return "", false
	}
	if l.route == Cuenote {
		outage := e.Kind == Unavailable && e.Signal != SignalNone
		return ReasonUnavailable, outage && t.mayOverflow(l)
	}
	p := t.cfg.Policy
	switch e.Kind {
	case Exhausted:
		t.countExhausted(p.SESExhausted)
		return ReasonQuota, p.SESExhausted
	case Rejected:
		return ReasonRejected, p.SESRejected
	}
	if e.Class == classBreaker {
		return ReasonBreaker, p.SESUnavailable
	}
	return ReasonUnavailable, p.SESUnavailable
}

// redirect sends the mail the other way, for a cause that surely kept it from
// the first. A transaction has one reply, so the other upstream has to take
// every recipient; over LMTP each has its own.
func (t *Transaction) redirect(ctx context.Context, l *leg, m *message, reason Reason, cause *Error) ending {
	l.abort()
	other := Cuenote
	if l.route == Cuenote {
		if t.unfit(l.to, &m.Content) != "" {
			return failed(l, cause)
		}
		other = SES
	}
	next, err := t.divert(ctx, l, other, reason)
	if next == nil {
		return failed(l, noOtherWay(cause, err))
	}
	if t.env.LMTP && len(next.to) == 0 {
		return t.noneTaken(next, AsError(err))
	}
	if len(next.refused) > 0 && !t.env.LMTP {
		return t.refusedElsewhere(next, l, cause)
	}
	e := t.send(ctx, next, m)
	e.exceptions = next.refused
	return e
}

// divert opens the other upstream for all recipients of a leg. SES has to take
// each of them; Cuenote may refuse some.
func (t *Transaction) divert(ctx context.Context, l *leg, other Route, reason Reason) (*leg, error) {
	next, err := t.open(ctx, other, reason, l.to...)
	if next == nil || other == SES && err != nil {
		return nil, err
	}
	next.decided, next.eligible, next.held, next.sesOpen, next.attempts = l.decided, l.eligible, l.held, l.sesOpen, l.attempts
	next.diverted = true
	return next, err
}

// refusedElsewhere ends a redirected mail of which the other upstream took not
// every recipient. When all are refused for good, that is the answer. Else the
// client comes again, and the mail then takes that route from the first RCPT,
// where each recipient gets its own reply.
func (t *Transaction) refusedElsewhere(next, l *leg, cause *Error) ending {
	next.abort()
	errs := []error{cause}
	permanent := len(next.to) == 0
	for _, r := range next.refused {
		errs = append(errs, r.Err)
		permanent = permanent && r.Reply.Permanent()
	}
	next.to = l.to
	reply := next.refused[0].Reply
	if !permanent {
		t.cfg.Ledger.Remember(memoryKey(t.env, l.to[0]))
		reply = ReplyRetryRoute
	}
	return failed(next, &Error{Kind: Rejected, Class: "refused_elsewhere", Reply: reply, Err: errors.Join(errs...)})
}

// noneTaken ends a leg over LMTP whose upstream refused every recipient: each
// has its own reply.
func (t *Transaction) noneTaken(next *leg, first *Error) ending {
	next.abort()
	e := failed(next, first)
	e.exceptions = next.refused
	return e
}
