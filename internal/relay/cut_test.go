package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
)

// TestClientLeavesInsideData: only io.EOF itself is the end of data. An error
// that wraps it (the connection's own io.EOF) means that the client has gone,
// and nothing is sent.
func TestClientLeavesInsideData(t *testing.T) {
	for _, gone := range []error{
		&Error{Kind: ClientFault, Class: "client_gone", Reply: ReplyLocalError, Err: io.EOF},
		fmt.Errorf("read: %w", io.EOF), io.ErrUnexpectedEOF, errors.New("reset"),
	} {
		for _, route := range []Route{SES, Cuenote} {
			for _, content := range []string{"", "Sub", "Subject: x\r\n", "Subject: x\r\n\r\nhalf", testMail} {
				w := newWorld(t)
				w.router.route = route
				tx := w.begin()
				if r := tx.Recipient(context.Background(), addr("a@example.jp")); !r.Positive() {
					t.Fatal(r)
				}
				r := tx.Data(context.Background(), &fakeSource{content: content, err: gone})
				if r.Positive() || w.ses.completed+w.cuenote.completed > 0 {
					t.Errorf("%s, %q, %v: reply %s, %d at SES, %d at Cuenote", route, content, gone, r, w.ses.completed, w.cuenote.completed)
				}
			}
		}
	}
}
