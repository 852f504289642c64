package main

import (
	"context"
	"encoding/hex"
	"io"
	"log/slog"
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
	return slog.New(slog.NewJSONHandler(w, opts))
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
	attrs := make([]slog.Attr, 0, 28)
	attrs = append(attrs,
		slog.String("id", r.Envelope.ID),
		slog.String("outcome", string(r.Result)),
		slog.String("upstream", string(r.Route)),
		slog.String("reason", string(r.Reason)),
		slog.String("from", l.mask.Address(r.Envelope.ReversePath.String())),
		slog.Any("to", l.addresses(r.Recipients)),
		slog.String("reply", l.text(r, r.Reply.String())),
	)
	attrs = l.appendIDs(attrs, r)
	attrs = append(attrs,
		slog.Int64("size", r.Size),
		slog.Float64("duration_ms", ms(r.Duration)),
		slog.Float64("upstream_ms", ms(r.Upstream)),
		slog.Int64("split_version", r.Decision.Version),
		slog.String("client", l.mask.Text(r.Envelope.Client.Addr.Unmap().String())), // private networks stay: our own hosts
		slog.String("helo", l.text(r, r.Envelope.Client.HELO)),
		slog.Bool("tls", r.Envelope.Client.TLS),
	)
	attrs = l.appendRare(attrs, r)
	if leftOut > 0 {
		attrs = append(attrs, slog.Int64("left_out", leftOut))
	}
	l.log.LogAttrs(context.Background(), level, transactionMessage, attrs...)
}

// appendIDs adds what joins this line to the logs of the neighbours.
func (l *transactionLog) appendIDs(attrs []slog.Attr, r *relay.Record) []slog.Attr {
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, l.text(r, value)))
		}
	}
	add("queue_id", r.QueueID)
	add("upstream_id", r.Receipt.ID)
	if r.Receipt.RelayID != "" && r.Receipt.RelayID != r.Envelope.ID {
		add("first_id", r.Receipt.RelayID)
	}
	if r.Fingerprint != (relay.Fingerprint{}) {
		attrs = append(attrs, slog.String("fingerprint", hex.EncodeToString(r.Fingerprint[:])))
	}
	return attrs
}

// appendRare adds what most lines do not have.
func (l *transactionLog) appendRare(attrs []slog.Attr, r *relay.Record) []slog.Attr {
	if r.Decision.Rule != "" {
		attrs = append(attrs, slog.String("rule", r.Decision.Rule))
	}
	if r.Envelope.Client.User != "" {
		attrs = append(attrs, slog.String("user", l.text(r, r.Envelope.Client.User)))
	}
	if r.Delay >= 0 {
		attrs = append(attrs, slog.Float64("delay_ms", ms(r.Delay)))
	}
	if r.Rehearsal.Judged {
		reason := string(r.Rehearsal.Reason)
		if reason == "" {
			reason = "none"
		}
		attrs = append(attrs, slog.String("rehearsal", reason))
	}
	if len(r.Attempts) > 1 || r.Err != nil {
		attrs = append(attrs, slog.Any("attempts", l.attempts(r)))
	}
	if len(r.Refused) > 0 {
		attrs = append(attrs, slog.Any("refused", l.refusals(r)))
	}
	if r.Err != nil {
		attrs = append(attrs, slog.String("error", l.text(r, r.Err.Error())))
	}
	return attrs
}

// maxLoggedRecipients bounds the length of a line; the count is always complete.
const maxLoggedRecipients = 50

func (l *transactionLog) addresses(to []relay.Address) []string {
	out := make([]string, 0, min(len(to), maxLoggedRecipients))
	for _, a := range to[:min(len(to), maxLoggedRecipients)] {
		out = append(out, l.mask.Address(a.String()))
	}
	return out
}

// text masks a text in which the addresses of the transaction may stand.
func (l *transactionLog) text(r *relay.Record, s string) string {
	known := make([]string, 0, 1+len(r.Recipients)+len(r.Refused))
	known = append(known, r.Envelope.ReversePath.String())
	for _, a := range r.Recipients {
		known = append(known, a.String())
	}
	for _, f := range r.Refused {
		known = append(known, f.To.String())
	}
	return l.mask.Text(s, known...)
}

// attemptLine is one attempt in the log.
type attemptLine struct {
	Upstream string  `json:"upstream"`
	Outcome  string  `json:"outcome"`
	Class    string  `json:"class,omitempty"`
	MS       float64 `json:"ms"`
	Error    string  `json:"error,omitempty"`
}

func (l *transactionLog) attempts(r *relay.Record) []attemptLine {
	out := make([]attemptLine, len(r.Attempts))
	for i, a := range r.Attempts {
		out[i] = attemptLine{string(a.Route), a.Outcome.String(), a.Class, ms(a.Took), ""}
		if a.Err != nil {
			out[i].Error = l.text(r, a.Err.Error())
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

func (l *transactionLog) refusals(r *relay.Record) []refusalLine {
	out := make([]refusalLine, 0, min(len(r.Refused), maxLoggedRecipients))
	for _, f := range r.Refused[:min(len(r.Refused), maxLoggedRecipients)] {
		out = append(out, refusalLine{l.mask.Address(f.To.String()), l.text(r, f.Reply.String()), l.text(r, f.Err.Error())})
	}
	return out
}

// ms is a duration in milliseconds with microseconds.
func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
