package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// abuse is a crowd of clients that wish us ill. n is how many.
type abuse struct {
	name        string
	short, long int // clients
	run         func(ctx context.Context, addr string, n int)
}

var abuses = []abuse{
	{"slowloris in a command", 300, 3000, each(func(ctx context.Context, c *net.TCPConn, _ int) {
		for i := 0; ctx.Err() == nil; i++ {
			if _, err := c.Write([]byte{"EHLO "[min(i, 4)]}); err != nil {
				return
			}
			wait(ctx, 200*time.Millisecond)
		}
	})},
	{"slowloris in a body", 120, 150, each(func(ctx context.Context, c *net.TCPConn, i int) {
		c.Write([]byte("EHLO a\r\nMAIL FROM:<news@goo.ne.jp>\r\n" + fmt.Sprintf("RCPT TO:<slow%d@example.jp>\r\n", i)))
		wait(ctx, 300*time.Millisecond)
		c.Write([]byte("DATA\r\n"))
		for ctx.Err() == nil {
			wait(ctx, 300*time.Millisecond)
			if _, err := c.Write([]byte("x")); err != nil {
				return
			}
		}
	})},
	{"slow readers", 100, 500, each(func(ctx context.Context, c *net.TCPConn, _ int) {
		c.SetReadBuffer(1024)
		c.Write([]byte("EHLO a\r\n"))
		for ctx.Err() == nil { // replies pile up, and nobody reads them
			c.SetWriteDeadline(time.Now().Add(time.Second))
			if _, err := c.Write(bytes.Repeat([]byte("RCPT TO:<a@b>\r\nHELP\r\n"), 5)); err != nil {
				return
			}
			wait(ctx, 20*time.Millisecond)
		}
	})},
	{"garbage", 20, 100, again(func(_ context.Context, c *net.TCPConn, i int) {
		b := make([]byte, 4096)
		r := rand.New(rand.NewPCG(uint64(i), 2))
		for j := range b {
			b[j] = byte(r.Uint32())
		}
		c.Write(b)
		c.SetReadDeadline(time.Now().Add(time.Second))
		c.Read(b)
	})},
	{"idle connections", 1000, 10_000, each(func(ctx context.Context, c *net.TCPConn, i int) {
		if i%2 == 0 {
			c.Write([]byte("EHLO a\r\n"))
		}
		<-ctx.Done()
	})},
	{"connection flood", 20, 50, again(func(_ context.Context, c *net.TCPConn, i int) {
		if i%2 == 0 {
			c.SetLinger(0)
		}
	})},
	{"NOOP and RSET flood", 10, 30, again(func(_ context.Context, c *net.TCPConn, _ int) {
		if !greeted(c) {
			return
		}
		c.SetDeadline(time.Now().Add(2 * time.Second))
		c.Write([]byte("EHLO a\r\n" + strings.Repeat("NOOP\r\nRSET\r\n", 200)))
		drainConn(c)
	})},
	{"MAIL and RCPT flood", 10, 30, again(func(_ context.Context, c *net.TCPConn, i int) {
		if !greeted(c) {
			return
		}
		c.SetDeadline(time.Now().Add(2 * time.Second))
		c.Write([]byte("EHLO a\r\nMAIL FROM:<news@goo.ne.jp>\r\n" + strings.Repeat("RCPT TO:<flood@example.jp>\r\n", 200) + "QUIT\r\n"))
		drainConn(c)
	})},
	{"everybody declares a large mail and stalls", 60, 100, each(func(ctx context.Context, c *net.TCPConn, i int) {
		c.Write([]byte("EHLO a\r\nMAIL FROM:<news@goo.ne.jp> SIZE=10000000\r\n" + fmt.Sprintf("RCPT TO:<big%d@example.jp>\r\n", i)))
		wait(ctx, 300*time.Millisecond)
		c.Write([]byte("DATA\r\n"))
		<-ctx.Done()
	})},
	{"big mails from everyone at once", 10, 60, again(func(_ context.Context, c *net.TCPConn, i int) {
		if !greeted(c) {
			return
		}
		c.SetDeadline(time.Now().Add(20 * time.Second))
		c.Write([]byte("EHLO a\r\nMAIL FROM:<news@goo.ne.jp>\r\n" + fmt.Sprintf("RCPT TO:<large%d@example.jp>\r\nDATA\r\n", i)))
		c.Write([]byte("Subject: x\r\nMessage-ID: <" + strconv.FormatUint(rand.Uint64(), 36) + "@goo.ne.jp>\r\n\r\n"))
		line := bytes.Repeat([]byte(strings.Repeat("0123456789abcdef", 4)+"\r\n"), 500)
		for range 150 { // 5 MB
			if _, err := c.Write(line); err != nil {
				return
			}
		}
		c.Write([]byte(".\r\nQUIT\r\n"))
		drainConn(c)
	})},
}

func drainConn(c net.Conn) {
	b := make([]byte, 4096)
	for {
		if _, err := c.Read(b); err != nil {
			return
		}
	}
}

// greeted waits for the greeting: whoever talks before it is turned away at
// once, and that would be all that a test shows.
func greeted(c net.Conn) bool {
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	defer c.SetReadDeadline(time.Time{})
	b := make([]byte, 1)
	for {
		if _, err := c.Read(b); err != nil {
			return false
		}
		if b[0] == '\n' {
			return true
		}
	}
}

// each gives every client one connection for the whole time.
func each(client func(ctx context.Context, c *net.TCPConn, i int)) func(context.Context, string, int) {
	return func(ctx context.Context, addr string, n int) {
		var wg sync.WaitGroup
		for i := range n {
			c, err := dialPlain(addr)
			if err != nil {
				continue
			}
			stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
			wg.Go(func() {
				defer stop()
				defer c.Close()
				if greeted(c) {
					client(ctx, c, i)
				}
			})
		}
		wg.Wait()
	}
}

// again gives every client one connection after another.
func again(client func(ctx context.Context, c *net.TCPConn, i int)) func(context.Context, string, int) {
	return func(ctx context.Context, addr string, n int) {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				for round := 0; ctx.Err() == nil; round++ {
					c, err := dialPlain(addr)
					if err != nil {
						wait(ctx, 10*time.Millisecond)
						continue
					}
					client(ctx, c, i+round*n)
					c.Close()
				}
			})
		}
		wg.Wait()
	}
}

// remains is how much more than before a relay may hold when a crowd has left: 24
// MiB are not worth a collection (memorySlack in cmd/relay); as much again are
// receipts and traces of what was sent, the runtime's own tables for the heap that
// there was, gaps between what lives, and pages of the program that nobody had
// needed before. What lives is judged apart.
const remains = 48 << 20

// heap is what the process has allocated and not yet collected, in bytes.
func (r *relayProcess) heap(t *testing.T) int {
	return int(r.metric(t, "go_memstats_heap_alloc_bytes"))
}

// TestAbuse has each crowd in turn against one relay, while a canary's mail goes
// through, and looks whether memory and descriptors come back.
func TestAbuse(t *testing.T) {
	t.Parallel()
	h := startHopsWith(t, simulator.StoreConfig{DiscardBodies: true}, simulator.SMTPConfig{})
	h.mayAbort = true
	// Sticky, so that the two canaries take one route each.
	s := &stage{hops: h, relay: startRelay(t, relayOptions{ses: h.ses.URL(), cuenote: h.cuenote.Addr(), percent: "50", plain: true, set: settings{
		"limits.connections": "11000", "limits.connections_per_client": "11000", "limits.memory": "128MiB", "limits.message_size": "12MiB",
		"split.rules": "[{name: one, recipient: canary-ses@example.jp, route: ses}, {name: two, recipient: canary-cuenote@example.jp, route: cuenote}]",
	}})}
	during, limit := 1500*time.Millisecond, 10*time.Second // beside other tests a machine may be busy
	if long() {
		during, limit = 20*time.Second, time.Second
	}
	canary(t, s.relay.smtp, 300*time.Millisecond, time.Minute) // warm
	memory, heap, files := s.relay.resident(t), s.relay.heap(t), s.relay.descriptors(t)
	for _, a := range abuses {
		n := a.short
		if long() {
			n = a.long
		}
		ctx, stop := context.WithTimeout(t.Context(), during+time.Second)
		done := make(chan struct{})
		go func() {
			defer close(done)
			a.run(ctx, s.relay.smtp, n)
		}()
		wait(ctx, 300*time.Millisecond)
		most := limit
		if strings.HasPrefix(a.name, "big mails") {
			most = 10 * time.Second // all processors are busy, with the clients' and the next hops' own work, too
		}
		ids, worst, median := canary(t, s.relay.smtp, during, most)
		peak, open := s.relay.resident(t), s.relay.descriptors(t)
		stop()
		<-done
		own := s.relay.slowest(t, ids)
		t.Logf("%s by %d: %d canary mails, median %v, slowest %v, of which the relay's own %v at most; %d MiB and %d descriptors",
			a.name, n, len(ids), median.Round(time.Millisecond), worst.Round(time.Millisecond), own.Round(100*time.Microsecond), peak>>20, open)
		if own > limit {
			t.Errorf("the relay itself had a canary for %v", own)
		}
	}
	over := time.Now()
	t.Logf("at once behind them %d MiB", s.relay.resident(t)>>20)
	eventually(t, 90*time.Second, "descriptors", func() error { // idle connections to SES are kept for a minute
		if n := s.relay.descriptors(t); n > files+50 {
			return fmt.Errorf("%d, and %d before", n, files)
		}
		return nil
	})
	eventually(t, 90*time.Second, "memory", func() error {
		if n := s.relay.resident(t); n > memory+remains {
			return fmt.Errorf("%d MiB, and %d before", n>>20, memory>>20)
		}
		return nil
	})
	eventually(t, 150*time.Second, "the heap", func() error { // Go collects every two minutes whatever there is to do
		if n := s.relay.heap(t); n > heap+16<<20 {
			return fmt.Errorf("%d MiB, and %d before", n>>20, heap>>20)
		}
		return nil
	})
	t.Logf("of it in the heap: %d MiB before, %d MiB after", heap>>20, s.relay.heap(t)>>20)
	t.Logf("memory before %d MiB, after %d MiB, %v behind the last crowd; descriptors before %d, after %d",
		memory>>20, s.relay.resident(t)>>20, time.Since(over).Round(time.Second), files, s.relay.descriptors(t))
	like(t, "and it goes on", deliver(t, s.relay.smtp, plainMail("afterwards")), "250 ")
}

// slowest is the longest time that the relay took for one of these mails, without
// that of the upstream.
func (r *relayProcess) slowest(t *testing.T, ids []string) (most time.Duration) {
	t.Helper()
	for _, id := range ids {
		var trace struct {
			Records []struct {
				Duration float64 `json:"duration_ms"`
				Attempts []struct {
					Took float64 `json:"took_ms"`
				}
			}
		}
		r.get(t, "/v1/trace/"+id, &trace)
		if len(trace.Records) != 1 || len(trace.Records[0].Attempts) == 0 {
			t.Fatalf("trace of %s: %+v", id, trace)
		}
		own := trace.Records[0].Duration
		for _, a := range trace.Records[0].Attempts {
			own -= a.Took
		}
		most = max(most, time.Duration(own*float64(time.Millisecond)))
	}
	return most
}

// canary sends small mail over new connections, to SES and to Cuenote in turn.
// Each has to be taken at its first attempt, within limit. It returns their ids.
func canary(t *testing.T, addr string, during, limit time.Duration) (ids []string, worst, median time.Duration) {
	t.Helper()
	var took []time.Duration
	for end := time.Now().Add(during); time.Now().Before(end); {
		for _, route := range []string{"ses", "cuenote"} {
			m := plainMail("canary"+strconv.FormatUint(rand.Uint64(), 36), "canary-"+route+"@example.jp")
			began := time.Now()
			reply, err := sendFlood(within(t, time.Minute), addr, m, nil, true)
			took = append(took, time.Since(began))
			if err != nil || !strings.HasPrefix(reply, "250") {
				t.Errorf("the canary to %s: %q, %v", route, reply, err)
				continue
			}
			ids = append(ids, strings.Fields(reply)[2])
		}
		time.Sleep(50 * time.Millisecond)
	}
	slices.Sort(took)
	worst, median = took[len(took)-1], took[len(took)/2]
	if worst > limit {
		t.Errorf("a canary took %v", worst)
	}
	return ids, worst, median
}

// resident is what the process holds in memory now, in bytes.
func (r *relayProcess) resident(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", r.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// descriptors is how many files the process has open.
func (r *relayProcess) descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestOutOfDescriptors has a relay with few of them and more clients than that.
// It refuses nobody for good, says so in its log, loses nothing, and goes on when
// the crowd has left.
func TestOutOfDescriptors(t *testing.T) {
	t.Parallel()
	h := startHops(t)
	h.mayAbort = true
	s := &stage{hops: h, relay: startRelay(t, relayOptions{ses: h.ses.URL(), cuenote: h.cuenote.Addr(), percent: "50", plain: true, descriptors: 80})}
	var crowd []*net.TCPConn
	for range 200 {
		c, err := dialPlain(s.relay.smtp)
		if err != nil {
			break
		}
		crowd = append(crowd, c)
	}
	a := newAuditor("fd")
	feed, stop := context.WithTimeout(t.Context(), 2*time.Second)
	defer stop()
	clients := a.load(feed, 4, 20*time.Millisecond, 30*time.Second, func() []string { return []string{s.relay.smtp} })
	eventually(t, 20*time.Second, "the log to say it", func() error {
		if !strings.Contains(s.relay.out.String(), "too many open files") {
			return fmt.Errorf("%d descriptors, nothing said", s.relay.descriptors(t))
		}
		return nil
	})
	for _, c := range crowd {
		c.Close()
	}
	clients.Wait()
	if extra, refused := a.judge(t, h); extra+refused+a.waiting() > 0 {
		t.Errorf("%d duplicates, %d refused, %d not delivered", extra, refused, a.waiting())
	}
	if s.relay.readyz() != 200 {
		t.Error("not ready afterwards")
	}
}
