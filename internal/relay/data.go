package relay

import "context"

// Limits of the loop check (RFC 5321 section 6.3 asks for a large number;
// 50 is Postfix's hopcount_limit).
const (
	maxReceived    = 50
	maxOwnReceived = 5
)

// errCrashed is how a leg ended whose upstream, or this package, panicked. The
// mail may have been accepted.
var errCrashed = &Error{Outcome: Unknown, Class: "panic", Reply: ReplyLocalError}

// Data transfers the content and returns the reply to it: the reply to DATA
// itself when src was not opened, else the reply after the end of data. It
// goes whole to one upstream.
func (t *Transaction) Data(ctx context.Context, src Source) Reply {
	if t.over || len(t.rcpts) == 0 {
		return ReplyLocalError // the session answers DATA without recipients itself
	}
	timed := &timedSource{src: src, now: t.r.now}
	start := t.r.now()
	l := t.legs[0]
	e := failed(l, errCrashed) // stands only when what follows panics
	defer func() {
		t.end()
		t.busy += t.r.now().Sub(start) - timed.waited
		t.conclude(&e)
		t.unwatch()
	}()
	if l.route == Cuenote {
		e = t.stream(ctx, l, timed)
	} else {
		e = t.hold(ctx, l, timed)
	}
	return e.reply
}

// hold reads the content into memory and delivers it.
func (t *Transaction) hold(ctx context.Context, l *leg, src Source) ending {
	start := t.stepStart()
	m, err := t.r.receive(t.env, src, l.hop.Copies)
	t.step(StepContent, "", start, err)
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
