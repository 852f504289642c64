package relay

import (
	"context"
	"crypto/sha256"
	"slices"
	"strings"
)

// DataEach is Data for LMTP (RFC 2033 section 4.2): it returns one reply per
// recipient that was accepted, in order. The content is held in memory,
// because it may go to both upstreams.
func (t *Transaction) DataEach(ctx context.Context, src Source) []Reply {
	if t.over || len(t.rcpts) == 0 {
		return t.inOrder(nil)
	}
	timed := &timedSource{src: src, now: t.r.now}
	start := t.r.now()
	var ends []ending
	defer func() {
		t.end()
		t.busy += t.r.now().Sub(start) - timed.waited
		for i := range ends {
			t.conclude(&ends[i])
		}
		t.unwatch()
	}()
	t.holdEach(ctx, timed, &ends)
	replies := make(map[Address]Reply, len(t.rcpts))
	for i := range ends {
		for _, to := range ends[i].leg.to {
			replies[to] = ends[i].reply
		}
		for _, x := range ends[i].exceptions {
			replies[x.To] = x.Reply
		}
	}
	return t.inOrder(replies)
}

// inOrder puts the replies in the order of the recipients.
func (t *Transaction) inOrder(replies map[Address]Reply) []Reply {
	out := make([]Reply, len(t.rcpts))
	for i, to := range t.rcpts {
		r, ok := replies[to]
		if !ok {
			r = ReplyLocalError
		}
		out[i] = r
	}
	return out
}

// holdEach reads the content and delivers every leg.
func (t *Transaction) holdEach(ctx context.Context, src Source, ends *[]ending) {
	for _, l := range t.legs {
		if len(l.to) > 0 {
			*ends = append(*ends, failed(l, errCrashed)) // stands only when what follows panics
		}
	}
	crashed := *ends
	copies := 0.0
	for _, l := range t.legs {
		copies = max(copies, l.hop.Copies)
	}
	start := t.stepStart()
	m, err := t.r.receive(t.env, src, copies)
	t.step(StepContent, "", start, err)
	if err == nil {
		defer m.free()
		err = t.inspect(m)
	}
	ctx, cancel := detach(ctx)
	defer cancel()
	var done []ending
	for i := range crashed {
		l := crashed[i].leg
		if err != nil {
			done = append(done, failed(l, err))
		} else {
			done = append(done, t.each(ctx, l, m)...)
		}
		*ends = slices.Concat(done, crashed[i+1:])
	}
}

// claimedRecipient is a recipient that the ledger let through.
type claimedRecipient struct {
	to Address
	fp Fingerprint
}

// each delivers one leg. The ledger is asked per recipient, because a retry
// brings only the recipients that were deferred, in any combination.
func (t *Transaction) each(ctx context.Context, l *leg, m *message) (ends []ending) {
	if !ledgered(&m.Header) {
		e := t.deliver(ctx, l, m, 0)
		e.content = m.Content
		return []ending{e}
	}
	claims, unknowns, ends := t.claimEach(ctx, l, m)
	if len(claims) == 0 {
		return ends
	}
	e := failed(l, errCrashed) // stands only when the delivery panics
	defer func() {
		for _, c := range claims {
			t.settleEach(c, &e)
		}
	}()
	e = t.deliverRest(ctx, l, m, claims, unknowns)
	e.content, e.fp = m.Content, claims[0].fp
	return append(ends, e)
}

// claimEach asks the ledger for each recipient of a leg, in one order for all
// transactions, so that two of them do not wait for each other. All together
// wait for other attempts no longer than one would.
func (t *Transaction) claimEach(ctx context.Context, l *leg, m *message) (claims []claimedRecipient, unknowns int, ends []ending) {
	ctx, cancel := context.WithTimeout(ctx, claimWait)
	defer cancel()
	content := sha256.Sum256(m.data)
	to := slices.Clone(l.to)
	slices.SortFunc(to, func(a, b Address) int { return strings.Compare(a.String(), b.String()) })
	for _, a := range to {
		fp := fingerprint(t.env, []Address{a}, content)
		one := &leg{route: l.route, reason: l.reason, eligible: l.eligible, held: l.held, hop: l.hop, to: []Address{a}}
		claim, verdict := t.claim(ctx, one, fp)
		if verdict != nil {
			verdict.content, verdict.fp = m.Content, fp
			ends = addVerdict(ends, verdict)
			continue
		}
		unknowns = max(unknowns, claim.Unknowns)
		claims = append(claims, claimedRecipient{to: a, fp: fp})
	}
	return claims, unknowns, ends
}

// addVerdict joins recipients that get the same reply in one ending: there is
// one record for all of them.
func addVerdict(ends []ending, v *ending) []ending {
	for i := range ends {
		if ends[i].reply == v.reply && ends[i].result == v.result {
			ends[i].leg.to = append(ends[i].leg.to, v.leg.to...)
			return ends
		}
	}
	return append(ends, *v)
}

// deliverRest delivers to the recipients that the ledger let through. When
// some were held back, the delivery is begun anew without them.
func (t *Transaction) deliverRest(ctx context.Context, l *leg, m *message, claims []claimedRecipient, unknowns int) ending {
	if len(claims) == len(l.to) {
		return t.deliver(ctx, l, m, unknowns)
	}
	l.abort()
	rest := make([]Address, len(claims))
	for i, c := range claims {
		rest[i] = c.to
	}
	next, err := t.open(ctx, l.route, l.reason, rest...)
	if next == nil {
		l.to = rest
		return failed(l, err)
	}
	next.decided, next.eligible, next.held, next.sesOpen = l.decided, l.eligible, l.held, l.sesOpen
	if len(next.to) == 0 {
		return t.noneTaken(next, AsError(err))
	}
	e := t.deliver(ctx, next, m, unknowns)
	e.exceptions = append(e.exceptions, next.refused...)
	return e
}

// settleEach tells the ledger about one recipient of a leg.
func (t *Transaction) settleEach(c claimedRecipient, e *ending) {
	one := *e
	for _, x := range e.exceptions {
		if x.To == c.to {
			one.result = resultOf(x.Reply)
		}
	}
	t.settle(c.fp, &one)
}
