package admin

import (
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"time"

	"sesrelay/internal/relay"
)

// Traces holds the last records of this instance.
type Traces struct {
	mu    sync.Mutex // guards what follows; held for the copy of one record or the look at a few
	ring  [][]byte   // packed records
	count uint64     // ever added
}

// NewTraces returns a ring of n records.
func NewTraces(n int) *Traces { return &Traces{ring: make([][]byte, max(1, n))} }

// Observe keeps what is shown of a record.
func (t *Traces) Observe(rec *relay.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slot := t.slot(t.count)
	if *slot == nil || cap(*slot) > maxRoom { // one mail with many recipients must not take that room for ever
		*slot = make([]byte, 0, usualRoom)
	}
	*slot = appendTrace((*slot)[:0], rec)
	t.count++
}

// Room of a packed record in bytes: what most need, and what one may keep.
const (
	usualRoom = 384
	maxRoom   = 1024
)

// slot is the place of the record with a number. t.mu is held.
func (t *Traces) slot(number uint64) *[]byte { return &t.ring[number%uint64(len(t.ring))] }

// last returns at most n records added after the given count, oldest first,
// and the count now.
func (t *Traces) last(n int, after uint64) ([]*relay.Record, uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	first := max(after, t.count-min(t.count, uint64(min(n, len(t.ring)))))
	var out []*relay.Record
	for i := first; i < t.count; i++ {
		out = append(out, unpackTrace(*t.slot(i)))
	}
	return out, t.count
}

// atOnce is how many records are looked at before mail may add its own.
const atOnce = 256

// search returns the records that are wanted, newest first, at most n. Mail
// that ends meanwhile is not looked at, and may push out the oldest.
func (t *Traces) search(n int, want func(traceIDs) bool) []*relay.Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []*relay.Record
	for next := t.count; next > t.count-min(t.count, uint64(len(t.ring))) && len(found) < n; next-- {
		if b := *t.slot(next - 1); want(unpackIDs(b)) {
			found = append(found, unpackTrace(b))
		}
		if next%atOnce == 0 {
			t.mu.Unlock()
			t.mu.Lock()
		}
	}
	return found
}

// minPrefix is how much of a fingerprint must be given.
const minPrefix = 16

// maxFound bounds one answer. Identical mails without Received and Message-ID
// share a fingerprint, and all of the ring could be one of them.
const maxFound = 100

// Find returns the records of a message, oldest first: by relay id, by the
// upstream's id (SES message id, or Cuenote's queue id) or by fingerprint, of
// which the first 16 digits are enough. A retry is found with its first
// attempt. Of more than maxFound it returns those that the id names first, and
// then the newest.
func (t *Traces) Find(id string) []*relay.Record {
	if id == "" {
		return nil
	}
	prints := map[relay.Fingerprint]bool{}
	found := t.search(maxFound, func(ids traceIDs) bool { return ids.named(id) })
	for _, r := range found {
		prints[r.Fingerprint] = true
	}
	delete(prints, relay.Fingerprint{}) // ended before its content was read
	if len(prints) > 0 {
		found = append(found, t.search(maxFound-len(found), func(ids traceIDs) bool { return prints[ids.fingerprint] && !ids.named(id) })...)
	}
	slices.SortStableFunc(found, func(a, b *relay.Record) int { return a.Ended.Compare(b.Ended) })
	return found
}

// named reports whether an id is one of the record's own.
func (ids *traceIDs) named(id string) bool {
	if ids.id == id || ids.upstream == id || ids.first == id {
		return true
	}
	return len(id) >= minPrefix && ids.fingerprint != (relay.Fingerprint{}) && strings.HasPrefix(hex.EncodeToString(ids.fingerprint[:]), strings.ToLower(id))
}

// TraceRecord is a record as it is shown: without any address in the clear,
// unless log.addresses says so.
type TraceRecord struct {
	ID          string         `json:"id"`
	Instance    string         `json:"instance"`
	Ended       time.Time      `json:"ended"`
	Client      string         `json:"client"`
	HELO        string         `json:"helo"`
	From        string         `json:"from"`
	To          []string       `json:"to"`
	Size        int64          `json:"size"`
	QueueID     string         `json:"queue_id"`
	Fingerprint string         `json:"fingerprint"`
	Route       relay.Route    `json:"route"`
	Reason      relay.Reason   `json:"reason"`
	Rule        string         `json:"rule"`
	Version     int64          `json:"split_version"`
	Result      relay.Result   `json:"result"`
	Reply       string         `json:"reply"`
	UpstreamID  string         `json:"upstream_id"`
	DurationMS  float64        `json:"duration_ms"`
	DelayMS     *float64       `json:"delay_ms"`
	Attempts    []TraceAttempt `json:"attempts"`
	Refused     []TraceRefusal `json:"refused"`
	Error       string         `json:"error"`
}

// TraceAttempt is one try to hand the mail to an upstream.
type TraceAttempt struct {
	Upstream relay.Route `json:"upstream"`
	Outcome  string      `json:"outcome"`
	Class    string      `json:"class"`
	TookMS   float64     `json:"took_ms"`
	Error    string      `json:"error"`
}

// TraceRefusal is a recipient that was refused at RCPT.
type TraceRefusal struct {
	To    string `json:"to"`
	Reply string `json:"reply"`
}

// show masks a record.
func (a *API) show(r *relay.Record) TraceRecord {
	m := a.Masker()
	known := []string{r.Envelope.ReversePath.String()}
	for _, to := range r.Recipients {
		known = append(known, to.String())
	}
	for _, f := range r.Refused {
		known = append(known, f.To.String())
	}
	text := func(s string) string { return m.Text(s, known...) }
	fail := func(err error) string {
		if err == nil {
			return ""
		}
		return text(err.Error())
	}
	v := TraceRecord{ID: r.Envelope.ID, Instance: a.Instance, Ended: r.Ended, HELO: text(r.Envelope.Client.HELO), From: m.Address(r.Envelope.ReversePath.String()),
		To: []string{}, Size: r.Size, QueueID: text(r.QueueID), Route: r.Route, Reason: r.Reason, Rule: r.Decision.Rule, Version: r.Decision.Version,
		Result: r.Result, Reply: text(r.Reply.String()), UpstreamID: text(r.Receipt.ID), DurationMS: milliseconds(r.Duration),
		Attempts: []TraceAttempt{}, Refused: []TraceRefusal{}, Error: fail(r.Err)}
	if r.Envelope.Client.Addr.IsValid() {
		v.Client = text(r.Envelope.Client.Addr.Unmap().String()) // private networks stay: our own hosts
	}
	if r.Fingerprint != (relay.Fingerprint{}) {
		v.Fingerprint = hex.EncodeToString(r.Fingerprint[:])
	}
	if r.Delay >= 0 {
		ms := milliseconds(r.Delay)
		v.DelayMS = &ms
	}
	for _, to := range r.Recipients {
		v.To = append(v.To, m.Address(to.String()))
	}
	for _, t := range r.Attempts {
		v.Attempts = append(v.Attempts, TraceAttempt{t.Route, t.Outcome.String(), t.Class, milliseconds(t.Took), fail(t.Err)})
	}
	for _, f := range r.Refused {
		v.Refused = append(v.Refused, TraceRefusal{m.Address(f.To.String()), text(f.Reply.String())})
	}
	return v
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}
