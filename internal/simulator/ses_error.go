package simulator

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// apiError is an error answer of the SES v2 API (restJson1): HTTP status, class in the header x-amzn-ErrorType, and
// {"message": ...}. An empty class means that something else than SES answers: message is then the whole body.
type apiError struct {
	status  int
	class   string
	message string
}

// See "Common Errors" and "SendEmail, Errors" in the SES API v2 reference; the texts are those of the real service
// where they are known from bug reports.
var (
	errThrottled = apiError{http.StatusTooManyRequests, "TooManyRequestsException", "Maximum sending rate exceeded."}
	errRate      = apiError{http.StatusTooManyRequests, "TooManyRequestsException", "Rate exceeded"}
	// The class differs between reports: FaultLimitExceeded gives the other one.
	errDailyQuota = apiError{http.StatusTooManyRequests, "TooManyRequestsException", "Daily message quota exceeded."}
	errSuspended  = apiError{http.StatusBadRequest, "AccountSuspendedException",
		"Sending suspended for this account. For more information, please check the inbox of the email address associated with your AWS account."}
	errPaused = apiError{http.StatusBadRequest, "SendingPausedException",
		"Sending paused for this account. For more information, please check the inbox of the email address associated with your AWS account."}
	errInternal     = apiError{http.StatusInternalServerError, "InternalServiceErrorException", "Internal service error."}
	errUnavailable  = apiError{http.StatusServiceUnavailable, "ServiceUnavailableException", "Service is temporarily unavailable."}
	errInvalidToken = apiError{http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid."}
	errNoToken      = apiError{http.StatusForbidden, "MissingAuthenticationToken", "Missing Authentication Token"}
	errSignature    = apiError{http.StatusForbidden, "SignatureDoesNotMatch",
		"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}
)

func badRequest(message string) apiError {
	return apiError{http.StatusBadRequest, "BadRequestException", message}
}

func noConfigurationSet(name string) apiError {
	return apiError{http.StatusNotFound, "NotFoundException", "Configuration set <" + name + "> does not exist."}
}

func notVerified(region string, identities []string) apiError {
	return apiError{http.StatusBadRequest, "MessageRejected",
		"Email address is not verified. The following identities failed the check in region " +
			strings.ToUpper(region) + ": " + strings.Join(identities, ", ")}
}

// fail answers with an error.
func fail(w http.ResponseWriter, e apiError) {
	if e.class == "" {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(e.status)
		w.Write([]byte(e.message))
		return
	}
	w.Header().Set("x-amzn-ErrorType", e.class)
	answer(w, e.status, struct {
		Message string `json:"message"`
	}{e.message})
}

// answer sends a JSON answer.
func answer(w http.ResponseWriter, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		panic("simulator: an answer that is not JSON: " + err.Error()) // only ever our own plain structs
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	w.Write(b)
}
