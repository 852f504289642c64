package ledger

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"sesrelay/internal/redistest"
	"sesrelay/internal/relay"
)

// saying is a server with one answer to everything that matters.
func saying(t *testing.T, answer string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for {
					words, err := readCommand(in)
					if err != nil {
						return
					}
					out := answer
					switch strings.ToUpper(words[0]) {
					case "HELLO":
						out = "-ERR unknown command"
					case "CLIENT":
						out = "+OK"
					}
					io.WriteString(c, out+"\r\n") //nolint:errcheck // the client may be gone
				}
			}()
		}
	}()
	return l.Addr().String()
}

// readCommand reads one command: an array of strings.
func readCommand(in *bufio.Reader) ([]string, error) {
	var n int
	if _, err := fmt.Fscanf(in, "*%d\r\n", &n); err != nil || n < 1 {
		return nil, fmt.Errorf("%d words: %w", n, err)
	}
	words := make([]string, n)
	for i := range words {
		var size int
		if _, err := fmt.Fscanf(in, "$%d\r\n", &size); err != nil {
			return nil, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(in, b); err != nil {
			return nil, err
		}
		words[i] = string(b[:size])
	}
	return words, nil
}

// led are two instances on one way to Redis, which can lead elsewhere.
func led(t *testing.T, to string) (p *redistest.Proxy, one, two *Ledger) {
	t.Helper()
	p, err := redistest.NewProxy(to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	open := func() *Ledger {
		l := New(Config{Client: client(t, p.Addr, false), Prefix: "test:", TTL: time.Hour, Entries: 1000, Wait: shortWait}, nil)
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = l.Close(ctx)
		})
		return l
	}
	return p, open(), open()
}

// heard waits until an instance asks Redis again.
func heard(t *testing.T, l *Ledger, n byte) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		before := testutil.ToFloat64(l.metrics.alone)
		claim(t, l, n, "probe")
		l.Release(key(n), "probe")
		if testutil.ToFloat64(l.metrics.alone) == before {
			return
		}
		if time.Now().After(end) {
			t.Fatal("Redis is not asked any more")
		}
	}
}

func flush(t *testing.T, l *Ledger) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := l.settling.flush(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestWordsOfRedis: a Redis that refuses in the middle of a mail holds nobody up,
// each instance protects itself, and the receipt gets to Redis when it takes it.
func TestWordsOfRedis(t *testing.T) {
	t.Parallel()
	for _, word := range []string{
		"-OOM command not allowed when used memory > 'maxmemory'.", "-READONLY You can't write against a read only replica.",
		"-LOADING Redis is loading the dataset in memory", "-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
		"-NOAUTH Authentication required.", "-CLUSTERDOWN The cluster is down", "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
		"-NOREPLICAS Not enough good replicas to write.", "-BUSY Redis is busy running a script.", "-TRYAGAIN Multiple keys request during rehashing of slot",
		"-MOVED 1 127.0.0.1:1", "-ERR whatever",
	} {
		t.Run(word, func(t *testing.T) {
			t.Parallel()
			s := server(t, single)
			p, one, two := led(t, s.Addr)
			want(t, "before", claim(t, one, 1, "a"), relay.Claimed, 0)
			p.Lead(saying(t, word)) // the claim was made, the mail is on its way
			one.Accept(key(1), "a", relay.Receipt{ID: "sent"})
			want(t, "its own retry", claim(t, one, 1, "b"), relay.Duplicate, 0)
			begun := time.Now()
			want(t, "another mail", claim(t, one, 2, "a"), relay.Claimed, 0)
			if took := time.Since(begun); took > shortWait/2 {
				t.Errorf("mail waited %s", took)
			}
			one.Accept(key(2), "a", relay.Receipt{ID: "sent too"})
			p.Lead(s.Addr)
			flush(t, one)
			heard(t, two, 99)
			for n, id := range map[byte]string{1: "sent", 2: "sent too"} {
				if c := claim(t, two, n, "c"); c.State != relay.Duplicate || c.Receipt.ID != id {
					t.Errorf("%d elsewhere: %+v", n, c)
				}
			}
			if n := testutil.ToFloat64(one.metrics.dropped.WithLabelValues(string(opAccept))); n != 0 {
				t.Errorf("%v receipts dropped", n)
			}
		})
	}
}

// TestNonsenseOfRedis: an answer that is none of ours lets the mail through.
func TestNonsenseOfRedis(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"+OK", ":1", "$-1", "*-1", "*0", "*3\r\n:1\r\n:2\r\n:3", "*3\r\n$8\r\nwhatever\r\n$0\r\n\r\n:0", "*3\r\n$-1\r\n$-1\r\n$-1", "what?"} {
		t.Run(word, func(t *testing.T) {
			t.Parallel()
			_, one, _ := led(t, saying(t, word))
			want(t, "a mail", claim(t, one, 1, "a"), relay.Claimed, 0)
			one.Accept(key(1), "a", relay.Receipt{ID: "sent"})
			want(t, "its own retry", claim(t, one, 1, "b"), relay.Duplicate, 0)
		})
	}
}

// TestFailoverToEmpty: another master, which knows nothing, takes over while a
// mail is being sent. What is settled afterwards is known to all. What is not
// stands in "Where duplicates can occur" of docs/decisions.md.
func TestFailoverToEmpty(t *testing.T) {
	t.Parallel()
	old, fresh := server(t, single), server(t, single)
	p, one, two := led(t, old.Addr)
	for n := byte(1); n <= 4; n++ {
		want(t, "before", claim(t, one, n, "a"), relay.Claimed, 0)
	}
	one.Accept(key(2), "a", relay.Receipt{ID: "before"})
	flush(t, one)
	p.Lead(fresh.Addr)
	heard(t, one, 99)
	heard(t, two, 98)

	one.Accept(key(1), "a", relay.Receipt{ID: "across"})
	flush(t, one)
	if c := claim(t, two, 1, "b"); c.State != relay.Duplicate || c.Receipt.ID != "across" {
		t.Errorf("accepted behind the failover: %+v", c)
	}
	want(t, "accepted before it, the same instance", claim(t, one, 2, "b"), relay.Duplicate, 0)
	want(t, "accepted before it, another instance: the documented gap", claim(t, two, 2, "b"), relay.Claimed, 0)

	want(t, "running on another instance: the documented gap", claim(t, two, 3, "b"), relay.Claimed, 0)
	one.Accept(key(3), "a", relay.Receipt{ID: "first"})
	flush(t, one)
	two.Release(key(3), "b") // the second attempt was refused: the first one's receipt stays
	flush(t, two)
	if c := claim(t, two, 3, "c"); c.State != relay.Duplicate || c.Receipt.ID != "first" {
		t.Errorf("a release took the receipt: %+v", c)
	}

	one.MarkUnknown(key(4), "a", relay.SES)
	flush(t, one)
	want(t, "unknown, the same instance", claim(t, one, 4, "b"), relay.Busy, 1)
	want(t, "unknown, another instance: sent again, and counted", claim(t, two, 4, "b"), relay.Claimed, 1)
}

// TestForeignValues: what nobody of us has written under one mail's key holds up
// neither this mail nor the sharing of the others.
func TestForeignValues(t *testing.T) {
	t.Parallel()
	s := server(t, single)
	_, one, two := led(t, s.Addr)
	c := client(t, s.Addr, false)
	flight := func(n byte) string { return one.keys.of(key(n))[0] }
	for i, put := range []func(n byte) error{
		func(n byte) error { return c.RPush(t.Context(), flight(n), "x").Err() },
		func(n byte) error { return c.HSet(t.Context(), flight(n), "x", "y").Err() },
		func(n byte) error { return c.Set(t.Context(), flight(n), "", 0).Err() },
		func(n byte) error { return c.Set(t.Context(), flight(n), strings.Repeat("x", 10<<20), 0).Err() },
		func(n byte) error { return c.Set(t.Context(), one.keys.of(key(n))[1], "many", 0).Err() },
		func(n byte) error { return c.RPush(t.Context(), one.keys.of(key(n))[1], "x").Err() },
	} {
		const tries = 10
		for try := range byte(tries + 1) {
			if try == tries {
				t.Errorf("%d: the next mail was never asked of Redis", i)
				break
			}
			n := byte(i)*tries + try
			if err := put(n); err != nil {
				t.Fatal(err)
			}
			heard(t, one, 99)
			want(t, fmt.Sprintf("mail %d", i), claim(t, one, n, "a"), relay.Claimed, 0)
			one.Accept(key(n), "a", relay.Receipt{ID: "sent"})
			want(t, fmt.Sprintf("its own retry %d", i), claim(t, one, n, "b"), relay.Duplicate, 0)
			before := testutil.ToFloat64(one.metrics.alone)
			want(t, "the next mail", claim(t, one, n+100, "a"), relay.Claimed, 0)
			if testutil.ToFloat64(one.metrics.alone) != before {
				continue // here Redis may have been late by itself
			}
			one.Accept(key(n+100), "a", relay.Receipt{ID: "next"})
			flush(t, one)
			want(t, "the next mail elsewhere", claim(t, two, n+100, "b"), relay.Duplicate, 0)
			break
		}
	}
}
