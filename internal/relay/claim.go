package relay

import (
	"context"
	"crypto/sha256"
)

// ledgered reports whether the duplicate ledger applies: identical mails from
// clients that add neither Received nor Message-ID are meant.
func ledgered(h *Header) bool { return h.Received > 0 || h.HasMessageID }

// once delivers a mail that the duplicate ledger does not know.
func (t *Transaction) once(ctx context.Context, l *leg, m *message) (e ending) {
	if !ledgered(&m.Header) {
		return t.deliver(ctx, l, m, 0)
	}
	m.fp = fingerprint(t.env, l.to, sha256.Sum256(m.data))
	claim, verdict := t.claim(ctx, l, m.fp)
	if verdict != nil {
		return *verdict
	}
	e = failed(l, errCrashed) // stands only when the delivery panics
	defer func() { t.settle(m.fp, &e) }()
	return t.deliver(ctx, l, m, claim.Unknowns)
}

// claim asks the ledger. A verdict ends the transaction without a delivery.
func (t *Transaction) claim(ctx context.Context, l *leg, fp Fingerprint) (Claim, *ending) {
	start := t.stepStart()
	claim, err := t.cfg.Ledger.Claim(ctx, fp, t.env.ID)
	t.step(StepLedger, "", start, err)
	if err != nil {
		return Claim{}, nil // best effort: the mail goes through
	}
	switch claim.State {
	case Duplicate:
		e := duplicate(l, claim.Receipt) // declared here: an ending is large, and nearly no mail needs one
		return claim, &e
	case Busy:
		e := failed(l, &Error{Kind: ClientFault, Class: "in_progress", Reply: ReplyInProgress})
		return claim, &e
	}
	return claim, nil
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
