package relay

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The second simulation has several relays with a shared state, and clients that
// try another relay when one is gone, as Postfix does. A seed decides when a
// relay crashes, which calls of the shared state are lost on the way there or
// back or come late, who is cut off from it, and what the upstreams do. Every
// step takes a time of its own, to the nanosecond, so that no two happen at
// once: a seed replays exactly, and TestFleetSimulationReplays holds it to that.
//
//	go test ./internal/relay -run FleetSimulation -seed 17

func TestFleetSimulation(t *testing.T) {
	if *oneSeed != 0 {
		t.Log(simulateFleet(t, *oneSeed))
		return
	}
	n := *seeds * 2
	if raceEnabled || testing.Short() {
		n /= 4
	}
	var sum fleetSum
	for seed := range n {
		sum.add(simulateFleet(t, seed+1))
		if t.Failed() {
			return
		}
	}
	t.Logf("%d seeds: %+v", n, sum)
	if sum.Crashes == 0 || sum.Cuts == 0 || sum.Lost == 0 || sum.Doubled == 0 || sum.Duplicates == 0 {
		t.Errorf("something never happened: %+v", sum)
	}
}

// TestFleetSimulationReplays runs some seeds twice and compares what happened,
// in its order and at its time.
func TestFleetSimulationReplays(t *testing.T) {
	for seed := range uint64(20) {
		if a, b := simulateFleet(t, seed+1), simulateFleet(t, seed+1); a != b {
			t.Errorf("seed %d: %+v, then %+v", seed+1, a, b)
		}
	}
}

// fleetSum is what happened in a simulation.
type fleetSum struct {
	Mails, Attempts, Crashes, Cuts, Lost int
	Duplicates                           int // retries that the ledger answered
	Doubled                              int // mails that were sent again, in a window that is known
	Sure                                 int // mails for which no such window was open: one copy each
	Trace                                uint64
}

func (a *fleetSum) add(b fleetSum) {
	a.Mails += b.Mails
	a.Attempts += b.Attempts
	a.Crashes += b.Crashes
	a.Cuts += b.Cuts
	a.Lost += b.Lost
	a.Duplicates += b.Duplicates
	a.Doubled += b.Doubled
	a.Sure += b.Sure
	a.Trace ^= b.Trace
}

// fleetSim is the world of one seed.
type fleetSim struct {
	seed   uint64
	shared *sharedState
	relays []*simRelay
	lossy  float64 // chance that a question or an answer is lost

	mu       sync.Mutex // guards what follows
	healthy  bool
	closed   bool // the applied percentage is 0
	txs      map[string]*fleetTx
	sum      fleetSum
	trace    []string
	problems []string
	running  sync.WaitGroup
}

func (s *fleetSim) problem(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.problems) < 5 {
		s.problems = append(s.problems, fmt.Sprintf(format, args...))
	}
}

func (s *fleetSim) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trace = append(s.trace, time.Now().Format("15:04:05.000000000 ")+fmt.Sprintf(format, args...))
}

// tick lets a little time pass, never the same.
func tick(rnd *rand.Rand, most time.Duration) { time.Sleep(1 + time.Duration(rnd.Int64N(int64(most)))) }

// goesWrong reports, with chance p, that something does.
func (s *fleetSim) goesWrong(rnd *rand.Rand, p float64) bool {
	hit := rnd.Float64() < p
	s.mu.Lock()
	defer s.mu.Unlock()
	return hit && !s.healthy
}

func simulateFleet(t *testing.T, seed uint64) (sum fleetSum) {
	synctest.Test(t, func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(seed, 77))
		s := &fleetSim{seed: seed, txs: map[string]*fleetTx{}}
		kinds := rnd.IntN(8) // of what goes wrong: each seed has its own mixture, so that the others are judged without excuse
		if kinds&1 > 0 {
			s.lossy = 0.03
		}
		s.shared = &sharedState{s: s, entries: map[Fingerprint]*entry{}}
		for i := range 2 + rnd.IntN(3) {
			r := &simRelay{s: s, n: i, rnd: rand.New(rand.NewPCG(seed, uint64(i)+200))}
			r.start()
			s.relays = append(s.relays, r)
		}
		quiet := make(chan struct{})
		for i := range s.relays {
			s.running.Go(func() { s.relays[i].suffer(quiet, kinds&2 > 0, kinds&4 > 0) })
		}
		s.running.Go(func() { s.pullBrake(quiet, rand.New(rand.NewPCG(seed, 98))) })
		var clients sync.WaitGroup
		for i := range 1 + rnd.IntN(4) {
			c := &fleetClient{s: s, n: i, rnd: rand.New(rand.NewPCG(seed, uint64(i)+100)), bad: []float64{0, 0.05, 0.25}[rnd.IntN(3)]}
			clients.Go(c.run)
		}
		s.running.Go(func() { // after a while all is well, and all mail has to arrive
			time.Sleep(time.Duration(20+rnd.IntN(300)) * time.Second)
			s.mu.Lock()
			s.healthy, s.closed = true, false
			s.mu.Unlock()
			close(quiet)
		})
		clients.Wait()
		s.running.Wait()
		s.audit()
		sum = s.sum
		h := fnv.New64a()
		io.WriteString(h, strings.Join(s.trace, "\n"))
		sum.Trace = h.Sum64()
		for _, p := range s.problems {
			t.Errorf("seed %d: %s", seed, p)
		}
		if t.Failed() && *oneSeed != 0 {
			t.Logf("%s", strings.Join(s.trace, "\n"))
		}
	})
	return sum
}

func (s *fleetSim) pullBrake(quiet <-chan struct{}, rnd *rand.Rand) {
	for range rnd.IntN(6) {
		select {
		case <-quiet:
			return
		case <-time.After(time.Duration(rnd.Int64N(int64(100 * time.Second)))):
		}
		s.mu.Lock()
		if !s.healthy {
			s.closed = !s.closed
		}
		s.mu.Unlock()
	}
}

// simRelay is a place in the fleet: one incarnation after another.
type simRelay struct {
	s   *fleetSim
	n   int
	rnd *rand.Rand

	mu  sync.Mutex // guards what follows
	cut bool       // from the shared state
	now *incarnation
}

// incarnation is one life of a relay.
type incarnation struct {
	place   *simRelay
	relay   *Relay
	memory  *Budget
	quota   *countedQuota
	gone    chan struct{} // closed by the crash
	local   sync.Mutex    // guards settled
	settled map[Fingerprint]Receipt
}

func (i *incarnation) dead() bool {
	select {
	case <-i.gone:
		return true
	default:
		return false
	}
}

func (r *simRelay) start() {
	i := &incarnation{place: r, memory: NewBudget(64 << 20), quota: &countedQuota{}, gone: make(chan struct{}), settled: map[Fingerprint]Receipt{}}
	breaker := BreakerConfig{FailureRatio: 0.5, MinRequests: 20, OpenFor: 10 * time.Second}
	i.relay = New(Config{
		Hostname: "relay.example.jp",
		SES:      Hop{Upstream: &fleetUpstream{i, SES}, Breaker: NewBreaker(breaker, time.Now), Header: "X-SES-CONFIGURATION-SET: set\r\n", Copies: 1.4},
		Cuenote:  Hop{Upstream: &fleetUpstream{i, Cuenote}, Breaker: NewBreaker(breaker, time.Now)},
		Policy:   Policy{SESUnavailable: true, SESRejected: true, SESExhausted: true, CuenoteUnavailable: r.s.seed%2 == 0},
		Router:   fleetRouter{r.s}, Quota: i.quota, Ledger: &fleetLedger{i}, MaxRecipients: 50,
	}, i.memory, prometheus.NewRegistry(), func(*Record) {}, time.Now)
	r.mu.Lock()
	r.now = i
	r.mu.Unlock()
}

func (r *simRelay) current() *incarnation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

// suffer crashes the relay and cuts it off, at odd times.
func (r *simRelay) suffer(quiet <-chan struct{}, crashes, cuts bool) {
	for {
		select {
		case <-quiet:
			r.mu.Lock()
			r.cut = false
			r.mu.Unlock()
			return
		case <-time.After(1 + time.Duration(r.rnd.Int64N(int64(90*time.Second)))):
		}
		if r.rnd.IntN(3) == 0 {
			if !cuts {
				continue
			}
			r.mu.Lock()
			r.cut = !r.cut
			r.mu.Unlock()
			r.s.count(&r.s.sum.Cuts)
			r.s.note("relay %d: cut off: %v", r.n, r.cut)
			continue
		}
		if !crashes {
			continue
		}
		r.s.count(&r.s.sum.Crashes)
		r.s.note("relay %d crashes", r.n)
		close(r.current().gone)
		tick(r.rnd, 5*time.Second)
		r.start()
	}
}

func (s *fleetSim) count(n *int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*n++
}

func (r *simRelay) isCut() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cut
}

// countedQuota lets everything through and counts.
type countedQuota struct {
	mu    sync.Mutex
	taken int // not refunded
}

func (q *countedQuota) Spent(int) bool { return false }
func (q *countedQuota) Take(_ context.Context, n int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.taken += n
	return nil
}

func (q *countedQuota) Refund(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.taken -= n
}
func (q *countedQuota) Throttled(bool) {}

// fleetRouter draws a route for each transaction.
type fleetRouter struct{ s *fleetSim }

func (r fleetRouter) Route(env *Envelope, _ Address) Decision {
	tx := r.s.tx(env.ID)
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	d := Decision{Route: tx.route, Reason: ReasonSplit, SESOpen: !r.s.closed}
	if r.s.closed {
		d.Route = Cuenote
	}
	if tx.decided == nil {
		tx.decided = &d
	}
	first := *tx.decided
	first.SESOpen = !r.s.closed
	return first
}
func (fleetRouter) FitRecipient(*Envelope, Address) Reason { return "" }
func (fleetRouter) FitContent(*Envelope, *Content) Reason  { return "" }

func (s *fleetSim) tx(id string) *fleetTx {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.txs[id]
}

// fleetMail is one mail of a client's, through all its attempts.
type fleetMail struct {
	name     string
	content  string
	to       []Address
	ledgered bool

	mu      sync.Mutex // guards what follows
	copies  int        // acceptances by an upstream
	excuses []string   // why there may be more than one
	allowed []Reply    // refusals for good that an upstream gave
	done    *Reply
}

func (m *fleetMail) excuse(why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.excuses = append(m.excuses, why)
}

// fleetTx is one attempt.
type fleetTx struct {
	id      string
	mail    *fleetMail
	rnd     *rand.Rand
	bad     float64
	route   Route
	decided *Decision
}

// audit is what must be so in the end.
func (s *fleetSim) audit() {
	seen := map[*fleetMail]bool{}
	for _, tx := range s.txs {
		m := tx.mail
		if seen[m] {
			continue
		}
		seen[m] = true
		s.sum.Mails++
		switch {
		case m.done == nil:
			s.problem("%s never arrived, and its client gave up", m.name)
		case m.done.Positive() && m.copies == 0:
			s.problem("%s is lost: acknowledged with %v, and nobody has it", m.name, *m.done)
		case m.done.Permanent() && !slices.Contains(m.allowed, *m.done):
			s.problem("%s was refused with %v, which no upstream said", m.name, *m.done)
		}
		if m.ledgered && len(m.excuses) == 0 {
			s.sum.Sure++
		}
		if m.copies > 1 && m.ledgered {
			s.sum.Doubled++
			if len(m.excuses) == 0 {
				s.problem("%s has %d copies, and no reason for it is known", m.name, m.copies)
			}
		}
	}
	for _, r := range s.relays {
		if n := r.now.memory.Used(); n != 0 {
			s.problem("relay %d: %d bytes of memory are still reserved", r.n, n)
		}
	}
}

// fleetClient sends mails and comes again, to the next relay when one is lost.
type fleetClient struct {
	s   *fleetSim
	n   int
	rnd *rand.Rand
	bad float64
	to  int
}

func (c *fleetClient) run() {
	for i := range 1 + c.rnd.IntN(4) {
		tick(c.rnd, 40*time.Second)
		m := &fleetMail{name: fmt.Sprintf("mail %d-%d", c.n, i), ledgered: c.rnd.IntN(5) > 0}
		m.content = "From: a@goo.ne.jp\r\n"
		if m.ledgered {
			m.content += fmt.Sprintf("Message-ID: <%d-%d@goo.ne.jp>\r\n", c.n, i)
		}
		m.content += "\r\n" + strings.Repeat("body\r\n", c.rnd.IntN(8000))
		for k := range 1 + c.rnd.IntN(3) {
			m.to = append(m.to, addr(fmt.Sprintf("c%d-%d-%d@example.jp", c.n, i, k)))
		}
		for try := range 60 {
			r, lost := c.submit(m, try)
			if !lost && (r.Positive() || r.Permanent()) {
				m.done = &r
				break
			}
			if lost && c.rnd.IntN(2) == 0 {
				tick(c.rnd, 100*time.Millisecond) // the second address is tried at once
			} else {
				tick(c.rnd, 120*time.Second)
			}
		}
	}
}

// submit makes one attempt. lost: the client does not know how it ended.
func (c *fleetClient) submit(m *fleetMail, try int) (reply Reply, lost bool) {
	s := c.s
	s.count(&s.sum.Attempts)
	at := s.relays[c.to%len(s.relays)].current()
	if at.dead() {
		c.to++
		return Reply{}, true
	}
	tx := &fleetTx{id: fmt.Sprintf("%s try %d", m.name, try), mail: m, rnd: rand.New(rand.NewPCG(c.rnd.Uint64(), 3)), bad: c.bad, route: []Route{SES, Cuenote}[c.rnd.IntN(2)]}
	s.mu.Lock()
	s.txs[tx.id] = tx
	s.mu.Unlock()
	replies := make(chan Reply, 1)
	s.running.Go(func() { replies <- transact(at, tx) })
	select {
	case reply = <-replies:
	case <-at.gone:
		c.to++
		s.note("%s: relay %d died under it", tx.id, at.place.n)
		return Reply{}, true
	}
	lost = at.dead() || s.goesWrong(c.rnd, 0.1)
	s.note("%s by relay %d: %v, lost %v", tx.id, at.place.n, reply, lost)
	if lost || reply.Code == 421 {
		c.to++
	}
	if reply.Positive() && m.copiesNow() == 0 {
		s.problem("%s: %v before any upstream had it", tx.id, reply)
	}
	return reply, lost
}

func (m *fleetMail) copiesNow() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.copies
}

// transact is what the session does with one mail.
func transact(at *incarnation, tx *fleetTx) Reply {
	t := at.relay.Begin(&Envelope{ID: tx.id, ReversePath: addr("sender@goo.ne.jp"), Begun: time.Now()})
	defer t.Abort()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, a := range tx.mail.to {
		tick(tx.rnd, time.Second)
		if r := t.Recipient(ctx, a); !r.Positive() {
			return r
		}
	}
	tick(tx.rnd, time.Second)
	return t.Data(ctx, &fakeSource{content: tx.mail.content, chunk: 1 + tx.rnd.IntN(20_000)})
}

var errCrash = errors.New("this relay is dead")

// fleetUpstream is an upstream as one incarnation sees it.
type fleetUpstream struct {
	i     *incarnation
	route Route
}

type fleetDelivery struct {
	u  *fleetUpstream
	tx *fleetTx
}

func (u *fleetUpstream) Begin(_ context.Context, env *Envelope) (Delivery, error) {
	tx := u.i.place.s.tx(env.ID)
	tick(tx.rnd, 50*time.Millisecond)
	if u.i.place.s.goesWrong(tx.rnd, tx.bad) || u.i.dead() {
		return nil, &Error{Kind: Unavailable, Signal: SignalCount, Class: "dial", Reply: ReplyUnavailable}
	}
	return &fleetDelivery{u, tx}, nil
}

func (d *fleetDelivery) AddRecipients(_ context.Context, to []Address) []error {
	errs := make([]error, len(to))
	tick(d.tx.rnd, 200*time.Millisecond)
	for i, a := range to {
		if d.u.i.place.s.goesWrong(d.tx.rnd, d.tx.bad/4) {
			errs[i] = d.refuse(a.String())
		}
	}
	return errs
}

// refuse is a refusal for good. Of SES's a client must not hear when Cuenote may
// take the mail.
func (d *fleetDelivery) refuse(what string) *Error {
	r := Reply{550, [3]int{5, 1, 1}, fmt.Sprintf("%s refuses %s", d.u.route, what)}
	d.tx.mail.mu.Lock()
	d.tx.mail.allowed = append(d.tx.mail.allowed, r)
	d.tx.mail.mu.Unlock()
	return &Error{Kind: Rejected, Class: "refused", Reply: r}
}

func (d *fleetDelivery) Send(ctx context.Context, body Body) (Receipt, error) {
	s, tx, m := d.u.i.place.s, d.tx, d.tx.mail
	if err := body.Open(ctx); err != nil {
		return Receipt{}, fmt.Errorf("open: %w", err)
	}
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if d.u.route == SES && closed && tx.decided.Route != SES {
		s.problem("%s: overflow to SES with the brake on", tx.id)
	}
	size := 0
	for {
		tick(tx.rnd, 300*time.Millisecond)
		if d.u.i.dead() { // the connection breaks: nobody completes the data
			return Receipt{}, &Error{Outcome: Unknown, Kind: Unavailable, Class: "crash", Reply: ReplyUnknown, Err: errCrash}
		}
		part, err := body.Next()
		if err == io.EOF { //nolint:errorlint // the permission to end is io.EOF itself
			break
		}
		if err != nil {
			return Receipt{}, fmt.Errorf("content: %w", err)
		}
		size += len(part)
	}
	if size < len(m.content) {
		s.problem("%s: %d bytes of %d", tx.id, size, len(m.content))
	}
	return d.answer()
}

// answer is what becomes of a mail that an upstream has whole.
func (d *fleetDelivery) answer() (Receipt, error) {
	s, tx, m := d.u.i.place.s, d.tx, d.tx.mail
	if tx.rnd.IntN(4) == 0 {
		tick(tx.rnd, 40*time.Second)
	} else {
		tick(tx.rnd, time.Second)
	}
	if d.u.route == SES {
		q := d.u.i.quota
		q.mu.Lock()
		if q.taken < len(m.to) {
			s.problem("%s: SES counts %d recipients, and %d were taken from the quota", tx.id, len(m.to), q.taken)
		}
		q.mu.Unlock()
	}
	if !s.goesWrong(tx.rnd, tx.bad) {
		d.accept()
		return Receipt{ID: tx.id, Text: "2.0.0 Ok"}, nil
	}
	switch tx.rnd.IntN(4) {
	case 0:
		return Receipt{}, d.refuse("the content")
	case 1:
		return Receipt{}, &Error{Kind: Unavailable, Signal: SignalCount, Class: "later", Reply: Reply{451, [3]int{4, 3, 0}, "later"}}
	case 2:
		m.excuse("an upstream accepted and did not say so")
		d.accept()
	}
	return Receipt{}, &Error{Outcome: Unknown, Kind: Unavailable, Signal: SignalCount, Class: "unanswered", Reply: ReplyUnknown}
}

func (d *fleetDelivery) accept() {
	m := d.tx.mail
	if d.u.i.dead() {
		m.excuse("its relay died while an upstream accepted")
	}
	d.u.i.place.s.note("%s: %s has it, relay dead: %v", d.tx.id, d.u.route, d.u.i.dead())
	m.mu.Lock()
	m.copies++
	m.mu.Unlock()
}

func (d *fleetDelivery) Abort() {}
