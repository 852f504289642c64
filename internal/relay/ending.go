package relay

import (
	"errors"
	"slices"
	"time"
)

// ending is how one leg of a transaction ended.
type ending struct {
	leg        *leg
	result     Result
	reply      Reply
	receipt    Receipt
	err        error
	content    Content
	fp         Fingerprint
	rehearsal  Rehearsal
	exceptions []Refusal // LMTP: recipients whose reply is not the leg's
}

// accepted is the only ending with a 250 for new mail.
func accepted(l *leg, r Receipt) ending {
	return ending{leg: l, result: ResultAccepted, reply: r.Reply(), receipt: r}
}

// duplicate answers a retry of mail that was accepted with the first receipt.
func duplicate(l *leg, r Receipt) ending {
	return ending{leg: l, result: ResultDuplicate, reply: r.Reply(), receipt: r}
}

// failed ends without acceptance.
func failed(l *leg, err error) ending {
	e := AsError(err)
	end := ending{leg: l, reply: ReplyTo(e), err: err}
	end.result = resultOf(end.reply)
	if e.Outcome == Unknown {
		end.result = ResultUnknown
	}
	return end
}

// noOtherWay is the error when the other upstream cannot take mail that cause
// kept from the first. A permanent refusal becomes a temporary one: the other
// upstream may take the mail later.
func noOtherWay(cause *Error, err error) *Error {
	e := *laterElsewhere(cause)
	e.Err = errors.Join(cause.Err, err)
	return &e
}

// laterElsewhere is a refusal of mail that another upstream may take later: a
// permanent one becomes temporary, because a wrong 5xx loses mail.
func laterElsewhere(cause *Error) *Error {
	e := *cause
	if !e.Reply.Temporary() {
		e.Reply = ReplyUnavailable
	}
	return &e
}

// conclude makes the record of one leg.
func (t *Transaction) conclude(e *ending) {
	rec := t.newRecord(e.leg.route, e.leg.reason)
	rec.Refused = append(rec.Refused, e.exceptions...)
	rec.Recipients, rec.Eligible, rec.Attempts = e.leg.to, e.leg.eligible, e.leg.attempts
	rec.Result, rec.Reply, rec.Receipt, rec.Err = e.result, e.reply, e.receipt, e.err
	rec.Size, rec.QueueID, rec.Fingerprint = e.content.Size, e.content.QueueID, e.fp
	rec.Rehearsal = e.rehearsal
	rec.Held = t.held(e)
	rec.Delay = hopDelay(e.content.HopTime, t.r.now())
	t.finish(rec)
}

// held reports whether the brake alone kept a mail away from SES, as far as it
// was judged: recipients always, content only where it is rehearsed.
func (t *Transaction) held(e *ending) bool {
	unfit := func(to Address) bool { return t.cfg.Router.FitRecipient(t.env, to) != "" }
	return e.leg.held && !slices.ContainsFunc(e.leg.to, unfit) && e.rehearsal.Reason == ""
}

// hopDelay is the time since the topmost Received line; -1 when the line has
// no readable date or one in the future.
func hopDelay(hop, now time.Time) time.Duration {
	if hop.IsZero() || hop.After(now.Add(time.Second)) { // the date has whole seconds
		return -1
	}
	return max(0, now.Sub(hop))
}

// timedSource measures how long the client was waited for.
type timedSource struct {
	src    Source
	now    func() time.Time
	waited time.Duration
}

// Open implements Source.
func (s *timedSource) Open() error {
	start := s.now()
	err := s.src.Open()
	s.waited += s.now().Sub(start)
	return err
}

// Read implements Source.
func (s *timedSource) Read(p []byte) (int, error) {
	start := s.now()
	n, err := s.src.Read(p)
	s.waited += s.now().Sub(start)
	return n, err
}
