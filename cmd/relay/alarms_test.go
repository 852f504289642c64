package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go"

	"sesrelay/internal/ses"
)

func TestAlarmsSayWhySESIsNotAsked(t *testing.T) {
	t.Parallel()
	refused := fmt.Errorf("ses: operation error SESv2: GetAccount, https response error: %w", &smithy.GenericAPIError{Code: "SignatureDoesNotMatch", Message: "long"})
	at := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	a := &app{}
	texts := func() string {
		var b strings.Builder
		for _, x := range a.alarms() {
			fmt.Fprintf(&b, "%s %s %s\n", x.Level, x.Since.Format("15:04"), x.Text)
		}
		return b.String()
	}
	check := func(step string, want ...string) {
		t.Helper()
		got := texts()
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: %q is not in %q", step, w, got)
			}
		}
		if len(want) == 0 && got != "" {
			t.Errorf("%s: %q", step, got)
		}
	}
	check("at the start")
	a.accountTrouble.note(refused, at)
	a.identityTrouble.note(refused, at)
	a.accountTrouble.note(errors.New("dial tcp: connection refused"), at.Add(time.Hour))
	check("never answered", "warning 03:00 GetAccount fails (dial tcp: connection refused), the quota of SES is not known",
		"critical 03:00 no sender domain may go to SES (SignatureDoesNotMatch), all mail takes Cuenote", "relay check --live")
	a.identitiesRead.Store(true)
	a.account.Store(&ses.Account{At: at, SendingEnabled: true, ProductionAccessEnabled: true})
	check("answered before", "the last known quota counts", "warning 03:00 the identities of SES cannot be read (SignatureDoesNotMatch), the last known ones count")
	a.accountTrouble.note(nil, at)
	a.identityTrouble.note(nil, at)
	check("all is well")
	a.account.Store(&ses.Account{At: at, EnforcementStatus: "SHUTDOWN"})
	check("switched off", "critical 03:00 SES has disabled sending for this account (SHUTDOWN)", "in the sandbox")
}
