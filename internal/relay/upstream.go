package relay

import "context"

// Route names an upstream; it is also the metric label.
type Route string

const (
	SES     Route = "ses"
	Cuenote Route = "cuenote"
)

// Upstream is a next hop that can take responsibility for mail.
type Upstream interface {
	// Begin starts one mail transaction. It is cheap: an upstream that speaks
	// SMTP may wait with MAIL until the first recipient, to send both at once.
	Begin(ctx context.Context, env *Envelope) (Delivery, error)
}

// Delivery is one mail transaction with an upstream. After Send or Abort it is
// over. It is used by one goroutine at a time.
type Delivery interface {
	// AddRecipients offers recipients, pipelined where the upstream allows. It
	// returns one value per recipient: nil, or an *Error with the reply for
	// that recipient. A refused MAIL is the answer for every recipient.
	AddRecipients(ctx context.Context, to []Address) []error
	// Send transfers the content for every recipient that was added without
	// error. A nil error means accepted for all of them; otherwise *Error.
	Send(ctx context.Context, body Body) (Receipt, error)
	// Abort ends the transaction with nothing sent. It may be called after
	// Send, and more than once.
	Abort()
}

// Body is the content of one message on its way to an upstream: CRLF line
// ends, not dot-stuffed, with the documented header changes already made.
type Body interface {
	// Open asks the client for the content, when that has not happened yet.
	// An upstream calls it once it is itself ready to take the content (after
	// its own 354), so that its refusal can still be the client's reply to DATA.
	Open(ctx context.Context) error
	// Next returns the next part of the content, valid until the next call.
	// io.EOF is the permission to end the data: only then may the final dot
	// be written. After any other error the delivery must never be completed
	// (an SMTP upstream closes the connection), and Send returns that error.
	Next() ([]byte, error)
	// Size is the number of bytes that Next will return in all, or -1 while
	// the content is streamed.
	Size() int64
}

// Receipt is the evidence that an upstream has accepted a message.
type Receipt struct {
	Route   Route  `json:"route"`
	RelayID string `json:"relay_id"` // of the transaction that was accepted; filled by the relay
	ID      string `json:"id"`       // SES message id, or the queue id in an SMTP upstream's reply
	Text    string `json:"text"`     // text of an SMTP upstream's final reply, one line, printable ASCII
}

// Reply is the client's 250: it names both ends, so that Postfix's log does.
func (r Receipt) Reply() Reply {
	text := r.RelayID + " accepted by " + string(r.Route)
	if r.Route == SES {
		text += " " + r.ID
	} else {
		text += ": " + r.Text
	}
	return Reply{250, [3]int{2, 0, 0}, text}
}

// Source is the content of a message at the client's end of the relay.
type Source interface {
	// Open tells the client to send (354). It is called at most once.
	Open() error
	// Read reads the content as sent: dot-stuffing removed, CRLF line ends.
	// io.EOF stands for the true end of data, CRLF "." CRLF, and for nothing
	// else. A bare CR, LF or NUL, a message over the limit and a client that
	// left or was too slow are *Error values of Kind ClientFault.
	Read(p []byte) (int, error)
}
