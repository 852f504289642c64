package smtp

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/relay"
)

// drain begins a drain and returns the channel with its result.
func drain(s *Server, ctx context.Context) <-chan error {
	done := make(chan error, 1)
	go func() { done <- s.Drain(ctx) }()
	for s.phase.Load() == serving || s.Addr(anyPort) != nil {
		time.Sleep(time.Millisecond)
	}
	return done
}

// TestDrain is go-smtp 11 and guard 6.
func TestDrain(t *testing.T) {
	t.Parallel()
	t.Run("attached", func(t *testing.T) { testDrain(t, time.Minute) })
	t.Run("parked", func(t *testing.T) { testDrain(t, time.Millisecond) })
}

func testDrain(t *testing.T, park time.Duration) {
	k := &keeper{}
	s, address := serve(t, k, func(c *Config) { c.Limits.Park = park })
	idle, greeted := dial(t, address), open(t, address)
	idle.want("220")
	inMail, inBody, reset, noop := open(t, address), open(t, address), open(t, address), open(t, address)
	inMail.do("MAIL FROM:<a@goo.ne.jp>", "250")
	inBody.toData()
	reset.do("MAIL FROM:<a@goo.ne.jp>", "250")
	noop.do("MAIL FROM:<a@goo.ne.jp>", "250")

	done := drain(s, context.Background())
	idle.want("421 4.3.2")
	idle.ended()
	greeted.want("421 4.3.2")
	greeted.ended()
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("still listening")
	}
	reset.do("RSET", "421 4.3.2")
	noop.do("NOOP", "421 4.3.2")
	inMail.do("RCPT TO:<b@docomo.ne.jp>", "250")
	inMail.do("DATA", "354")
	inMail.send("Hi\r\n.\r\n")
	inMail.want("250", "421 4.3.2")
	inMail.ended()
	// The next message, pipelined behind this one, is still served.
	inBody.send("Hi\r\n.\r\nMAIL FROM:<c@goo.ne.jp>\r\nRCPT TO:<b@docomo.ne.jp>\r\nDATA\r\n")
	inBody.want("250", "250", "250", "354")
	select {
	case err := <-done:
		t.Fatalf("drained with a body on the way: %v", err)
	default:
	}
	inBody.send("Ho\r\n.\r\n")
	inBody.want("250", "421 4.3.2")
	inBody.ended()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := len(k.accepted()); n != 3 {
		t.Errorf("kept %d", n)
	}
}

// TestDrainAwaitsAnnouncedMail: a client that asked by RSET and was told 250 has
// its MAIL served; who says nothing is told 421 a moment later.
func TestDrainAwaitsAnnouncedMail(t *testing.T) {
	t.Parallel()
	for _, park := range []time.Duration{time.Minute, time.Millisecond} {
		k := &keeper{}
		s, address := serve(t, k, func(c *Config) { c.Limits.Park = park })
		reused, fresh, silent, done := open(t, address), open(t, address), open(t, address), open(t, address)
		done.toData()
		done.send("Hi\r\n.\r\n")
		done.want("250")
		reused.do("RSET", "250")
		silent.do("RSET", "250")
		time.Sleep(20 * time.Millisecond) // parked, if it comes to that
		began := time.Now()
		ended := drain(s, context.Background())
		done.want("421 4.3.2")
		if took := time.Since(began); took > announcement/2 {
			t.Errorf("behind its final reply a client was told after %v", took)
		}
		time.Sleep(100 * time.Millisecond)
		for _, c := range []*client{reused, fresh} {
			c.do("MAIL FROM:<a@goo.ne.jp>", "250")
			c.do("RCPT TO:<b@docomo.ne.jp>", "250")
			c.do("DATA", "354")
			c.send("Hi\r\n.\r\n")
			c.want("250", "421 4.3.2")
			c.ended()
		}
		silent.want("421 4.3.2")
		silent.ended()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if n := len(k.accepted()); n != 3 {
			t.Errorf("kept %d", n)
		}
	}
}

// TestDrainDeadline: at the deadline those that wait are told, and everything
// is closed, a transaction that hangs upstream included.
func TestDrainDeadline(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	k := &keeper{data: func(ctx context.Context, m *mail, src relay.Source) []relay.Reply {
		close(begun)
		<-ctx.Done()
		return []relay.Reply{relay.ReplyUnknown}
	}}
	s, address := serve(t, k, nil)
	inMail, hanging := open(t, address), open(t, address)
	inMail.do("MAIL FROM:<a@goo.ne.jp>", "250")
	hanging.do("MAIL FROM:<a@goo.ne.jp>", "250")
	hanging.do("RCPT TO:<b@docomo.ne.jp>", "250")
	hanging.send("DATA\r\n")
	<-begun
	ctx, cancel := context.WithCancel(context.Background())
	done := drain(s, ctx)
	inMail.do("RCPT TO:<b@docomo.ne.jp>", "250")
	cancel()
	inMail.want("421 4.3.2")
	inMail.ended()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if len(s.connections()) > 0 {
		t.Fatal("connections left")
	}
}

// TestDrainRace drains while clients come, go and wait: nobody is forgotten.
func TestDrainRace(t *testing.T) {
	t.Parallel()
	for round := range 20 {
		s, address := serve(t, &keeper{}, func(c *Config) { c.Limits.Park = time.Duration(round) * 100 * time.Microsecond })
		for range 10 {
			go func() {
				c, err := net.Dial("tcp", address)
				if err != nil {
					return
				}
				defer c.Close()
				buf := make([]byte, 1024)
				for {
					if n, err := c.Read(buf); err != nil || strings.HasPrefix(string(buf[:n]), "421") {
						return
					}
					c.Write([]byte("EHLO client.test\r\n"))
				}
			}()
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if err := s.Drain(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
}

// TestListenersReplaced: SIGHUP may open, change and close listeners.
func TestListenersReplaced(t *testing.T) {
	t.Parallel()
	s, first := serve(t, &keeper{}, nil)
	old := open(t, first)
	taken, err := net.Listen("tcp", anyPort)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	same := Listener{Address: anyPort}
	if err := s.SetListeners([]Listener{{Address: "localhost:0"}, {Address: taken.Addr().String()}}); err == nil {
		t.Fatal("an address in use was taken")
	}
	open(t, first)
	if err := s.SetListeners([]Listener{same, same}); err == nil {
		t.Fatal("an address twice")
	}
	same.Protocol = LMTP
	if err := s.SetListeners([]Listener{same, {Address: "localhost:0"}}); err != nil {
		t.Fatal(err)
	}
	c := dial(t, first)
	c.want("220 relay.test LMTP")
	open(t, s.Addr("localhost:0").String())
	if err := s.SetListeners([]Listener{{Address: "localhost:0"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", first); err == nil {
		t.Error("still listening")
	}
	old.do("NOOP", "250")
}

// TestMailAfterTheDeadline gets 421.
func TestMailAfterTheDeadline(t *testing.T) {
	t.Parallel()
	k := &keeper{}
	s, address := serve(t, k, nil)
	c := open(t, address)
	s.phase.Store(drained) // not woken: its MAIL is on the way
	c.do("MAIL FROM:<a@goo.ne.jp>", "421 4.3.2")
	if k.log() != "" {
		t.Error(k.log())
	}
}

// TestDrainOfDeafTransaction: one that does not heed its context cannot hold
// up the end.
func TestDrainOfDeafTransaction(t *testing.T) {
	t.Parallel()
	begun, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	k := &keeper{data: func(context.Context, *mail, relay.Source) []relay.Reply {
		close(begun)
		<-release
		return []relay.Reply{relay.ReplyUnknown}
	}}
	s, address := serve(t, k, nil)
	c := open(t, address)
	c.do("MAIL FROM:<a@goo.ne.jp>", "250")
	c.do("RCPT TO:<b@docomo.ne.jp>", "250")
	c.send("DATA\r\n")
	<-begun
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Drain(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := s.SetListeners([]Listener{{Address: anyPort}}); err == nil {
		t.Error("listens again")
	}
}
