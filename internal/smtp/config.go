package smtp

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sesrelay/internal/relay"
)

// Config is what the service is built from.
type Config struct {
	Hostname    string                            // in the greeting and the EHLO reply
	Listeners   []Listener                        // opened by Start
	Certificate func() (*tls.Certificate, error)  // asked at every handshake; needed by listeners with TLS
	Access      Access                            // replaced while running by SetAccess
	Limits      Limits                            // zero values mean the defaults
	Begin       func(*relay.Envelope) Transaction // at MAIL
	NewID       func() string                     // relay id of a transaction
	Logger      *slog.Logger                      // nil: slog.Default
	Registerer  prometheus.Registerer             // nil: metrics are not registered
}

// Protocol is what a listener speaks.
type Protocol string

const (
	SMTP Protocol = "smtp" // RFC 5321
	LMTP Protocol = "lmtp" // RFC 2033
)

// name is the protocol's name in the greeting.
func (p Protocol) name() string {
	if p == LMTP {
		return "LMTP"
	}
	return "ESMTP"
}

// TLSMode says when a listener speaks TLS.
type TLSMode string

const (
	TLSNone     TLSMode = "none"
	TLSOptional TLSMode = "starttls" // offered
	TLSRequired TLSMode = "required" // no mail before STARTTLS: 530
	TLSImplicit TLSMode = "implicit" // from the first byte, RFC 8314
)

// Listener is one address to listen on.
type Listener struct {
	Address  string   // host:port
	Protocol Protocol // "" means SMTP
	TLS      TLSMode  // "" means TLSNone
	// ProxyFrom names the load balancers whose PROXY header is believed, and
	// demanded. From everyone else such a header is a bad command.
	ProxyFrom []netip.Prefix
}

func (l Listener) withDefaults() *Listener {
	l.Protocol = cmp.Or(l.Protocol, SMTP)
	l.TLS = cmp.Or(l.TLS, TLSNone)
	return &l
}

func (l Listener) check(haveCertificate bool) error {
	switch l.Protocol {
	case SMTP, LMTP, "":
	default:
		return fmt.Errorf("listener %s: protocol %q: use smtp or lmtp", l.Address, l.Protocol)
	}
	switch l.TLS {
	case TLSNone, "":
		return nil
	case TLSOptional, TLSRequired, TLSImplicit:
	default:
		return fmt.Errorf("listener %s: tls %q: use none, starttls, required or implicit", l.Address, l.TLS)
	}
	if !haveCertificate {
		return fmt.Errorf("listener %s: tls %s needs a certificate: set tls.certificate_file and tls.key_file", l.Address, l.TLS)
	}
	return nil
}

// Limits bounds what clients can use. A zero value means the default.
type Limits struct {
	MessageSize          int64         // content in bytes, RFC 1870; 40 MiB
	Recipients           int           // RCPT commands in one transaction, refused ones included; 1,000. The limit of the configuration is the transaction's
	Connections          int           // 5,000
	ConnectionsPerClient int           // 5,000
	BadCommands          int           // syntax errors and bad sequences in one connection; 10
	IdleCommands         int           // NOOP, RSET, EHLO ... since the last message; 100, as Postfix's smtpd_junk_command_limit
	AuthAttempts         int           // in one connection; 3
	Command              time.Duration // wait for the next command; 5 min, RFC 5321 section 4.5.3.2.7
	Held                 time.Duration // the same, while the transaction holds an upstream connection; 30 s
	Idle                 time.Duration // connection without a message; 30 min
	Park                 time.Duration // an idle connection keeps its session engine and buffers; 1 s
	Data                 time.Duration // whole body, plus its bytes at DataRate; 5 min
	DataHeld             time.Duration // the same, while the transaction holds an upstream connection; 1 min, plus its bytes at a quarter of DataRate
	DataRate             int64         // bytes per second; 64 KiB
	Proxy                time.Duration // PROXY header; 5 s
	Handshake            time.Duration // TLS; 10 s
	Write                time.Duration // until the client takes our replies; 1 min
}

func (l Limits) withDefaults() Limits {
	def(&l.MessageSize, 40<<20)
	def(&l.Recipients, 1000)
	def(&l.Connections, 5000)
	def(&l.ConnectionsPerClient, 5000)
	def(&l.BadCommands, 10)
	def(&l.IdleCommands, 100)
	def(&l.AuthAttempts, 3)
	def(&l.Command, 5*time.Minute)
	def(&l.Held, 30*time.Second)
	def(&l.Idle, 30*time.Minute)
	def(&l.Park, time.Second)
	def(&l.Data, 5*time.Minute)
	def(&l.DataHeld, time.Minute)
	def(&l.DataRate, 64<<10)
	def(&l.Proxy, 5*time.Second)
	def(&l.Handshake, 10*time.Second)
	def(&l.Write, time.Minute)
	return l
}

func def[T int | int64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// check reports every mistake at once.
func (c *Config) check() error {
	var errs []error
	if c.Hostname == "" {
		errs = append(errs, errors.New("hostname is empty: set the name that the relay greets with"))
	}
	if c.Begin == nil || c.NewID == nil {
		errs = append(errs, errors.New("neither Begin nor NewID may be nil"))
	}
	for _, l := range c.Listeners {
		if err := l.check(c.Certificate != nil); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
