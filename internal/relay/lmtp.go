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
	timed := &timedSource{src: src, now: t.r.now}
	start := t.r.now()
	ends := t.holdEach(ctx, timed)
	t.over = true
	for _, l := range t.legs {
		l.abort()
	}
	t.busy += t.r.now().Sub(start) - timed.waited
	replies := make(map[Address]Reply, len(t.rcpts))
	for _, e := range ends {
		e.leg.abort()
		for _, to := range e.leg.to {
			replies[to] = e.reply
		}
		for _, x := range e.exceptions {
			replies[x.To] = x.Reply
		}
		t.conclude(e)
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
func (t *Transaction) holdEach(ctx context.Context, src Source) (ends []ending) {
	m, err := t.r.receive(t.env, src)
	if m != nil {
		defer m.free()
		err = t.inspect(m)
	}
	ctx, cancel := detach(ctx)
	defer cancel()
	for _, l := range t.legs {
		if len(l.to) == 0 {
			continue
		}
		if err != nil {
			ends = append(ends, failed(l, err))
			continue
		}
		for _, e := range t.each(ctx, l, m) {
			e.content = m.Content
			ends = append(ends, e)
		}
	}
	return ends
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
		return []ending{t.deliver(ctx, l, m, 0)}
	}
	content := sha256.New()
	content.Write(m.data)
	var claims []claimedRecipient
	unknowns := 0
	rest := slices.Clone(l.to)
	slices.SortFunc(rest, func(a, b Address) int { return strings.Compare(a.String(), b.String()) })
	rest = slices.Compact(rest) // the same recipient twice is one delivery
	rest = slices.DeleteFunc(rest, func(to Address) bool {
		c := claimedRecipient{to: to, fp: fingerprint(t.env, []Address{to}, content)}
		one := &leg{route: l.route, reason: l.reason, hop: l.hop, delivery: l.delivery, to: []Address{to}}
		claim, verdict := t.claim(ctx, one, c.fp)
		if verdict != nil {
			verdict.fp = c.fp
			ends = append(ends, *verdict)
			return true
		}
		unknowns = max(unknowns, claim.Unknowns)
		claims = append(claims, c)
		return false
	})
	if len(rest) == 0 {
		return ends
	}
	e := t.deliverRest(ctx, l, m, rest, unknowns)
	for _, c := range claims {
		t.settleEach(c, &e)
		e.fp = c.fp
	}
	return append(ends, e)
}

// deliverRest delivers to the recipients that the ledger let through. When
// some were held back, the delivery is begun anew without them.
func (t *Transaction) deliverRest(ctx context.Context, l *leg, m *message, rest []Address, unknowns int) ending {
	if len(rest) < len(l.to) {
		l.abort()
		next, err := t.open(ctx, l.route, l.reason, rest...)
		if next == nil {
			l.to = rest
			return failed(l, err)
		}
		next.eligible = l.eligible
		refused := next.refused
		if len(next.to) == 0 {
			next.to = rest
			e := failed(next, refused[0].Err)
			e.exceptions = refused
			return e
		}
		e := t.deliver(ctx, next, m, unknowns)
		next.abort()
		e.exceptions = append(e.exceptions, refused...)
		return e
	}
	return t.deliver(ctx, l, m, unknowns)
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
