package simulator

import (
	"net/http"
	"strings"
)

// suppressing are the reasons for which mail to an address of the suppression list is not sent.
type suppressing struct{ SuppressedReasons []string }

// getAccount is GET /v2/email/account. -1 stands for unlimited, as Max24HourSend has it in the real API.
func (s *SES) getAccount(w http.ResponseWriter, _ *http.Request) {
	type quota struct{ Max24HourSend, MaxSendRate, SentLast24Hours float64 }
	state := s.account.get()
	unlimited := func(v float64) float64 {
		if v <= 0 {
			return -1
		}
		return v
	}
	reasons := suppressing{[]string{"BOUNCE", "COMPLAINT"}}
	if state.SuppressNothing {
		reasons.SuppressedReasons = []string{}
	}
	answer(w, http.StatusOK, struct {
		DedicatedIpAutoWarmupEnabled bool
		EnforcementStatus            string
		ProductionAccessEnabled      bool
		SendQuota                    quota
		SendingEnabled               bool
		SuppressionAttributes        suppressing
	}{
		SuppressionAttributes: reasons, EnforcementStatus: state.enforcement(), ProductionAccessEnabled: !state.Sandbox,
		SendingEnabled: !state.SendingPaused && !state.Suspended,
		SendQuota: quota{unlimited(state.Max24HourSend), unlimited(state.MaxSendRate),
			float64(s.SentLast24Hours())},
	})
}

func identityType(id string) string {
	if strings.Contains(id, "@") {
		return "EMAIL_ADDRESS"
	}
	return "DOMAIN"
}

// getIdentity is GET /v2/email/identities/{id}. SES knows exactly the identities that were created: a subdomain of a
// verified domain may send, but is not found here.
func (s *SES) getIdentity(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	known := s.cfg.Identities == nil
	for _, have := range s.cfg.Identities {
		known = known || strings.EqualFold(have, id)
	}
	if !known {
		fail(w, apiError{http.StatusNotFound, "NotFoundException", "Email identity " + id + " does not exist."})
		return
	}
	answer(w, http.StatusOK, struct {
		IdentityType             string
		FeedbackForwardingStatus bool
		VerifiedForSendingStatus bool
		VerificationStatus       string
	}{identityType(id), true, true, "SUCCESS"})
}

// identityPage is what ListEmailIdentities gives in one answer at most.
const identityPage = 1000

// listIdentities is POST /v2/email/list-identities, or GET /v2/email/identities as older SDKs send it, in pages of
// PageSize. Where every domain is verified the list is empty: there is nothing to name.
func (s *SES) listIdentities(w http.ResponseWriter, r *http.Request) {
	type info struct {
		IdentityName, IdentityType string
		SendingEnabled             bool
		VerificationStatus         string
	}
	page := struct {
		EmailIdentities []info
		NextToken       string `json:",omitempty"`
	}{EmailIdentities: []info{}}
	first, size, e, ok := pageOf(r, len(s.cfg.Identities))
	if !ok {
		fail(w, e)
		return
	}
	for _, id := range s.cfg.Identities[first:min(first+size, len(s.cfg.Identities))] {
		page.EmailIdentities = append(page.EmailIdentities, info{id, identityType(id), true, "SUCCESS"})
	}
	if first+size < len(s.cfg.Identities) {
		page.NextToken = pageToken(first + size)
	}
	answer(w, http.StatusOK, page)
}

// getConfigurationSet is GET /v2/email/configuration-sets/{name}.
func (s *SES) getConfigurationSet(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if s.sets != nil && !s.sets[name] {
		fail(w, noConfigurationSet(name))
		return
	}
	type options struct{ SendingEnabled bool }
	type reputation struct{ ReputationMetricsEnabled bool }
	state := s.account.get()
	var suppression *suppressing // nil = as the account does
	if state.SetSuppressesNothing {
		suppression = &suppressing{[]string{}}
	}
	_, sending := s.checkConfigurationSets(state, name)
	answer(w, http.StatusOK, struct {
		ConfigurationSetName string
		SendingOptions       options
		ReputationOptions    reputation
		SuppressionOptions   *suppressing `json:",omitempty"`
	}{name, options{sending}, reputation{true}, suppression})
}
