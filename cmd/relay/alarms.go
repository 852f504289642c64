package main

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/smithy-go"

	"sesrelay/internal/admin"
)

// trouble is something asked of SES that brings no answer.
type trouble struct {
	cause string
	since time.Time
}

// troubles keeps one of them: the first since the last success. The zero value
// is none.
type troubles struct{ now atomic.Pointer[trouble] }

// note takes the result of a try; only one goroutine tries.
func (t *troubles) note(err error, at time.Time) {
	if err == nil {
		t.now.Store(nil)
		return
	}
	next := &trouble{cause: cause(err), since: at}
	if before := t.now.Load(); before != nil {
		next.since = before.since
	}
	t.now.Store(next)
}

// cause is what a screen has room for: the code of SES's answer, or the end of
// the chain of errors. The log has all of it.
func cause(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	text := err.Error()
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
		if s := inner.Error(); s != "" && len(s) < len(text) && strings.Contains(s, " ") {
			text = s
		}
	}
	return cut(text, 80)
}

// errNoIdentity: SES has answered, and would take mail of nobody.
var errNoIdentity = errors.New("SES has no verified identity")

const howToCheck = `"relay check --live" says what to do`

// alarms are what only the wiring knows; the API adds its own.
func (a *app) alarms() (out []admin.Alarm) {
	add := func(level string, since time.Time, text string) {
		out = append(out, admin.Alarm{Level: level, Since: since, Text: text})
	}
	if a.shared != nil {
		if t := a.shared.trouble.now.Load(); t != nil {
			add(critical, t.since, fmt.Sprintf("Redis does not answer (%s): the split stays as it is and can only be lowered, the quota falls to a share of 1/%d, "+
				"the duplicate ledger is each instance's own; start Redis again or look at state.redis", t.cause, a.size()))
		}
		if t := a.shared.late.now.Load(); t != nil {
			add(warning, t.since, fmt.Sprintf("Redis is slow (%s): the quota falls to a share of 1/%d, the duplicate ledger is each instance's own; "+
				"look at the load of Redis and the way to it", t.cause, a.size()))
		}
	}
	acc := a.account.Load()
	if t := a.accountTrouble.now.Load(); t != nil {
		if acc == nil {
			add(warning, t.since, "GetAccount fails ("+t.cause+"), the quota of SES is not known: "+howToCheck)
		} else {
			add(warning, t.since, "GetAccount fails ("+t.cause+"), the last known quota counts: "+howToCheck)
		}
	}
	if t := a.identityTrouble.now.Load(); t != nil {
		if a.identitiesRead.Load() {
			add(warning, t.since, "the identities of SES cannot be read ("+t.cause+"), the last known ones count: "+howToCheck)
		} else {
			add(critical, t.since, "no sender domain may go to SES ("+t.cause+"), all mail takes Cuenote: "+howToCheck+"; or list the domains in ses.identities")
		}
	}
	if acc == nil {
		return out
	}
	if !acc.SendingEnabled {
		add(critical, acc.At, "SES has disabled sending for this account ("+acc.EnforcementStatus+"): mail takes Cuenote; "+howToCheck)
	}
	if !acc.ProductionAccessEnabled {
		add(warning, acc.At, "the SES account is in the sandbox: only verified recipients get mail; request production access")
	}
	return out
}
