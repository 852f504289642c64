package smtp

import (
	"context"

	"sesrelay/internal/relay"
)

// Transaction is one mail transaction of the relay, begun at MAIL. It is used
// by one goroutine at a time. Its replies reach the client as they are.
type Transaction interface {
	// Recipient offers one recipient: 250, or the refusal.
	Recipient(ctx context.Context, to relay.Address) relay.Reply
	// Data handles the content of an SMTP transaction. It calls src.Open when
	// it wants the body: only then is 354 sent. A reply returned without Open
	// is the reply to DATA.
	Data(ctx context.Context, src relay.Source) relay.Reply
	// DataEach is Data over LMTP: one reply per accepted recipient, in order
	// (RFC 2033 section 4.2).
	DataEach(ctx context.Context, src relay.Source) []relay.Reply
	// HoldsConnection reports whether the transaction occupies an upstream
	// connection: then the client has Limits.Held between commands.
	HoldsConnection() bool
	// Abort ends the transaction with nothing sent: RSET, QUIT, a new EHLO, a
	// lost connection. It may be called more than once, and after Data.
	Abort()
}
