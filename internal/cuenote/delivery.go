package cuenote

import (
	"context"
	"errors"
	"fmt"

	"sesrelay/internal/relay"
)

// delivery is one mail transaction with the smarthost.
type delivery struct {
	client *Client
	env    *relay.Envelope

	conn     *conn           // nil before the first recipient and after the end
	reused   bool            // conn has served before: it may have died unnoticed
	mailed   bool            // conn has accepted MAIL for this transaction
	accepted []relay.Address // told to the client, in order: what a new connection is told again
	inside   bool            // 354 was read and the final dot not answered: a command would become content
	failed   *relay.Error    // the answer to everything that follows
	over     bool
}

var (
	errOver         = errors.New("cuenote: the transaction is over")
	errNoRecipients = errors.New("cuenote: no recipient was accepted")
)

// AddRecipients offers recipients, MAIL before the first of them, all in one
// write where the smarthost pipelines (RFC 2920).
func (d *delivery) AddRecipients(ctx context.Context, to []relay.Address) []error {
	errs := make([]error, len(to))
	if len(to) == 0 {
		return errs
	}
	if d.failed == nil {
		d.failed = d.add(ctx, to, errs)
	}
	for i, err := range errs {
		if err == nil && d.failed == nil {
			d.accepted = append(d.accepted, to[i])
			continue
		}
		if err == nil {
			errs[i] = d.failed
		}
		d.client.countError(errs[i])
	}
	return errs
}

// add gets a connection when there is none yet and offers the recipients on it.
func (d *delivery) add(ctx context.Context, to []relay.Address, errs []error) *relay.Error {
	if d.over {
		return callerBug(errOver)
	}
	if err := d.writable(to); err != nil {
		d.letGo(true)
		return callerBug(err)
	}
	if d.conn == nil {
		k, failed := d.client.acquire(ctx)
		if failed != nil {
			return failed
		}
		d.conn, d.reused = k, !k.idle.IsZero()
	}
	return d.attempt(ctx, func() *relay.Error {
		clear(errs)
		return d.offer(ctx, to, errs)
	})
}

// attempt runs one step of the dialogue, and once more on a new connection when
// the connection was an old one that turned out to be gone. Afterwards the
// connection is let go unless the transaction can go on.
func (d *delivery) attempt(ctx context.Context, step func() *relay.Error) *relay.Error {
	failed := d.watched(ctx, step)
	if failed != nil && d.reused && d.conn.gone && ctx.Err() == nil {
		d.client.cfg.Logger.Debug("cuenote: replacing a connection that died between transactions", "error", failed)
		if failed = d.replace(ctx); failed == nil {
			failed = d.watched(ctx, step)
		}
	}
	if failed != nil && d.conn != nil {
		d.letGo(d.stillSound(failed))
	}
	return failed
}

// watched runs step while the end of ctx interrupts it.
func (d *delivery) watched(ctx context.Context, step func() *relay.Error) *relay.Error {
	stop := d.conn.watch(ctx)
	failed := step()
	if !stop() {
		d.conn.gone = true // the interruption may still come: not for the next transaction
		if failed == nil {
			failed = gaveUp(ctx, "mail transaction")
		}
	}
	return failed
}

// stillSound reports whether the connection is in step with the server after
// failed: every reply was read and was one.
func (d *delivery) stillSound(failed *relay.Error) bool {
	switch failed.Class {
	case classDeferred, classRejected, classSMTPUTF8, classReplay:
		return true
	case classConfig: // 530 and its like: what is wrong is the connection
		return failed.Signal != relay.SignalTrip
	}
	return false
}

// replace puts a new connection in place of one that is gone.
func (d *delivery) replace(ctx context.Context) *relay.Error {
	d.client.metrics.busy.Dec()
	d.client.drop(d.conn)
	k, failed := d.client.fresh(ctx)
	if failed != nil {
		d.conn = nil
		<-d.client.pool.slots
		return failed
	}
	d.conn, d.reused, d.mailed = k, false, false
	return nil
}

// letGo gives the connection back, to be closed when it is not sound or inside DATA.
func (d *delivery) letGo(sound bool) {
	if d.conn != nil {
		d.client.release(d.conn, sound && !d.inside)
		d.conn = nil
	}
}

// Abort ends the transaction. RSET is not waited for: it goes out ahead of the
// next MAIL on the connection. Inside DATA, where only a panic of the content's
// reader can leave it, the connection is closed.
func (d *delivery) Abort() {
	d.letGo(true)
	d.over = true
}

// writable looks for bytes that would turn an address into a command. The
// session has parsed every address: one that arrives here is our own fault.
func (d *delivery) writable(to []relay.Address) error {
	if !pathSafe(d.env.ReversePath, d.env.SMTPUTF8) {
		return errors.New("cuenote: the reverse-path has a byte that may not be written")
	}
	for _, a := range to {
		if !pathSafe(a, d.env.SMTPUTF8) {
			return errors.New("cuenote: a recipient has a byte that may not be written")
		}
	}
	return nil
}

func pathSafe(a relay.Address, utf8 bool) bool {
	return textSafe(a.Local, utf8) && textSafe(a.Domain, utf8)
}

func textSafe(s string, utf8 bool) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == 0x7f || c >= 0x80 && !utf8 {
			return false
		}
	}
	return true
}

// countError counts what was no acceptance.
func (c *Client) countError(err error) {
	if e, ok := errors.AsType[*relay.Error](err); ok {
		c.metrics.errors.WithLabelValues(e.Class).Inc()
	}
}

// errReplay hides the reply: the client was told 250 for this recipient.
func errReplay(r *reply) *relay.Error {
	return unavailable(classReplay, relay.SignalNone, fmt.Errorf("cuenote: a recipient accepted before is refused on a new connection: %s", r.quoted()))
}
