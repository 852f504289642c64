package cuenote

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/relay"
)

// oddReplies are what a smarthost should never say, played on the first
// connection. Replies parted by "\n" leave in one write; each has a code of its
// own, so that what is behind the first comes unasked.
var oddReplies = []struct {
	name   string
	script script
	want   string // describe of the failure; "" for accepted
	kept   bool   // whether the next mail may take the same connection
}{
	{"251 at the dot", script{"dot": "251 2.1.5 will forward"}, "", true},
	{"252 at the dot", script{"dot": "252 2.0.0 will try"}, "", true},
	{"299 at the dot", script{"dot": "299 whatever"}, "", true},
	{"NUL and escapes at the dot", script{"dot": "250 2.0.0 ok\x00\x1b[2J\xff queued as X1"}, "", true},
	{"as many lines as are read", script{"dot": strings.Repeat("250-2.0.0 ok\n", 99) + "250 ok"}, "", true},
	{"221 at the dot", script{"dot": "221 2.0.0 bye"}, unknown, false},
	{"220 at the dot", script{"dot": "220 fake.example ESMTP"}, unknown, false},
	{"235 at the dot", script{"dot": "235 2.7.0 welcome"}, unknown, false},
	{"214 at the dot", script{"dot": "214 see RFC 5321"}, unknown, false},
	{"334 at the dot", script{"dot": "334 VXNlcg=="}, unknown, false},
	{"two codes in one reply", script{"dot": "250-2.0.0 ok\n451 4.3.0 no"}, unknown, false},
	{"a line without end", script{"dot": "250 2.0.0 " + strings.Repeat("x", 5000)}, unknown, false},
	{"lines without end", script{"dot": strings.Repeat("250-2.0.0 ok\n", 100) + "250 ok"}, unknown, false},
	{"acceptance and refusal", script{"dot": "250 2.0.0 ok\n554 5.6.0 or not"}, "", false},
	{"refusal and acceptance", script{"dot": "450 4.2.0 later\n250 2.0.0 ok"}, passed4, false},
	{"two greetings", script{"greeting": "220 a\n220 b"}, greeting, false},
	{"a reply too many to EHLO", script{"EHLO": "250 a\n250 b"}, nonsense, false},
	{"a reply too many to MAIL", script{"MAIL": "250 2.1.0 ok\n250 2.1.5 ok", "RCPT": "550 5.1.1 no such user"}, nonsense, false},
	{"a refusal too many to RCPT", script{"RCPT": "250 2.1.5 ok\n550 5.1.1 no such user"}, nonsense, false},
	{"354 before its time", script{"RCPT": "250 2.1.5 ok\n354 go"}, nonsense, false},
	{"354 twice", script{"DATA": "354 go\n354 go"}, nonsense, false},
	{"acceptance behind 354", script{"DATA": "354 go\n250 2.0.0 ok: queued as EVIL"}, nonsense, false},
	{"421 behind RCPT", script{"RCPT": "250 2.1.5 ok\n421 4.3.2 bye"}, shutdown, false},
	{"EHLO refused, HELO not", script{"EHLO": "502 5.5.1 what?", "HELO": "250 fake.example"}, "not accepted, unavailable, trip, greeting, " + unavailableReply, false},
	{"SIZE less than the mail", script{"EHLO": "250-fake.example\n250 SIZE 10", "MAIL": "552 5.3.4 too large"}, "not accepted, rejected, none, rejected, 552 5.3.4 too large", true},
}

// TestOddReplies: no reply but that to the final dot is taken for an acceptance,
// none for a refusal that another command got, and a connection that is out of step has no second mail.
func TestOddReplies(t *testing.T) {
	t.Parallel()
	for _, k := range oddReplies {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(k.script, script{"dot": "250 2.0.0 Ok: queued as NEXT1"})
			c := newClient(t, f.listen(t))
			r := mail(t, c, envelope(t), "a@example.jp")
			if k.want == "" {
				r.ok(t)
				if i := strings.IndexFunc(r.receipt.Text, func(c rune) bool { return c < ' ' || c > '~' }); i >= 0 || len(r.receipt.Text) > maxTextLine {
					t.Errorf("receipt %q", r.receipt.Text)
				}
			} else if got := describe(r.failure(t)); got != k.want {
				t.Errorf("got  %s\nwant %s", got, k.want)
			}
			if _, atDot := k.script["dot"]; !atDot && f.dots() != 0 {
				t.Error("the mail was sent all the same")
			}
			next := mail(t, c, envelope(t), "b@example.jp")
			if k.kept != (f.count() == 1) {
				t.Errorf("%d connections", f.count())
			}
			if !k.kept {
				next.ok(t)
				if next.receipt.ID != "NEXT1" {
					t.Errorf("the next mail's receipt %+v", next.receipt)
				}
			}
		})
	}
}

// TestRefusalUnaskedBetweenRecipients: the second recipient is offered long
// after the first, and a refusal came in between that nobody asked for.
func TestRefusalUnaskedBetweenRecipients(t *testing.T) {
	t.Parallel()
	f := newFake(script{"RCPT#1": "250 2.1.5 ok|wait|550 5.1.1 no such user|wait"})
	c := newClient(t, f.listen(t))
	d, _ := c.Begin(context.Background(), envelope(t))
	defer d.Abort()
	if err := d.AddRecipients(context.Background(), addresses(t, "a@example.jp"))[0]; err != nil {
		t.Fatal(err)
	}
	close(f.waiting)
	k := d.(*delivery).conn
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if pending, _ := k.socket.peek(); pending || time.Now().After(end) {
			break
		}
	}
	err := d.AddRecipients(context.Background(), addresses(t, "b@example.jp"))[0]
	if got := describe(relay.AsError(err)); got != nonsense {
		t.Errorf("got %s", got)
	}
}

// TestLateAnswer: the reply to the first mail comes when nobody waits for it any
// more, and is not the next mail's.
func TestLateAnswer(t *testing.T) {
	t.Parallel()
	f := newFake(script{"dot": "wait|250 2.0.0 Ok: queued as LATE1"}, script{"dot": "250 2.0.0 Ok: queued as NEXT1"})
	c := newClient(t, f.listen(t), func(cfg *Config) { cfg.Timeout = time.Second })
	if got := describe(mail(t, c, envelope(t), "a@example.jp").failure(t)); got != unknown {
		t.Errorf("got %s", got)
	}
	close(f.waiting)
	r := mail(t, c, envelope(t), "a@example.jp")
	r.ok(t)
	if r.receipt.ID != "NEXT1" || f.count() != 2 {
		t.Errorf("receipt %+v on %d connections", r.receipt, f.count())
	}
}

// TestPlaintextBehindSTARTTLS: what stands in front of the handshake is nobody's word.
func TestPlaintextBehindSTARTTLS(t *testing.T) {
	t.Parallel()
	f := newFake(script{"EHLO": "250-fake.example\n250 STARTTLS", "STARTTLS": "220 2.0.0 go\n250-evil\n250 AUTH PLAIN"})
	c := newClient(t, f.listen(t), func(cfg *Config) { cfg.TLS = TLSStartTLS })
	if got, want := describe(mail(t, c, envelope(t), "a@example.jp").failure(t)), "not accepted, unavailable, count, tls, "+configReply; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := f.conn(0).commands; !slices.Equal(got, []string{"EHLO relay-1.example", "STARTTLS"}) {
		t.Errorf("commands %q", got)
	}
}

// TestHalfAReplyUnasked: over TLS a 421 comes in two records, the second when the
// first has been noticed.
func TestHalfAReplyUnasked(t *testing.T) {
	t.Parallel()
	server, _ := certificate(t, "fake.example", time.Now().Add(time.Hour))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	wrote := make(chan struct{})
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		s := tls.Server(nc, server)
		io.WriteString(s, "42") //nolint:errcheck // the test then fails
		close(wrote)
		time.Sleep(100 * time.Millisecond)   // longer than a look takes
		io.WriteString(s, "1 4.3.2 bye\r\n") //nolint:errcheck // as above
		io.Copy(io.Discard, s)               //nolint:errcheck // until the client has left
	}()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	tc := tls.Client(nc, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the certificate is not what is tested
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	k := newConn(nc, time.Now())
	k.use(tc)
	state := tc.ConnectionState()
	k.tls = &state
	<-wrote
	said, err := k.unasked(t.Context(), 10*time.Second)
	for quiet := time.Now(); !said && err == nil && time.Since(quiet) < 50*time.Millisecond; { // it was on its way
		said, err = k.unasked(t.Context(), 10*time.Second)
	}
	if !said || err != nil || k.reply.code != 421 || !k.gone {
		t.Errorf("said %v, %v, reply %d, gone %v", said, err, k.reply.code, k.gone)
	}
}
