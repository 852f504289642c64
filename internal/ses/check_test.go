package ses

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sesrelay/internal/simulator"
)

// lines gives the results as "+ name: detail" and "- name: detail => remedy".
func lines(results []CheckResult) string {
	var b strings.Builder
	for _, r := range results {
		sign := "-"
		if r.OK {
			sign = "+"
		}
		fmt.Fprintf(&b, "%s %s: %s", sign, r.Name, r.Detail)
		if r.Remedy != "" {
			b.WriteString(" => " + r.Remedy)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestCheck(t *testing.T) {
	t.Parallel()
	sim := simulator.SESConfig{NoCallLimit: true, Identities: []string{"goo.ne.jp"}, ConfigurationSets: []string{"cs"}}
	cases := []struct {
		name       string
		set        func(*simulator.SES)
		identities []string
		want       []string // parts of the result, in order
	}{
		{"all well", func(*simulator.SES) {}, []string{"goo.ne.jp", "mail.goo.ne.jp"}, []string{
			"+ ses account: reached, region ap-northeast-1, enforcement status HEALTHY\n",
			"+ ses quota: unlimited recipients a second, unlimited in 24 hours, of which 0 are sent\n",
			"+ ses sending: enabled\n", "+ ses production access: granted\n",
			"+ ses identity goo.ne.jp: goo.ne.jp: verification SUCCESS", "+ ses identity mail.goo.ne.jp: goo.ne.jp: verification SUCCESS",
			"+ ses configuration set cs: exists, sending enabled\n"}},
		{"nothing well", func(s *simulator.SES) { s.SetAccount(simulator.Account{Sandbox: true, SendingPaused: true}) }, []string{"other.example"}, []string{
			"- ses sending: paused for the account => aws sesv2 put-account-sending-attributes --sending-enabled --region ap-northeast-1",
			"- ses production access: sandbox", "aws sesv2 put-account-details",
			"- ses identity other.example: no such identity in ap-northeast-1 => aws sesv2 create-email-identity --email-identity other.example"}},
		{"shut", func(s *simulator.SES) { s.SetAccount(simulator.Account{Suspended: true}) }, nil, []string{
			"enforcement status SHUTDOWN", "- ses sending: AWS has shut", "Support Center"}},
		{"denied", func(s *simulator.SES) {
			must(t, s.Faults().Set(simulator.Fault{Name: simulator.FaultAccessDenied, At: simulator.AtAccount},
				simulator.Fault{Name: simulator.FaultExpiredToken, At: simulator.AtIdentity},
				simulator.Fault{Name: simulator.FaultThrottled, At: simulator.AtConfigurationSet}))
		}, []string{"goo.ne.jp"}, []string{
			"- ses account:", "allow ses:GetAccount in the IAM policy", "- ses identity goo.ne.jp:", "credentials that are valid now",
			"- ses configuration set cs:", "limited to 1 a second"}},
		{"broken", func(s *simulator.SES) { must(t, s.SetOutage(simulator.OutageRefuse)) }, nil, []string{
			"- ses account:", "check the network and ses.endpoint: curl -sv http://", "- ses configuration set cs:", "check the network"}},
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			s, c := simulated(t, SenderDirect, sim)
			k.set(s)
			inOrder(t, lines(unhurried(c).Check(t.Context(), k.identities)), k.want)
			if n := s.Store().Count(); n != 0 {
				t.Errorf("%d mails were sent", n)
			}
		})
	}
}

func inOrder(t *testing.T, got string, want []string) {
	t.Helper()
	rest := got
	for _, w := range want {
		_, after, ok := strings.Cut(rest, w)
		if !ok {
			t.Errorf("%q does not follow in\n%s", w, got)
			return
		}
		rest = after
	}
	for _, secret := range []string{testSecret, testToken} {
		if strings.Contains(got, secret) {
			t.Errorf("%q stands in\n%s", secret, got)
		}
	}
}

// TestCheckDetails: states of an identity and of a configuration set that the
// simulator does not have.
func TestCheckDetails(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		path, body string
		want       []string
	}{
		"moto": {"", "", []string{"+ ses account: reached, but the endpoint does not offer GetAccount: quota unknown => set quota.rate"}},
		"quota spent": {"/v2/email/account", `{"SendQuota":{"Max24HourSend":200,"MaxSendRate":1,"SentLast24Hours":200},"SendingEnabled":true,"EnforcementStatus":"PROBATION"}`,
			[]string{"- ses quota: 1 recipients a second, 200 in 24 hours, of which 200 are sent => wait", "servicequotas", "+ ses sending: enabled, but under review (PROBATION) => "}},
		"DKIM pending": {"/v2/email/identities/a.example", `{"IdentityType":"DOMAIN","VerifiedForSendingStatus":true,"VerificationStatus":"SUCCESS","DkimAttributes":{"Status":"PENDING"}}`,
			[]string{"- ses identity a.example: a.example: verification SUCCESS, DKIM PENDING => publish a CNAME", "--query DkimAttributes.Tokens"}},
		"no DKIM": {"/v2/email/identities/a.example", `{"IdentityType":"DOMAIN","VerifiedForSendingStatus":true,"DkimAttributes":{"Status":"NOT_STARTED"}}`,
			[]string{"+ ses identity a.example: a.example: verification SUCCESS, DKIM NOT_STARTED => publish a CNAME"}},
		"an address": {"/v2/email/identities/a.example", `{"IdentityType":"EMAIL_ADDRESS","VerifiedForSendingStatus":true,"VerificationStatus":"SUCCESS","DkimAttributes":{"Status":"PENDING"}}`,
			[]string{"+ ses identity a.example: a.example: verification SUCCESS, DKIM PENDING\n"}},
		"unreadable set": {"/v2/email/configuration-sets/cs", `{"SendingOptions":{"SendingEnabled":{}}}`,
			[]string{"+ ses configuration set cs: exists; the answer could not be read further\n"}},
		"not verified": {"/v2/email/identities/a.example", `{"IdentityType":"DOMAIN","VerifiedForSendingStatus":false,"VerificationStatus":"FAILED","DkimAttributes":{"Status":"SUCCESS"}}`,
			[]string{"- ses identity a.example: a.example: verification FAILED"}},
		"MAIL FROM": {"/v2/email/identities/a.example", `{"IdentityType":"DOMAIN","VerifiedForSendingStatus":true,"DkimAttributes":{"Status":"SUCCESS"},"MailFromAttributes":{"MailFromDomain":"m.a.example","MailFromDomainStatus":"FAILED","BehaviorOnMxFailure":"REJECT_MESSAGE"}}`,
			[]string{"- ses identity a.example: a.example: verification SUCCESS, DKIM SUCCESS, MAIL FROM m.a.example FAILED => publish MX 10 feedback-smtp.ap-northeast-1.amazonses.com for m.a.example"}},
		"MAIL FROM with the default": {"/v2/email/identities/a.example", `{"IdentityType":"DOMAIN","VerifiedForSendingStatus":true,"DkimAttributes":{"Status":"SUCCESS"},"MailFromAttributes":{"MailFromDomain":"m.a.example","MailFromDomainStatus":"FAILED","BehaviorOnMxFailure":"USE_DEFAULT_VALUE"}}`,
			[]string{"+ ses identity a.example: a.example: verification SUCCESS, DKIM SUCCESS, MAIL FROM m.a.example FAILED\n"}},
		"set paused": {"/v2/email/configuration-sets/cs", `{"SendingOptions":{"SendingEnabled":false}}`,
			[]string{"- ses configuration set cs: exists, but sending is paused => aws sesv2 put-configuration-set-sending-options --configuration-set-name cs --sending-enabled"}},
	}
	for name, k := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != k.path {
					w.WriteHeader(404)
					return
				}
				fmt.Fprint(w, k.body)
			}))
			t.Cleanup(s.Close)
			inOrder(t, lines(unhurried(newClient(t, s.URL, SenderDirect)).Check(t.Context(), []string{"a.example"})), k.want)
		})
	}
}
