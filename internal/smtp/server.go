package smtp

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	gosmtp "github.com/emersion/go-smtp"
)

// Server is the SMTP and LMTP service.
type Server struct {
	cfg     Config
	limits  Limits
	log     *slog.Logger
	tls     *tls.Config
	access  atomic.Pointer[Access]
	auth    *authenticator
	metrics *metrics
	engines map[Protocol]*engine
	phase   atomic.Int32 // serving, draining, drained

	mu        sync.Mutex // guards what follows; no lock of a connection is taken under it
	listeners map[string]*listener
	conns     map[*guard]struct{}
	clients   map[netip.Addr]int // connections of each client
	empty     chan struct{}      // closed when the last connection of a drain is gone
}

// New returns a service that does not listen yet.
func New(cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &Server{
		cfg:       cfg,
		limits:    cfg.Limits.withDefaults(),
		log:       cfg.Logger,
		auth:      newAuthenticator(),
		metrics:   newMetrics(cfg.Registerer),
		listeners: map[string]*listener{},
		conns:     map[*guard]struct{}{},
		clients:   map[netip.Addr]int{},
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.Certificate != nil {
		s.tls.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cfg.Certificate() }
	}
	s.SetAccess(cfg.Access)
	s.engines = map[Protocol]*engine{SMTP: s.newEngine(false), LMTP: s.newEngine(true)}
	return s, nil
}

// engine is the library's server for one protocol. Its listener gives it
// connections that are ready for a session.
type engine struct {
	lib   *gosmtp.Server
	ready handover
}

func (s *Server) newEngine(lmtp bool) *engine {
	lib := gosmtp.NewServer(gosmtp.BackendFunc(newSession))
	lib.LMTP = lmtp
	lib.Domain = s.cfg.Hostname
	lib.MaxMessageBytes = s.limits.MessageSize // for SIZE; the guard counts
	lib.MaxLineLength = 0                      // the guard's
	lib.AllowInsecureAuth = true               // the guard's
	lib.EnableSMTPUTF8 = true
	lib.ErrorLog = libraryLog{s.log}
	e := &engine{lib: lib, ready: handover{conns: make(chan net.Conn), done: make(chan struct{})}}
	go lib.Serve(&e.ready)
	return e
}

// handover is a net.Listener of connections that were accepted elsewhere.
type handover struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// Accept waits for the next connection.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (h *handover) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

// Addr returns no address: a handover has none.
func (h *handover) Addr() net.Addr { return &net.TCPAddr{} }

// give hands c over, or reports false when the service is closed.
func (h *handover) give(c net.Conn) bool {
	select {
	case h.conns <- c:
		return true
	case <-h.done:
		return false
	}
}

// Start opens the listeners of the configuration: all of them, or none and an
// error that names each that failed.
func (s *Server) Start() error { return s.SetListeners(s.cfg.Listeners) }

// Close ends everything at once. Drain does it gently.
func (s *Server) Close() error {
	s.phase.Store(drained)
	err := s.SetListeners(nil)
	for _, g := range s.connections() {
		g.cancel()
		g.raw.Close()
	}
	for _, e := range s.engines {
		e.ready.Close()
	}
	return err
}

// libraryLog takes the library's messages about connections that broke and
// about panics.
type libraryLog struct{ log *slog.Logger }

// Printf logs one message.
func (l libraryLog) Printf(format string, v ...any) {
	for _, a := range v {
		if err, ok := a.(error); ok && (errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed)) {
			return
		}
	}
	l.log.Error("session engine", "message", fmt.Sprintf(format, v...))
}

// Println logs one message.
func (l libraryLog) Println(v ...any) { l.log.Error("session engine", "message", fmt.Sprintln(v...)) }
