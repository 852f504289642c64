package relay

import (
	"context"
	"time"
)

// send makes one attempt with a complete message.
func (t *Transaction) send(ctx context.Context, l *leg, m *message) ending {
	if !l.hop.Breaker.MaySend(&l.ticket) {
		return failed(l, &Error{Kind: Unavailable, Signal: SignalCount, Class: classBreaker, Reply: ReplyPaused})
	}
	if l.overflowed() && !t.mayOverflow(l) { // the brake was pulled meanwhile
		return failed(l, &Error{Kind: Unavailable, Class: "brake", Reply: ReplyPaused})
	}
	if !m.reserve(l.hop.Copies, m.Size) {
		return failed(l, errMemory())
	}
	if l.route == SES {
		start := t.stepStart()
		err := t.cfg.Quota.Take(ctx, len(l.to))
		t.step(StepQuota, SES, start, err)
		if err != nil {
			return failed(l, err)
		}
		if t.r.now().After(m.until) { // the wait for the quota took it all
			t.cfg.Quota.Refund(len(l.to))
			l.ticket.Cancel()
			return failed(l, errLate())
		}
	}
	t.tag(l, m.SESTags)
	trace := traceHeader(t.env, t.cfg.Hostname, t.r.now())
	body := newHeldBody(m.parts(trace, l.hop.Header))
	body.now, body.until = t.r.now, m.until
	start := t.r.now()
	n := t.r.underWay(l.route)
	n.Add(1)
	defer n.Add(-1)
	receipt, err := l.delivery.Send(ctx, body)
	took := t.r.now().Sub(start)
	t.waited += took
	t.step(StepUpstream, l.route, start, err)
	e := t.attempted(l, receipt, err, took)
	if l.route == SES && e.result != ResultAccepted && e.result != ResultUnknown {
		t.cfg.Quota.Refund(len(l.to))
	}
	e.rehearsal = t.rehearse(l, &m.Content)
	return e
}

// attempted books one attempt with an upstream.
func (t *Transaction) attempted(l *leg, receipt Receipt, err error, took time.Duration) ending {
	a := Attempt{Route: l.route, Outcome: Accepted, Took: took, Err: err}
	if err == nil {
		l.ticket.Settle(nil)
		l.attempts = append(l.attempts, a)
		receipt.Route, receipt.RelayID = l.route, t.env.ID
		return accepted(l, receipt)
	}
	e := AsError(err)
	l.ticket.Settle(e)
	a.Outcome, a.Class = e.Outcome, e.Class
	l.attempts = append(l.attempts, a)
	if l.overflowed() && e.Kind == Rejected {
		err = laterElsewhere(e)
	}
	return failed(l, err)
}

// tag hands the message tags to an upstream that carries them.
func (t *Transaction) tag(l *leg, client string) {
	if d, ok := l.delivery.(tagger); ok {
		if !t.cfg.KeepTags {
			client = ""
		}
		d.SetTags(t.decision.Step, client)
	}
}

// rehearse judges for SES a mail that goes elsewhere.
func (t *Transaction) rehearse(l *leg, c *Content) Rehearsal {
	if !t.cfg.Rehearse || l.route == SES {
		return Rehearsal{}
	}
	for _, to := range l.to {
		if reason := t.cfg.Router.FitRecipient(t.env, to); reason != "" {
			return Rehearsal{Judged: true, Reason: reason}
		}
	}
	return Rehearsal{Judged: true, Reason: t.unfit(l.to, c)}
}
