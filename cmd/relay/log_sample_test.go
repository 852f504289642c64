package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"sesrelay/internal/mask"
	"sesrelay/internal/relay"
)

// lines decodes a log.
func logLines(t *testing.T, text string) (out []map[string]any) {
	t.Helper()
	for line := range strings.Lines(text) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("not JSON: %q", line)
		}
		out = append(out, v)
	}
	return out
}

// Under load accepted mail is thinned out, each class by itself, and what was
// left out is counted; no failure is ever left out.
func TestSamplingNeverDropsFailures(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	s := &sampler{}
	s.limit.Store(2)
	l := &transactionLog{log: slog.New(slog.NewJSONHandler(&b, nil)), mask: testMasker(t, mask.Masked), sample: s}
	at := time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC)
	write := func(second int, results ...relay.Result) {
		for _, r := range results {
			l.write(&relay.Record{Envelope: relay.Envelope{ReversePath: address(t, "taro@goo.ne.jp")}, Result: r, Ended: at.Add(time.Duration(second) * time.Second)})
		}
	}
	const ok, dup = relay.ResultAccepted, relay.ResultDuplicate
	write(0, ok, ok, ok, ok, ok, dup, relay.ResultDeferred, relay.ResultRejected, relay.ResultUnknown, relay.ResultUnknown, relay.ResultDeferred, relay.ResultDeferred)
	write(1, ok, ok, dup)
	count := map[string]int{}
	total := map[string]float64{}
	for _, line := range logLines(t, b.String()) {
		outcome := line["outcome"].(string)
		count[outcome]++
		total[outcome]++
		if n, ok := line["left_out"].(float64); ok {
			total[outcome] += n
		}
	}
	for outcome, want := range map[string]int{"accepted": 4, "duplicate": 2, "deferred": 3, "rejected": 1, "unknown": 2} {
		if count[outcome] != want {
			t.Errorf("%d lines %s, want %d", count[outcome], outcome, want)
		}
	}
	if total["accepted"] != 7 {
		t.Errorf("the lines speak of %v accepted mails of 7", total["accepted"])
	}
}

// Events are thinned out by their message; warnings are not, and 0 writes all.
func TestSamplingOfEvents(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		limit, info int
	}{{0, 20}, {3, 3}} {
		var b bytes.Buffer
		s := &sampler{}
		s.limit.Store(int64(c.limit))
		log := slog.New(sampledLog{slog.NewJSONHandler(&b, nil), s}).With("client", "10.0.0.1")
		at := time.Now()
		for range 20 {
			r := slog.NewRecord(at, slog.LevelInfo, "TLS handshake failed", 0)
			if err := log.Handler().Handle(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			log.Warn("authentication failed")
			log.Info("audit")
		}
		if n := strings.Count(b.String(), "TLS handshake failed"); n != c.info {
			t.Errorf("limit %d: %d info lines, want %d", c.limit, n, c.info)
		}
		for _, message := range []string{"authentication failed", `"audit"`} {
			if n := strings.Count(b.String(), message); n != 20 {
				t.Errorf("limit %d: %d of 20 lines %s", c.limit, n, message)
			}
		}
	}
}

// Many goroutines together write what the limit allows, and nothing is lost
// from the count.
func TestSamplingTogether(t *testing.T) {
	t.Parallel()
	s := &sampler{}
	s.limit.Store(10)
	at := time.Now()
	var mu sync.Mutex
	var written int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				if _, ok := s.take("accepted", at); ok {
					mu.Lock()
					written++
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	left, ok := s.take("accepted", at.Add(time.Second))
	if written != 10 || !ok || left != 7990 {
		t.Errorf("%d written, %d left out (%t), of 8000", written, left, ok)
	}
}

// Without a limit the question costs next to nothing on the way of a message.
func BenchmarkSampler(b *testing.B) {
	for _, limit := range []int64{0, 100} {
		b.Run(map[int64]string{0: "off", 100: "on"}[limit], func(b *testing.B) {
			s := &sampler{}
			s.limit.Store(limit)
			at := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				s.take("accepted", at)
			}
		})
	}
}
