package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// TestMemory has many clients with a large mail each, and little memory: some
// are told to come again, nothing is lost, and the process stays near the limit.
func TestMemory(t *testing.T) {
	t.Parallel()
	f := flood{clients: 200, size: 10 << 20, limit: 64 << 20, percent: "30"}
	if raceDetector {
		f.size, f.limit = 1<<20, 32<<20 // the same shares of the limit's room
	}
	f.run(t)
}

// TestMemoryLong is the issue's own size. It takes minutes and runs only with
// E2E_LONG=1; without it TestMemory is the same in small.
func TestMemoryLong(t *testing.T) {
	f := flood{clients: 1000, size: 10 << 20, limit: 512 << 20, percent: "30"}
	if os.Getenv("E2E_LONG") != "1" {
		f.clients, f.limit = 20, 128<<20
	}
	f.run(t)
}

type flood struct {
	clients     int
	size, limit int
	percent     string
}

// patience bounds the whole: mail that keeps others from being sent is a fault.
func (f flood) patience() time.Duration {
	return 30*time.Second + time.Duration(f.clients)*300*time.Millisecond
}

func (f flood) run(t *testing.T) {
	h := startHopsWith(t, simulator.StoreConfig{DiscardBodies: true}, simulator.SMTPConfig{})
	r := startRelay(t, relayOptions{ses: h.ses.URL(), cuenote: h.cuenote.Addr(), percent: f.percent, plain: true, set: settings{
		"limits.memory": fmt.Sprintf("%dMiB", f.limit>>20), "limits.message_size": "12MiB",
		"split.by": "recipient", // a retry keeps its route
	}})
	before := r.peak(t)
	body := []byte(strings.Repeat(strings.Repeat("0123456789abcdef", 4)+"\r\n", f.size/66))
	began := time.Now()
	var full, busy, attempts atomic.Int64
	var wg sync.WaitGroup
	ctx := within(t, f.patience())
	for i := range f.clients {
		wg.Go(func() {
			m := plainMail(fmt.Sprintf("flood%d", i))
			for {
				attempts.Add(1)
				reply, err := sendFlood(ctx, r.smtp, m, body, i%50 != 0)
				switch {
				case err != nil:
					t.Errorf("client %d: %v", i, err)
					return
				case strings.HasPrefix(reply, "250"):
					return
				case strings.HasPrefix(reply, "4"):
					if strings.HasPrefix(reply, "452 4.3.1") {
						full.Add(1)
					} else {
						busy.Add(1) // more clients than connections to Cuenote
					}
					select { // a client's own pause
					case <-time.After(time.Duration(100+i%100) * time.Millisecond):
					case <-ctx.Done():
					}
				default:
					t.Errorf("client %d: %q", i, reply)
					return
				}
			}
		})
	}
	stop := make(chan struct{})
	go func() { // relay_memory_bytes has to move
		for {
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Millisecond):
				r.scrape()
			}
		}
	}()
	wg.Wait()
	close(stop)
	took, peak := time.Since(began), r.peak(t)
	t.Logf("%d clients of %d MiB, limit %d MiB: %v, %d attempts, %d times 452 4.3.1, %d times another 4xx, peak %d MiB (idle %d MiB), SES %d, Cuenote %d",
		f.clients, f.size>>20, f.limit>>20, took.Round(time.Millisecond), attempts.Load(), full.Load(), busy.Load(), peak>>20, before>>20,
		len(h.store.Of("ses")), len(h.store.Of("cuenote")))
	for i := range f.clients {
		if n := h.store.Copies(fmt.Sprintf("flood%d", i)); n != 1 {
			t.Errorf("flood%d arrived %d times", i, n)
		}
	}
	if peak > f.limit+150<<20 {
		t.Errorf("the process took %d MiB with limits.memory %d MiB", peak>>20, f.limit>>20)
	}
	if full.Load() == 0 && f.clients >= 200 {
		t.Error("no client was told to come again: the limit was not met")
	}
}

// sendFlood is one dialogue with a large body, which is not copied. sized:
// MAIL declares it, as Postfix does.
func sendFlood(ctx context.Context, addr string, m *corpusMail, body []byte, sized bool) (string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if end, ok := ctx.Deadline(); ok {
		conn.SetDeadline(end)
	}
	br := bufio.NewReader(conn)
	size := ""
	if sized {
		size = fmt.Sprintf(" SIZE=%d", len(m.content)+len(body))
	}
	for i, line := range []string{"", "EHLO app.goo.ne.jp", "MAIL FROM:<" + m.from + ">" + size, "RCPT TO:<" + m.to[0] + ">", "DATA"} {
		if i > 0 {
			if _, err := conn.Write([]byte(line + "\r\n")); err != nil {
				return "", err
			}
		}
		reply, err := lastLine(br)
		if err != nil || reply[0] > '3' {
			return reply, err
		}
	}
	for _, part := range [][]byte{m.content, body, []byte(".\r\n")} {
		if _, err := conn.Write(part); err != nil {
			return "", err
		}
	}
	return lastLine(br)
}

func lastLine(br *bufio.Reader) (string, error) {
	for {
		line, err := br.ReadString('\n')
		if err != nil || len(line) > 3 && line[3] == ' ' {
			return line, err
		}
	}
}

// peak is the largest resident size that the process ever had, in bytes.
func (r *relayProcess) peak(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
