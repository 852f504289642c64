package smtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sesrelay/internal/relay"
)

// TestMessageOfExactlyTheLimit is go-smtp 10. Stuffed dots and the final dot
// do not count (RFC 1870 section 5).
func TestMessageOfExactlyTheLimit(t *testing.T) {
	t.Parallel()
	for _, limit := range []int64{10, 1000, bulkSize - 1, bulkSize, bulkSize + 1, 100_000} {
		k := &keeper{}
		_, address := serve(t, k, func(c *Config) { c.Limits.MessageSize = limit })
		c := open(t, address)
		for over := range 3 {
			content := "." + strings.Repeat("x", int(limit)-3+over) + "\r\n"
			c.toData()
			c.send("." + content + ".\r\nNOOP\r\n")
			if over == 0 {
				c.want("250 2.0.0 id")
			} else {
				c.want("552 5.3.4")
			}
			c.want("250 2.0.0 I have")
		}
		if m := k.accepted(); len(m) != 1 || int64(len(m[0].body)) != limit {
			t.Fatalf("limit %d: kept %d mails", limit, len(m))
		}
	}
}

// TestRefusalComesBehindTheEndOfData: the reply to a bad body waits for the
// true end, however early the fault stands.
func TestRefusalComesBehindTheEndOfData(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]string{"bare LF": "a\nb\r\n", "too large": strings.Repeat("x", 200) + "\r\n"} {
		k := &keeper{}
		_, address := serve(t, k, func(c *Config) { c.Limits.MessageSize = 100 })
		c := open(t, address)
		c.toData()
		c.send(start)
		for range 100 {
			c.send("MAIL FROM:<evil@goo.ne.jp>\r\n" + strings.Repeat("y", 2000) + "\r\n")
		}
		waitFor(t, func() bool { return strings.Contains(k.log(), "refused") })
		c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if b, err := c.br.Peek(1); err == nil {
			t.Fatalf("%s: reply %q before the end of data", name, b)
		}
		c.SetReadDeadline(time.Now().Add(patience))
		c.send(".\r\nNOOP\r\n")
		c.want("55", "250 2.0.0 I have")
	}
}

// TestEightBitUnchanged: every byte but NUL, CR and LF passes in a body.
func TestEightBitUnchanged(t *testing.T) {
	t.Parallel()
	k := &keeper{}
	_, address := serve(t, k, nil)
	var all []byte
	for i := 1; i < 256; i++ {
		if i != '\r' && i != '\n' {
			all = append(all, byte(i))
		}
	}
	content := strings.Repeat(string(all)+"\r\n", 300)
	c := open(t, address)
	c.toData()
	c.send(content + ".\r\n")
	c.want("250")
	if m := k.accepted(); string(m[0].body) != content {
		t.Fatal("body changed")
	}
}

// TestTransactionThatDoesNotReadOn: the rest of the body is thrown away, and
// the transaction's reply stands.
func TestTransactionThatDoesNotReadOn(t *testing.T) {
	t.Parallel()
	k := &keeper{data: func(_ context.Context, _ *mail, src relay.Source) []relay.Reply {
		if err := src.Open(); err != nil {
			return []relay.Reply{relay.ReplyTo(err)}
		}
		src.Read(make([]byte, 10))
		return []relay.Reply{relay.ReplyMemory}
	}}
	_, address := serve(t, k, nil)
	c := open(t, address)
	for range 3 {
		c.toData()
		c.send(strings.Repeat("MAIL FROM:<evil@goo.ne.jp>\r\n", 5000) + ".\r\nNOOP\r\n")
		c.want("452 4.3.1", "250 2.0.0 I have")
	}
	if strings.Contains(k.log(), "evil") {
		t.Fatal("a body line became a command")
	}
}

// TestAcceptanceNeedsTheWholeBody: a transaction cannot accept what it has not
// read to the end.
func TestAcceptanceNeedsTheWholeBody(t *testing.T) {
	t.Parallel()
	accept := []relay.Reply{{Code: 250, Enhanced: [3]int{2, 0, 0}, Text: "accepted"}}
	for name, data := range map[string]func(context.Context, *mail, relay.Source) []relay.Reply{
		"never opened": func(context.Context, *mail, relay.Source) []relay.Reply { return accept },
		"not read": func(_ context.Context, _ *mail, src relay.Source) []relay.Reply {
			src.Open()
			return accept
		},
		"fault ignored": func(_ context.Context, _ *mail, src relay.Source) []relay.Reply {
			src.Open()
			io.Copy(io.Discard, readerFunc(src.Read))
			return accept
		},
	} {
		_, address := serve(t, &keeper{data: data}, nil)
		c := open(t, address)
		c.do("MAIL FROM:<a@goo.ne.jp>", "250")
		c.do("RCPT TO:<b@docomo.ne.jp>", "250")
		c.send("DATA\r\n")
		r := c.reply()
		if strings.HasPrefix(r, "354") {
			c.send("Hi\nthere\r\n.\r\n")
			r = c.reply()
		}
		if r[0] == '2' {
			t.Errorf("%s: %s", name, r)
		}
	}
}

// TestClientThatLeavesInTheBody: the transaction never sees the end of data.
func TestClientThatLeavesInTheBody(t *testing.T) {
	t.Parallel()
	for _, sent := range []string{"", "Hi", "Hi\r\n", "Hi\r\n.", "Hi\r\n.\r", "Hi\r\n.\n"} {
		k := &keeper{}
		s, address := serve(t, k, nil)
		c := open(t, address)
		c.toData()
		c.send(sent)
		c.Conn.(*net.TCPConn).CloseWrite()
		c.want("421 4.4.2")
		c.ended()
		waitFor(t, func() bool { return len(s.connections()) == 0 })
		if len(k.accepted()) > 0 || !strings.HasSuffix(k.log(), "abort") {
			t.Fatalf("sent %q: %s", sent, k.log())
		}
	}
}

// TestTrickle: bytes earn time at the minimum rate, and no more.
func TestTrickle(t *testing.T) {
	t.Parallel()
	k := &keeper{}
	_, address := serve(t, k, func(c *Config) {
		c.Limits.Data = 200 * time.Millisecond
		c.Limits.DataRate = 1 << 20
	})
	slow := open(t, address)
	slow.toData()
	begun := time.Now()
	go func() {
		for {
			if _, err := io.WriteString(slow.Conn, "x\r\n"); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond) // the trickle itself
		}
	}()
	slow.want("421 4.4.2")
	if d := time.Since(begun); d > 5*time.Second {
		t.Fatalf("lived for %v", d)
	}
	// A large body in time: 400 ms are earned by the first 400 KiB.
	c := open(t, address)
	c.toData()
	c.send(strings.Repeat(strings.Repeat("y", 1022)+"\r\n", 512))
	time.Sleep(300 * time.Millisecond) // past the base, within what was earned
	c.send(".\r\n")
	c.want("250")
}

// TestTrickleThatHolds: whoever holds an upstream connection has less time.
func TestTrickleThatHolds(t *testing.T) {
	t.Parallel()
	k := &keeper{holds: true}
	_, address := serve(t, k, func(c *Config) {
		c.Limits.Data = time.Hour
		c.Limits.DataHeld = 200 * time.Millisecond
		c.Limits.DataRate = 4 << 20
	})
	c := open(t, address)
	c.toData()
	c.send("x\r\n")
	c.want("421 4.4.2")
	c = open(t, address)
	c.toData()
	c.send(strings.Repeat(strings.Repeat("y", 1022)+"\r\n", 512)) // earns 500 ms
	time.Sleep(300 * time.Millisecond)
	c.send(".\r\n")
	c.want("250")
}

// TestReaderThatOutlivesItsTransaction cannot take the next commands.
func TestReaderThatOutlivesItsTransaction(t *testing.T) {
	t.Parallel()
	var late atomic.Pointer[relay.Source]
	k := &keeper{data: func(_ context.Context, m *mail, src relay.Source) []relay.Reply {
		late.Store(&src)
		return []relay.Reply{m.keep(src)}
	}}
	_, address := serve(t, k, nil)
	c := open(t, address)
	c.toData()
	c.send("Hi\r\n.\r\n")
	c.want("250")
	src := *late.Load()
	if n, err := src.Read(make([]byte, 10)); !errors.Is(err, errBodyOver) {
		t.Fatalf("read %d, %v", n, err)
	}
	if err := src.Open(); !errors.Is(err, errBodyOver) {
		t.Fatalf("opened: %v", err)
	}
	c.do("NOOP", "250")
}

// TestSourceMisused: errors, not damage.
func TestSourceMisused(t *testing.T) {
	t.Parallel()
	var got []error
	k := &keeper{data: func(_ context.Context, m *mail, src relay.Source) []relay.Reply {
		_, err := src.Read(make([]byte, 10))
		got = append(got, err)
		r := m.keep(src)
		got = append(got, src.Open())
		_, err = src.Read(make([]byte, 10))
		got = append(got, err)
		return []relay.Reply{r}
	}}
	_, address := serve(t, k, nil)
	c := open(t, address)
	c.toData()
	c.send("Hi\r\n.\r\n")
	c.want("250")
	if fmt.Sprint(got) != fmt.Sprint([]error{errBodyClosed, errBodyOpen, io.EOF}) {
		t.Fatal(got)
	}
}

// TestErrorsNeverReachTheClient is go-smtp 5: wrapped errors, timeouts and
// codes that are none are never 554, and their text stays here.
func TestErrorsNeverReachTheClient(t *testing.T) {
	t.Parallel()
	wrapped := fmt.Errorf("secret host: %w", &relay.Error{Reply: relay.ReplyThrottled, Err: context.DeadlineExceeded})
	for _, r := range []relay.Reply{relay.ReplyTo(wrapped), relay.ReplyTo(context.DeadlineExceeded), {}, {Code: 99}, {Code: 1000, Text: "secret"}} {
		k := &keeper{data: func(_ context.Context, m *mail, src relay.Source) []relay.Reply {
			m.keep(src)
			return []relay.Reply{r}
		}, recipient: func(to relay.Address) relay.Reply {
			if to.Local == "odd" {
				return r
			}
			return relay.ReplyRecipientOK
		}}
		_, address := serve(t, k, nil)
		c := open(t, address)
		c.do("MAIL FROM:<a@goo.ne.jp>", "250")
		c.do("RCPT TO:<odd@docomo.ne.jp>", "451 4.")
		c.do("RCPT TO:<b@docomo.ne.jp>", "250")
		c.do("DATA", "354")
		c.send("Hi\r\n.\r\n")
		if got := c.reply(); !strings.HasPrefix(got, "451 4.") || strings.Contains(got, "secret") {
			t.Errorf("%v: %s", r, got)
		}
	}
}

// waitFor waits for something that another goroutine does.
func waitFor(t testing.TB, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}

// TestLostBodyIsNoEnd: to a transaction io.EOF is the true end of data, so the
// connection's own io.EOF must not be found in the fault of a client that left.
func TestLostBodyIsNoEnd(t *testing.T) {
	b := &body{}
	b.lose("client_gone", replyGone, fmt.Errorf("read: %w", io.EOF))
	if errors.Is(b.fault, io.EOF) {
		t.Error("half a message looks complete")
	}
}
