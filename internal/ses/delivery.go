package ses

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"sesrelay/internal/relay"
)

var _ relay.Delivery = (*Delivery)(nil)

// MaxRecipients is how many recipients one SendEmail call takes.
const MaxRecipients = 50

// Delivery is one mail transaction with SES. It holds the envelope until Send.
type Delivery struct {
	client     *Client
	env        *relay.Envelope
	to         []relay.Address
	step       string
	clientTags string
	over       bool
}

// errOver is the answer to a Send that has nothing to send.
var errOver = errors.New("ses: the mail transaction is over, or has no recipient")

// SetTags gives the mail's message tags before Send: the value of the step tag
// (see StepTag), and the body of the client's X-SES-MESSAGE-TAGS field, which
// counts only with Config.KeepMessageTags. Tags that SES would not take are
// dropped, never an error.
func (d *Delivery) SetTags(step, clientTags string) { d.step, d.clientTags = step, clientTags }

// AddRecipients takes every recipient that SES can address, up to
// MaxRecipients. SES itself judges them later, by bounce events.
func (d *Delivery) AddRecipients(_ context.Context, to []relay.Address) []error {
	errs := make([]error, len(to))
	for i, a := range to {
		switch {
		case slices.Contains(d.to, a): // given twice: one delivery
		case len(d.to) == MaxRecipients:
			errs[i] = verdict{kind: relay.ClientFault, class: ClassRequest, reply: relay.ReplyTooManyRcpts}.error(errors.New("ses: more than 50 recipients"))
		case unfitRecipient(a):
			errs[i] = verdict{kind: relay.Rejected, class: ClassRequest, reply: relay.ReplyOneRoute}.error(errors.New("ses: an address that SES does not take"))
		default:
			d.to = append(d.to, a)
		}
	}
	return errs
}

// Send makes the call. It ends with a receipt, or with an *relay.Error whose
// Outcome says whether the mail may have been accepted.
func (d *Delivery) Send(ctx context.Context, body relay.Body) (relay.Receipt, error) {
	if d.over || len(d.to) == 0 { // Destination is never empty: SES would take the recipients from the header
		return relay.Receipt{}, d.client.fail(verdict{class: ClassRequest, reply: relay.ReplyLocalError}.error(errOver))
	}
	d.over = true
	if err := body.Open(ctx); err != nil {
		return relay.Receipt{}, err
	}
	if e := d.client.checkSize(body.Size()); e != nil {
		return relay.Receipt{}, d.client.fail(e)
	}
	leave, e := d.client.enter(ctx)
	if e != nil {
		return relay.Receipt{}, d.client.fail(e)
	}
	defer leave()
	if ctx.Err() != nil {
		return relay.Receipt{}, d.client.fail(clientGone(ctx))
	}
	return d.call(ctx, body)
}

// call makes the request and classifies what came of it.
func (d *Delivery) call(ctx context.Context, body relay.Body) (relay.Receipt, error) {
	ctx, cancel := d.client.callContext(ctx, body.Size())
	defer cancel()
	a := &attempt{}
	ans, err := d.client.sender.send(ctx, a, d.request(body))
	if err != nil {
		if e, ok := errors.AsType[*relay.Error](err); ok && !a.posted { // the content's own
			return relay.Receipt{}, e
		}
		return relay.Receipt{}, d.client.fail(a.failure(err))
	}
	if ans.status == http.StatusOK && a.early() {
		return relay.Receipt{}, d.client.fail(a.failure(errEarly))
	}
	if ans.status != http.StatusOK {
		e := classify(ans)
		d.client.learn(e, ans, d)
		return relay.Receipt{}, d.client.fail(e)
	}
	return d.client.receipt(ans), nil
}

// request puts the call together.
func (d *Delivery) request(body relay.Body) *request {
	r := &request{configurationSet: d.client.cfg.ConfigurationSet, to: d.to, feedback: d.client.feedback(d.env), content: body}
	tags := ""
	if d.client.cfg.KeepMessageTags {
		tags = d.clientTags
	}
	var dropped int
	r.tags, dropped = messageTags(d.step, tags)
	d.client.metrics.tagsDropped.Add(float64(dropped))
	return r
}

// Abort ends the transaction; there is nothing to undo.
func (d *Delivery) Abort() { d.over = true }

// fail counts an error on its way out.
func (c *Client) fail(e *relay.Error) error {
	c.metrics.count(e.Class)
	return e
}

// maxAdded is more than the relay's own header lines ever add to a message:
// MessageSize is about the message as it came, which Judge looks at.
const maxAdded = 64 << 10

func (c *Client) checkSize(n int64) *relay.Error {
	switch {
	case n < 0:
		return verdict{class: ClassRequest, reply: relay.ReplyLocalError}.error(errors.New("ses: the content must be in memory"))
	case n > c.cfg.MessageSize+maxAdded:
		return unfit(ClassBadRequest, relay.ReplyTooLarge, fmt.Errorf("ses: %d bytes with what the relay added are more than ses.message_size, %d", n, c.cfg.MessageSize))
	}
	return nil
}

// feedback returns the address for FeedbackForwardingEmailAddress: the
// reverse-path when it belongs to a verified identity, so that senders go on
// getting their bounces.
func (c *Client) feedback(env *relay.Envelope) string {
	from := env.ReversePath
	if from.IsNull() || c.cfg.Identities == nil || unfitRecipient(from) || !c.cfg.Identities(from.Domain) {
		return ""
	}
	return from.String()
}

// receipt is the evidence of an acceptance. A 200 whose body cannot be read is
// one too: then the request id is all there is.
func (c *Client) receipt(ans answer) relay.Receipt {
	id := printable(ans.messageID)
	if id == "" {
		c.metrics.count(ClassUnreadable)
		id = printable(ans.requestID)
	}
	return relay.Receipt{Route: relay.SES, ID: id}
}

// printable cuts an id from the net down to what may stand in a reply.
func printable(id string) string {
	b := make([]byte, 0, min(len(id), maxID))
	for i := 0; i < len(id) && len(b) < maxID; i++ {
		if id[i] > ' ' && id[i] < 0x7f {
			b = append(b, id[i])
		}
	}
	return string(b)
}
