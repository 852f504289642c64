package relay

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"
)

// Limits of the loop check (RFC 5321 section 6.3 asks for a large number;
// 50 is Postfix's hopcount_limit).
const (
	maxReceived    = 50
	maxOwnReceived = 5
)

// maxUnknowns is how often SES may leave a mail unanswered before it takes Cuenote.
const maxUnknowns = 2

// Data transfers the content and returns the reply to it: the reply to DATA
// itself when src was not opened, else the reply after the end of data. It
// goes whole to one upstream.
func (t *Transaction) Data(ctx context.Context, src Source) Reply {
	if len(t.rcpts) == 0 {
		return ReplyLocalError // the session answers DATA without recipients itself
	}
	timed := &timedSource{src: src, now: t.r.now}
	start := t.r.now()
	l := t.legs[0]
	var e ending
	if l.route == Cuenote {
		e = t.stream(ctx, l, timed)
	} else {
		e = t.hold(ctx, l, timed)
	}
	t.over = true
	l.abort()
	e.leg.abort()
	t.busy += t.r.now().Sub(start) - timed.waited
	t.conclude(e)
	return e.reply
}

// hold reads the content into memory and delivers it.
func (t *Transaction) hold(ctx context.Context, l *leg, src Source) ending {
	m, err := t.r.receive(t.env, src)
	if err != nil {
		return failed(l, err)
	}
	defer m.free()
	ctx, cancel := detach(ctx)
	defer cancel()
	var e ending
	if err := t.inspect(m); err != nil {
		e = failed(l, err)
	} else {
		e = t.once(ctx, l, m)
	}
	e.content, e.fp = m.Content, m.fp
	return e
}

// inspect reads the header section of a complete message and checks for loops.
func (t *Transaction) inspect(m *message) error {
	h, err := ScanHeader(m.data, true, t.cfg.Hostname)
	if err != nil {
		return err
	}
	if h.End > maxHeader {
		return &Error{Kind: ClientFault, Class: "header", Reply: ReplyHeader}
	}
	m.Header = h
	m.LongestLine = longestLine(m.data)
	return checkLoop(&h)
}

// checkLoop refuses mail that has passed too many hosts, or this one too often.
func checkLoop(h *Header) error {
	if h.Received > maxReceived || h.OwnReceived > maxOwnReceived {
		return &Error{Kind: ClientFault, Class: "loop", Reply: ReplyLoop}
	}
	return nil
}

// ledgered reports whether the duplicate ledger applies: identical mails from
// clients that add neither Received nor Message-ID are meant.
func ledgered(h *Header) bool { return h.Received > 0 || h.HasMessageID }

// once delivers a mail that the duplicate ledger does not know.
func (t *Transaction) once(ctx context.Context, l *leg, m *message) ending {
	if !ledgered(&m.Header) {
		return t.deliver(ctx, l, m, 0)
	}
	content := sha256.New()
	content.Write(m.data)
	m.fp = fingerprint(t.env, l.to, content)
	claim, verdict := t.claim(ctx, l, m.fp)
	if verdict != nil {
		return *verdict
	}
	e := t.deliver(ctx, l, m, claim.Unknowns)
	t.settle(m.fp, &e)
	return e
}

// claim asks the ledger. A verdict ends the transaction without a delivery.
func (t *Transaction) claim(ctx context.Context, l *leg, fp Fingerprint) (Claim, *ending) {
	claim, err := t.cfg.Ledger.Claim(ctx, fp, t.env.ID)
	if err != nil {
		return Claim{}, nil // best effort: the mail goes through
	}
	var e ending
	switch claim.State {
	case Duplicate:
		e = duplicate(l, claim.Receipt)
	case Busy:
		e = failed(l, &Error{Kind: ClientFault, Class: "in_progress", Reply: ReplyInProgress})
	default:
		return claim, nil
	}
	return claim, &e
}

// settle tells the ledger how a claimed mail ended.
func (t *Transaction) settle(fp Fingerprint, e *ending) {
	switch e.result {
	case ResultAccepted:
		t.cfg.Ledger.Accept(fp, t.env.ID, e.receipt)
	case ResultUnknown:
		t.cfg.Ledger.MarkUnknown(fp, t.env.ID, e.leg.route)
	default:
		t.cfg.Ledger.Release(fp, t.env.ID)
	}
}

// deliver hands a complete message to its upstream, and to the other one when
// it was surely not accepted and the configuration allows.
func (t *Transaction) deliver(ctx context.Context, l *leg, m *message, unknowns int) ending {
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
	if reason, ok := t.failover(l, cause); ok {
		return t.redirect(ctx, l, m, reason, cause)
	}
	return e
}

// unfit says why SES cannot take this complete mail; "" when it can.
func (t *Transaction) unfit(to []Address, c *Content) Reason {
	if reason := t.cfg.Router.FitContent(t.env, c); reason != "" {
		return reason
	}
	if t.cfg.Judge != nil && t.cfg.Judge(t.env, to, c) != nil {
		return ReasonContent
	}
	return ""
}

// failover says whether mail that this leg did not take may go the other way.
func (t *Transaction) failover(l *leg, e *Error) (Reason, bool) {
	if e.Outcome == Unknown || e.Kind == ClientFault {
		return "", false
	}
	p := t.cfg.Policy
	if l.route == Cuenote {
		ok := p.CuenoteUnavailable && e.Kind == Unavailable && e.Signal != SignalNone && t.decision.SESOpen
		for _, to := range l.to {
			ok = ok && t.cfg.Router.FitRecipient(t.env, to) == ""
		}
		return ReasonUnavailable, ok
	}
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
		other = SES
	}
	next, err := t.open(ctx, other, reason, l.to...)
	if next == nil {
		return failed(l, noOtherWay(cause, err))
	}
	next.eligible, next.attempts = l.eligible, l.attempts
	if len(next.to) == 0 || len(next.refused) > 0 && !t.env.LMTP {
		next.abort()
		return t.refusedElsewhere(next, l, cause)
	}
	e := t.send(ctx, next, m)
	next.abort()
	e.exceptions = next.refused
	return e
}

// refusedElsewhere ends a redirected mail of which the other upstream took not
// every recipient. When all are refused for good, that is the answer. Else the
// client comes again, and the mail then takes that route from the first RCPT,
// where each recipient gets its own reply.
func (t *Transaction) refusedElsewhere(next, l *leg, cause *Error) ending {
	errs := []error{cause}
	permanent := len(next.to) == 0
	for _, r := range next.refused {
		errs = append(errs, r.Err)
		permanent = permanent && r.Reply.Permanent()
	}
	next.to = l.to
	e := failed(next, &Error{Kind: Rejected, Class: "refused_elsewhere", Reply: next.refused[0].Reply, Err: errors.Join(errs...)})
	if !permanent {
		t.cfg.Ledger.Remember(memoryKey(t.env, l.to[0]))
		e.reply, e.result = ReplyRetryRoute, ResultDeferred
	}
	return e
}

// send makes one attempt with a complete message.
func (t *Transaction) send(ctx context.Context, l *leg, m *message) ending {
	if open, _ := l.hop.Breaker.Open(); open && !l.ticket.Probe() {
		return failed(l, &Error{Kind: Unavailable, Class: classBreaker, Reply: ReplyPaused})
	}
	extra := int64(l.hop.Copies * float64(m.Size))
	if !t.r.memory.Reserve(extra) {
		return failed(l, errMemory())
	}
	defer t.r.memory.Free(extra)
	if l.route == SES {
		if err := t.cfg.Quota.Take(ctx, len(l.to)); err != nil {
			return failed(l, err)
		}
	}
	t.tag(l, m.SESTags)
	trace := traceHeader(t.env, t.cfg.Hostname, t.r.now())
	start := t.r.now()
	n := t.r.underWay(l.route)
	n.Add(1)
	defer n.Add(-1)
	receipt, err := l.delivery.Send(ctx, newHeldBody(m.parts(trace, l.hop.Header)))
	took := t.r.now().Sub(start)
	t.waited += took
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
	if e.Kind == ClientFault {
		l.ticket.Cancel()
	} else {
		l.ticket.Settle(e)
	}
	a.Outcome, a.Class = e.Outcome, e.Class
	l.attempts = append(l.attempts, a)
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
