package ses

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/prometheus/client_golang/prometheus"
)

// Senders of Config.Sender.
const (
	SenderDirect = "direct" // own signed request on net/http
	SenderSDK    = "sdk"    // sesv2.Client.SendEmail
)

// Defaults of Config.
const (
	DefaultMaxInFlight  = 1000
	DefaultMessageSize  = 28 << 20 // 40 MB after base64, JSON counted in
	DefaultTimeout      = 30 * time.Second
	DefaultInFlightWait = 2 * time.Second
)

// Config sets a Client. The zero value of every field but Region,
// Credentials and ConfigurationSet works.
type Config struct {
	Region           string                  // "ap-northeast-1"
	Endpoint         string                  // another base URL, for tests and PrivateLink; "" = the region's
	Credentials      aws.CredentialsProvider // cached here when it is not yet
	ConfigurationSet string                  // given with every mail
	Sender           string                  // SenderDirect (default) or SenderSDK
	KeepMessageTags  bool                    // let the client's X-SES-MESSAGE-TAGS through

	MaxInFlight  int           // calls at one time; 0 = DefaultMaxInFlight
	InFlightWait time.Duration // for one of them to end; 0 = DefaultInFlightWait
	MessageSize  int64         // bytes of content; 0 = DefaultMessageSize
	Timeout      time.Duration // of a call, plus size / 1 MiB/s; 0 = DefaultTimeout

	// Identities reports whether a domain is, or lies under, a verified
	// identity: then bounces are forwarded to the reverse-path. nil = never.
	Identities func(domain string) bool
	// OnUnverified is told each domain that SES found not verified. It must
	// not block. nil = nobody is told.
	OnUnverified func(domain string)
	// OnThrottle is told that SES said "too fast", or that the day's quota is
	// spent (daily). It must not block. nil = nobody is told.
	OnThrottle func(daily bool)

	RootCAs    *x509.CertPool                        // nil = the system's
	Proxy      func(*http.Request) (*url.URL, error) // nil = none; http.ProxyFromEnvironment for the usual variables
	UserAgent  string                                // of the direct sender; "" = "sesrelay"
	Registerer prometheus.Registerer                 // nil = metrics for nobody
	Now        func() time.Time                      // nil = time.Now
}

// withDefaults returns cfg with every zero field filled.
func (cfg Config) withDefaults() Config {
	if cfg.Sender == "" {
		cfg.Sender = SenderDirect
	}
	if cfg.MaxInFlight == 0 {
		cfg.MaxInFlight = DefaultMaxInFlight
	}
	if cfg.InFlightWait == 0 {
		cfg.InFlightWait = DefaultInFlightWait
	}
	if cfg.MessageSize == 0 {
		cfg.MessageSize = DefaultMessageSize
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "sesrelay"
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return cfg
}

// check returns every mistake at once, each naming its field.
func (cfg Config) check() error {
	var errs []error
	if cfg.Region == "" {
		errs = append(errs, errors.New("ses: Region is empty: name the AWS region, as ap-northeast-1"))
	}
	if cfg.Credentials == nil {
		errs = append(errs, errors.New("ses: Credentials is nil: load the AWS configuration first"))
	}
	if !isSetName(cfg.ConfigurationSet) {
		errs = append(errs, fmt.Errorf("ses: ConfigurationSet is %q: name the configuration set that every mail uses, 1 to 64 letters, digits, \"_\" and \"-\"", cfg.ConfigurationSet))
	}
	if cfg.Sender != SenderDirect && cfg.Sender != SenderSDK {
		errs = append(errs, fmt.Errorf("ses: Sender is %q: use %q or %q", cfg.Sender, SenderDirect, SenderSDK))
	}
	if cfg.MaxInFlight < 0 || cfg.MessageSize < 0 || cfg.Timeout < 0 || cfg.InFlightWait < 0 {
		errs = append(errs, errors.New("ses: MaxInFlight, InFlightWait, MessageSize and Timeout must not be negative"))
	}
	return errors.Join(errs...)
}

// isSetName reports whether s can be the name of a configuration set
// ("CreateConfigurationSet", SES API v2 reference). It stands in a header field
// too, where anything else could do harm.
func isSetName(s string) bool { return len(s) <= 64 && isTagText(s) }
