package tracing

import (
	"context"
	"crypto/rand"
	"crypto/sha256"

	"go.opentelemetry.io/otel/trace"
)

// relayID is the key of the relay id in a context.
type relayID struct{}

// TraceID is the trace of a transaction: whoever has a relay id from Postfix's
// log finds the trace without searching.
func TraceID(id string) trace.TraceID {
	sum := sha256.Sum256([]byte(id))
	return trace.TraceID(sum[:16])
}

// ids makes trace ids from relay ids (sdktrace.IDGenerator).
type ids struct{}

// NewIDs implements sdktrace.IDGenerator.
func (g ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	id, _ := ctx.Value(relayID{}).(string)
	t := TraceID(id)
	return t, g.NewSpanID(ctx, t)
}

// NewSpanID implements sdktrace.IDGenerator.
func (ids) NewSpanID(context.Context, trace.TraceID) (s trace.SpanID) {
	for !s.IsValid() {
		rand.Read(s[:]) // never fails (crypto/rand)
	}
	return s
}
