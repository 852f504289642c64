package main

import (
	"hash/maphash"
	"sync"
	"time"

	"sesrelay/internal/relay"
	"sesrelay/internal/rollout"
)

// meterRollout makes the observer that counts mail for gates and guard.
func (a *app) meterRollout(m *rollout.Meter) func(*relay.Record) {
	seen := newDeferrals(100_000)
	return func(rec *relay.Record) {
		throttled := func() bool { // a share of the rate, while Redis is away, and a day that is spent are not SES's doing
			q := a.quota.Status()
			return !q.Share && !q.Day && q.RateNow < 0.99*q.Rate
		}
		s := sampleOf(rec, throttled)
		s.Deferred = seen.before(rec)
		m.Observe(s)
	}
}

// sampleOf reads a record for the upstream that the mail was meant for.
// throttled is asked only when mail found no quota.
func sampleOf(rec *relay.Record, throttled func() bool) rollout.Sample {
	s := rollout.Sample{
		Step: rec.Decision.Step, ToSES: rec.Eligible, Recipients: len(rec.Recipients), Delay: rec.Delay, Latency: rec.Duration,
		Rehearsed: rec.Rehearsal.Judged, Unfit: string(rec.Rehearsal.Reason),
	}
	s.Outcome = outcomeOf(rec, throttled)
	return s
}

func outcomeOf(rec *relay.Record, throttled func() bool) rollout.Outcome {
	if rec.Result == relay.ResultDuplicate {
		return rollout.OutcomeNone // it was counted when it was sent
	}
	meant := relay.Cuenote
	if rec.Eligible {
		meant = relay.SES
	}
	for _, a := range rec.Attempts {
		if a.Route == meant {
			return attemptOutcome(a)
		}
	}
	if meant == relay.Cuenote {
		return notAsked(rec)
	}
	return divertedFromSES(rec, throttled)
}

// attemptOutcome is what the upstream itself has answered.
func attemptOutcome(a relay.Attempt) rollout.Outcome {
	switch {
	case a.Err == nil:
		return rollout.OutcomeAccepted
	case relay.AsError(a.Err).Kind == relay.ClientFault:
		return rollout.OutcomeNone
	case relay.AsError(a.Err).Signal == relay.SignalBusy:
		return rollout.OutcomeNone // a place or a time of ours: the upstream was not asked
	case a.Outcome == relay.Unknown:
		return rollout.OutcomeUnknown
	}
	return rollout.OutcomeFailed
}

// divertedFromSES is mail for SES that SES was not asked for. An open breaker
// is SES's failure still: without it an outage would look like no mail. So is
// a quota that SES has cut by throttling.
func divertedFromSES(rec *relay.Record, throttled func() bool) rollout.Outcome {
	quota := func() rollout.Outcome {
		if throttled() {
			return rollout.OutcomeFailed
		}
		return rollout.OutcomeOverQuota
	}
	switch rec.Reason {
	case relay.ReasonBreaker, relay.ReasonUnavailable:
		return rollout.OutcomeFailed
	case relay.ReasonQuota:
		return quota()
	}
	if rec.Route == relay.SES && rec.Err != nil && relay.AsError(rec.Err).Kind == relay.Exhausted {
		return quota()
	}
	return notAsked(rec)
}

// notAsked is mail that ended before an upstream had the content: an outage
// counts, what is about the mail or the client does not.
func notAsked(rec *relay.Record) rollout.Outcome {
	if rec.Err == nil {
		return rollout.OutcomeNone
	}
	e := relay.AsError(rec.Err)
	if e.Kind == relay.Unavailable && (e.Signal == relay.SignalCount || e.Signal == relay.SignalTrip) {
		return rollout.OutcomeFailed
	}
	return rollout.OutcomeNone
}

// deferrals remembers which mail this relay has deferred: its delay afterwards
// is the relay's own. A mail is known by its reverse-path and first recipient;
// that its Received line is older than the deferral makes it the same one.
type deferrals struct {
	seed maphash.Seed

	mu   sync.Mutex // guards what follows
	last map[uint64]time.Time
	ring []uint64 // in order of time; the oldest gives way
	at   int
}

func newDeferrals(n int) *deferrals {
	return &deferrals{seed: maphash.MakeSeed(), last: make(map[uint64]time.Time), ring: make([]uint64, n)}
}

// before reports whether the mail of a record was deferred before, and
// remembers it when it is now.
func (d *deferrals) before(rec *relay.Record) bool {
	key, ok := d.key(rec)
	if !ok {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch rec.Result {
	case relay.ResultDeferred, relay.ResultUnknown:
		d.remember(key, rec.Ended)
	case relay.ResultAccepted:
		t, known := d.last[key]
		return known && rec.Delay >= 0 && !rec.Ended.Add(-rec.Delay).After(t)
	}
	return false
}

func (d *deferrals) remember(key uint64, at time.Time) {
	if _, known := d.last[key]; !known {
		delete(d.last, d.ring[d.at])
		d.ring[d.at] = key
		d.at = (d.at + 1) % len(d.ring)
	}
	d.last[key] = at
}

func (d *deferrals) key(rec *relay.Record) (uint64, bool) {
	var to relay.Address
	switch {
	case len(rec.Recipients) > 0:
		to = rec.Recipients[0]
	case len(rec.Refused) > 0:
		to = rec.Refused[0].To
	default:
		return 0, false
	}
	return maphash.String(d.seed, rec.Envelope.ReversePath.String()+"\x00"+to.String()), true
}
