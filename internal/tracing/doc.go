// Package tracing shows transactions to OpenTelemetry: one span per mail
// transaction, with a child for each part that takes time.
//
// It is set by the standard variables OTEL_*, and off without them. No address,
// subject, host name of a client or text of an upstream is given to a span:
// who needs those follows relay.id into the log, where they are masked.
package tracing
