// Package smtp is the SMTP and LMTP service of the relay: listeners, access,
// TLS, AUTH, sessions and drain. It turns what clients say into calls of a
// [Transaction] and its replies into what clients read.
//
// The session engine is github.com/emersion/go-smtp, unmodified. It falls
// short in places where mail could be lost, doubled or injected, so it never
// sees the wire: a guard, which is its net.Conn, owns it.
//
//	wire <-> guard <-> go-smtp <-> session <-> guard <-> Transaction
//
// The guard gives the library one judged command line per Read. When the
// library reads again, all its earlier replies are written, so the guard can
// answer a command itself, in order. It takes DATA, STARTTLS and the text of
// replies away from the library: the library's 354 is swallowed, the session
// asks the guard for the body, and the library reads an empty one. Replies are
// written when the guard must wait for the client: one write per pipelined
// group of commands.
//
// Rules that a client can notice:
//
//   - Only CRLF "." CRLF ends a body. A bare CR, a bare LF or a NUL in it is
//     554 5.6.0 behind the true end; in a command it is 500, and the connection
//     ends.
//   - What arrived before the greeting was sent is 554 5.5.0, and the
//     connection ends; so is what arrived behind STARTTLS.
//   - A refusal before the body is the reply to DATA; when something stands
//     behind DATA already, the connection ends with it.
//   - A connection ends with 421 after ten bad commands, after a hundred
//     commands without a message, and half an hour after its last message.
//   - While the service drains, idle connections, RSET and NOOP get 421 4.3.2,
//     and so does every connection behind the final reply of its mail. MAIL is
//     served, and waited for a second behind EHLO, RSET and NOOP.
//
// This rests on behaviour that the library does not promise: 354 is written
// before Session.Data is called, the EHLO reply has a CHUNKING line and ends
// in SIZE, one goroutine reads, and nothing is read ahead of a line. The
// version is pinned, and library_test.go tests each assumption.
package smtp
