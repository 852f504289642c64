package smtp

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"sesrelay/internal/relay"
)

// keeper is a relay that keeps what it accepts. Its fields make it behave
// otherwise.
type keeper struct {
	mu     sync.Mutex
	mails  []mail
	events []string
	ids    int

	recipient func(to relay.Address) relay.Reply
	data      func(ctx context.Context, m *mail, src relay.Source) []relay.Reply
	abort     func()
	begin     func()
	holds     bool
}

// mail is one transaction that a keeper saw.
type mail struct {
	env  *relay.Envelope
	to   []relay.Address
	body []byte
	k    *keeper
}

func (k *keeper) begun(env *relay.Envelope) Transaction {
	if k.begin != nil {
		k.begin()
	}
	k.event("begin " + env.ReversePath.Path())
	return &mail{env: env, k: k}
}

func (k *keeper) newID() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ids++
	return "id" + string(rune('0'+k.ids%10))
}

func (k *keeper) event(s string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.events = append(k.events, s)
}

func (k *keeper) accepted() []mail {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]mail(nil), k.mails...)
}

func (k *keeper) log() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.Join(k.events, "\n")
}

func (m *mail) Recipient(_ context.Context, to relay.Address) relay.Reply {
	m.k.event("rcpt " + to.Path())
	r := relay.ReplyRecipientOK
	if m.k.recipient != nil {
		r = m.k.recipient(to)
	}
	if r.Positive() {
		m.to = append(m.to, to)
	}
	return r
}

func (m *mail) Data(ctx context.Context, src relay.Source) relay.Reply {
	return m.each(ctx, src)[0]
}

func (m *mail) DataEach(ctx context.Context, src relay.Source) []relay.Reply {
	r := m.each(ctx, src)
	for len(r) < len(m.to) {
		r = append(r, r[0])
	}
	return r
}

func (m *mail) each(ctx context.Context, src relay.Source) []relay.Reply {
	if m.k.data != nil {
		return m.k.data(ctx, m, src)
	}
	return []relay.Reply{m.keep(src)}
}

// keep reads the body and accepts the mail.
func (m *mail) keep(src relay.Source) relay.Reply {
	if err := src.Open(); err != nil {
		return relay.ReplyTo(err)
	}
	var err error
	if m.body, err = io.ReadAll(readerFunc(src.Read)); err != nil {
		m.k.event("refused " + err.Error())
		return relay.ReplyTo(err)
	}
	m.k.mu.Lock()
	defer m.k.mu.Unlock()
	m.k.mails = append(m.k.mails, *m)
	return relay.Reply{Code: 250, Enhanced: [3]int{2, 0, 0}, Text: m.env.ID + " accepted"}
}

func (m *mail) HoldsConnection() bool { return m.k.holds }

func (m *mail) Abort() {
	m.k.event("abort")
	if m.k.abort != nil {
		m.k.abort()
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

var loopback = Access{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

const anyPort = "127.0.0.1:0"

// serve runs a service with one listener and returns it with its address.
func serve(t testing.TB, k *keeper, change func(*Config)) (*Server, string) {
	t.Helper()
	cfg := Config{
		Hostname:  "relay.test",
		Listeners: []Listener{{Address: anyPort}},
		Access:    loopback,
		Begin:     k.begun,
		NewID:     k.newID,
		Logger:    slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, s.Addr(cfg.Listeners[0].Address).String()
}

// client speaks to the service over a raw connection.
type client struct {
	net.Conn
	t  testing.TB
	br *bufio.Reader
}

// patience bounds every wait of the tests: reaching it is a failure.
const patience = 20 * time.Second

func dial(t testing.TB, address string) *client {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return &client{Conn: c, t: t, br: bufio.NewReader(c)}
}

// open dials and greets.
func open(t testing.TB, address string) *client {
	t.Helper()
	c := dial(t, address)
	c.want("220 ")
	c.send("EHLO client.test\r\n")
	c.want("250 ")
	return c
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, s); err != nil {
		c.t.Fatalf("send %.60q: %v", s, err)
	}
}

// reply reads one reply: its last line.
func (c *client) reply() string {
	c.t.Helper()
	for {
		line, err := c.br.ReadString('\n')
		if err != nil {
			c.t.Fatalf("reply: %q, %v", line, err)
		}
		if len(line) < 4 || line[3] != '-' {
			return strings.TrimSuffix(line, "\r\n")
		}
	}
}

// want reads replies and compares how each begins.
func (c *client) want(prefixes ...string) {
	c.t.Helper()
	for _, p := range prefixes {
		if r := c.reply(); !strings.HasPrefix(r, p) {
			c.t.Fatalf("reply %q, want %q", r, p)
		}
	}
}

// do sends one line and compares the reply.
func (c *client) do(line, prefix string) {
	c.t.Helper()
	c.send(line + "\r\n")
	if r := c.reply(); !strings.HasPrefix(r, prefix) {
		c.t.Fatalf("%q: reply %q, want %q", line, r, prefix)
	}
}

// ended fails unless the service closes the connection without another word.
// It closes the client's end too: the service lingers for that.
func (c *client) ended() {
	c.t.Helper()
	if b, err := io.ReadAll(c.br); err != nil || len(b) > 0 {
		c.t.Fatalf("connection still talks: %q, %v", b, err)
	}
	c.Close()
}

// toData brings a transaction to 354.
func (c *client) toData() {
	c.t.Helper()
	c.do("MAIL FROM:<a@goo.ne.jp>", "250")
	c.do("RCPT TO:<b@docomo.ne.jp>", "250")
	c.do("DATA", "354")
}
