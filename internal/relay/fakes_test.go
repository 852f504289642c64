package relay

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// fakeUpstream is scripted by functions; it keeps what it accepted.
type fakeUpstream struct {
	route Route
	begin func() error
	rcpt  func(to Address) error
	ready func() error               // before the content is asked for
	send  func(content string) error // after all of it was read

	mu        sync.Mutex
	delivered []fakeMail
	aborted   int
	completed int // how often the permission to end the data was given
}

type fakeMail struct {
	env     Envelope
	to      []Address
	content string
	step    string
	tags    string
}

func (f *fakeUpstream) Begin(_ context.Context, env *Envelope) (Delivery, error) {
	if f.begin != nil {
		if err := f.begin(); err != nil {
			return nil, err
		}
	}
	return &fakeDelivery{f: f, mail: fakeMail{env: *env}}, nil
}

func (f *fakeUpstream) mails() []fakeMail {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.delivered)
}

type fakeDelivery struct {
	f    *fakeUpstream
	mail fakeMail
	over bool
}

func (d *fakeDelivery) SetTags(step, client string) { d.mail.step, d.mail.tags = step, client }

func (d *fakeDelivery) AddRecipients(_ context.Context, to []Address) []error {
	errs := make([]error, len(to))
	for i, a := range to {
		if d.f.rcpt != nil {
			errs[i] = d.f.rcpt(a)
		}
		if errs[i] == nil {
			d.mail.to = append(d.mail.to, a)
		}
	}
	return errs
}

func (d *fakeDelivery) Send(ctx context.Context, body Body) (Receipt, error) {
	d.over = true
	if d.f.ready != nil {
		if err := d.f.ready(); err != nil {
			return Receipt{}, err
		}
	}
	if err := body.Open(ctx); err != nil {
		return Receipt{}, fmt.Errorf("open: %w", err)
	}
	var b strings.Builder
	for {
		part, err := body.Next()
		if err == io.EOF { //nolint:errorlint // the permission to end is io.EOF itself
			break
		}
		if err != nil {
			return Receipt{}, fmt.Errorf("content: %w", err)
		}
		b.Write(part)
	}
	d.mail.content = b.String()
	d.f.mu.Lock()
	d.f.completed++
	d.f.mu.Unlock()
	if d.f.send != nil {
		if err := d.f.send(d.mail.content); err != nil {
			return Receipt{}, err
		}
	}
	d.f.mu.Lock()
	defer d.f.mu.Unlock()
	d.f.delivered = append(d.f.delivered, d.mail)
	return Receipt{ID: fmt.Sprintf("%s-%d", d.f.route, len(d.f.delivered)), Text: "2.0.0 Ok"}, nil
}

func (d *fakeDelivery) Abort() {
	if !d.over {
		d.over = true
		d.f.mu.Lock()
		d.f.aborted++
		d.f.mu.Unlock()
	}
}

// fakeSource is the client's content, read in chunks; err stands in for io.EOF.
type fakeSource struct {
	content string
	chunk   int
	err     error
	opened  int
}

func (s *fakeSource) Open() error { s.opened++; return nil }

func (s *fakeSource) Read(p []byte) (int, error) {
	if s.opened == 0 {
		panic("read before 354")
	}
	if s.content == "" {
		if s.err != nil {
			return 0, s.err
		}
		return 0, io.EOF
	}
	n := len(s.content)
	if s.chunk > 0 {
		n = min(n, s.chunk)
	}
	n = copy(p, s.content[:n])
	s.content = s.content[n:]
	return n, nil
}

// fakeRouter sends everything to route, but for what unfit says.
type fakeRouter struct {
	route   Route
	closed  bool              // applied percentage is 0
	held    bool              // requested is not
	by      map[string]Route  // recipient -> route
	unfit   map[string]Reason // recipient -> reason
	content func(c *Content) Reason
}

func (r *fakeRouter) Route(env *Envelope, to Address) Decision {
	d := Decision{Route: r.route, Reason: ReasonSplit, Version: 7, Step: "p10", SESOpen: !r.closed, Held: r.held && r.FitRecipient(env, to) == ""}
	if by, ok := r.by[to.String()]; ok {
		d.Route = by
	}
	if reason := r.FitRecipient(env, to); reason != "" {
		d.Route, d.Reason = Cuenote, reason
	}
	return d
}

func (r *fakeRouter) FitRecipient(_ *Envelope, to Address) Reason { return r.unfit[to.String()] }

func (r *fakeRouter) FitContent(_ *Envelope, c *Content) Reason {
	if r.content == nil {
		return ""
	}
	return r.content(c)
}

// fakeQuota has left recipients.
type fakeQuota struct {
	mu       sync.Mutex
	left     int
	taken    int
	refunded int
	wait     time.Duration // of each Take
}

func (q *fakeQuota) Spent(n int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.left < n
}

func (q *fakeQuota) Take(_ context.Context, n int) error {
	time.Sleep(q.wait)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.left < n {
		return &Error{Kind: Exhausted, Class: "rate", Reply: ReplyThrottled}
	}
	q.left -= n
	q.taken += n
	return nil
}

func (q *fakeQuota) Refund(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.left += n
	q.refunded += n
}

func (q *fakeQuota) Throttled(daily bool) {}

// world is a relay with fake neighbours.
type world struct {
	t       *testing.T
	relay   *Relay
	cfg     Config
	ses     *fakeUpstream
	cuenote *fakeUpstream
	router  *fakeRouter
	quota   *fakeQuota
	ledger  *MemoryLedger
	memory  *Budget
	reg     *prometheus.Registry
	mu      sync.Mutex
	records []*Record
	ids     int
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, ses: &fakeUpstream{route: SES}, cuenote: &fakeUpstream{route: Cuenote},
		router: &fakeRouter{route: SES}, quota: &fakeQuota{left: 1000},
		ledger: NewMemoryLedger(time.Hour, 1000, time.Now), memory: NewBudget(64 << 20), reg: prometheus.NewRegistry(),
	}
	breaker := BreakerConfig{FailureRatio: 0.5, MinRequests: 20, OpenFor: 10 * time.Second}
	w.cfg = Config{
		Hostname: "relay.example.jp",
		SES:      Hop{Upstream: w.ses, Breaker: NewBreaker(breaker, time.Now), Header: "X-SES-CONFIGURATION-SET: set\r\n"},
		Cuenote:  Hop{Upstream: w.cuenote, Breaker: NewBreaker(breaker, time.Now)},
		Policy:   Policy{SESUnavailable: true, SESRejected: true, SESExhausted: true},
		Router:   w.router, Quota: w.quota, Ledger: w.ledger, MaxRecipients: 50,
	}
	w.relay = New(w.cfg, w.memory, w.reg, func(r *Record) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.records = append(w.records, r)
	}, time.Now)
	return w
}

// set changes the configuration.
func (w *world) set(change func(*Config)) {
	change(&w.cfg)
	w.relay.Reconfigure(w.cfg)
}

func addr(s string) Address {
	a, err := ParseAddress(s, true)
	if err != nil {
		panic(s + ": " + err.Error())
	}
	return a
}

func (w *world) begin() *Transaction {
	w.mu.Lock()
	w.ids++
	id := fmt.Sprintf("id%d", w.ids)
	w.mu.Unlock()
	return w.relay.Begin(&Envelope{
		ID: id, ReversePath: addr("sender@goo.ne.jp"), Begun: time.Now(),
		Client: Client{Addr: netip.MustParseAddr("192.0.2.1"), HELO: "mail.goo.ne.jp", Extended: true},
	})
}

const testMail = "Received: from a by b with ESMTP id 4ABC; Mon, 23 Nov 2026 10:00:00 +0900\r\nMessage-ID: <1@goo.ne.jp>\r\nFrom: a@goo.ne.jp\r\n\r\nHello\r\n"

// submit sends one mail to the recipients and returns the replies to RCPT and DATA.
func (w *world) submit(content string, to ...string) (rcpt []Reply, data Reply) {
	w.t.Helper()
	t := w.begin()
	accepted := 0
	for _, a := range to {
		r := t.Recipient(context.Background(), addr(a))
		rcpt = append(rcpt, r)
		if r.Positive() {
			accepted++
		}
	}
	if accepted == 0 {
		t.Abort()
		return rcpt, Reply{}
	}
	data = t.Data(context.Background(), &fakeSource{content: content})
	if used := w.memory.Used(); used != 0 {
		w.t.Errorf("%d bytes of memory are still reserved after the transaction", used)
	}
	return rcpt, data
}

func (w *world) last() *Record {
	w.t.Helper()
	if len(w.records) == 0 {
		w.t.Fatal("no record was made")
	}
	return w.records[len(w.records)-1]
}
