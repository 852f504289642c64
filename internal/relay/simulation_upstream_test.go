package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// errScripted is the panic of a simulated upstream.
var errScripted = errors.New("scripted panic")

// simUpstream does what the transaction's seed says.
type simUpstream struct {
	s     *sim
	route Route
}

type simDelivery struct {
	u    *simUpstream
	tx   *simTx
	to   []Address
	dead error // the connection is gone
	over bool
}

// misbehaves reports whether this step goes wrong.
func (u *simUpstream) misbehaves(tx *simTx) bool {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	return !u.s.healthy && tx.rnd.Float64() < tx.bad
}

// outage is an answer about the upstream, before anything was accepted.
func (u *simUpstream) outage(tx *simTx) error {
	e := &Error{Kind: Unavailable, Signal: SignalCount, Class: "dial", Reply: ReplyUnavailable}
	switch tx.rnd.IntN(7) {
	case 0:
		e.Signal = SignalTrip
	case 1:
		e.Signal = SignalBusy
	case 2:
		e.Reply = Reply{554, [3]int{5, 3, 0}, "host in a bad mood"} // must never reach the client
	case 3:
		panic(errScripted)
	case 4:
		return errors.New("unclassified")
	}
	return e
}

// permanent is a refusal for good, which the client may read unless the mail
// was not meant for this upstream.
func (u *simUpstream) permanent(tx *simTx, to []Address) *Error {
	r := Reply{550, [3]int{5, 1, 1}, fmt.Sprintf("%s refuses %s: %d", u.route, tx.id, tx.rnd.IntN(1000))}
	if u.route == Cuenote || !tx.overflow(to) {
		tx.allowed = append(tx.allowed, r)
	}
	return &Error{Kind: Rejected, Class: "refused", Reply: r, Signal: Signal(tx.rnd.IntN(2))}
}

// overflow reports whether any of the recipients was not meant for SES.
func (tx *simTx) overflow(to []Address) bool {
	for _, a := range to {
		if !tx.lmtp {
			a = Address{}
		}
		if tx.decisions[a].Route == Cuenote {
			return true
		}
	}
	return false
}

func (u *simUpstream) Begin(ctx context.Context, env *Envelope) (Delivery, error) {
	tx := u.s.tx(env.ID)
	if u.misbehaves(tx) {
		return nil, u.outage(tx)
	}
	u.s.mu.Lock()
	u.s.live++
	u.s.mu.Unlock()
	return &simDelivery{u: u, tx: tx}, nil
}

// wait lets up to d pass, or ends with ctx.
func (d *simDelivery) wait(ctx context.Context, most time.Duration) error {
	if d.tx.rnd.IntN(5) != 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(time.Duration(d.tx.rnd.Int64N(int64(most)))):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *simDelivery) AddRecipients(ctx context.Context, to []Address) []error {
	errs := make([]error, len(to))
	if d.over {
		d.u.s.problem("%s: RCPT after the end", d.tx.id)
	}
	if d.dead == nil && d.wait(ctx, 20*time.Second) != nil {
		d.dead = &Error{Kind: ClientFault, Class: "canceled", Reply: ReplyLocalError}
	}
	if d.dead == nil && d.tx.rnd.IntN(3) == 0 && d.u.misbehaves(d.tx) {
		d.dead = d.u.outage(d.tx)
	}
	for i, a := range to {
		switch {
		case d.dead != nil:
			errs[i] = d.dead
		case d.u.misbehaves(d.tx):
			errs[i] = d.refusal(a)
		default:
			d.to = append(d.to, a)
		}
	}
	return errs
}

func (d *simDelivery) refusal(a Address) error {
	switch d.tx.rnd.IntN(4) {
	case 0:
		return &Error{Kind: Unavailable, Class: "greylisted", Reply: Reply{450, [3]int{4, 7, 1}, "come again"}}
	case 1:
		return &Error{Kind: Unavailable, Signal: SignalCount, Class: "disk", Reply: Reply{452, [3]int{4, 3, 1}, "disk full"}}
	case 2:
		if d.u.route == SES {
			return &Error{Kind: ClientFault, Class: "request", Reply: ReplyTooManyRcpts}
		}
	}
	e := d.u.permanent(d.tx, []Address{a})
	e.Signal = SignalNone
	return e
}

func (d *simDelivery) Send(ctx context.Context, body Body) (Receipt, error) {
	d.checkSend()
	err := d.send(ctx, body)
	d.Abort()
	if err != nil {
		return Receipt{}, err
	}
	return Receipt{ID: "x" + d.tx.id, Text: "2.0.0 Ok"}, nil
}

// checkSend looks at what may be sent here and now.
func (d *simDelivery) checkSend() {
	s, tx := d.u.s, d.tx
	if d.over || len(d.to) == 0 {
		s.problem("%s: Send after the end, or without a recipient", tx.id)
	}
	for _, a := range d.to {
		if d.u.route == SES && strings.HasPrefix(a.Local, "odd") {
			s.problem("%s: SES was given %s, which it cannot take", tx.id, a)
		}
		if tx.unknown[a] || tx.accepted[a] {
			s.problem("%s: %s is sent again in one transaction: unknown %v, accepted %v", tx.id, a, tx.unknown[a], tx.accepted[a])
		}
	}
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if d.u.route == SES && tx.mail.unfit {
		s.problem("%s: SES was given content that it cannot take", tx.id)
	}
	if d.u.route == SES && closed && tx.overflow(d.to) {
		s.problem("%s: overflow to SES at 0 %%", tx.id)
	}
}

func (d *simDelivery) send(ctx context.Context, body Body) error {
	if d.dead != nil {
		return d.unsure(func(*simTx) error { return d.dead }, false)
	}
	if d.u.misbehaves(d.tx) && d.tx.rnd.IntN(3) == 0 {
		if d.tx.rnd.IntN(3) == 0 {
			return d.u.permanent(d.tx, d.to)
		}
		return d.unsure(d.u.outage, false)
	}
	if err := body.Open(ctx); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	content, err := d.read(ctx, body)
	if err != nil {
		return err
	}
	if !strings.HasSuffix(content, d.tx.mail.content[strings.Index(d.tx.mail.content, "\r\n\r\n"):]) || strings.Contains(content, "X-SES-TENANT") {
		d.u.s.problem("%s: content arrived changed", d.tx.id)
	}
	if !d.tx.complete {
		d.u.s.problem("%s: the end of data was permitted before the client's", d.tx.id)
	}
	return d.answer()
}

func (d *simDelivery) read(ctx context.Context, body Body) (string, error) {
	var b strings.Builder
	for {
		if err := d.wait(ctx, 3*time.Second); err != nil {
			return "", &Error{Kind: Unavailable, Signal: SignalCount, Class: "timeout", Reply: ReplyUnavailable, Err: err}
		}
		part, err := body.Next()
		if errors.Is(err, io.EOF) {
			return b.String(), nil
		}
		if err != nil {
			return "", fmt.Errorf("content: %w", err)
		}
		b.Write(part)
		if d.tx.rnd.IntN(4) == 0 && d.u.misbehaves(d.tx) {
			return "", d.unsure(d.u.outage, false)
		}
	}
}

// answer is what the upstream says to the whole content.
func (d *simDelivery) answer() error {
	most := 110 * time.Second
	if d.u.route == SES {
		most = 40 * time.Second
	}
	d.wait(context.Background(), most)
	if !d.u.misbehaves(d.tx) {
		d.accept(true)
		return nil
	}
	hidden := d.tx.rnd.IntN(2) == 0
	switch d.tx.rnd.IntN(5) {
	case 0:
		return d.u.permanent(d.tx, d.to)
	case 1:
		return &Error{Kind: Exhausted, Class: "throttled", Reply: ReplyThrottled}
	case 2:
		return &Error{Kind: Unavailable, Signal: Signal(d.tx.rnd.IntN(3)), Class: "later", Reply: Reply{451, [3]int{4, 3, 0}, "later"}}
	case 3:
		return d.unsure(d.u.outage, hidden)
	}
	return d.unsure(func(*simTx) error {
		return &Error{Outcome: Unknown, Kind: Unavailable, Signal: SignalCount, Class: "unanswered", Reply: ReplyUnknown}
	}, hidden)
}

// unsure fails in a way that may leave the outcome open, with the mail accepted
// all the same when hidden says so.
func (d *simDelivery) unsure(fail func(*simTx) error, hidden bool) (err error) {
	defer func() {
		v := recover()
		if v != nil || AsError(err).Outcome == Unknown {
			for _, a := range d.to {
				d.tx.unknown[a] = true
			}
			if hidden {
				d.accept(false)
			}
			d.charge()
		}
		if v != nil {
			panic(v)
		}
	}()
	return fail(d.tx)
}

// accept takes the mail; told says whether the relay will know.
func (d *simDelivery) accept(told bool) {
	s, tx := d.u.s, d.tx
	if told {
		d.charge()
	}
	s.mu.Lock()
	var again []string
	for _, k := range tx.ledgerKeys(d.to) {
		if tx.mail.ledgered && s.visible[k] {
			again = append(again, k)
		}
		s.visible[k] = s.visible[k] || told
	}
	for _, a := range d.to {
		tx.accepted[a] = tx.accepted[a] || told
		s.taken[tx.mail.key(a)] = s.taken[tx.mail.key(a)] || told
	}
	s.mu.Unlock()
	if len(again) > 0 {
		s.problem("%s: %s takes again what was accepted: %v", tx.id, d.u.route, again)
	}
}

// charge counts what SES may count.
func (d *simDelivery) charge() {
	if d.u.route == SES {
		d.u.s.mu.Lock()
		d.u.s.charged += len(d.to)
		d.u.s.mu.Unlock()
	}
}

func (d *simDelivery) Abort() {
	d.u.s.mu.Lock()
	defer d.u.s.mu.Unlock()
	if !d.over {
		d.over = true
		d.u.s.live--
	}
}
