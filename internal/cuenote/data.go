package cuenote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"sesrelay/internal/relay"
)

// trickle is how long content of a slow client is held back at most once the
// next part has come: the smarthost sees that the mail is still on its way.
const trickle = 5 * time.Second

// Send transfers the content. Until the final dot is written the end of ctx
// aborts; from then on the reply is waited for, up to Timeout, whatever ctx
// says: giving up then would turn a mail that is being accepted into one whose
// outcome nobody knows.
func (d *delivery) Send(ctx context.Context, body relay.Body) (relay.Receipt, error) {
	receipt, err := d.send(ctx, body)
	d.letGo(false) // whatever still holds a connection failed inside DATA
	d.over = true
	if err != nil {
		d.client.countError(err)
	}
	return receipt, err
}

func (d *delivery) send(ctx context.Context, body relay.Body) (relay.Receipt, error) {
	switch {
	case d.failed != nil:
		return relay.Receipt{}, d.failed
	case d.over:
		return relay.Receipt{}, callerBug(errOver)
	case len(d.accepted) == 0:
		return relay.Receipt{}, callerBug(errNoRecipients)
	}
	if d.failed = d.attempt(ctx, func() *relay.Error { return d.data(ctx) }); d.failed != nil {
		return relay.Receipt{}, d.failed
	}
	d.inside = true
	if err := d.transfer(ctx, body); err != nil {
		return relay.Receipt{}, err
	}
	return d.result()
}

// data says DATA and waits for 354; on a new connection it first repeats the
// envelope.
func (d *delivery) data(ctx context.Context) *relay.Error {
	if !d.mailed {
		if failed := d.offer(ctx, nil, nil); failed != nil {
			return failed
		}
	}
	if failed := d.inStep(ctx, cmdData); failed != nil {
		return failed
	}
	k := d.conn
	if err := k.cmd(ctx, string(cmdData), d.client.cfg.CommandTimeout); err != nil {
		return lost(ctx, "DATA", err)
	}
	if k.reply.code != 354 {
		return refusal(cmdData, &k.reply)
	}
	return nil
}

// transfer writes the content and, once Body.Next has allowed it, the final
// dot. An error means that the dot was not written whole.
func (d *delivery) transfer(ctx context.Context, body relay.Body) error {
	stop := d.conn.watch(ctx)
	defer stop()
	if err := body.Open(ctx); err != nil {
		return callersOwn("open the content", err)
	}
	w := newDotWriter(func(b []byte) error { return d.chunk(ctx, b) })
	defer w.free()
	if err := d.stream(body, w); err != nil {
		return err
	}
	last, err := w.end()
	if err != nil {
		return writeError(err)
	}
	if err := d.silent(ctx); err != nil {
		return err
	}
	if !stop() { // from here on ctx is not looked at
		return gaveUp(ctx, "before the final dot")
	}
	return d.dot(ctx, last)
}

// stream moves the parts of the content into w until io.EOF.
func (d *delivery) stream(body relay.Body, w *dotWriter) error {
	flushed := time.Now() // at the latest
	for {
		part, err := body.Next()
		if err != nil && err != io.EOF { //nolint:errorlint // the permission to end is io.EOF itself: an error may wrap it
			return callersOwn("read the content", err)
		}
		if bad := w.add(part); bad != nil {
			return writeError(bad)
		}
		if err != nil {
			return nil
		}
		if now := time.Now(); now.Sub(flushed) > trickle {
			flushed = now
			if bad := w.drain(); bad != nil {
				return writeError(bad)
			}
		}
	}
}

// chunk writes one bufferful of content.
func (d *delivery) chunk(ctx context.Context, b []byte) error {
	if err := d.silent(ctx); err != nil {
		return err
	}
	if err := d.conn.write(ctx, b, d.client.cfg.CommandTimeout); err != nil {
		return d.cutShort(ctx, err)
	}
	return nil
}

// silent makes sure that the smarthost has said nothing yet. A reply before
// the dot is a refusal, or worse: the next mail's "250" would be taken for it.
func (d *delivery) silent(ctx context.Context) error {
	k := d.conn
	quiet, err := k.quiet()
	if quiet {
		return nil
	}
	if err == nil {
		err = k.read(ctx, d.client.cfg.CommandTimeout)
	}
	if err != nil {
		return lost(ctx, "write the content", err)
	}
	return early(&k.reply)
}

// cutShort classifies a failed write of content: by the smarthost's last word
// when it left one ("552 too large", and closed).
func (d *delivery) cutShort(ctx context.Context, err error) error {
	if d.conn.lastWord(ctx, d.client.cfg.CommandTimeout) {
		return early(&d.conn.reply)
	}
	return lost(ctx, "write the content", err)
}

// dot writes the last bytes of the data. When they did not all leave, the
// server cannot have seen the end of the data: not accepted.
func (d *delivery) dot(ctx context.Context, last []byte) error {
	k := d.conn
	_ = k.allow(d.client.cfg.Timeout) // the write reports it
	n, err := k.nc.Write(last)
	switch {
	case err == nil:
		return nil
	case n < len(last):
		return d.cutShort(context.WithoutCancel(ctx), err)
	}
	return unanswered(err)
}

// result reads the reply to the final dot. The deadline was set by dot.
func (d *delivery) result() (relay.Receipt, error) {
	k := d.conn
	if err := k.reply.read(k.br); err != nil {
		return relay.Receipt{}, unanswered(err)
	}
	if k.reply.elsewhere() {
		return relay.Receipt{}, unanswered(fmt.Errorf("%w: %s", errGarbage, k.reply.quoted()))
	}
	k.dirty, d.inside = false, false
	k.gone = k.reply.code == 421
	defer d.letGo(true) // the reply is the connection's: read it first
	if !k.reply.positive() {
		return relay.Receipt{}, refusal(cmdDot, &k.reply)
	}
	text := k.reply.oneLine()
	return relay.Receipt{Route: relay.Cuenote, ID: queueID(text), Text: text}, nil
}

// callersOwn wraps an error of Body. One that says itself what it is is left
// to say so; any other is surely "not accepted": the dot was not written.
func callersOwn(during string, err error) error {
	if _, ok := errors.AsType[*relay.Error](err); ok {
		return fmt.Errorf("cuenote: %s: %w", during, err)
	}
	return &relay.Error{Kind: relay.ClientFault, Class: classContent, Reply: relay.ReplyLocalError,
		Err: fmt.Errorf("cuenote: %s: %w", during, err)}
}

// writeError returns err as an *relay.Error.
func writeError(err error) error {
	if e, ok := errors.AsType[*relay.Error](err); ok {
		return e
	}
	return callerBug(err)
}
