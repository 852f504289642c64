package smtp

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestChurn is many clients that send pieces of sessions, pause, vanish and
// reset, while access changes, and at last the service drains: with the race
// detector. Every place is given back, and only whole bodies are kept.
func TestChurn(t *testing.T) {
	t.Parallel()
	k := &keeper{}
	s, address := serve(t, k, func(c *Config) {
		c.Limits.Park = 500 * time.Microsecond
		c.Limits.Connections = 30
		c.Limits.Command = time.Second
	})
	script := "EHLO c\r\nNOOP\r\n" + envelope + "Subject: whole\r\n\r\n" + strings.Repeat("x", 5000) + "\r\n.\r\nRSET\r\n" + envelope + ".\r\nQUIT\r\n"
	var clients sync.WaitGroup
	for i := range 40 {
		clients.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			for range 10 {
				churn(address, script, r)
			}
		})
	}
	for range 20 {
		s.SetAccess(loopback)
		time.Sleep(time.Millisecond)
	}
	clients.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if len(s.clients) > 0 {
		t.Errorf("places not given back: %v", s.clients)
	}
	whole := 0
	for _, m := range k.accepted() {
		switch fmt.Sprint(len(m.body)) {
		case "0":
		case "5020":
			whole++
		default:
			t.Errorf("kept %d bytes", len(m.body))
		}
	}
	if whole == 0 {
		t.Error("nobody got through")
	}
}

// churn sends a beginning of the script, in pieces, and leaves in one of
// several ways.
func churn(address, script string, r *rand.Rand) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	c.Read(make([]byte, 100)) // the greeting, or 421
	rest := script[:len(script)-r.IntN(2)*r.IntN(len(script))]
	for len(rest) > 0 {
		n := min(len(rest), 1+r.IntN(3000))
		if _, err := io.WriteString(c, rest[:n]); err != nil {
			return
		}
		rest = rest[n:]
		time.Sleep(time.Duration(r.IntN(3)) * time.Millisecond)
	}
	switch r.IntN(3) {
	case 0:
		c.(*net.TCPConn).SetLinger(0) // a reset
	case 1:
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
	}
}
