package simulator_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/smithy-go"

	"sesrelay/internal/simulator"
)

// connectionFaults are the faults that are no error answers: what the client sees, and whether the mail was recorded.
var connectionFaults = []struct {
	name     string
	recorded int
	seen     func(error) bool
}{
	{simulator.FaultCutBeforeRead, 0, broken},
	{simulator.FaultCutBeforeRecord, 0, broken},
	{simulator.FaultCutAfterRecord, 1, broken},
	{simulator.FaultResetAfterRecord, 1, func(err error) bool { return errors.Is(err, syscall.ECONNRESET) }},
	{simulator.FaultGarbledAnswer, 1, unreadable},
	{simulator.FaultTruncatedAnswer, 1, unreadable},
	{simulator.FaultErrorAfterRecord, 1, func(err error) bool { return code(err) == "InternalServiceErrorException" }},
	{simulator.FaultHang, 0, timedOut},
	{simulator.FaultHangAfterRecord, 1, timedOut},
	{simulator.FaultDelay, 0, timedOut}, // the delay is longer than the client's patience
	{simulator.FaultSlowRead, 0, timedOut},
}

func broken(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, net.ErrClosed) // the transport read the end while it still wrote
}

func unreadable(err error) bool {
	_, ok := errors.AsType[*smithy.DeserializationError](err)
	return ok
}

func timedOut(err error) bool { return errors.Is(err, context.DeadlineExceeded) }

func TestSESConnectionFaults(t *testing.T) {
	t.Parallel()
	for _, c := range connectionFaults {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, secure := range []bool{false, true} {
				s := startSES(t, simulator.SESConfig{TLS: secure})
				if err := s.Faults().Set(simulator.Fault{Name: c.name, Times: 1, Delay: delayOf(c.name)}); err != nil {
					t.Fatal(err)
				}
				patience := time.Minute
				if c.seen(context.DeadlineExceeded) {
					patience = 500 * time.Millisecond
				}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				_, err := clientFor(s).SendEmail(ctx, input(testMail, "a@example.jp"))
				if err == nil || !c.seen(err) {
					t.Errorf("TLS %v: the client saw %v", secure, err)
				}
				if n := s.Store().Count(); n != c.recorded {
					t.Errorf("TLS %v: %d recorded, want %d", secure, n, c.recorded)
				}
				if n := s.Faults().Struck()[c.name]; n != 1 {
					t.Errorf("TLS %v: struck %d times", secure, n)
				}
				if _, err := send(s, testMail, "a@example.jp"); err != nil {
					t.Errorf("TLS %v: the next mail failed: %v", secure, err)
				}
			}
		})
	}
}

func delayOf(name string) time.Duration {
	if name == simulator.FaultDelay || name == simulator.FaultSlowRead {
		return time.Hour
	}
	return 0
}

func TestSESHangsUntilReleased(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]int{simulator.FaultHang: 0, simulator.FaultHangAfterRecord: 1} {
		s := startSES(t, simulator.SESConfig{})
		s.Faults().Set(simulator.Fault{Name: name})
		done := make(chan error)
		go func() { _, err := send(s, testMail, "a@example.jp"); done <- err }()
		for s.Faults().Struck()[name] == 0 || s.Store().Count() < before {
			select {
			case err := <-done:
				t.Fatalf("%s: answered: %v", name, err)
			case <-time.After(time.Millisecond):
			}
		}
		if n := s.Store().Count(); n != before {
			t.Errorf("%s: %d recorded while it hangs, want %d", name, n, before)
		}
		// A request that was counted but does not wait yet would miss one Release.
		for released := false; !released; {
			s.Faults().Release()
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("%s: after the release: %v", name, err)
				}
				released = true
			case <-time.After(time.Millisecond):
			}
		}
		if n := s.Store().Count(); n != 1 {
			t.Errorf("%s: %d recorded", name, n)
		}
	}
}

func TestSESFaultsChooseMail(t *testing.T) {
	t.Parallel()
	s := startSES(t, simulator.SESConfig{Seed: 7})
	fails := func(to ...string) bool { _, err := send(s, testMail, to...); return err != nil }
	for pattern, hits := range map[string][]bool{
		"bad@example.jp": {true, false, false},
		"BAD@":           {true, true, false},
		"@Example.JP":    {true, false, true},
	} {
		s.Faults().Set(simulator.Fault{Name: simulator.FaultBadRequest, Address: pattern})
		got := []bool{fails("x@other.jp", "bad@example.jp"), fails("bad@other.jp"), fails("good@example.jp")}
		if !slices.Equal(got, hits) {
			t.Errorf("%s: %v, want %v", pattern, got, hits)
		}
	}
	s.Faults().Set(simulator.Fault{Name: simulator.FaultBadRequest, Match: func(a string) bool { return len(a) > 12 }})
	if fails("a@example.jp") || !fails("aaaa@example.jp") {
		t.Error("Match did not decide")
	}
	s.Faults().Set(simulator.Fault{Name: simulator.FaultBadRequest, Times: 2})
	for i, want := range []bool{true, true, false, false} {
		if fails("a@example.jp") != want {
			t.Errorf("Times: 2 and mail %d: struck %v", i+1, !want)
		}
	}
	s.Faults().Set(simulator.Fault{Name: simulator.FaultBadRequest, Probability: 0.3})
	n := 0
	for range 200 {
		if fails("a@example.jp") {
			n++
		}
	}
	if n < 40 || n > 80 {
		t.Errorf("%d of 200 failed at probability 0.3", n)
	}
	s.Faults().Clear()
	if fails("a@example.jp") {
		t.Error("Clear did not end the fault")
	}
}

func TestSESOutage(t *testing.T) {
	t.Parallel()
	s := startSES(t, simulator.SESConfig{})
	client := clientFor(s)
	mail := func() error { _, err := client.SendEmail(t.Context(), input(testMail, "a@example.jp")); return err }
	for range 3 {
		if err := mail(); err != nil {
			t.Fatal(err)
		}
		if err := s.SetOutage(simulator.OutageRefuse); err != nil {
			t.Fatal(err)
		}
		if err := mail(); !errors.Is(err, syscall.ECONNREFUSED) && !broken(err) {
			t.Errorf("refuse: %v", err)
		}
		if _, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://")); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("refuse: dial gave %v", err)
		}
		if err := s.SetOutage(simulator.OutageUnavailable); err != nil {
			t.Fatal(err)
		}
		if err := mail(); code(err) != "ServiceUnavailableException" {
			t.Errorf("unavailable: %v", err)
		}
		if err := s.SetOutage(simulator.NoOutage); err != nil {
			t.Fatal(err)
		}
	}
	if s.SetOutage("sometimes") == nil {
		t.Error("an unknown outage was taken")
	}
}

func TestSESCloseEndsWhatHangs(t *testing.T) {
	t.Parallel()
	s := startSES(t, simulator.SESConfig{})
	s.Faults().Set(simulator.Fault{Name: simulator.FaultHang})
	done := make(chan error)
	go func() { _, err := send(s, testMail, "a@example.jp"); done <- err }()
	for s.Faults().Struck()[simulator.FaultHang] == 0 {
		time.Sleep(time.Millisecond)
	}
	s.Close()
	if err := <-done; err == nil {
		t.Error("an answer after Close")
	}
	if n := s.Store().Count(); n != 0 {
		t.Errorf("%d recorded", n)
	}
}

func TestSESLatency(t *testing.T) {
	t.Parallel()
	s := startSES(t, simulator.SESConfig{Latency: simulator.Latency{Fixed: 30 * time.Millisecond}})
	begin := time.Now()
	if _, err := send(s, testMail, "a@example.jp"); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begin); d < 30*time.Millisecond {
		t.Errorf("answered after %v", d)
	}
	s.SetLatency(simulator.Latency{Min: 10 * time.Millisecond, Max: 20 * time.Millisecond})
	begin = time.Now()
	if _, err := send(s, testMail, "a@example.jp"); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begin); d < 10*time.Millisecond {
		t.Errorf("answered after %v", d)
	}
}

func TestSESReadCalls(t *testing.T) {
	t.Parallel()
	s := startSES(t, simulator.SESConfig{
		NoCallLimit: true, Identities: []string{"goo.ne.jp", "who@else.jp", "third.jp"}, ConfigurationSets: []string{"set"},
		Account: simulator.Account{MaxSendRate: 14, Max24HourSend: 50000},
	})
	client, ctx := clientFor(s), t.Context()
	account, err := client.GetAccount(ctx, &sesv2.GetAccountInput{})
	if err != nil {
		t.Fatal(err)
	}
	if q := account.SendQuota; q.MaxSendRate != 14 || q.Max24HourSend != 50000 || q.SentLast24Hours != 0 || !account.SendingEnabled ||
		!account.ProductionAccessEnabled || aws.ToString(account.EnforcementStatus) != "HEALTHY" {
		t.Errorf("account %+v, quota %+v", account, q)
	}
	for id, found := range map[string]bool{"goo.ne.jp": true, "who@else.jp": true, "mail.goo.ne.jp": false, "other.jp": false} {
		out, err := client.GetEmailIdentity(ctx, &sesv2.GetEmailIdentityInput{EmailIdentity: aws.String(id)})
		if found && (err != nil || !out.VerifiedForSendingStatus) || !found && code(err) != "NotFoundException" {
			t.Errorf("identity %s: %+v, %v", id, out, err)
		}
	}
	var names []string
	pages := sesv2.NewListEmailIdentitiesPaginator(client, &sesv2.ListEmailIdentitiesInput{PageSize: aws.Int32(2)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range page.EmailIdentities {
			names = append(names, *id.IdentityName)
		}
	}
	if !slices.Equal(names, []string{"goo.ne.jp", "who@else.jp", "third.jp"}) {
		t.Errorf("listed %q", names)
	}
	if _, err := client.ListEmailIdentities(ctx, &sesv2.ListEmailIdentitiesInput{NextToken: aws.String("x")}); code(err) != "InvalidNextTokenException" {
		t.Errorf("bad token: %v", err)
	}
	set, err := client.GetConfigurationSet(ctx, &sesv2.GetConfigurationSetInput{ConfigurationSetName: aws.String("set")})
	if err != nil || !set.SendingOptions.SendingEnabled {
		t.Errorf("set: %+v, %v", set, err)
	}
	if _, err := client.GetConfigurationSet(ctx, &sesv2.GetConfigurationSetInput{ConfigurationSetName: aws.String("no")}); code(err) != "NotFoundException" {
		t.Errorf("unknown set: %v", err)
	}
	if _, err := client.ListConfigurationSets(ctx, &sesv2.ListConfigurationSetsInput{}); code(err) != "UnknownOperationException" {
		t.Errorf("a call that the simulator does not know: %v", err)
	}
}
