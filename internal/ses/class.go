package ses

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Classes of the errors of Send: the label of relay_ses_errors_total.
const (
	ClassThrottled       = "throttled"              // faster than MaxSendRate
	ClassDailyQuota      = "daily_quota"            // Max24HourSend is spent
	ClassSuspended       = "account_suspended"      // AWS has shut the account
	ClassPaused          = "sending_paused"         // of the account or the configuration set
	ClassMailFrom        = "mail_from_not_verified" // the custom MAIL FROM domain has lost its MX
	ClassNotFound        = "not_found"              // the configuration set does not exist
	ClassAccess          = "access_denied"          // IAM
	ClassCredentials     = "credentials"            // none, expired, wrong signature, wrong clock
	ClassUnverified      = "identity_not_verified"  // of From, Sender or Return-Path; in the sandbox of a recipient
	ClassMessageRejected = "message_rejected"       // SES refuses this message
	ClassBadRequest      = "bad_request"            // an address, the size, a header
	ClassServerError     = "server_error"           // 5xx
	ClassTimeout         = "timeout"                // no answer within the deadline
	ClassConnectionLost  = "connection_lost"        // reset or end of file instead of an answer
	ClassUnexpected      = "unexpected"             // an answer that is not in the table
	ClassUnreadable      = "unreadable_200"         // accepted, but the message id could not be read
	ClassDial            = "dial"                   // no connection
	ClassTLS             = "tls"                    // no TLS session
	ClassNotSent         = "not_sent"               // the connection failed before all of the request had left
	ClassInFlight        = "in_flight"              // max_in_flight calls are running already
	ClassClientGone      = "client_gone"            // the client left before the request was made
	ClassRequest         = "request"                // no request could be made of this mail
)

// Classes lists every class, so that each counter exists from the start.
var Classes = []string{
	ClassThrottled, ClassDailyQuota, ClassSuspended, ClassPaused, ClassMailFrom, ClassNotFound, ClassAccess,
	ClassCredentials, ClassUnverified, ClassMessageRejected, ClassBadRequest, ClassServerError, ClassTimeout,
	ClassConnectionLost, ClassUnexpected, ClassUnreadable, ClassDial, ClassTLS, ClassNotSent, ClassInFlight,
	ClassClientGone, ClassRequest,
}

// metrics are the counters of this package, of all clients of one registerer
// together: a reload makes a new Client while the old one still finishes its
// transactions. The relay counts the rest.
type metrics struct {
	errors      map[string]prometheus.Counter // by class; read only after newMetrics
	tagsDropped prometheus.Counter
}

// newMetrics registers the counters with r; a nil r counts for nobody.
func newMetrics(r prometheus.Registerer) *metrics {
	vec := register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "relay_ses_errors_total",
		Help: "Calls of SES SendEmail that did not end in a readable acceptance, by class.",
	}, []string{"class"}))
	m := &metrics{errors: make(map[string]prometheus.Counter, len(Classes))}
	for _, c := range Classes {
		m.errors[c] = vec.WithLabelValues(c)
	}
	m.tagsDropped = register(r, prometheus.NewCounter(prometheus.CounterOpts{
		Name: "relay_ses_tags_dropped_total",
		Help: "Message tags of clients that SES would not take, or that are the relay's own.",
	}))
	return m
}

// register returns the collector that is registered under c's name: c, or the
// one of an earlier client.
func register[C prometheus.Collector](r prometheus.Registerer, c C) C {
	if r == nil {
		return c
	}
	err := r.Register(c)
	if already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if earlier, ok := already.ExistingCollector.(C); ok {
			return earlier
		}
	}
	if err != nil {
		panic(err) // the same name with another meaning: a mistake in the program
	}
	return c
}

// count adds one to the class of an error.
func (m *metrics) count(class string) {
	if c := m.errors[class]; c != nil {
		c.Inc()
	}
}
