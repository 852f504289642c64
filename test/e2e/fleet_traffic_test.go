package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// traffic is mail at a constant rate to several instances, by clients that keep
// their connections and, as Postfix does, send again what was not accepted: to
// the next instance.
type traffic struct {
	prefix string
	parts  []float64 // mails a second for each instance

	mu       sync.Mutex // guards what follows
	addrs    []string
	idle     map[string][]*wire
	accepted []corpusMail
	ways     map[string]int // "ses", "cuenote", or the code of a reply that was no 250
	by       map[string]int // mails accepted, by address
	failed   []string       // mails that nobody took
	slowest  time.Duration  // attempt that ended at SES

	stop      context.CancelFunc
	senders   sync.WaitGroup
	started   time.Time
	number    atomic.Int64
	mayDouble int          // mails that a killed instance had claimed without Redis
	leave     atomic.Bool  // mail that is not taken now is left
	left      atomic.Int64 // so much was
	waiting   atomic.Int64 // mails that are started and not accepted
}

// A mail is sent again until patience ends: after retryPause at first, and ever
// less often, up to retryMost. No mail is started while mostWaiting are: a machine
// with too much to do would have ever more.
const (
	retryPatience = 90 * time.Second
	retryPause    = 500 * time.Millisecond
	retryMost     = 4 * time.Second
	mostWaiting   = 1000
)

// flow starts traffic; the caller ends it with over.
func (f *fleet) flow(t *testing.T, prefix string, parts ...float64) *traffic {
	t.Helper()
	w := &traffic{prefix: prefix, parts: parts, idle: map[string][]*wire{}, ways: map[string]int{}, by: map[string]int{}, started: time.Now()}
	for _, r := range f.all {
		w.addrs = append(w.addrs, r.smtp)
	}
	ctx, stop := context.WithCancel(t.Context())
	w.stop = stop
	for i := range parts {
		w.senders.Go(func() { w.pace(ctx, i) })
	}
	return w
}

// pace starts mails when they are due, whatever has become of those before.
func (w *traffic) pace(ctx context.Context, i int) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for due, last := 0.0, time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			due = min(due+w.parts[i]*now.Sub(last).Seconds(), w.parts[i]+1)
			last = now
		}
		for ; due >= 1; due-- {
			if w.waiting.Add(1) > mostWaiting {
				w.waiting.Add(-1)
				continue
			}
			w.senders.Go(func() {
				defer w.waiting.Add(-1)
				w.send(i)
			})
		}
	}
}

// send hands over one mail.
func (w *traffic) send(i int) {
	m := plainMail(fmt.Sprintf("%s%d", w.prefix, w.number.Add(1)))
	var reply string
	pause := retryPause
	for try, began := 0, time.Now(); time.Since(began) < retryPatience; try++ {
		reply = w.attempt(w.addrs[(i+try)%len(w.addrs)], m)
		if strings.HasPrefix(reply, "250 ") {
			return
		}
		if strings.HasPrefix(reply, "5") {
			break
		}
		if w.leave.Load() {
			w.left.Add(1)
			return
		}
		time.Sleep(pause)
		pause = min(retryMost, pause*5/4)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed = append(w.failed, m.id+": "+reply)
}

func (w *traffic) attempt(addr string, m *corpusMail) string {
	began := time.Now()
	reply, err := w.exchange(addr, m)
	took := time.Since(began)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err != nil:
		w.ways["lost"]++
		return err.Error()
	case !strings.HasPrefix(reply, "250 "):
		w.ways[reply[:min(3, len(reply))]]++
		return reply
	}
	w.accepted = append(w.accepted, *m)
	w.by[addr]++
	way := "cuenote"
	if strings.Contains(reply, "accepted by ses") {
		way = "ses"
		w.slowest = max(w.slowest, took)
	}
	w.ways[way]++
	return reply
}

// exchange sends one mail on a connection that is kept afterwards.
func (w *traffic) exchange(addr string, m *corpusMail) (string, error) {
	c, err := w.connection(addr)
	if err != nil {
		return "", err
	}
	reply, err := c.send(m)
	if err != nil || strings.HasPrefix(reply, "421") {
		c.conn.Close()
		return reply, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.idle[addr] = append(w.idle[addr], c)
	return reply, nil
}

func (w *traffic) connection(addr string) (*wire, error) {
	w.mu.Lock()
	if list := w.idle[addr]; len(list) > 0 {
		c := list[len(list)-1]
		w.idle[addr] = list[:len(list)-1]
		w.mu.Unlock()
		return c, nil
	}
	w.mu.Unlock()
	return newWire(addr)
}

// end stops the traffic and waits for the last answer.
func (w *traffic) end() {
	w.stop()
	w.senders.Wait()
}

// over ends the traffic, and fails the test for mail
// that nobody took, that is lost or that arrived twice.
func (w *traffic) over(t *testing.T, h *hops) {
	t.Helper()
	w.end()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, list := range w.idle {
		for _, c := range list {
			c.conn.Close()
		}
	}
	for _, f := range w.failed[:min(3, len(w.failed))] {
		t.Errorf("%d mails were not taken, such as %s", len(w.failed), f)
	}
	if extra := h.complete(t, w.accepted); extra > w.mayDouble {
		t.Errorf("%d of %d mails arrived twice, %d could", extra, len(w.accepted), w.mayDouble)
	}
	t.Logf("traffic: %d accepted, %v", len(w.accepted), w.ways)
}

// abandon is over for a test that kills an instance: mail that it had in hand
// waits for its claim to expire, longer than the test. It is left, up to most.
func (w *traffic) abandon(t *testing.T, h *hops, most int64) {
	t.Helper()
	w.leave.Store(true)
	w.over(t, h)
	if n := w.left.Load(); n > most {
		t.Errorf("%d mails wait for a dead instance's claims, more than it can have had in hand", n)
	}
}

// taken returns how many mails each instance has accepted.
func (w *traffic) taken() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]int, len(w.addrs))
	for i, addr := range w.addrs {
		out[i] = w.by[addr]
	}
	return out
}

// wire is a client's connection without a test of its own.
type wire struct {
	conn net.Conn
	br   *bufio.Reader
}

func newWire(addr string) (*wire, error) {
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	c := &wire{conn, bufio.NewReader(conn)}
	if _, err = c.ask("", 1); err == nil {
		_, err = c.ask("EHLO app.goo.ne.jp\r\n", 1)
	}
	if err != nil {
		conn.Close()
	}
	return c, err
}

// send is MAIL, RCPT and DATA in one packet, and the content. It returns the
// reply that decides.
func (c *wire) send(m *corpusMail) (string, error) {
	group := "MAIL FROM:<" + m.from + ">\r\nRCPT TO:<" + m.to[0] + ">\r\nDATA\r\n"
	replies, err := c.ask(group, 3)
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(replies[2], "354") {
		for _, r := range replies {
			switch {
			case strings.HasPrefix(r, "421"):
				return r, nil
			case !strings.HasPrefix(r, "250"):
				_, err = c.ask("RSET\r\n", 1) // the transaction may be open still (RFC 5321 section 4.1.1.5)
				return r, err
			}
		}
	}
	replies, err = c.ask(stuffed(m.content)+".\r\n", 1)
	if err != nil {
		return "", err
	}
	return replies[0], nil
}

// ask writes and reads n replies, of which it returns the last lines.
func (c *wire) ask(text string, n int) (replies []string, err error) {
	c.conn.SetDeadline(time.Now().Add(patience))
	if _, err := c.conn.Write([]byte(text)); err != nil {
		return nil, err
	}
	for len(replies) < n {
		line, err := c.br.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if len(line) < 4 {
			return nil, errors.New("no SMTP reply: " + line)
		}
		if line[3] == ' ' {
			replies = append(replies, strings.TrimRight(line, "\r\n"))
		}
	}
	return replies, nil
}
