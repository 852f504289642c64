package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"sync"
	"time"

	"sesrelay/cmd/relay/internal/config"
	"sesrelay/internal/mask"
	"sesrelay/internal/relay"
)

// newLogger returns the log of the process. The level can be changed while it runs.
func newLogger(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if format == "text" {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(newJSONLog(w, opts))
}

// logLevel is the slog level of log.level, which config has checked.
func logLevel(c config.Log) slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(c.Level)); err != nil {
		return slog.LevelInfo
	}
	return l
}

// sessionMask masks what SMTP sessions log beside their transactions: their
// client and what it sent. The transactions' lines are masked where they are made.
type sessionMask struct {
	slog.Handler
	mask func() *mask.Masker
}

// sessionKeys are the attributes that hold something of a client's.
var sessionKeys = map[string]bool{"client": true, "user": true, "helo": true, "err": true, "message": true, "reply": true}

// Handle implements slog.Handler.
func (h sessionMask) Handle(ctx context.Context, r slog.Record) error {
	masked := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		masked.AddAttrs(h.attr(a))
		return true
	})
	return h.Handler.Handle(ctx, masked)
}

// WithAttrs implements slog.Handler.
func (h sessionMask) WithAttrs(attrs []slog.Attr) slog.Handler {
	masked := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		masked[i] = h.attr(a)
	}
	return sessionMask{h.Handler.WithAttrs(masked), h.mask}
}

// WithGroup implements slog.Handler.
func (h sessionMask) WithGroup(name string) slog.Handler {
	return sessionMask{h.Handler.WithGroup(name), h.mask}
}

func (h sessionMask) attr(a slog.Attr) slog.Attr {
	if !sessionKeys[a.Key] {
		return a
	}
	if a.Key == "err" {
		return slog.String("error", h.mask().Text(a.Value.String())) // the name that every other line uses
	}
	return slog.String(a.Key, h.mask().Text(a.Value.String()))
}

// transactionLog writes the one line of each transaction. Everything that a
// client or an upstream has said passes through the masker, and is escaped by
// the handler.
type transactionLog struct {
	log    *slog.Logger
	mask   *mask.Masker
	sample *sampler // nil: every line
}

// transactionMessage is the message of a transaction's line.
const transactionMessage = "transaction"

// write logs a finished transaction: info when it was accepted, a warning when
// the client has to come again, an error when the outcome is unknown.
func (l *transactionLog) write(r *relay.Record) {
	level := slog.LevelInfo
	switch r.Result {
	case relay.ResultDeferred, relay.ResultRejected:
		level = slog.LevelWarn
	case relay.ResultUnknown:
		level = slog.LevelError
	}
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	var leftOut int64
	if l.sample != nil && level == slog.LevelInfo {
		var ok bool
		if leftOut, ok = l.sample.take(string(r.Result), r.Ended); !ok {
			return
		}
	}
	n := l.newLine(r)
	defer n.free()
	n.describe()
	if leftOut > 0 {
		n.add(slog.Int64("left_out", leftOut))
	}
	// Past slog.Logger, which would look for the caller's line of source: it is this one.
	rec := slog.NewRecord(time.Now(), level, transactionMessage, 0)
	// A group without a key stands for its members, which one by one would be copied twice.
	rec.AddAttrs(slog.Attr{Value: slog.GroupValue(n.attrs...)})
	_ = l.log.Handler().Handle(context.Background(), rec) // as slog.Logger, which has nobody to tell either
}

// line is one record on its way into the log.
type line struct {
	*relay.Record
	mask  *mask.Masker
	known []string // addresses of the transaction, which may stand in any text
	attrs []slog.Attr
}

// linePool keeps lines, so that a mail's takes no memory but its texts.
var linePool = sync.Pool{New: func() any { return new(line) }}

func (l *transactionLog) newLine(r *relay.Record) *line {
	n := linePool.Get().(*line)
	n.Record, n.mask = r, l.mask
	n.known = append(n.known[:0], r.Envelope.ReversePath.String())
	for _, a := range r.Recipients {
		n.known = append(n.known, a.String())
	}
	for _, f := range r.Refused {
		n.known = append(n.known, f.To.String())
	}
	return n
}

// free gives the line back, without what it held.
func (n *line) free() {
	clear(n.known)
	clear(n.attrs)
	n.Record, n.attrs = nil, n.attrs[:0]
	linePool.Put(n)
}

func (n *line) add(attrs ...slog.Attr) { n.attrs = append(n.attrs, attrs...) }

// describe adds everything about the record.
func (n *line) describe() {
	n.add(
		slog.String("id", n.Envelope.ID),
		slog.String("outcome", string(n.Result)),
		slog.String("upstream", string(n.Route)),
		slog.String("reason", string(n.Reason)),
		slog.String("from", n.mask.Address(n.known[0])),
		slog.Any("to", n.addresses()),
		slog.String("reply", n.text(n.Reply.String())),
	)
	n.addIDs()
	n.add(
		slog.Int64("size", n.Size),
		slog.Float64("duration_ms", ms(n.Duration)),
		slog.Float64("upstream_ms", ms(n.Upstream)),
		slog.Int64("split_version", n.Decision.Version),
		slog.String("client", n.mask.Text(n.Envelope.Client.Addr.Unmap().String())), // private networks stay: our own hosts
		slog.String("helo", n.text(n.Envelope.Client.HELO)),
		slog.Bool("tls", n.Envelope.Client.TLS),
	)
	n.addRare()
}

// addText adds a text, unless it is empty.
func (n *line) addText(key, value string) {
	if value != "" {
		n.add(slog.String(key, n.text(value)))
	}
}

// addIDs adds what joins this line to the logs of the neighbours.
func (n *line) addIDs() {
	n.addText("queue_id", n.QueueID)
	n.addText("upstream_id", n.Receipt.ID)
	if n.Receipt.RelayID != n.Envelope.ID {
		n.addText("first_id", n.Receipt.RelayID)
	}
	if n.Fingerprint != (relay.Fingerprint{}) {
		n.add(slog.String("fingerprint", hex.EncodeToString(n.Fingerprint[:])))
	}
}

// addRare adds what most lines do not have.
func (n *line) addRare() {
	if n.Decision.Rule != "" {
		n.add(slog.String("rule", n.Decision.Rule))
	}
	n.addText("user", n.Envelope.Client.User)
	if n.Delay >= 0 {
		n.add(slog.Float64("delay_ms", ms(n.Delay)))
	}
	if n.Rehearsal.Judged {
		n.add(slog.String("rehearsal", cmp.Or(string(n.Rehearsal.Reason), "none")))
	}
	if len(n.Attempts) > 1 || n.Err != nil {
		n.add(slog.Any("attempts", n.attempts()))
	}
	if len(n.Refused) > 0 {
		n.add(slog.Any("refused", n.refusals()))
	}
	if n.Err != nil {
		n.add(slog.String("error", n.text(n.Err.Error())))
	}
}

// maxLoggedRecipients bounds the length of a line; the count is always complete.
const maxLoggedRecipients = 50

func (n *line) addresses() []string {
	count := min(len(n.Recipients), maxLoggedRecipients)
	out := make([]string, count)
	for i, a := range n.known[1 : 1+count] {
		out[i] = n.mask.Address(a)
	}
	return out
}

// text masks a text in which the addresses of the transaction may stand.
func (n *line) text(s string) string { return n.mask.Text(s, n.known...) }

// attemptLine is one attempt in the log.
type attemptLine struct {
	Upstream string  `json:"upstream"`
	Outcome  string  `json:"outcome"`
	Class    string  `json:"class,omitempty"`
	MS       float64 `json:"ms"`
	Error    string  `json:"error,omitempty"`
}

func (n *line) attempts() []attemptLine {
	out := make([]attemptLine, len(n.Attempts))
	for i, a := range n.Attempts {
		out[i] = attemptLine{string(a.Route), a.Outcome.String(), a.Class, ms(a.Took), ""}
		if a.Err != nil {
			out[i].Error = n.text(a.Err.Error())
		}
	}
	return out
}

// refusalLine is one refused recipient in the log.
type refusalLine struct {
	To    string `json:"to"`
	Reply string `json:"reply"`
	Error string `json:"error,omitempty"`
}

func (n *line) refusals() []refusalLine {
	out := make([]refusalLine, 0, min(len(n.Refused), maxLoggedRecipients))
	for _, f := range n.Refused[:min(len(n.Refused), maxLoggedRecipients)] {
		out = append(out, refusalLine{n.mask.Address(f.To.String()), n.text(f.Reply.String()), n.text(f.Err.Error())})
	}
	return out
}

// ms is a duration in milliseconds with microseconds.
func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
