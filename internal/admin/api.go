package admin

import (
	"log/slog"
	"net/http"
	"net/netip"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sesrelay/internal/quota"
	"sesrelay/internal/relay"
	"sesrelay/internal/split"
)

// Limits of the service.
const (
	maxBody     = 64 << 10
	maxRequests = 256 // at once, streams of events among them
	maxChanges  = 32  // at once, beside the others: whoever may only look keeps nobody from the brake
	maxStreams  = 64  // of events, at once
	maxHeader   = 16 << 10
	ioTime      = 10 * time.Second // to read a request, and to write an answer
)

// Explainer says which way a mail would go (split.Router).
type Explainer interface {
	Explain(env *relay.Envelope, to relay.Address) split.Explanation
	By() split.By
}

// Masker hides personal data (mask.Masker).
type Masker interface {
	Address(addr string) string
	Text(s string, known ...string) string
}

// Upstream is what the relay knows about an upstream beside its records.
type Upstream struct {
	Name     relay.Route
	Open     bool   // the breaker
	Because  string // class of the error that opened it
	InFlight int64
}

// Instance is one relay of the fleet and the split version that it applies.
type Instance struct {
	ID      string        `json:"id"`
	Version int64         `json:"version"`
	Applied split.Percent `json:"applied"` // requested, under the brake
}

// Alarm is something that a person should look at.
type Alarm struct {
	Level string    `json:"level"` // critical or warning
	Text  string    `json:"text"`
	Since time.Time `json:"since"`
}

// Config is what the API shows and moves. Every field without "nil" in its
// comment is required.
type Config struct {
	Instance  string // id of this instance
	Version   string // of the program
	Split     *split.Live
	Router    Explainer
	Quota     func() quota.Status
	Upstreams func() []Upstream
	Fleet     Fleet          // nil: this instance alone
	Alarms    func() []Alarm // nil: only those that the API finds itself
	Ready     func() (ready, draining bool)
	Stats     *Stats
	Traces    *Traces
	Masker    func() Masker
	Gatherer  prometheus.Gatherer
	Log       *slog.Logger // audit lines, and faults
	Extra     []Route      // the demo's own pages
	Rollout   Rollout      // nil: there is none
	Now       func() time.Time
}

// Settings is what a reload may change.
type Settings struct {
	Tokens   *Tokens // nil: no tokens_file, loopback only
	Networks map[Role][]netip.Prefix
	Traffic  split.Traffic // 0: as measured
	Cuenote  float64       // cuenote.rate, messages a second; 0: unlimited
}

// API is the handler of everything on admin.address.
type API struct {
	Config
	settings atomic.Pointer[Settings]
	mux      *http.ServeMux
	table    map[string]Route // by pattern
	metrics  http.Handler
	origin   *http.CrossOriginProtection
	started  time.Time
	requests chan struct{} // holds one per request under way that changes nothing
	changes  chan struct{} // and one per change
	streams  chan struct{}
	profiler chan struct{} // and the one profile that is being taken
	refused  *refusals
	closing  chan struct{} // closed when a server shuts down: streams of events would keep it waiting
	close    sync.Once

	reported others

	mu     sync.Mutex           // guards what follows
	since  map[string]time.Time // alarms that stand
	cached *Status
}

// New returns the API. Reconfigure replaces the settings later.
func New(cfg Config, settings Settings) *API {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	a := &API{Config: cfg, mux: http.NewServeMux(), table: map[string]Route{}, origin: http.NewCrossOriginProtection(), started: cfg.Now(),
		metrics:  promhttp.HandlerFor(cfg.Gatherer, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: ioTime}),
		requests: make(chan struct{}, maxRequests), changes: make(chan struct{}, maxChanges), streams: make(chan struct{}, maxStreams), profiler: make(chan struct{}, 1), closing: make(chan struct{}), refused: newRefusals(cfg.Log, cfg.Now), since: map[string]time.Time{}}
	a.Reconfigure(settings)
	for _, r := range append(a.routes(), cfg.Extra...) {
		a.table[r.Pattern] = r
		a.mux.Handle(r.Pattern, r.Handler)
	}
	return a
}

// Reconfigure replaces tokens, networks and the traffic to plan with. Streams
// of events whose token is gone are closed.
func (a *API) Reconfigure(s Settings) { a.settings.Store(&s) }

// Server returns a server for the API with limits on time and size. The caller
// serves and shuts down.
func (a *API) Server() *http.Server {
	s := &http.Server{Handler: a, ReadHeaderTimeout: ioTime / 2, ReadTimeout: ioTime, WriteTimeout: 2 * ioTime,
		IdleTimeout: time.Minute, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(a.Log.Handler(), slog.LevelDebug)}
	s.RegisterOnShutdown(func() { a.close.Do(func() { close(a.closing); a.refused.stop() }) })
	return s
}

// ServeHTTP lets a request through to its handler, or refuses it.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	route, who, p := a.admit(r)
	if p != nil {
		a.auditRefusal(r, who, p)
		if p.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="relay"`)
		}
		writeJSON(w, p.Status, p)
		return
	}
	if route.Handler == nil {
		a.notFound(w, r)
		return
	}
	done, ok := a.enter(route)
	if !ok {
		p := refuse(http.StatusServiceUnavailable, "too many requests at once: try again")
		if route.Role == Admin {
			a.auditRefusal(r, who, p)
		}
		writeJSON(w, p.Status, p)
		return
	}
	defer done()
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	a.mux.ServeHTTP(w, r.WithContext(withCaller(r.Context(), who)))
}

// enter takes a place for a request of a route. Health needs none: a busy relay
// is not a dead one.
func (a *API) enter(r Route) (done func(), ok bool) {
	places := a.requests
	switch {
	case r.Role == Anyone:
		return func() {}, true
	case r.Role == Admin && !strings.HasPrefix(r.Pattern, "GET "): // a profile changes nothing
		places = a.changes
	}
	select {
	case places <- struct{}{}:
		return func() { <-places }, true
	default:
		return nil, false
	}
}

// admit finds the route and checks who asks. A route that does not exist is
// told only to those who may call something; its Handler is nil.
func (a *API) admit(r *http.Request) (Route, caller, *problem) {
	_, pattern := a.mux.Handler(r)
	route, ok := a.table[pattern]
	if !ok || cleaned(r.URL.Path) != r.URL.Path { // the mux would redirect
		route = Route{Role: Monitoring}
	}
	s := a.settings.Load()
	switch route.Role {
	case Anyone:
		return route, caller{addr: remote(r)}, nil
	case Network:
		return route, caller{addr: remote(r)}, s.inNetwork(r)
	}
	who, p := s.identify(r)
	if p != nil {
		return route, who, p
	}
	if who.role < route.Role {
		return route, who, refuse(http.StatusForbidden, "this needs role "+route.Role.String()+", and "+who.name+" has "+who.role.String())
	}
	if a.foreign(r) {
		return route, who, refuse(http.StatusForbidden, "the request comes from a page of another site")
	}
	return route, who, nil
}

// cleaned is a path as the mux wants it: path.Clean, and a slash at the end stays.
func cleaned(p string) string {
	c := path.Clean(p)
	if strings.HasSuffix(p, "/") && c != "/" {
		c += "/"
	}
	return c
}

// foreign reports whether a page of another site made the browser ask. Reads
// are checked too: such a page could not see the answer, but it could hold
// every stream of events.
func (a *API) foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return true
	}
	return a.origin.Check(r) != nil
}

// notFound answers what the table does not have, with the status that the mux
// has found (404, or 405 with Allow).
func (a *API) notFound(w http.ResponseWriter, r *http.Request) {
	probe := &statusProbe{header: http.Header{}}
	h, _ := a.mux.Handler(r)
	h.ServeHTTP(probe, r)
	if allow := probe.header.Get("Allow"); probe.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", allow)
		writeJSON(w, probe.status, refuse(probe.status, "allowed here: "+allow))
		return
	}
	writeJSON(w, http.StatusNotFound, refuse(http.StatusNotFound, "there is no such path: GET /v1/openapi.json lists them"))
}

// statusProbe keeps the status and throws the body away.
type statusProbe struct {
	header http.Header
	status int
}

func (p *statusProbe) Header() http.Header         { return p.header }
func (p *statusProbe) Write(b []byte) (int, error) { return len(b), nil }
func (p *statusProbe) WriteHeader(status int)      { p.status = status }

// secure sets what every answer has. The page loads nothing from elsewhere and
// stands in no frame.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}
