package main

import (
	"context"
	"io"
	"log/slog"
	"math"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// jsonLog is slog's JSON handler with a shorter way for the line of a
// transaction, the only one that every mail has: the same bytes, in one write,
// in less time. What most of these lines do not have takes slog's way: text that
// needs escapes, attempts, attributes that a logger has of its own.
type jsonLog struct {
	slog.Handler // slog's, on the same writer
	w            *lockedWriter
}

func newJSONLog(w io.Writer, opts *slog.HandlerOptions) jsonLog {
	locked := &lockedWriter{w: w}
	return jsonLog{slog.NewJSONHandler(locked, opts), locked}
}

// lockedWriter lets one write at a time through.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// lineBuffers keep the bytes of lines.
var lineBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// Handle implements slog.Handler.
func (h jsonLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Message != transactionMessage {
		return h.Handler.Handle(ctx, r)
	}
	buf := lineBuffers.Get().(*[]byte)
	defer lineBuffers.Put(buf)
	line, ok := appendRecord((*buf)[:0], r)
	*buf = line
	if !ok {
		return h.Handler.Handle(ctx, r)
	}
	_, err := h.w.Write(line)
	return err
}

// appendRecord appends the line that slog's JSON handler would write; false when
// the record has something that it does not know.
func appendRecord(b []byte, r slog.Record) (_ []byte, ok bool) {
	b = append(b, `{"time":"`...)
	b = r.Time.AppendFormat(b, time.RFC3339Nano)
	b = append(append(b, `","level":"`...), r.Level.String()...)
	b = append(append(append(b, `","msg":"`...), transactionMessage...), '"')
	ok = true
	r.Attrs(func(a slog.Attr) bool {
		b, ok = appendMember(b, a)
		return ok
	})
	return append(b, '}', '\n'), ok
}

// appendMember appends an attribute, or those of a group that has no key.
func appendMember(b []byte, a slog.Attr) (_ []byte, ok bool) {
	if a.Key != "" || a.Value.Kind() != slog.KindGroup {
		return appendAttr(append(b, ','), a)
	}
	for _, a := range a.Value.Group() {
		if b, ok = appendAttr(append(b, ','), a); !ok {
			return b, false
		}
	}
	return b, true
}

func appendAttr(b []byte, a slog.Attr) (_ []byte, ok bool) {
	if b, ok = appendString(b, a.Key); !ok {
		return b, false
	}
	b = append(b, ':')
	switch v := a.Value; v.Kind() {
	case slog.KindString:
		return appendString(b, v.String())
	case slog.KindInt64:
		return strconv.AppendInt(b, v.Int64(), 10), true
	case slog.KindBool:
		return strconv.AppendBool(b, v.Bool()), true
	case slog.KindFloat64:
		return appendFloat(b, v.Float64())
	case slog.KindAny:
		if list, strings := v.Any().([]string); strings {
			return appendStrings(b, list)
		}
	}
	return b, false
}

// appendString quotes a text that needs no escapes: slog's and those of
// encoding/json differ, and are rare.
func appendString(b []byte, s string) ([]byte, bool) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return b, false
		}
	}
	return append(append(append(b, '"'), s...), '"'), true
}

func appendStrings(b []byte, list []string) (_ []byte, ok bool) {
	if list == nil {
		return b, false
	}
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		if b, ok = appendString(b, s); !ok {
			return b, false
		}
	}
	return append(b, ']'), true
}

// appendFloat writes what JSON writes without an exponent, as durations are.
func appendFloat(b []byte, f float64) ([]byte, bool) {
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) || math.IsNaN(f) {
		return b, false
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64), true
}
