package ses

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
)

// CheckResult is one line of `relay check --live`.
type CheckResult struct {
	Name   string
	OK     bool
	Detail string // what was found
	Remedy string // the command or page that puts it right; "" when there is nothing to do
}

// Check asks SES whether it would take this relay's mail: the account, its
// quota and switches, each of the identities, and the configuration set. It
// takes a second for each call; it sends nothing.
func (c *Client) Check(ctx context.Context, identities []string) []CheckResult {
	results := c.checkAccount(ctx)
	for _, name := range identities {
		results = append(results, c.checkIdentity(ctx, name))
	}
	return append(results, c.checkConfigurationSet(ctx))
}

func (c *Client) checkAccount(ctx context.Context) []CheckResult {
	a, err := c.Account(ctx)
	if errors.Is(err, ErrNotOffered) {
		return []CheckResult{{Name: "ses account", OK: true, Detail: "reached, but the endpoint does not offer GetAccount: quota unknown",
			Remedy: "set quota.rate and quota.daily to numbers, or empty ses.endpoint to use SES itself"}}
	}
	if err != nil {
		return []CheckResult{c.failed("ses account", err, "ses:GetAccount")}
	}
	return []CheckResult{
		{Name: "ses account", OK: true, Detail: fmt.Sprintf("reached, region %s, enforcement status %s", c.cfg.Region, orUnknown(a.EnforcementStatus))},
		c.checkQuota(a), c.checkSending(a), c.checkProduction(a),
	}
}

func (c *Client) checkQuota(a Account) CheckResult {
	r := CheckResult{Name: "ses quota", OK: true,
		Detail: fmt.Sprintf("%s recipients a second, %s in 24 hours, of which %.0f are sent", limit(a.MaxSendRate), limit(a.Max24HourSend), a.SentLast24Hours)}
	if a.Max24HourSend >= 0 && a.SentLast24Hours >= a.Max24HourSend {
		r.OK = false
		r.Remedy = fmt.Sprintf("wait until the last 24 hours hold less, or ask for more: https://%[1]s.console.aws.amazon.com/servicequotas/home/services/ses/quotas (aws service-quotas list-service-quotas --service-code ses --region %[1]s)", c.cfg.Region)
	}
	return r
}

func limit(v float64) string {
	if v < 0 {
		return "unlimited"
	}
	return fmt.Sprintf("%.0f", v)
}

func (c *Client) checkSending(a Account) CheckResult {
	r := CheckResult{Name: "ses sending", OK: true, Detail: "enabled"}
	switch {
	case a.EnforcementStatus == "SHUTDOWN":
		r.OK, r.Detail = false, "AWS has shut the account's sending (SHUTDOWN)"
		r.Remedy = "answer the case in the AWS Support Center: https://console.aws.amazon.com/support/home"
	case !a.SendingEnabled:
		r.OK, r.Detail = false, "paused for the account"
		r.Remedy = "aws sesv2 put-account-sending-attributes --sending-enabled --region " + c.cfg.Region
	case a.EnforcementStatus == "PROBATION":
		r.Detail = "enabled, but under review (PROBATION)"
		r.Remedy = "answer the case in the AWS Support Center: https://console.aws.amazon.com/support/home"
	}
	return r
}

func (c *Client) checkProduction(a Account) CheckResult {
	r := CheckResult{Name: "ses production access", OK: a.ProductionAccessEnabled, Detail: "granted"}
	if !r.OK {
		r.Detail = "sandbox: only verified recipients get mail"
		r.Remedy = fmt.Sprintf("aws sesv2 put-account-details --production-access-enabled --mail-type TRANSACTIONAL --website-url https://YOUR-SITE --use-case-description 'HOW YOU SEND' --region %[1]s (or https://%[1]s.console.aws.amazon.com/ses/home?region=%[1]s#/account)", c.cfg.Region)
	}
	return r
}

// checkIdentity asks for a domain or address. A subdomain that is no identity
// of its own is covered by its parent.
func (c *Client) checkIdentity(ctx context.Context, name string) CheckResult {
	r := CheckResult{Name: "ses identity " + name}
	for at := name; ; {
		out, err := control(ctx, c, c.api.GetEmailIdentity, &sesv2.GetEmailIdentityInput{EmailIdentity: &at})
		if err == nil {
			return c.judgeIdentity(r, at, out)
		}
		_, parent, ok := strings.Cut(at, ".")
		if i := strings.IndexByte(at, '@'); i >= 0 {
			parent, ok = at[i+1:], true
		}
		if errorCode(err) != "NotFoundException" {
			return c.failed(r.Name, err, "ses:GetEmailIdentity")
		}
		if !ok || !strings.Contains(parent, ".") {
			r.Detail = "no such identity in " + c.cfg.Region
			r.Remedy = fmt.Sprintf("aws sesv2 create-email-identity --email-identity %s --region %s, then publish the three DKIM records that it prints", name, c.cfg.Region)
			return r
		}
		at = parent
	}
}

// judgeIdentity reads the answer for the identity that was found: verified,
// signed, and with a MAIL FROM domain that works.
func (c *Client) judgeIdentity(r CheckResult, name string, out *sesv2.GetEmailIdentityOutput) CheckResult {
	status := string(out.VerificationStatus)
	if status == "" && out.VerifiedForSendingStatus {
		status = string(types.VerificationStatusSuccess)
	}
	r.OK = out.VerifiedForSendingStatus
	r.Detail = fmt.Sprintf("%s: verification %s", name, orUnknown(status))
	c.judgeDKIM(&r, name, out)
	if m := out.MailFromAttributes; r.OK && m != nil && aws.ToString(m.MailFromDomain) != "" {
		c.judgeMailFrom(&r, name, m)
	}
	return r
}

// judgeDKIM looks at the signing of a domain. A domain that was verified in
// another way sends without a signature of its own, which DMARC may not forgive.
func (c *Client) judgeDKIM(r *CheckResult, name string, out *sesv2.GetEmailIdentityOutput) {
	status := types.DkimStatus("")
	if out.DkimAttributes != nil {
		status = out.DkimAttributes.Status
		r.Detail += ", DKIM " + orUnknown(string(status))
	}
	if out.IdentityType == types.IdentityTypeDomain && (status == types.DkimStatusPending || status == types.DkimStatusFailed) {
		r.OK = false
	}
	if !r.OK || status == types.DkimStatusNotStarted {
		r.Remedy = fmt.Sprintf("publish a CNAME TOKEN._domainkey.%[1]s -> TOKEN.dkim.amazonses.com for each of: aws sesv2 get-email-identity --email-identity %[1]s --query DkimAttributes.Tokens --region %[2]s", name, c.cfg.Region)
	}
}

// judgeMailFrom looks at a custom MAIL FROM domain. Without its MX record SES
// refuses all mail of the identity, when it was told to.
func (c *Client) judgeMailFrom(r *CheckResult, name string, m *types.MailFromAttributes) {
	r.Detail += ", MAIL FROM " + *m.MailFromDomain + " " + string(m.MailFromDomainStatus)
	if m.MailFromDomainStatus == types.MailFromDomainStatusSuccess || m.BehaviorOnMxFailure != types.BehaviorOnMxFailureRejectMessage {
		return
	}
	r.OK = false
	r.Remedy = fmt.Sprintf("publish MX 10 feedback-smtp.%[1]s.amazonses.com for %[2]s, or: aws sesv2 put-email-identity-mail-from-attributes --email-identity %[3]s --mail-from-domain %[2]s --behavior-on-mx-failure USE_DEFAULT_VALUE --region %[1]s",
		c.cfg.Region, *m.MailFromDomain, name)
}

func (c *Client) checkConfigurationSet(ctx context.Context) CheckResult {
	set := c.cfg.ConfigurationSet
	r := CheckResult{Name: "ses configuration set " + set, OK: true, Detail: "exists, sending enabled"}
	out, err := control(ctx, c, c.api.GetConfigurationSet, &sesv2.GetConfigurationSetInput{ConfigurationSetName: &set})
	switch {
	case errorCode(err) == "NotFoundException":
		r.OK, r.Detail = false, "does not exist in "+c.cfg.Region
		r.Remedy = fmt.Sprintf("aws sesv2 create-configuration-set --configuration-set-name %s --region %s", set, c.cfg.Region)
	case err != nil && statusOf(err) == http.StatusOK:
		r.Detail = "exists; the answer could not be read further"
	case err != nil:
		return c.failed(r.Name, err, "ses:GetConfigurationSet")
	case out.SendingOptions != nil && !out.SendingOptions.SendingEnabled:
		r.OK, r.Detail = false, "exists, but sending is paused"
		r.Remedy = fmt.Sprintf("aws sesv2 put-configuration-set-sending-options --configuration-set-name %s --sending-enabled --region %s", set, c.cfg.Region)
	}
	return r
}

// failed is the line of a call that brought no result.
func (c *Client) failed(name string, err error, action string) CheckResult {
	r := CheckResult{Name: name, Detail: err.Error()}
	v, known := byCode[errorCode(err)]
	_, noCredentials := errors.AsType[*credentialsError](err)
	switch {
	case noCredentials || known && v.class == ClassCredentials:
		r.Remedy = "give the relay credentials that are valid now, and check the clock: aws sts get-caller-identity"
	case known && v.class == ClassAccess:
		r.Remedy = "allow " + action + " in the IAM policy of: aws sts get-caller-identity"
	case known && v.class == ClassThrottled:
		r.Remedy = "these calls are limited to 1 a second for the whole account; try again: relay check --live"
	default:
		r.Remedy = fmt.Sprintf("check the network and ses.endpoint: curl -sv %s", c.endpoint)
	}
	return r
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}
