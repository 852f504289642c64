package cuenote

import (
	"context"
	"strconv"

	"sesrelay/internal/relay"
)

// maxGroup bounds the commands of one write, so that their replies fit into
// the socket buffers however long they are (RFC 2920 section 3.1).
const maxGroup = 100

// headerRoom is what the relay adds to the content: one Received field.
const headerRoom = 512

// group is a run of commands: RSET, MAIL and the recipients accepted earlier
// where the connection needs them, then the recipients to offer.
type group struct {
	rset, mail bool
	replay, to []relay.Address
}

func (g *group) len() int {
	n := len(g.replay) + len(g.to)
	if g.rset {
		n++
	}
	if g.mail {
		n++
	}
	return n
}

// at tells what command i is: RSET (""), MAIL, or RCPT with its recipient; for
// a recipient to offer, index is its place in g.to, for others -1.
func (g *group) at(i int) (cmd command, to relay.Address, index int) {
	if g.rset {
		if i == 0 {
			return "", to, -1
		}
		i--
	}
	if g.mail {
		if i == 0 {
			return cmdMail, to, -1
		}
		i--
	}
	if i < len(g.replay) {
		return cmdRcpt, g.replay[i], -1
	}
	i -= len(g.replay)
	return cmdRcpt, g.to[i], i
}

// offer sends the recipients, and what has to come before them, on the current
// connection, and reads every reply. errs gets one value per recipient. The
// error is about the transaction as a whole.
func (d *delivery) offer(ctx context.Context, to []relay.Address, errs []error) *relay.Error {
	k := d.conn
	g := group{to: to}
	if !d.mailed {
		if d.env.SMTPUTF8 && !k.ext.utf8 {
			return &relay.Error{Kind: relay.Rejected, Class: classSMTPUTF8, Reply: relay.ReplyNeedsUTF8}
		}
		g.rset, g.mail, g.replay = k.dirty, true, d.accepted
		k.mails++
	}
	atOnce := 1
	if k.ext.pipelining {
		atOnce = maxGroup
	}
	for i := 0; i < g.len(); i += atOnce {
		if failed := d.run(ctx, &g, i, min(i+atOnce, g.len()), errs); failed != nil {
			return failed
		}
	}
	return nil
}

// run writes the commands from to end in one write and reads their replies. A
// refused MAIL does not stop it from reading the replies to the recipients
// behind it, which say nothing new.
func (d *delivery) run(ctx context.Context, g *group, from, end int, errs []error) *relay.Error {
	k := d.conn
	if failed := d.inStep(ctx, cmdRcpt); failed != nil {
		return failed
	}
	k.out = k.out[:0]
	for i := from; i < end; i++ {
		k.out = d.appendCommand(k.out, g, i)
	}
	if err := k.write(ctx, k.out, d.client.cfg.CommandTimeout); err != nil {
		return d.lostOr421(ctx, "write the envelope", err)
	}
	var refused *relay.Error
	for i := from; i < end; i++ {
		if err := k.read(ctx, d.client.cfg.CommandTimeout); err != nil {
			return lost(ctx, "reply to the envelope", err)
		}
		if k.reply.code == 421 { // to whatever command
			return refusal(cmdRcpt, &k.reply)
		}
		if refused == nil {
			refused = d.answer(g, i, errs)
		}
		if k.gone {
			return refused
		}
	}
	return refused
}

// inStep makes sure that the next reply will be that to cmd.
func (d *delivery) inStep(ctx context.Context, cmd command) *relay.Error {
	if d.conn.fit { // looked at when it was taken from the pool, which was right before
		d.conn.fit = false
		return nil
	}
	said, err := d.conn.unasked(ctx, d.client.cfg.CommandTimeout)
	switch {
	case err != nil:
		return lost(ctx, "before "+string(cmd), err)
	case said:
		return refusal(cmd, &d.conn.reply)
	}
	return nil
}

// lostOr421 looks for a last word of the server after a write has failed.
func (d *delivery) lostOr421(ctx context.Context, during string, err error) *relay.Error {
	k := d.conn
	if k.lastWord(ctx, d.client.cfg.CommandTimeout) && k.reply.code == 421 {
		return refusal(cmdRcpt, &k.reply)
	}
	return lost(ctx, during, err)
}

func (d *delivery) appendCommand(b []byte, g *group, i int) []byte {
	cmd, to, _ := g.at(i)
	switch cmd {
	case cmdMail:
		d.conn.dirty = true
		return d.appendMail(b)
	case cmdRcpt:
		b = append(b, "RCPT TO:"...)
		b = append(b, to.Path()...)
		return append(b, "\r\n"...)
	}
	return append(b, "RSET\r\n"...)
}

// appendMail writes MAIL with the parameters that the server offers. 8-bit
// content goes unchanged to a server that does not offer 8BITMIME, as the
// client's own queue would do it.
func (d *delivery) appendMail(b []byte) []byte {
	ext := &d.conn.ext
	b = append(b, "MAIL FROM:"...)
	b = append(b, d.env.ReversePath.Path()...)
	if ext.size && d.env.Size > 0 { // RFC 1870 section 6.1
		b = append(b, " SIZE="...)
		b = strconv.AppendInt(b, declaredSize(d.env.Size, ext.maxSize), 10)
	}
	if ext.eightBit && d.env.EightBit {
		b = append(b, " BODY=8BITMIME"...)
	}
	if d.env.SMTPUTF8 {
		b = append(b, " SMTPUTF8"...)
	}
	return append(b, "\r\n"...)
}

// declaredSize adds what the relay adds, but never carries a mail that the
// server would take over its limit: the room is an estimate, a 552 is a bounce.
func declaredSize(size, limit int64) int64 {
	if limit > 0 && size <= limit {
		return min(size+headerRoom, limit)
	}
	return size + headerRoom
}

// answer takes the reply to command i. The error is about the transaction.
func (d *delivery) answer(g *group, i int, errs []error) *relay.Error {
	r := &d.conn.reply
	cmd, _, index := g.at(i)
	switch {
	case cmd == "" && !r.positive():
		d.conn.gone = true // a server that cannot forget: nothing to lose on another connection
		return refusal(cmdMail, r)
	case cmd == "":
		d.conn.dirty = false
	case cmd == cmdMail && !r.positive():
		return refusal(cmdMail, r)
	case cmd == cmdMail:
		d.mailed, d.conn.dirty = true, true
	case index < 0 && !r.positive():
		return errReplay(r)
	case !r.positive():
		failed := refusal(cmdRcpt, r)
		if failed.Class == classProtocol {
			return failed
		}
		errs[index] = failed
	}
	return nil
}
