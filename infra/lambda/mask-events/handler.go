package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"sesrelay/internal/mask"
)

// Handler masks the records of one invocation after the other, as Lambda calls it.
type Handler struct {
	settings
	key     *keyHolder
	groups  []*logGroup // event, raw, masked: as settings name them, or absent
	bucket  *errorBucket
	metrics io.Writer
	now     func() time.Time
}

// rememberedRecords is how many records a container keeps in mind per group:
// several minutes of its share of the events.
const rememberedRecords = 20_000

func newHandler(s settings, logs logStreams, o objects, k secrets, metrics io.Writer, now func() time.Time) *Handler {
	var id [8]byte
	rand.Read(id[:]) // never fails
	container := hex.EncodeToString(id[:])
	h := &Handler{
		settings: s, metrics: metrics, now: now,
		key:    &keyHolder{client: k, secret: s.keySecret, mode: s.mode},
		bucket: &errorBucket{client: o, name: s.errorBucket, key: s.errorKey, container: container, zone: s.zone, now: now},
	}
	for _, name := range []string{s.eventGroup, s.rawGroup, s.maskedGroup} {
		h.groups = append(h.groups, &logGroup{
			client: logs, name: name, container: container, zone: s.zone, now: now,
			written: newWritten(rememberedRecords), pause: 200 * time.Millisecond,
		})
	}
	return h
}

// result is what became of one record.
type result struct {
	record
	raw    []byte // as received
	event  []byte // normalised; nil when it is no event
	masked []byte // to be answered: the masked event, or what replaces it
	class  string // of the error; empty when masked
}

// The time that is left, before the function's deadline, for the error bucket
// and for the answer.
const (
	forBucket = 10 * time.Second
	forAnswer = 4 * time.Second
)

// Handle answers one invocation. It returns an error only for a payload that is
// none, which Firehose does not send.
func (h *Handler) Handle(ctx context.Context, data json.RawMessage) (answer *Answer, err error) {
	in, err := readInvocation(data)
	if err != nil {
		return nil, err
	}
	defer func() {
		if recover() != nil {
			answer = h.replaceAll(ctx, in)
		}
	}()
	return h.handle(ctx, in), nil
}

func (h *Handler) handle(ctx context.Context, in invocation) *Answer {
	results := h.mask(ctx, in.records)
	answer, reduced := h.answer(in, results)
	failures := failedRecords(in.stream, results)
	lines := h.log(ctx, results)
	copies := h.keep(ctx, failures, lines)
	writeMetrics(h.metrics, h.namespace, h.function, h.now(), counts{
		records: len(results), failures: len(failures), reduced: reduced, lines: len(lines), copies: copies,
	})
	return answer
}

// replaceAll answers an invocation whose handling panicked: without any of its
// content, which goes to the error bucket.
func (h *Handler) replaceAll(ctx context.Context, in invocation) *Answer {
	slog.Error("handling an invocation panicked", "records", len(in.records))
	results := make([]result, len(in.records))
	for i, r := range in.records {
		results[i].record = r
		results[i].replace(panicked)
	}
	answer, _ := h.answer(in, results)
	copies := h.keep(ctx, failedRecords(in.stream, results), nil)
	writeMetrics(h.metrics, h.namespace, h.function, h.now(), counts{records: len(results), failures: len(results), copies: copies})
	return answer
}

// mask masks every record. Without a key none can be.
func (h *Handler) mask(ctx context.Context, records []record) []result {
	masker, err := h.key.get(ctx)
	if err != nil {
		slog.Error("no event can be masked", "error", err.Error())
	}
	results := make([]result, len(records))
	for i, r := range records {
		r.at = placed(r.at, h.now())
		results[i] = maskOne(masker, r)
	}
	return results
}

// Classes of error, as a replacement tells them.
const (
	notBase64 = "not base64"
	notEvent  = "not an event"
	noKey     = "no key"
	panicked  = "panic"
)

// maskOne masks one record; a panic in it is the error of this record alone.
func maskOne(masker *mask.Masker, r record) (out result) {
	out.record = r
	defer func() {
		if p := recover(); p != nil {
			slog.Error("masking panicked", "recordId", r.id) // the panic's text may quote the record
			out.replace(panicked)
		}
	}()
	raw, err := base64.StdEncoding.DecodeString(r.data)
	if err != nil {
		out.replace(notBase64)
		return out
	}
	out.raw = raw
	event, err := normalise(raw, r.id)
	if err != nil {
		out.replace(notEvent)
		return out
	}
	out.event = event
	if masker == nil {
		out.replace(noKey)
		return out
	}
	if out.masked, err = masker.Event(event); err != nil {
		slog.Error("a record cannot be masked", "recordId", r.id, "error", err.Error())
		out.replace(notEvent)
	}
	return out
}

// replace puts a line without any of the record's content in place of the masked
// event.
func (r *result) replace(class string) {
	r.class = class
	length := len(r.raw)
	if r.raw == nil {
		length = len(r.data)
	}
	r.masked = compact(map[string]any{"eventType": "masking-failed", "recordId": r.id, "errorClass": class, "length": length})
}

// answer makes the answer to Firehose.
func (h *Handler) answer(in invocation, results []result) (*Answer, int) {
	a := &Answer{Records: make([]AnsweredRecord, len(results))}
	events := make([][]byte, len(results))
	for i, r := range results {
		a.Records[i] = AnsweredRecord{RecordID: r.id, Result: ok, Data: encode(r.masked)}
		events[i] = r.masked
	}
	if in.kinesis {
		a.Failed = &[]map[string]any{}
		if len(results) == 1 && len(results[0].masked) < maxLineBytes {
			a.Event = results[0].masked
		}
	}
	return a, fit(a.Records, events, maxAnswer)
}

// log writes the groups side by side and returns the lines that failed.
func (h *Handler) log(ctx context.Context, results []result) []failedLine {
	ctx, cancel := before(ctx, forBucket)
	defer cancel()
	failed := make([][]unwritten, len(h.groups))
	var wait sync.WaitGroup
	for i, group := range h.groups {
		if group.name == "" {
			continue
		}
		wait.Go(func() {
			all := lines(results, i)
			defer func() {
				if recover() != nil {
					failed[i] = fail(all, unknown, panicked)
				}
			}()
			failed[i] = group.write(ctx, all)
		})
	}
	wait.Wait()
	var all []failedLine
	for i, group := range h.groups {
		for _, u := range failed[i] {
			all = append(all, failedLine{
				Group: group.name, RecordID: u.recordID, At: u.at.UnixMilli(), Outcome: u.outcome, Reason: u.reason, Message: u.message,
			})
		}
		if n := len(failed[i]); n > 0 {
			slog.Error("log lines were not written", "group", group.name, "lines", n, "outcome", failed[i][0].outcome, "reason", failed[i][0].reason)
		}
	}
	return all
}

// lines returns what group i (event, raw, masked) gets of the results.
func lines(results []result, i int) []line {
	var out []line
	for _, r := range results {
		content := [...][]byte{r.event, r.raw, r.masked}[i]
		out = append(out, line{at: r.at, recordID: r.id, message: strings.TrimRight(message(content), "\r\n")})
	}
	return out
}

func failedRecords(stream string, results []result) []failedRecord {
	var out []failedRecord
	for _, r := range results {
		if r.class != "" {
			out = append(out, failedRecord{RecordID: r.id, Stream: stream, Arrival: r.at.UTC().Format(time.RFC3339Nano), Class: r.class, Data: r.data})
		}
	}
	return out
}

// keep puts both kinds of failures into the error bucket and returns how many
// objects could not be written.
func (h *Handler) keep(ctx context.Context, records []failedRecord, lines []failedLine) (failed int) {
	ctx, cancel := before(ctx, forAnswer)
	defer cancel()
	for _, err := range []error{h.bucket.keepRecords(ctx, records), h.bucket.keepLines(ctx, lines)} {
		if err != nil {
			slog.Error("error bucket", "error", err.Error())
			failed++
		}
	}
	return failed
}

// before returns a context that ends so long before the function's deadline.
func before(ctx context.Context, left time.Duration) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-left))
}
