package main

import (
	"errors"
	"testing"
	"time"

	"sesrelay/internal/relay"
	"sesrelay/internal/rollout"
)

// TestOutcomeForGuard: a mail counts for the upstream that it was meant for.
func TestOutcomeForGuard(t *testing.T) {
	t.Parallel()
	failed := func(kind relay.Kind, o relay.Outcome, s relay.Signal) *relay.Error {
		return &relay.Error{Kind: kind, Outcome: o, Signal: s, Class: "test", Err: errors.New("test")}
	}
	attempt := func(r relay.Route, e *relay.Error) []relay.Attempt {
		if e == nil {
			return []relay.Attempt{{Route: r, Outcome: relay.Accepted}}
		}
		return []relay.Attempt{{Route: r, Outcome: e.Outcome, Err: e}}
	}
	down := failed(relay.Unavailable, relay.NotAccepted, relay.SignalCount)
	for _, c := range []struct {
		name      string
		rec       relay.Record
		throttled bool
		want      rollout.Outcome
	}{
		{"accepted", relay.Record{Eligible: true, Result: relay.ResultAccepted, Attempts: attempt(relay.SES, nil)}, false, rollout.OutcomeAccepted},
		{"a duplicate was counted before", relay.Record{Eligible: true, Result: relay.ResultDuplicate}, false, rollout.OutcomeNone},
		{"refused, then Cuenote's", relay.Record{Eligible: true, Route: relay.Cuenote, Result: relay.ResultAccepted,
			Attempts: append(attempt(relay.SES, down), attempt(relay.Cuenote, nil)...)}, false, rollout.OutcomeFailed},
		{"unknown", relay.Record{Eligible: true, Attempts: attempt(relay.SES, failed(relay.Unavailable, relay.Unknown, relay.SignalCount))}, false, rollout.OutcomeUnknown},
		{"the client's fault", relay.Record{Eligible: true, Attempts: attempt(relay.SES, failed(relay.ClientFault, relay.NotAccepted, 0))}, false, rollout.OutcomeNone},
		{"no place of ours, or too late: SES was not asked", relay.Record{Eligible: true, Route: relay.Cuenote, Result: relay.ResultAccepted,
			Attempts: append(attempt(relay.SES, failed(relay.Unavailable, relay.NotAccepted, relay.SignalBusy)), attempt(relay.Cuenote, nil)...)}, false, rollout.OutcomeNone},
		{"Cuenote's connections are taken", relay.Record{Route: relay.Cuenote, Attempts: attempt(relay.Cuenote, failed(relay.Unavailable, relay.NotAccepted, relay.SignalBusy))}, false, rollout.OutcomeNone},
		{"an open breaker", relay.Record{Eligible: true, Route: relay.Cuenote, Reason: relay.ReasonBreaker, Attempts: attempt(relay.Cuenote, nil)}, false, rollout.OutcomeFailed},
		{"no quota", relay.Record{Eligible: true, Route: relay.Cuenote, Reason: relay.ReasonQuota, Attempts: attempt(relay.Cuenote, nil)}, false, rollout.OutcomeOverQuota},
		{"no quota, cut by SES", relay.Record{Eligible: true, Route: relay.Cuenote, Reason: relay.ReasonQuota, Attempts: attempt(relay.Cuenote, nil)}, true, rollout.OutcomeFailed},
		{"content that SES cannot take", relay.Record{Eligible: true, Route: relay.Cuenote, Reason: relay.ReasonContent, Attempts: attempt(relay.Cuenote, nil)}, false, rollout.OutcomeNone},
		{"Cuenote's own", relay.Record{Route: relay.Cuenote, Attempts: attempt(relay.Cuenote, nil)}, false, rollout.OutcomeAccepted},
		{"Cuenote away", relay.Record{Route: relay.Cuenote, Err: down}, false, rollout.OutcomeFailed},
		{"Cuenote refuses a recipient", relay.Record{Route: relay.Cuenote, Err: failed(relay.Rejected, relay.NotAccepted, 0)}, false, rollout.OutcomeNone},
	} {
		if got := outcomeOf(&c.rec, func() bool { return c.throttled }); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// TestDeferredMailIsCountedApart: the delay after a deferral is the relay's own.
func TestDeferredMailIsCountedApart(t *testing.T) {
	t.Parallel()
	d := newDeferrals(2)
	start := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	mail := func(to string, result relay.Result, ended, delay time.Duration) *relay.Record {
		return &relay.Record{Recipients: []relay.Address{{Local: to, Domain: "example.jp"}}, Result: result, Ended: start.Add(ended), Delay: delay}
	}
	d.before(mail("a", relay.ResultDeferred, time.Minute, time.Second))
	if !d.before(mail("a", relay.ResultAccepted, 6*time.Minute, 5*time.Minute+time.Second)) {
		t.Error("the same mail again is not known")
	}
	if d.before(mail("a", relay.ResultAccepted, 7*time.Minute, time.Second)) || d.before(mail("b", relay.ResultAccepted, 6*time.Minute, 6*time.Minute)) {
		t.Error("another mail counts as deferred before")
	}
	d.before(mail("b", relay.ResultDeferred, time.Minute, 0))
	d.before(mail("c", relay.ResultUnknown, time.Minute, 0))
	if d.before(mail("a", relay.ResultAccepted, 6*time.Minute, 6*time.Minute)) || len(d.last) != 2 {
		t.Errorf("%d are remembered", len(d.last))
	}
}
