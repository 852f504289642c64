package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"sesrelay/internal/relay"
)

// watch is the span of one transaction (relay.Watch).
type watch struct {
	tracer trace.Tracer
	ctx    context.Context //nolint:containedctx // it holds the span, which is this value's whole purpose
	span   trace.Span
	lmtp   bool
	ended  time.Time
}

var _ relay.Watch = (*watch)(nil)

// Begin implements relay.Tracer.
func (t *Tracer) Begin(env *relay.Envelope) relay.Watch {
	ctx := context.WithValue(context.Background(), relayID{}, env.ID)
	ctx, span := t.tracer.Start(ctx, "transaction", trace.WithTimestamp(env.Begun), trace.WithSpanKind(trace.SpanKindServer))
	if !span.IsRecording() {
		return nil // not sampled
	}
	span.SetAttributes(attribute.String("relay.id", env.ID), attribute.String("relay.protocol", env.Protocol()),
		attribute.Bool("relay.tls", env.Client.TLS))
	return &watch{tracer: t.tracer, ctx: ctx, span: span, lmtp: env.LMTP}
}

// Step implements relay.Watch. Of err only its class is told: its text may hold
// an address.
func (w *watch) Step(name relay.Step, route relay.Route, start, end time.Time, err error) {
	kind := trace.SpanKindInternal
	if route != "" && name != relay.StepRoute && name != relay.StepQuota {
		kind = trace.SpanKindClient
	}
	_, span := w.tracer.Start(w.ctx, string(name), trace.WithTimestamp(start), trace.WithSpanKind(kind))
	if route != "" {
		span.SetAttributes(attribute.String("relay.upstream", string(route)))
	}
	if err != nil {
		e := relay.AsError(err)
		span.SetAttributes(attribute.String("error.type", e.Class), attribute.String("relay.answer", e.Outcome.String()))
		span.SetStatus(codes.Error, e.Class)
	}
	span.End(trace.WithTimestamp(end))
	w.ended = end
}

// Record implements relay.Watch. Over LMTP each record is an event, and the
// span has the attributes of the last.
func (w *watch) Record(rec *relay.Record) {
	attrs := attributes(rec)
	if w.lmtp {
		w.span.AddEvent("record", trace.WithTimestamp(rec.Ended), trace.WithAttributes(attrs...))
	}
	w.span.SetAttributes(attrs...)
	if rec.Result == relay.ResultUnknown || rec.Result == relay.ResultDeferred {
		w.span.SetStatus(codes.Error, string(rec.Result))
	}
	w.ended = rec.Ended
}

// attributes are words of closed sets, numbers and ids of our own and of SES.
func attributes(rec *relay.Record) []attribute.KeyValue {
	attrs := []attribute.KeyValue{
		attribute.String("relay.outcome", string(rec.Result)),
		attribute.String("relay.upstream", string(rec.Route)),
		attribute.String("relay.reason", string(rec.Reason)),
		attribute.Int("relay.reply_code", rec.Reply.Code),
		attribute.Int("relay.recipients", len(rec.Recipients)),
		attribute.Int("relay.recipients_refused", len(rec.Refused)),
		attribute.Int("relay.attempts", len(rec.Attempts)),
		attribute.Int64("relay.size", rec.Size),
		attribute.Int64("relay.split_version", rec.Decision.Version),
		attribute.Bool("relay.eligible", rec.Eligible),
	}
	if rec.Delay >= 0 {
		attrs = append(attrs, attribute.Float64("relay.delay_seconds", rec.Delay.Seconds()))
	}
	if rec.Err != nil {
		attrs = append(attrs, attribute.String("error.type", relay.AsError(rec.Err).Class))
	}
	if rec.Route == relay.SES && rec.Receipt.ID != "" { // Cuenote's is a part of a text that anybody may have written
		attrs = append(attrs, attribute.String("relay.ses_message_id", rec.Receipt.ID))
	}
	return attrs
}

// End implements relay.Watch.
func (w *watch) End() {
	if w.ended.IsZero() {
		w.span.End()
		return
	}
	w.span.End(trace.WithTimestamp(w.ended))
}
