package simulator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// SESConfig describes a simulated SES account and its endpoint. The zero value is a healthy account that may send
// anything without a quota, on http://127.0.0.1 at a free port, believing every signature.
type SESConfig struct {
	Address string // host:port; "" = 127.0.0.1 and a free port
	TLS     bool   // https with a self-signed certificate: see CertPool

	Region      string            // "" = ap-northeast-1
	Credentials map[string]string // secret access key by access key id; nil = any signature is believed, but there must be one

	Account           Account  // quota and switches; may be changed later with SetAccount
	Identities        []string // verified domains and addresses; nil = every domain
	ConfigurationSets []string // nil = every name exists

	// NoCallLimit lifts the limit of 1 request a second (5 at once) that SES puts on all calls but sending,
	// account-wide.
	NoCallLimit bool

	// ReadObject opens "s3://bucket/key" for an import job; nil = every job fails for want of access.
	ReadObject func(url string) (io.ReadCloser, error)

	IdleTimeout time.Duration // an idle connection is closed after it, as AWS does; 0 = never

	Latency Latency          // of SendEmail; may be changed later with SetLatency
	Store   *Store           // where accepted mail goes; nil = a new one
	Seed    uint64           // of probabilities and latencies
	Clock   func() time.Time // for the quota and the records; nil = time.Now. Signatures are checked by time.Now.
}

// apiRate and apiBurst are the limit of NoCallLimit: calls a second, and how many at once.
const (
	apiRate  = 1
	apiBurst = 5
)

// SES is a running endpoint of the SES v2 API. All methods may be called from any goroutine.
type SES struct {
	cfg         SESConfig
	store       *Store
	faults      *Faults
	account     account
	verifier    verifier
	suppression suppression
	sets        map[string]bool // nil = every name exists
	mux         *http.ServeMux
	listener    *listener
	server      *http.Server
	ctx         context.Context // ends with Close
	cancel      context.CancelFunc
	pool        *x509.CertPool
	lastID      atomic.Uint64
	idPrefix    string
	outage      atomic.Bool // 503 to everything
	requests    atomic.Int64

	mu      sync.Mutex // guards all below
	rng     *rand.Rand
	latency Latency
}

// NewSES starts an endpoint. It fails when the address cannot be listened on.
func NewSES(cfg SESConfig) (*SES, error) {
	if cfg.Region == "" {
		cfg.Region = "ap-northeast-1"
	}
	if cfg.Store == nil {
		cfg.Store = NewStore(StoreConfig{})
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	s := &SES{cfg: cfg, store: cfg.Store, latency: cfg.Latency, rng: newRand(cfg.Seed),
		faults:   newFaults(SESFaults(), SESStages(), AtSend, sesSuits, cfg.Seed),
		verifier: verifier{region: cfg.Region, credentials: maps.Clone(cfg.Credentials)},
		idPrefix: fmt.Sprintf("%08x", rand.Uint32()),
	}
	s.account.set(cfg.Account)
	s.suppression.list, s.suppression.jobs = map[string]string{}, map[string]*importJob{}
	if cfg.ConfigurationSets != nil {
		s.sets = map[string]bool{}
		for _, name := range cfg.ConfigurationSets {
			s.sets[name] = true
		}
	}
	s.mux = s.routes()
	if err := s.start(); err != nil {
		return nil, err
	}
	return s, nil
}

// start listens and serves.
func (s *SES) start() (err error) {
	if s.listener, err = listen(s.cfg.Address); err != nil {
		return err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.server = &http.Server{Handler: s, IdleTimeout: s.cfg.IdleTimeout,
		BaseContext: func(net.Listener) context.Context { return s.ctx },
		ErrorLog:    log.New(io.Discard, "", 0), // handshakes cut on purpose are no news
	}
	if !s.cfg.TLS {
		go s.server.Serve(s.listener)
		return nil
	}
	certificate, pool, err := NewCertificate()
	if err != nil {
		s.cancel()
		return errors.Join(err, s.listener.Close())
	}
	s.pool = pool
	// HTTP/1.1 only, as the real endpoints: a connection can then be cut for one request.
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}}
	go s.server.Serve(tls.NewListener(s.listener, config))
	return nil
}

// URL is the base URL for the SDK's BaseEndpoint.
func (s *SES) URL() string {
	if s.cfg.TLS {
		return "https://" + s.listener.Addr().String()
	}
	return "http://" + s.listener.Addr().String()
}

// CertPool holds the endpoint's certificate; nil without TLS.
func (s *SES) CertPool() *x509.CertPool { return s.pool }

// Store returns where accepted mail is recorded.
func (s *SES) Store() *Store { return s.store }

// Faults returns what is wrong with the endpoint.
func (s *SES) Faults() *Faults { return s.faults }

// Account returns the state of the account, and SetAccount replaces it; what was sent stays counted.
func (s *SES) Account() Account { return s.account.get() }

// SetAccount replaces the state of the account: quota and switches.
func (s *SES) SetAccount(a Account) { s.account.set(a) }

// SetCredentials changes which access keys are known; the secrets stand by access key id.
func (s *SES) SetCredentials(secrets map[string]string) {
	s.verifier.setCredentials(maps.Clone(secrets))
}

// SentLast24Hours returns the recipients counted against Max24HourSend.
func (s *SES) SentLast24Hours() int64 { return s.account.sent(s.cfg.Clock()) }

// Requests returns how many requests of any kind have arrived, answered or not.
func (s *SES) Requests() int64 { return s.requests.Load() }

// SetLatency replaces the latency of SendEmail.
func (s *SES) SetLatency(l Latency) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latency = l
}

// drawLatency returns the time to wait before this answer.
func (s *SES) drawLatency() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.latency == (Latency{}) {
		return 0
	}
	return s.latency.draw(s.rng)
}

// Outage is a way in which a whole hop is away.
type Outage string

// Outages: none; new connections refused and open ones cut; SES answering 503 to everything, SMTP 421 at connect.
const (
	NoOutage          Outage = ""
	OutageRefuse      Outage = "refuse"
	OutageUnavailable Outage = "unavailable"
)

// SetOutage begins or ends an outage. Its error is that the port could not be listened on again, or that the outage
// is unknown.
func (s *SES) SetOutage(o Outage) error { return setOutage(o, s.listener, &s.outage) }

func setOutage(o Outage, l *listener, unavailable *atomic.Bool) error {
	switch o {
	case OutageRefuse:
		return l.down()
	case NoOutage, OutageUnavailable:
		unavailable.Store(o == OutageUnavailable)
		return l.restore()
	default:
		return fmt.Errorf("simulator: outage %q is unknown; known are %q, %q and %q", o, NoOutage, OutageRefuse, OutageUnavailable)
	}
}

// Close stops the endpoint and cuts what is open. A request that hangs or waits is not recorded any more.
func (s *SES) Close() {
	s.cancel()
	s.server.Close()
	s.listener.Close()
}
