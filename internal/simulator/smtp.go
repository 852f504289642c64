package simulator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// SMTPConfig describes a simulated SMTP next hop. The zero value offers PIPELINING, SIZE, 8BITMIME, ENHANCEDSTATUSCODES
// and takes everything in plain text on 127.0.0.1 at a free port.
type SMTPConfig struct {
	Address  string // host:port; "" = 127.0.0.1 and a free port
	Hostname string // in the greeting and the EHLO reply; "" = cuenote.example

	STARTTLS    bool             // offered, with a self-signed certificate: see CertPool
	ImplicitTLS bool             // TLS from the first byte
	Certificate *tls.Certificate // nil = self-signed

	Username     string // offers AUTH PLAIN LOGIN and takes these credentials; "" = no AUTH
	Password     string
	AuthRequired bool // 530 to MAIL before AUTH

	NoEHLO       bool // HELO only: EHLO gets 502
	NoPIPELINING bool // not offered; what comes ahead is an anomaly, and still served
	No8BITMIME   bool
	NoSIZE       bool
	SMTPUTF8     bool // offered
	MaxSize      int  // bytes of a message, in SIZE; 0 = 50 MiB

	Limits  SMTPLimits       // may be changed later with SetLimits
	Latency Latency          // of the reply to the final dot; may be changed later with SetLatency
	Store   *Store           // where accepted mail goes; nil = a new one
	Seed    uint64           // of probabilities and latencies
	Clock   func() time.Time // for Limits.Rate and the records; nil = time.Now
}

// SMTPLimits are what a next hop puts up with. 0 is no limit.
type SMTPLimits struct {
	MaxConnections int           `json:"max_connections"`         // 421 4.7.0 at connect beyond
	MaxMessages    int           `json:"messages_per_connection"` // 421 4.7.0 at the next MAIL
	MaxRecipients  int           `json:"recipients_per_message"`  // 452 4.5.3 at RCPT
	Rate           float64       `json:"messages_per_second"`     // 451 4.7.1 at MAIL beyond; a second's worth at once
	IdleTimeout    time.Duration `json:"idle_timeout"`            // 421 4.4.2 and close when no command comes for so long
}

// SMTP is a running SMTP next hop. All methods may be called from any goroutine.
type SMTP struct {
	cfg      SMTPConfig
	store    *Store
	faults   *Faults
	listener *listener
	tls      *tls.Config
	pool     *x509.CertPool
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	outage   atomic.Bool // 421 at connect
	limits   atomic.Pointer[SMTPLimits]

	passwords atomic.Pointer[[]string] // any of them is taken
	idPrefix  string
	lastID    atomic.Uint64
	total     atomic.Int64 // connections taken
	open      atomic.Int64

	mu        sync.Mutex // guards all below
	rng       *rand.Rand
	latency   Latency
	rate      bucket
	anomalies []Anomaly
	commands  map[string]int64
}

// maxAnomalies bounds what Anomalies keeps: the first ones tell most.
const maxAnomalies = 1000

// NewSMTP starts a next hop. It fails when the address cannot be listened on.
func NewSMTP(cfg SMTPConfig) (*SMTP, error) {
	if cfg.Hostname == "" {
		cfg.Hostname = "cuenote.example"
	}
	if cfg.MaxSize <= 0 {
		cfg.MaxSize = 50 << 20
	}
	if cfg.Store == nil {
		cfg.Store = NewStore(StoreConfig{})
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	s := &SMTP{cfg: cfg, store: cfg.Store, latency: cfg.Latency, rng: newRand(cfg.Seed), commands: map[string]int64{},
		faults:   newFaults(SMTPFaults(), SMTPStages(), AtDot, smtpSuits, cfg.Seed),
		idPrefix: fmt.Sprintf("4F%06X", rand.Uint32()&0xffffff)}
	s.limits.Store(&cfg.Limits)
	s.SetPasswords(cfg.Password)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.certify(); err != nil {
		return nil, err
	}
	var err error
	if s.listener, err = listen(cfg.Address); err != nil {
		return nil, err
	}
	s.wg.Go(s.serve)
	return s, nil
}

// certify prepares TLS where it is offered.
func (s *SMTP) certify() error {
	if !s.cfg.STARTTLS && !s.cfg.ImplicitTLS {
		return nil
	}
	if s.cfg.Certificate != nil {
		s.tls = &tls.Config{Certificates: []tls.Certificate{*s.cfg.Certificate}}
		return nil
	}
	certificate, pool, err := NewCertificate(s.cfg.Hostname)
	s.pool, s.tls = pool, &tls.Config{Certificates: []tls.Certificate{certificate}}
	return err
}

// serve accepts connections until the listener is closed.
func (s *SMTP) serve() {
	for {
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			if !pause(s.ctx, 10*time.Millisecond) { // out of descriptors: try again shortly
				return
			}
			continue
		}
		number := s.total.Add(1)
		s.open.Add(1)
		s.wg.Go(newSession(s, conn, number).serve)
	}
}

// Addr is the address to connect to, host:port.
func (s *SMTP) Addr() string { return s.listener.Addr().String() }

// CertPool holds the self-signed certificate; nil without TLS, and with a certificate of the caller's.
func (s *SMTP) CertPool() *x509.CertPool { return s.pool }

// Store returns where accepted mail is recorded.
func (s *SMTP) Store() *Store { return s.store }

// Faults returns what is wrong with the hop.
func (s *SMTP) Faults() *Faults { return s.faults }

// SetLimits replaces the limits; connections already open stay.
func (s *SMTP) SetLimits(l SMTPLimits) { s.limits.Store(&l) }

// SetPasswords changes what AUTH takes for Username: during a rotation the old one and the new one. Who is authenticated stays so.
func (s *SMTP) SetPasswords(passwords ...string) { s.passwords.Store(&passwords) }

// SetOutage begins or ends an outage. OutageUnavailable is 421 to new connections; sessions already open go on.
func (s *SMTP) SetOutage(o Outage) error { return setOutage(o, s.listener, &s.outage) }

// SetLatency replaces the latency of the reply to the final dot.
func (s *SMTP) SetLatency(l Latency) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latency = l
}

// Close stops the hop, cuts every connection and waits for the sessions to end.
func (s *SMTP) Close() {
	s.cancel()
	s.listener.Close()
	s.wg.Wait()
}

// Connections returns how many connections are open, and how many there were in all.
func (s *SMTP) Connections() (open, total int64) { return s.open.Load(), s.total.Load() }

// CutConnections closes every open connection, as a restarting server does; new ones are taken.
func (s *SMTP) CutConnections() { s.listener.cutAll() }

// Commands returns how often each command was received, by verb in upper case; "DOT" counts finished messages.
func (s *SMTP) Commands() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.commands)
}

// Anomalies returns what a correct client would not have sent, oldest first, the first 1,000.
func (s *SMTP) Anomalies() []Anomaly {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.anomalies)
}

func (s *SMTP) noteAnomaly(a Anomaly) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.anomalies) < maxAnomalies {
		s.anomalies = append(s.anomalies, a)
	}
}

func (s *SMTP) drawLatency() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.latency == (Latency{}) {
		return 0
	}
	return s.latency.draw(s.rng)
}

// admit asks the rate limit for one message.
func (s *SMTP) admit(rate float64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rate.take(s.cfg.Clock(), rate, max(rate, 1), 1)
}
