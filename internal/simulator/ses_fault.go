package simulator

import (
	"fmt"
	"net/http"
	"slices"
)

// Stages at which a fault of the SES hop strikes: the call that was made.
const (
	AtSend             = "send"              // SendEmail; the usual one
	AtAccount          = "account"           // GetAccount
	AtIdentity         = "identity"          // GetEmailIdentity, ListEmailIdentities
	AtConfigurationSet = "configuration-set" // GetConfigurationSet
	AtSuppression      = "suppression"       // CreateImportJob, GetImportJob, PutSuppressedDestination
)

// SESStages returns the closed list of stages of the SES hop.
func SESStages() []string {
	return []string{AtSend, AtAccount, AtIdentity, AtConfigurationSet, AtSuppression}
}

// Faults of the SES hop that are answers: nothing is recorded, except by FaultErrorAfterRecord.
const (
	FaultThrottled           = "throttled"             // 429 TooManyRequestsException "Maximum sending rate exceeded."
	FaultThrottling          = "throttling"            // 400 ThrottlingException "Rate exceeded"
	FaultDailyQuota          = "daily-quota"           // 429 TooManyRequestsException "Daily message quota exceeded."
	FaultLimitExceeded       = "limit-exceeded"        // 400 LimitExceededException "Daily message quota exceeded."
	FaultAccountSuspended    = "account-suspended"     // 400 AccountSuspendedException
	FaultSendingPaused       = "sending-paused"        // 400 SendingPausedException
	FaultSendingPausedText   = "sending-paused-text"   // 400 BadRequestException "Sending paused for this account. ..."
	FaultMailFromNotVerified = "mail-from-unverified"  // 400 MailFromDomainNotVerifiedException
	FaultNoConfigurationSet  = "no-configuration-set"  // 404 NotFoundException "Configuration set <x> does not exist."
	FaultIdentityNotVerified = "identity-not-verified" // 400 MessageRejected "Email address is not verified. ..."
	FaultMessageRejected     = "message-rejected"      // 400 MessageRejected, other
	FaultBadRequest          = "bad-request"           // 400 BadRequestException
	FaultAccessDenied        = "access-denied"         // 403 AccessDeniedException
	FaultExpiredToken        = "expired-token"         // 403 ExpiredTokenException
	FaultRequestExpired      = "request-expired"       // 400 RequestExpired
	FaultInvalidToken        = "invalid-token"         // 403 InvalidClientTokenId
	FaultUnrecognizedClient  = "unrecognized-client"   // 403 UnrecognizedClientException
	FaultSignatureMismatch   = "signature-mismatch"    // 403 SignatureDoesNotMatch
	FaultInternalError       = "internal-error"        // 500 InternalServiceErrorException
	FaultUnavailable         = "unavailable"           // 503 ServiceUnavailableException
	FaultBadGateway          = "bad-gateway"           // 502 with an HTML page, as a proxy in between gives
	FaultUnknownError        = "unknown-error"         // 400 with an error class that no SDK models
)

// Faults of the SES hop that concern the connection or the moment of recording.
const (
	FaultCutBeforeRead    = "cut-before-read"    // closed when the header was read: nothing recorded
	FaultCutBeforeRecord  = "cut-before-record"  // closed when the request was read: nothing recorded, which the client cannot know
	FaultCutAfterRecord   = "cut-after-record"   // recorded, then closed: accepted, and the answer is lost
	FaultResetAfterRecord = "reset-after-record" // the same, with a TCP reset
	FaultGarbledAnswer    = "garbled-answer"     // recorded, 200 with a body that is not JSON
	FaultTruncatedAnswer  = "truncated-answer"   // recorded, 200 whose body ends early
	FaultErrorAfterRecord = "error-after-record" // recorded, then 500 InternalServiceErrorException
	FaultHang             = "hang"               // no answer until Release; recorded then, if the client is still there
	FaultHangAfterRecord  = "hang-after-record"  // recorded, no answer until Release
	FaultDelay            = "delay"              // Delay later than usual, then all is well, whether or not the client is still there
	FaultSlowRead         = "slow-read"          // the request is read in 16 pieces over Delay
)

// SESFaults returns the closed list of faults of the SES hop.
func SESFaults() []string {
	names := []string{
		FaultCutBeforeRead, FaultCutBeforeRecord, FaultCutAfterRecord, FaultResetAfterRecord, FaultGarbledAnswer,
		FaultTruncatedAnswer, FaultErrorAfterRecord, FaultHang, FaultHangAfterRecord, FaultDelay, FaultSlowRead,
	}
	for name := range sesErrors {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// sesErrors are the answers of the faults that are answers.
var sesErrors = map[string]apiError{
	FaultThrottled:           errThrottled,
	FaultThrottling:          {http.StatusBadRequest, "ThrottlingException", "Rate exceeded"},
	FaultDailyQuota:          errDailyQuota,
	FaultLimitExceeded:       {http.StatusBadRequest, "LimitExceededException", errDailyQuota.message},
	FaultAccountSuspended:    errSuspended,
	FaultSendingPaused:       errPaused,
	FaultSendingPausedText:   badRequest(errPaused.message),
	FaultMailFromNotVerified: {http.StatusBadRequest, "MailFromDomainNotVerifiedException", "The MAIL FROM domain is not verified."},
	FaultNoConfigurationSet:  noConfigurationSet("simulated"),
	FaultIdentityNotVerified: notVerified("ap-northeast-1", []string{"simulated.example"}),
	FaultMessageRejected:     {http.StatusBadRequest, "MessageRejected", "Transaction failed: the message was rejected."},
	FaultBadRequest:          badRequest("Bad request."),
	FaultAccessDenied: {http.StatusForbidden, "AccessDeniedException",
		"User `arn:aws:iam::123456789012:user/simulated' is not authorized to perform `ses:SendRawEmail' on resource `arn:aws:ses:ap-northeast-1:123456789012:identity/simulated.example'"},
	FaultExpiredToken:       {http.StatusForbidden, "ExpiredTokenException", "The security token included in the request is expired"},
	FaultRequestExpired:     {http.StatusBadRequest, "RequestExpired", "Request has expired."},
	FaultInvalidToken:       errInvalidToken,
	FaultUnrecognizedClient: {http.StatusForbidden, "UnrecognizedClientException", errInvalidToken.message},
	FaultSignatureMismatch:  errSignature,
	FaultInternalError:      errInternal,
	FaultUnavailable:        errUnavailable,
	FaultBadGateway:         {http.StatusBadGateway, "", "<html><body><h1>502 Bad Gateway</h1></body></html>"},
	FaultUnknownError:       {http.StatusBadRequest, "SomethingNewException", "A new kind of refusal."},
}

// strikesBeforeRead tells the faults that are decided before the body, and so the recipients, are known.
func strikesBeforeRead(name string) bool { return name == FaultCutBeforeRead || name == FaultSlowRead }

func strikesAfterRead(name string) bool { return !strikesBeforeRead(name) }

// sesSuits refuses faults that could never do what they say.
func sesSuits(f Fault) error {
	switch {
	case f.Code != 0:
		return fmt.Errorf("%s: a reply code is for SMTP; the name of a SES fault says its status", f.Name)
	case f.choosy() && (f.At != AtSend || strikesBeforeRead(f.Name)):
		return fmt.Errorf("%s at %s: %w", f.Name, f.At, errNoAddress)
	case f.At != AtSend && recordsSES(f.Name):
		return fmt.Errorf("%s strikes at %s only", f.Name, AtSend)
	}
	return nil
}

// recordsSES tells the faults that strike after a mail was recorded.
func recordsSES(name string) bool {
	switch name {
	case FaultCutAfterRecord, FaultResetAfterRecord, FaultGarbledAnswer, FaultTruncatedAnswer, FaultErrorAfterRecord, FaultHangAfterRecord:
		return true
	}
	return false
}
