package cuenote

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"sesrelay/internal/relay"
)

// countingConn notes what every Write carried: without Nagle's algorithm that
// is a packet each.
type countingConn struct {
	*net.TCPConn // not the interface: the look at the socket goes through
	mu           *sync.Mutex
	writes       *[]string
}

func (c countingConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	*c.writes = append(*c.writes, string(b))
	c.mu.Unlock()
	return c.TCPConn.Write(b)
}

// countWrites makes c note its writes.
func countWrites(c *Client) func() []string {
	var mu sync.Mutex
	var writes []string
	c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return countingConn{nc.(*net.TCPConn), &mu, &writes}, nil
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(writes)
	}
}

// TestPipelining: a small mail is three writes, whatever the number of recipients.
func TestPipelining(t *testing.T) {
	t.Parallel()
	f := newFake()
	c := newClient(t, f.listen(t))
	writes := countWrites(c)
	mailBody(t, context.Background(), c, envelope(t), content("Subject: x\r\n", "\r\n", ".dot\r\n"), "a@example.jp", "b@example.jp", "c@example.jp").ok(t)
	want := []string{"EHLO relay-1.example\r\n",
		"MAIL FROM:<from@goo.ne.jp>\r\nRCPT TO:<a@example.jp>\r\nRCPT TO:<b@example.jp>\r\nRCPT TO:<c@example.jp>\r\n",
		"DATA\r\n", "Subject: x\r\n\r\n..dot\r\n.\r\n"}
	if got := writes(); !slices.Equal(got, want) {
		t.Errorf("writes %q", got)
	}
}

// TestNoPipelining: without the extension every command waits for its reply,
// and nothing is asked after a refused MAIL.
func TestNoPipelining(t *testing.T) {
	t.Parallel()
	f := newFake(script{"EHLO": "250-fake.example\n250 8BITMIME", "MAIL FROM:<>": "450 4.2.0 later"})
	c := newClient(t, f.listen(t))
	writes := countWrites(c)
	mail(t, c, envelope(t), "a@example.jp", "b@example.jp").ok(t)
	null := &relay.Envelope{}
	if r := mail(t, c, null, "a@example.jp", "b@example.jp"); relay.AsError(r.rcpt[1]).Reply.Code != 450 {
		t.Errorf("%+v", r)
	}
	mail(t, c, envelope(t), "c@example.jp").ok(t)
	want := []string{"EHLO relay-1.example\r\n", "MAIL FROM:<from@goo.ne.jp>\r\n", "RCPT TO:<a@example.jp>\r\n", "RCPT TO:<b@example.jp>\r\n",
		"DATA\r\n", message + ".\r\n", "MAIL FROM:<>\r\n",
		"RSET\r\n", "MAIL FROM:<from@goo.ne.jp>\r\n", "RCPT TO:<c@example.jp>\r\n", "DATA\r\n", message + ".\r\n"}
	if got := writes(); !slices.Equal(got, want) {
		t.Errorf("writes %q", got)
	}
}

// TestPartialRecipients: each recipient gets the server's own reply, and the
// content goes to those that were accepted.
func TestPartialRecipients(t *testing.T) {
	t.Parallel()
	f := newFake(script{"RCPT TO:<no@example.jp>": "550-5.1.1 No such user\n550 5.1.1 Try the directory", "RCPT TO:<full@example.jp>": "452 4.2.2 Mailbox full"})
	c := newClient(t, f.listen(t))
	r := mail(t, c, envelope(t), "a@example.jp", "no@example.jp", "full@example.jp", "b@example.jp")
	want := []relay.Reply{{}, {Code: 550, Enhanced: [3]int{5, 1, 1}, Text: "No such user\nTry the directory"}, {Code: 452, Enhanced: [3]int{4, 2, 2}, Text: "Mailbox full"}, {}}
	for i, err := range r.rcpt {
		if (err == nil) != (want[i] == relay.Reply{}) || err != nil && relay.AsError(err).Reply != want[i] {
			t.Errorf("recipient %d: %v, want %v", i, err, want[i])
		}
	}
	if r.err != nil || f.dots() != 1 {
		t.Errorf("%v, %d dots", r.err, f.dots())
	}
}

// TestRefusedMAIL is the answer to every recipient, later ones too, and the
// connection is free for others at once.
func TestRefusedMAIL(t *testing.T) {
	t.Parallel()
	f := newFake(script{"MAIL FROM:<>": "550 5.7.25 no", "MAIL#1": "550 5.1.8 unknown sender", "RCPT#1": "503 5.5.1 need MAIL", "RCPT#2": "503 5.5.1 need MAIL"})
	c := newClient(t, f.listen(t))
	d, _ := c.Begin(context.Background(), envelope(t))
	first := d.AddRecipients(context.Background(), addresses(t, "a@example.jp", "b@example.jp"))
	if len(c.pool.slots) != 0 || len(c.pool.idle) != 1 {
		t.Errorf("%d slots taken, %d connections idle", len(c.pool.slots), len(c.pool.idle))
	}
	later := d.AddRecipients(context.Background(), addresses(t, "c@example.jp"))
	for i, err := range append(first, later...) {
		if got := relay.AsError(err); got.Reply.Code != 550 || got.Kind != relay.Rejected {
			t.Errorf("recipient %d: %v", i, err)
		}
	}
	body := content(message)
	if _, err := d.Send(context.Background(), body); relay.AsError(err).Reply.Code != 550 || body.opened != 0 {
		t.Errorf("Send: %v, content asked for %d times", err, body.opened)
	}
	mail(t, c, envelope(t), "c@example.jp").ok(t)
	want := []string{"EHLO relay-1.example", "MAIL FROM:<from@goo.ne.jp>", "RCPT TO:<a@example.jp>", "RCPT TO:<b@example.jp>",
		"RSET", "MAIL FROM:<from@goo.ne.jp>", "RCPT TO:<c@example.jp>", "DATA"}
	if got := f.conn(0).commands; !slices.Equal(got, want) {
		t.Errorf("commands %q", got)
	}
}

// TestManyRecipients: more than a group are still all answered, in order.
func TestManyRecipients(t *testing.T) {
	t.Parallel()
	f := newFake(script{"RCPT TO:<r150@example.jp>": "550 5.1.1 no"})
	c := newClient(t, f.listen(t))
	var list []string
	for i := range 250 {
		list = append(list, "r"+itoa(i)+"@example.jp")
	}
	r := mail(t, c, envelope(t), list...)
	for i, err := range r.rcpt {
		if (err != nil) != (i == 150) {
			t.Errorf("recipient %d: %v", i, err)
		}
	}
	if r.err != nil || len(f.conn(0).commands) != 253 {
		t.Errorf("%v, %d commands", r.err, len(f.conn(0).commands))
	}
}

// TestMAILParameters sends only what the server offers.
func TestMAILParameters(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		offers string
		env    relay.Envelope
		want   string
	}{
		{"SIZE 1000\n250-8BITMIME\n250 SMTPUTF8", relay.Envelope{}, "MAIL FROM:<>"},
		{"SIZE", relay.Envelope{Size: 100}, "MAIL FROM:<> SIZE=612"},
		{"SIZE 0", relay.Envelope{Size: 100}, "MAIL FROM:<> SIZE=612"},
		{"SIZE 10000", relay.Envelope{Size: 100}, "MAIL FROM:<> SIZE=612"},
		{"SIZE 10000", relay.Envelope{Size: 9999}, "MAIL FROM:<> SIZE=10000"},
		{"SIZE 10000", relay.Envelope{Size: 10000}, "MAIL FROM:<> SIZE=10000"},
		{"SIZE 10000", relay.Envelope{Size: 10001}, "MAIL FROM:<> SIZE=10513"},
		{"SIZE nonsense", relay.Envelope{Size: 100}, "MAIL FROM:<> SIZE=612"},
		{"PIPELINING", relay.Envelope{Size: 100, EightBit: true}, "MAIL FROM:<>"},
		{"8bitmime", relay.Envelope{EightBit: true}, "MAIL FROM:<> BODY=8BITMIME"},
		{"SMTPUTF8\n250 8BITMIME", relay.Envelope{SMTPUTF8: true, EightBit: true}, "MAIL FROM:<> BODY=8BITMIME SMTPUTF8"},
	} {
		f := newFake(script{"EHLO": "250-fake.example\n250-" + strings.Replace(c.offers, "\n250 ", "\n250-", 1) + "\n250 HELP"})
		client := newClient(t, f.listen(t))
		mail(t, client, &c.env, "a@example.jp").ok(t)
		if got := f.conn(0).commands[1]; got != c.want {
			t.Errorf("offered %q: %q, want %q", c.offers, got, c.want)
		}
	}
}

// TestSMTPUTF8NotOffered: nothing is said to the server, and the connection serves on.
func TestSMTPUTF8NotOffered(t *testing.T) {
	t.Parallel()
	f := newFake(script{"EHLO": "250-fake.example\n250 PIPELINING"})
	c := newClient(t, f.listen(t))
	env := &relay.Envelope{ReversePath: addresses(t, "差出人@goo.ne.jp")[0], SMTPUTF8: true}
	e := mail(t, c, env, "a@example.jp").failure(t)
	if got, want := describe(e), "not accepted, rejected, none, smtputf8, 553 5.6.7 Next hop does not support SMTPUTF8"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	mail(t, c, envelope(t), "a@example.jp").ok(t)
	want := []string{"EHLO relay-1.example", "MAIL FROM:<from@goo.ne.jp>", "RCPT TO:<a@example.jp>", "DATA"}
	if got := f.conn(0).commands; !slices.Equal(got, want) {
		t.Errorf("commands %q", got)
	}
}

// TestAddressesAsKept: quoting survives, and what would be a command is not written.
func TestAddressesAsKept(t *testing.T) {
	t.Parallel()
	f := newFake()
	c := newClient(t, f.listen(t))
	mail(t, c, envelope(t), `"v@evil> NOTIFY=NEVER "@ok.jp`, "a..b.@docomo.ne.jp").ok(t)
	if got := f.conn(0).commands[2:4]; !slices.Equal(got, []string{`RCPT TO:<"v@evil> NOTIFY=NEVER "@ok.jp>`, "RCPT TO:<a..b.@docomo.ne.jp>"}) {
		t.Errorf("commands %q", got)
	}
	good := relay.Address{Local: "a", Domain: "example.jp"}
	for _, bad := range []relay.Address{{Local: "a\r\nRSET", Domain: "x.jp"}, {Local: "a", Domain: "x.jp>\n"}, {Local: "a\x00", Domain: "x.jp"}, {Local: "a\x7f", Domain: "x.jp"}, {Local: "é", Domain: "x.jp"}, {Local: "a", Domain: "x\t.jp"}} {
		for _, pair := range [][2]relay.Address{{bad, good}, {good, bad}} {
			d, _ := c.Begin(context.Background(), &relay.Envelope{ReversePath: pair[0]})
			err := d.AddRecipients(context.Background(), []relay.Address{pair[1]})[0]
			if e := relay.AsError(err); e.Class != classCaller || e.Reply != relay.ReplyLocalError {
				t.Errorf("%q: %v", pair, err)
			}
			d.Abort()
		}
	}
	if n := len(f.conn(0).commands); n != 5 {
		t.Errorf("%d commands: %q", n, f.conn(0).commands)
	}
}

func itoa(i int) string {
	return string([]byte{byte('0' + i/100), byte('0' + i/10%10), byte('0' + i%10)})
}
