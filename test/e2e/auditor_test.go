package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// auditor compares what was submitted with what the clients were told and what
// arrived. Every mail has a number; the same bytes come again with each retry.
type auditor struct {
	prefix string

	mu       sync.Mutex // guards what follows
	mails    []*corpusMail
	told     map[string]string // what ended a mail: its 250, or the 5xx
	attempts int
	replies  map[string]int // temporary ones and losses, by their first words
}

func newAuditor(prefix string) *auditor {
	return &auditor{prefix: prefix, told: map[string]string{}, replies: map[string]int{}}
}

// next makes the next mail.
func (a *auditor) next() *corpusMail {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := plainMail(fmt.Sprintf("%s%d", a.prefix, len(a.mails)))
	a.mails = append(a.mails, m)
	return m
}

func (a *auditor) hear(m *corpusMail, reply string, final bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.attempts++
	if final {
		a.told[m.id] = reply
		return
	}
	a.replies[summary(reply)]++
}

// summary is a reply without what differs from mail to mail.
func summary(reply string) string {
	words := strings.Fields(reply)
	for i, w := range words {
		if strings.ContainsAny(w, "0123456789") && i > 1 || strings.Contains(w, "127.0.0.1") {
			words[i] = "N"
		}
	}
	return strings.Join(words[:min(len(words), 7)], " ")
}

// waiting returns how many mails their clients still have.
func (a *auditor) waiting() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.mails) - len(a.told)
}

// numbered is how many mails there are so far.
func (a *auditor) numbered() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.mails)
}

// judge is the audit: of what was acknowledged everything is there, and of what
// was refused for good nothing. It returns the copies beyond the first, and how
// many mails were refused.
func (a *auditor) judge(t *testing.T, h *hops) (extra, refused int) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	lost := 0
	for _, m := range a.mails {
		reply, ended := a.told[m.id]
		copies := h.store.Copies(m.id)
		extra += max(0, copies-1)
		switch {
		case !ended:
		case reply[0] == '5':
			refused++
		case copies == 0:
			if lost++; lost < 5 {
				t.Errorf("%s is lost: its client was told %q", m.id, reply)
			}
		}
	}
	t.Logf("%s: %d mails, %d attempts, %d acknowledged, %d refused, %d still with their clients, %d lost, %d duplicates; not taken: %s",
		a.prefix, len(a.mails), a.attempts, len(a.told)-refused, refused, len(a.mails)-len(a.told), lost, extra, counted(a.replies))
	return extra, refused
}

func counted(m map[string]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%d x %q", m[k], k))
	}
	return strings.Join(parts, ", ")
}

// strictClient submits mail as Postfix does: one connection for several mails,
// a new one when it is lost or said 421, the same bytes again after anything
// that is neither a 250 nor a 5xx, at once to the other address when the
// connection broke behind the dot.
type strictClient struct {
	a      *auditor
	relays func() []string // where relays are expected
	rnd    *rand.Rand
	patience,
	pause time.Duration

	conn net.Conn
	br   *bufio.Reader
	used int // mails of this connection
	to   int // index of the relay
}

// keepOn submits new mails until feed ends, and retries what it has until ctx
// does. pace waits until the next attempt is due.
func (c *strictClient) keepOn(ctx, feed context.Context, pace func(context.Context)) {
	defer c.hangUp()
	var mine []*corpusMail // deferred
	for ctx.Err() == nil {
		var m *corpusMail
		switch {
		case feed.Err() == nil && (len(mine) == 0 || c.rnd.IntN(3) > 0):
			m = c.a.next()
		case len(mine) > 0:
			m, mine = mine[0], mine[1:]
		default:
			return
		}
		if !c.submit(m) {
			mine = append(mine, m)
			wait(ctx, c.pause/2+rand.N(c.pause))
		}
		pace(ctx)
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// submit makes one attempt and reports whether the mail is off the client's hands.
func (c *strictClient) submit(m *corpusMail) bool {
	reply, err := c.attempt(m)
	if err != nil {
		reply = "lost: " + class(err)
	}
	final := strings.HasPrefix(reply, "250") || strings.HasPrefix(reply, "5")
	c.a.hear(m, reply, final)
	if err != nil || strings.HasPrefix(reply, "421") {
		c.hangUp()
		c.to++ // the other address
	}
	return final
}

func class(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return "timeout"
	case strings.Contains(err.Error(), "refused"):
		return "connection refused"
	case strings.Contains(err.Error(), "reset"):
		return "reset"
	}
	return "closed"
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

// attempt returns the reply that decided about the mail.
func (c *strictClient) attempt(m *corpusMail) (string, error) {
	if c.used >= 50 {
		c.hangUp()
	}
	if c.conn == nil {
		if reply, err := c.connect(); reply != "" || err != nil {
			return reply, err
		}
	}
	c.used++
	c.conn.SetDeadline(time.Now().Add(c.patience))
	group := "MAIL FROM:<" + m.from + "> BODY=8BITMIME\r\n"
	for _, to := range m.to {
		group += "RCPT TO:<" + to + ">\r\n"
	}
	if _, err := c.conn.Write([]byte(group + "DATA\r\n")); err != nil {
		return "", err
	}
	refusal := ""
	for range len(m.to) + 1 {
		reply, err := lastLine(c.br)
		if err != nil {
			return "", err
		}
		if reply[0] != '2' && refusal == "" {
			refusal = reply
		}
	}
	data, err := lastLine(c.br)
	switch {
	case err != nil:
		return "", err
	case !strings.HasPrefix(data, "354"):
		if refusal == "" {
			refusal = data
		}
		return refusal, c.reset()
	}
	if _, err := c.conn.Write([]byte(stuffed(m.content) + ".\r\n")); err != nil {
		return "", err
	}
	return lastLine(c.br)
}

func (c *strictClient) reset() error {
	if _, err := c.conn.Write([]byte("RSET\r\n")); err != nil {
		c.hangUp()
		return nil
	}
	if reply, err := lastLine(c.br); err != nil || reply[0] != '2' {
		c.hangUp()
	}
	return nil
}

// connect returns a reply when the relay does not greet.
func (c *strictClient) connect() (string, error) {
	relays := c.relays()
	conn, err := net.DialTimeout("tcp", relays[c.to%len(relays)], 5*time.Second)
	if err != nil {
		return "", err
	}
	c.conn, c.br, c.used = conn, bufio.NewReader(conn), 0
	conn.SetDeadline(time.Now().Add(c.patience))
	for _, command := range []string{"", "EHLO app.goo.ne.jp\r\n"} {
		if _, err := conn.Write([]byte(command)); err != nil {
			return "", err
		}
		reply, err := lastLine(c.br)
		if err != nil || reply[0] != '2' {
			c.hangUp()
			return reply, err
		}
	}
	return "", nil
}

func (c *strictClient) hangUp() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// load runs clients until feed ends, and then until all their mail is gone or
// patience is over. Each waits for a time between two attempts.
func (a *auditor) load(feed context.Context, clients int, every, patience time.Duration, relays func() []string) *sync.WaitGroup {
	return a.loadAt(feed, clients, func(ctx context.Context) { wait(ctx, every) }, patience, relays)
}

// loadAt is load with a pace of one's own.
func (a *auditor) loadAt(feed context.Context, clients int, pace func(context.Context), patience time.Duration, relays func() []string) *sync.WaitGroup {
	ctx, cancel := context.WithCancel(context.Background())
	context.AfterFunc(feed, func() { time.AfterFunc(patience, cancel) })
	var wg sync.WaitGroup
	for i := range clients {
		c := &strictClient{a: a, relays: relays, rnd: rand.New(rand.NewPCG(uint64(i), 1)), patience: 130 * time.Second, pause: 150 * time.Millisecond, to: i}
		wg.Go(func() { c.keepOn(ctx, feed, pace) })
	}
	return &wg
}
