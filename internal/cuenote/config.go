package cuenote

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// TLSMode says how connections are protected.
type TLSMode string

const (
	TLSNone          TLSMode = "none"          // never
	TLSOpportunistic TLSMode = "opportunistic" // STARTTLS when offered, nobody's certificate is verified (RFC 7435)
	TLSStartTLS      TLSMode = "starttls"      // STARTTLS or nothing, verified (RFC 3207)
	TLSImplicit      TLSMode = "implicit"      // from the first byte, verified (RFC 8314 section 3)
)

// Config sets a Client. Address and Hostname are needed; every other field has
// a working zero value.
type Config struct {
	Address    string                 // host:port
	TLS        TLSMode                // "" is none
	CAFile     string                 // PEM; "" is the system's roots
	ServerName string                 // name in the certificate; "" is the host of Address
	Username   string                 // "" is no AUTH
	Password   func() (string, error) // asked for every new connection, by any goroutine, so that a changed file counts at once

	Connections int           // open at the same time, 200
	Rate        float64       // messages per second, 0 is unlimited; see Client.SetRate
	MaxWait     time.Duration // for a connection and for the rate together, 5 s

	Timeout        time.Duration // for the reply to the final dot, 110 s
	ConnectTimeout time.Duration // for dial, greeting, EHLO, STARTTLS and AUTH together, 30 s
	CommandTimeout time.Duration // for any other reply, and for writing one chunk of content, 30 s

	IdleTimeout time.Duration // a connection unused for so long is closed, 20 s: below any server's own
	MaxLifetime time.Duration // a connection this old is replaced, 10 min: a changed DNS record is followed
	MaxMails    int           // transactions on one connection, 500

	Hostname   string                // argument of EHLO
	Logger     *slog.Logger          // nil discards
	Registerer prometheus.Registerer // nil registers nothing
	Now        func() time.Time      // for ages and the rate; nil is time.Now
}

// withDefaults fills what was left zero.
func (cfg Config) withDefaults() Config {
	or(&cfg.TLS, TLSNone)
	or(&cfg.Connections, 200)
	or(&cfg.MaxWait, 5*time.Second)
	or(&cfg.Timeout, 110*time.Second)
	or(&cfg.ConnectTimeout, 30*time.Second)
	or(&cfg.CommandTimeout, 30*time.Second)
	or(&cfg.IdleTimeout, 20*time.Second)
	or(&cfg.MaxLifetime, 10*time.Minute)
	or(&cfg.MaxMails, 500)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return cfg
}

func or[T comparable](v *T, preset T) {
	var zero T
	if *v == zero {
		*v = preset
	}
}

// check returns every mistake at once.
func (cfg Config) check() error {
	var errs []error
	host, _, err := net.SplitHostPort(cfg.Address)
	if err != nil || host == "" {
		errs = append(errs, fmt.Errorf("address %q: write host:port", cfg.Address))
	}
	switch cfg.TLS {
	case TLSNone, TLSOpportunistic, TLSStartTLS, TLSImplicit:
	default:
		errs = append(errs, fmt.Errorf("tls %q: must be none, opportunistic, starttls or implicit", cfg.TLS))
	}
	if cfg.Hostname == "" || strings.ContainsFunc(cfg.Hostname, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		errs = append(errs, fmt.Errorf("hostname %q: must be a host name, it is the argument of EHLO", cfg.Hostname))
	}
	if cfg.Connections < 1 || cfg.MaxMails < 1 || cfg.Rate < 0 {
		errs = append(errs, errors.New("connections and mails per connection must be at least 1, rate not below 0"))
	}
	if cfg.Username != "" && cfg.Password == nil {
		errs = append(errs, errors.New("a username needs a password"))
	}
	if cfg.Username != "" && !cfg.TLS.verified() && !isLoopbackHost(host) {
		errs = append(errs, fmt.Errorf("a password may not go to %s without verified TLS: set tls to starttls or implicit", host))
	}
	return errors.Join(errs...)
}

// verified reports whether the mode proves who the server is.
func (m TLSMode) verified() bool { return m == TLSStartTLS || m == TLSImplicit }

func isLoopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true // where it really leads is looked at again before AUTH
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// tlsConfig returns the settings of the mode; nil without TLS.
func (cfg Config) tlsConfig() (*tls.Config, error) {
	if cfg.TLS == TLSNone {
		return nil, nil
	}
	name := cfg.ServerName
	if name == "" {
		name, _, _ = net.SplitHostPort(cfg.Address)
	}
	t := &tls.Config{
		ServerName:         name,
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: cfg.TLS == TLSOpportunistic,
		ClientSessionCache: tls.NewLRUClientSessionCache(8),
		// Full records from the first byte: a mail is one write, not many.
		DynamicRecordSizingDisabled: true,
	}
	if cfg.CAFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(cfg.CAFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	t.RootCAs = x509.NewCertPool()
	if !t.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca_file %s: no PEM certificate in it", cfg.CAFile)
	}
	return t, nil
}
