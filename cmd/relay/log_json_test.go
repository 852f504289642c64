package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"testing"
	"time"
)

// bothWays writes one record by slog's JSON handler and by ours.
func bothWays(t *testing.T, r slog.Record) (slogs, ours string) {
	t.Helper()
	var a, b bytes.Buffer
	if err := errors.Join(slog.NewJSONHandler(&a, nil).Handle(t.Context(), r), newJSONLog(&b, nil).Handle(t.Context(), r)); err != nil {
		t.Fatal(err)
	}
	return a.String(), b.String()
}

// The line of a transaction has the bytes that slog would write.
func TestJSONLineIsSlogs(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{time.Date(2026, 11, 28, 9, 8, 7, 654_321_000, time.UTC), time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("JST", 9*3600))} {
		for _, level := range []slog.Level{slog.LevelInfo, slog.LevelWarn, slog.LevelError, slog.LevelInfo + 1} {
			r := slog.NewRecord(at, level, transactionMessage, 0)
			r.AddAttrs(slog.String("a", "plain"), slog.String("日本", "語 \"quoted\" \\ \x00\t\x7f\u2028\xff <b>&amp;"), slog.String("", ""),
				slog.Int64("n", math.MinInt64), slog.Bool("yes", true), slog.Float64("ms", 81.123), slog.Float64("zero", 0), slog.Float64("neg", -0.5),
				slog.Any("to", []string{"t***@goo.ne.jp", "é\""}), slog.Any("none", []string(nil)), slog.Any("empty", []string{}),
				slog.Any("attempts", []attemptLine{{Upstream: "ses", Outcome: "unknown", MS: 1.5, Error: "a <b> \"c\""}}))
			if want, got := bothWays(t, r); got != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		}
	}
	for _, last := range []slog.Attr{slog.Bool("yes", true), slog.Any("rare", errors.New("e")), slog.String("text", "a \"b\"")} {
		r := slog.NewRecord(time.Now(), slog.LevelInfo, transactionMessage, 0)
		r.AddAttrs(slog.Int("n", 1), slog.Attr{Value: slog.GroupValue(slog.String("a", "b"), slog.Group("", slog.Int("inner", 1)), last)}, slog.Int("m", 2))
		if want, got := bothWays(t, r); got != want {
			t.Errorf("\n got %s\nwant %s", got, want)
		}
	}
	for _, v := range []slog.Value{slog.Float64Value(math.Inf(1)), slog.Float64Value(1e-7), slog.Float64Value(1e300), slog.DurationValue(time.Second),
		slog.GroupValue(slog.Int("x", 1)), slog.AnyValue(errors.New("e")), slog.AnyValue(func() {}), slog.TimeValue(time.Unix(1, 2)), slog.Uint64Value(7)} {
		r := slog.NewRecord(time.Now(), slog.LevelInfo, transactionMessage, 0)
		r.AddAttrs(slog.Attr{Key: "v", Value: v})
		if want, got := bothWays(t, r); got != want {
			t.Errorf("\n got %s\nwant %s", got, want)
		}
	}
}

// FuzzJSONLine: whatever a text holds, the line has the bytes that slog would
// write, and is JSON.
func FuzzJSONLine(f *testing.F) {
	f.Add("reply", "250 2.0.0 OK", 81.5)
	f.Add("a\"", "\xf0\x28\x8c\x28\u2029<>&\r\n", 0.001)
	f.Fuzz(func(t *testing.T, key, text string, ms float64) {
		r := slog.NewRecord(time.Unix(1764000000, 5000), slog.LevelInfo, transactionMessage, 0)
		r.AddAttrs(slog.String(key, text), slog.Any("to", []string{text, key}), slog.Float64("ms", ms))
		want, got := bothWays(t, r)
		if got != want {
			t.Fatalf("\n got %s\nwant %s", got, want)
		}
		if !json.Valid([]byte(got)) {
			t.Fatalf("not JSON: %s", got)
		}
	})
}

// A logger with attributes of its own takes slog's way.
func TestJSONLogWithAttributes(t *testing.T) {
	t.Parallel()
	var a, b bytes.Buffer
	at := slog.NewRecord(time.Unix(1, 0), slog.LevelInfo, transactionMessage, 0)
	at.AddAttrs(slog.Int("n", 1))
	for w, h := range map[io.Writer]slog.Handler{&a: slog.NewJSONHandler(&a, nil), &b: newJSONLog(&b, nil)} {
		if err := h.WithAttrs([]slog.Attr{slog.String("with", "x")}).WithGroup("g").Handle(t.Context(), at); err != nil {
			t.Fatal(w, err)
		}
	}
	if a.String() != b.String() {
		t.Errorf("\n got %s\nwant %s", b.String(), a.String())
	}
}
