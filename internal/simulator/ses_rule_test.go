package simulator_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"

	"sesrelay/internal/simulator"
)

func recipients(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("r%d@example.jp", i)
	}
	return list
}

// mailWith puts header lines before those of a usual mail.
func mailWith(header string) string { return header + "\r\n" + testMail }

func TestSESRules(t *testing.T) {
	t.Parallel()
	s := startSES(t, simulator.SESConfig{Identities: []string{"goo.ne.jp", "single@else.jp"}, ConfigurationSets: []string{"set", "paused"},
		Account: simulator.Account{PausedConfigSets: []string{"paused"}}})
	noFrom := "To: a@example.jp\r\n\r\nx\r\n"
	change := func(f func(*sesv2.SendEmailInput)) *sesv2.SendEmailInput {
		in := input(testMail, "a@example.jp")
		f(in)
		return in
	}
	for name, c := range map[string]struct {
		in   *sesv2.SendEmailInput
		code string // "" = accepted
		text string
	}{
		"plain":                 {input(testMail, "a@example.jp"), "", ""},
		"50 recipients":         {input(testMail, recipients(50)...), "", ""},
		"51 recipients":         {input(testMail, recipients(51)...), "BadRequestException", "Recipient count exceeds 50."},
		"no recipient":          {input(testMail), "BadRequestException", "at least one recipient"},
		"no destination":        {change(func(in *sesv2.SendEmailInput) { in.Destination = nil }), "BadRequestException", "at least one recipient"},
		"empty address":         {input(testMail, "a@example.jp", ""), "BadRequestException", "Invalid email address ."},
		"one malformed of two":  {input(testMail, "a@example.jp", "nobody"), "BadRequestException", "Missing final '@domain'"},
		"space in local":        {input(testMail, "a b@example.jp"), "BadRequestException", "Local address contains control or whitespace"},
		"space in domain":       {input(testMail, "a@exa mple.jp"), "BadRequestException", "Domain contains control or whitespace"},
		"dot before at":         {input(testMail, "a.@example.jp"), "BadRequestException", "Local address ends with dot"},
		"dots in local":         {input(testMail, "a..b@example.jp"), "BadRequestException", "Local address contains dot-dot"},
		"non-ASCII local":       {input(testMail, "あ@example.jp"), "BadRequestException", "Local address contains illegal character"},
		"non-ASCII domain":      {input(testMail, "a@例え.jp"), "BadRequestException", "Domain contains illegal character"},
		"quoted local":          {input(testMail, `"a..b"@example.jp`), "", ""},
		"display name":          {input(testMail, `Someone <a@example.jp>`), "", ""},
		"simple content":        {change(func(in *sesv2.SendEmailInput) { in.Content = simple() }), "BadRequestException", "raw content only"},
		"empty message":         {input("", "a@example.jp"), "BadRequestException", "empty"},
		"subdomain":             {input(strings.Replace(testMail, "info@goo.ne.jp", "x@mail.goo.ne.jp", 1), "a@example.jp"), "", ""},
		"single address":        {input(strings.Replace(testMail, "info@goo.ne.jp", "Single@else.jp", 1), "a@example.jp"), "", ""},
		"other address":         {input(strings.Replace(testMail, "info@goo.ne.jp", "other@else.jp", 1), "a@example.jp"), "MessageRejected", "Email address is not verified. The following identities failed the check in region AP-NORTHEAST-1: other@else.jp"},
		"look-alike domain":     {input(strings.Replace(testMail, "info@goo.ne.jp", "x@xgoo.ne.jp", 1), "a@example.jp"), "MessageRejected", "x@xgoo.ne.jp"},
		"second From address":   {input(strings.Replace(testMail, "<info@goo.ne.jp>", "<info@goo.ne.jp>, b@bad.jp", 1), "a@example.jp"), "MessageRejected", "1: b@bad.jp"},
		"Sender":                {input(mailWith("Sender: c@bad.jp"), "a@example.jp"), "MessageRejected", "c@bad.jp"},
		"Return-Path":           {input(mailWith("Return-Path: <d@bad.jp>"), "a@example.jp"), "MessageRejected", "d@bad.jp"},
		"null Return-Path":      {input(mailWith("Return-Path: <>"), "a@example.jp"), "", ""},
		"feedback address":      {change(func(in *sesv2.SendEmailInput) { in.FeedbackForwardingEmailAddress = aws.String("v@bad.jp") }), "MessageRejected", "v@bad.jp"},
		"FromEmailAddress":      {change(func(in *sesv2.SendEmailInput) { in.FromEmailAddress = aws.String("e@bad.jp") }), "MessageRejected", "1: e@bad.jp"},
		"ISO-2022-JP name":      {input(strings.Replace(testMail, "Info", "=?ISO-2022-JP?B?GyRCJCIbKEI=?=", 1), "a@example.jp"), "", ""},
		"8-bit name":            {input(strings.Replace(testMail, "Info", "\"\x82\xa0\"", 1), "a@example.jp"), "", ""},
		"no From":               {input(noFrom, "a@example.jp"), "BadRequestException", "Missing required header 'From'."},
		"From in the body only": {input("To: a@example.jp\r\n\r\nFrom: info@goo.ne.jp\r\n", "a@example.jp"), "BadRequestException", "Missing required header 'From'."},
		"null From":             {input("From: <>\r\n\r\nx\r\n", "a@example.jp"), "BadRequestException", "'from'"},
		"known set":             {change(func(in *sesv2.SendEmailInput) { in.ConfigurationSetName = aws.String("set") }), "", ""},
		"unknown set":           {change(func(in *sesv2.SendEmailInput) { in.ConfigurationSetName = aws.String("no") }), "NotFoundException", "Configuration set <no> does not exist."},
		"unknown set in header": {input(mailWith("X-SES-CONFIGURATION-SET: no"), "a@example.jp"), "NotFoundException", "Configuration set <no> does not exist."},
		"paused set":            {change(func(in *sesv2.SendEmailInput) { in.ConfigurationSetName = aws.String("paused") }), "SendingPausedException", "paused"},
		"bad tag": {change(func(in *sesv2.SendEmailInput) {
			in.EmailTags = []types.MessageTag{{Name: aws.String("a b"), Value: aws.String("c")}}
		}), "BadRequestException", "tags"},
		"two subjects":           {input(mailWith("subject: again"), "a@example.jp"), "BadRequestException", "Duplicate header 'Subject'."},
		"two DKIM signatures":    {input(mailWith("DKIM-Signature: a=b\r\nDKIM-Signature: c=d"), "a@example.jp"), "BadRequestException", "Duplicate header 'DKIM-Signature'."},
		"two Received":           {input(mailWith("Received: a\r\nReceived: b"), "a@example.jp"), "", ""},
		"two List-Unsubscribe":   {input(mailWith("List-Unsubscribe: <a>\r\nList-Unsubscribe: <b>"), "a@example.jp"), "BadRequestException", "List-Unsubscribe"},
		"line without colon":     {input(mailWith("nonsense"), "a@example.jp"), "BadRequestException", "header names"},
		"line of 998":            {input(testMail+strings.Repeat("x", 998)+"\r\n"+strings.Repeat("y", 998)+"\r\n", "a@example.jp"), "", ""},
		"line of 998 at the end": {input(testMail+strings.Repeat("x", 998), "a@example.jp"), "", ""},
		"line of 999":            {input(testMail+strings.Repeat("x", 999)+"\r\n", "a@example.jp"), "BadRequestException", "Line too long"},
		"line of 999 at the end": {input(testMail+strings.Repeat("x", 999), "a@example.jp"), "BadRequestException", "Line too long"},
		"line of 999 and LF":     {input(testMail+strings.Repeat("x", 999)+"\n", "a@example.jp"), "BadRequestException", "Line too long"},
		"8-bit body":             {input(testMail+"\x82\xa0\r\n", "a@example.jp"), "", ""},
	} {
		before := s.Store().Count()
		_, err := clientFor(s).SendEmail(t.Context(), c.in)
		if code(err) != c.code || (err != nil && (c.code == "" || !strings.Contains(err.Error(), c.text))) {
			t.Errorf("%s: got %v, want %s %q", name, err, c.code, c.text)
		}
		if accepted := s.Store().Count() - before; (accepted == 1) != (c.code == "") {
			t.Errorf("%s: %d recorded", name, accepted)
		}
	}
}

func simple() *types.EmailContent {
	return &types.EmailContent{Simple: &types.Message{
		Subject: &types.Content{Data: aws.String("AAAA")}, Body: &types.Body{Text: &types.Content{Data: aws.String("not base64!")}},
	}}
}

func TestSESSize(t *testing.T) {
	t.Parallel()
	s := startSES(t, simulator.SESConfig{})
	fill := func(n int) string {
		return testMail + strings.Repeat(strings.Repeat("x", 98)+"\r\n", n/100)[:n-len(testMail)]
	}
	const most = 40 << 20 / 4 * 3 // 30 MiB are 40 MiB in base64
	if _, err := send(s, fill(most), "a@example.jp"); err != nil {
		t.Errorf("30 MiB: %.200v", err)
	}
	if _, err := send(s, fill(most+1), "a@example.jp"); code(err) != "BadRequestException" {
		t.Errorf("30 MiB and a byte: %.200v", err)
	}
	if _, err := send(s, fill(most+(2<<20)), "a@example.jp"); err == nil {
		t.Error("32 MiB were taken")
	}
}

// clock is a virtual one.
type clock struct{ now time.Time }

func (c *clock) add(d time.Duration) { c.now = c.now.Add(d) }

func TestSESRate(t *testing.T) {
	t.Parallel()
	c := &clock{time.Unix(1_800_000_000, 0)}
	s := startSES(t, simulator.SESConfig{Clock: func() time.Time { return c.now }, Account: simulator.Account{MaxSendRate: 5}})
	burst := func() (passed int) {
		for {
			if _, err := send(s, testMail, "a@example.jp"); err != nil {
				if code(err) != "TooManyRequestsException" || !strings.Contains(err.Error(), "Maximum sending rate exceeded.") {
					t.Fatal(err)
				}
				return passed
			}
			passed++
		}
	}
	for _, step := range []struct {
		wait time.Duration
		want int
	}{{0, 5}, {0, 0}, {199 * time.Millisecond, 0}, {time.Millisecond, 1}, {time.Hour, 5}, {time.Second, 5}, {400 * time.Millisecond, 2}} {
		c.add(step.wait)
		if got := burst(); got != step.want {
			t.Fatalf("after %v: %d passed, want %d", step.wait, got, step.want)
		}
	}
	// One call for 20 recipients passes while one is left, and leaves a debt of 19 - 4 = 15: three seconds and a token.
	c.add(time.Hour)
	if _, err := send(s, testMail, recipients(20)...); err != nil {
		t.Fatal(err)
	}
	c.add(3*time.Second + 100*time.Millisecond)
	if got := burst(); got != 0 {
		t.Errorf("%d passed before the debt was repaid", got)
	}
	c.add(100 * time.Millisecond)
	if got := burst(); got != 1 {
		t.Errorf("%d passed after the debt was repaid, want 1", got)
	}
	s.SetAccount(simulator.Account{})
	for range 20 {
		if _, err := send(s, testMail, "a@example.jp"); err != nil {
			t.Fatalf("unlimited: %v", err)
		}
	}
}

func TestSESDay(t *testing.T) {
	t.Parallel()
	c := &clock{time.Unix(1_800_000_000, 0)}
	s := startSES(t, simulator.SESConfig{Clock: func() time.Time { return c.now }, NoCallLimit: true, Account: simulator.Account{Max24HourSend: 10}})
	step := func(want string, to ...string) {
		t.Helper()
		_, err := send(s, testMail, to...)
		if code(err) != want || want != "" && !strings.Contains(err.Error(), "Daily message quota exceeded.") {
			t.Fatalf("got %v, want %q", err, want)
		}
	}
	step("", recipients(6)...)
	c.add(time.Hour)
	step("", recipients(3)...)
	step("", recipients(4)...) // one is left: the whole call passes
	step("TooManyRequestsException", "a@example.jp")
	account, err := clientFor(s).GetAccount(t.Context(), &sesv2.GetAccountInput{})
	if err != nil || account.SendQuota.SentLast24Hours != 13 || account.SendQuota.Max24HourSend != 10 {
		t.Fatalf("account %+v, %v", account, err)
	}
	c.add(23*time.Hour - time.Second)
	step("TooManyRequestsException", "a@example.jp")
	c.add(time.Second) // the first six are 24 hours old
	if n := s.SentLast24Hours(); n != 7 {
		t.Errorf("%d in the window, want 7", n)
	}
	step("", recipients(3)...)
	step("TooManyRequestsException", "a@example.jp")
	if got := s.Store().PerSecond(simulator.UpstreamSES)[1_800_000_000]; got != 6 {
		t.Errorf("%d recipients in the first second, want 6", got)
	}
}

func TestSESCallLimit(t *testing.T) {
	t.Parallel()
	c := &clock{time.Unix(1_800_000_000, 0)}
	s := startSES(t, simulator.SESConfig{Clock: func() time.Time { return c.now }})
	client := clientFor(s)
	calls := func() (passed int) {
		for {
			if _, err := client.GetAccount(t.Context(), &sesv2.GetAccountInput{}); err != nil {
				if code(err) != "TooManyRequestsException" {
					t.Fatal(err)
				}
				return passed
			}
			passed++
		}
	}
	if n := calls(); n != 5 {
		t.Errorf("%d calls at once, want 5", n)
	}
	if _, err := client.GetEmailIdentity(t.Context(), &sesv2.GetEmailIdentityInput{EmailIdentity: aws.String("goo.ne.jp")}); code(err) != "TooManyRequestsException" {
		t.Errorf("the limit is account-wide: %v", err)
	}
	if _, err := send(s, testMail, "a@example.jp"); err != nil {
		t.Errorf("sending is not limited by it: %v", err)
	}
	c.add(time.Second)
	if n := calls(); n != 1 {
		t.Errorf("%d calls a second later, want 1", n)
	}
}

func TestSESSwitches(t *testing.T) {
	t.Parallel()
	s := startSES(t, simulator.SESConfig{NoCallLimit: true, Identities: []string{"goo.ne.jp"}})
	for _, c := range []struct {
		account simulator.Account
		to      string
		code    string
		sending bool
		status  string
	}{
		{simulator.Account{}, "a@example.jp", "", true, "HEALTHY"},
		{simulator.Account{SendingPaused: true}, "a@example.jp", "SendingPausedException", false, "HEALTHY"},
		{simulator.Account{Suspended: true}, "a@example.jp", "AccountSuspendedException", false, "SHUTDOWN"},
		{simulator.Account{Probation: true}, "a@example.jp", "", true, "PROBATION"},
		{simulator.Account{Sandbox: true}, "a@example.jp", "MessageRejected", true, "HEALTHY"},
		{simulator.Account{Sandbox: true}, "a@goo.ne.jp", "", true, "HEALTHY"},
		{simulator.Account{Sandbox: true}, "success@simulator.amazonses.com", "", true, "HEALTHY"},
	} {
		s.SetAccount(c.account)
		if _, err := send(s, testMail, c.to); code(err) != c.code {
			t.Errorf("%+v: got %v, want %q", c.account, err, c.code)
		}
		out, err := clientFor(s).GetAccount(t.Context(), &sesv2.GetAccountInput{})
		if err != nil {
			t.Fatal(err)
		}
		if out.SendingEnabled != c.sending || aws.ToString(out.EnforcementStatus) != c.status || out.ProductionAccessEnabled == c.account.Sandbox {
			t.Errorf("%+v: GetAccount says %+v", c.account, out)
		}
	}
}
