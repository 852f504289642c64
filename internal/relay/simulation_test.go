package relay

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A simulation is a relay between clients and upstreams that do whatever a
// seed says: refuse, stall, lose the connection, answer nothing, panic, take
// the mail and not say so. What must hold is checked after every step, by the
// fakes themselves, from what the upstreams know to be true.
//
//	go test ./internal/relay -run Simulation -seed 17

var (
	oneSeed = flag.Uint64("seed", 0, "run TestSimulation with this seed only")
	seeds   = flag.Uint64("seeds", 2000, "how many seeds TestSimulation runs")
)

func TestSimulation(t *testing.T) {
	if *oneSeed != 0 {
		simulate(t, *oneSeed)
		return
	}
	n := *seeds
	if raceEnabled || testing.Short() {
		n /= 8
	}
	for seed := range n {
		if simulate(t, seed+1); t.Failed() {
			return
		}
	}
}

// simulate runs the whole world of one seed.
func simulate(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, seed)
		var clients sync.WaitGroup
		for i := range 1 + s.rnd.IntN(4) {
			c := &simClient{s: s, rnd: rand.New(rand.NewPCG(seed, uint64(i)+100))}
			clients.Go(c.run)
		}
		quiet := make(chan struct{})
		go s.pullBrake(quiet, rand.New(rand.NewPCG(seed, 99)))
		clients.Wait()
		close(quiet)
		s.finish()
		for _, p := range s.problems {
			t.Errorf("seed %d: %s", seed, p)
		}
	})
}

type sim struct {
	*world
	rnd *rand.Rand // of the first goroutine only

	mu       sync.Mutex // guards what follows
	txs      map[string]*simTx
	visible  map[string]bool // ledger keys of mail that was accepted, and the relay was told so
	taken    map[string]bool // mail and recipient: accepted, and the relay was told so
	charged  int             // recipients of calls to SES that were or may have been accepted
	live     int             // deliveries begun and not over
	closed   bool            // the applied percentage is 0
	healthy  bool            // upstreams work
	problems []string
}

func (s *sim) problem(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.problems) < 5 {
		s.problems = append(s.problems, fmt.Sprintf(format, args...))
	}
}

// simTx is what the fakes know of one transaction.
type simTx struct {
	s         *sim
	id        string
	rnd       *rand.Rand // one goroutine at a time uses a transaction
	bad       float64    // chance that an upstream misbehaves, at each step
	mail      *simMail
	lmtp      bool
	decisions map[Address]Decision // the first for each recipient, and {} for the transaction
	unknown   map[Address]bool     // may have been accepted
	accepted  map[Address]bool
	allowed   []Reply // permanent answers that the client may read
	complete  bool    // the client sent all of its content
	records   []*Record
}

type simMail struct {
	number   int
	content  string
	ledgered bool
	unfit    bool // SES cannot take the content
}

func newSim(t *testing.T, seed uint64) *sim {
	s := &sim{world: newWorld(t), rnd: rand.New(rand.NewPCG(seed, 1)),
		txs: map[string]*simTx{}, visible: map[string]bool{}, taken: map[string]bool{}}
	s.quota.left = []int{0, 3, 30, 1000}[s.rnd.IntN(4)]
	s.memory.limit = []int64{40 << 10, 200 << 10, 64 << 20}[s.rnd.IntN(3)]
	policy := s.rnd.IntN(16)
	s.cfg.SES.Upstream, s.cfg.Cuenote.Upstream = &simUpstream{s, SES}, &simUpstream{s, Cuenote}
	s.cfg.SES.Copies = 1.4
	s.cfg.Policy = Policy{policy&1 != 0, policy&2 != 0, policy&4 != 0, policy&8 != 0}
	s.cfg.Rehearse = s.rnd.IntN(2) == 0
	s.cfg.Router = &simRouter{s}
	s.cfg.MaxRecipients = 4
	s.relay.Reconfigure(s.cfg)
	s.relay.observe = func(r *Record) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if tx := s.txs[r.Envelope.ID]; tx != nil {
			tx.records = append(tx.records, r)
		}
	}
	return s
}

// pullBrake closes and opens the way to SES at odd times.
func (s *sim) pullBrake(quiet <-chan struct{}, rnd *rand.Rand) {
	for range rnd.IntN(20) {
		select {
		case <-quiet:
			return
		case <-time.After(time.Duration(rnd.IntN(200)) * time.Second):
		}
		s.mu.Lock()
		s.closed = !s.closed
		s.mu.Unlock()
	}
}

// finish checks what must be so when all is quiet.
func (s *sim) finish() {
	s.mu.Lock()
	s.healthy, s.closed = true, false
	s.mu.Unlock()
	if n := s.memory.Used(); n != 0 {
		s.problem("%d bytes of memory are still reserved", n)
	}
	if s.live != 0 {
		s.problem("%d deliveries were never ended", s.live)
	}
	if n := len(s.ledger.flights); n != 0 {
		s.problem("%d claims were never settled", n)
	}
	if n := s.quota.taken - s.quota.refunded; n != s.charged {
		s.problem("quota: %d taken and %d refunded, but SES was asked for %d", s.quota.taken, s.quota.refunded, s.charged)
	}
	for _, r := range []Route{SES, Cuenote} {
		if n := s.relay.Hop(r).InFlight; n != 0 {
			s.problem("%d messages under way to %s", n, r)
		}
		s.mustRecover(r)
	}
}

// mustRecover sends mail to a route that works again: its breaker must close.
func (s *sim) mustRecover(route Route) {
	time.Sleep(time.Minute)
	s.quota.left, s.memory.limit = 1000, 64<<20
	rnd := rand.New(rand.NewPCG(1, 1))
	for i := range 2 {
		tx := s.newTx(rnd, &simMail{number: 1e6 + i, content: "A: b\r\n\r\nx"}, false)
		tx.complete = true
		tx.decisions[Address{}] = Decision{Route: route, SESOpen: true}
		t := s.relay.Begin(tx.envelope())
		t.Recipient(context.Background(), addr("r@example.jp"))
		t.Data(context.Background(), &fakeSource{content: tx.mail.content})
		if i == 1 && (len(tx.records) != 1 || tx.records[0].Route != route || tx.records[0].Result != ResultAccepted) {
			open, why := s.relay.cfg.Load().hop(route).Breaker.Open()
			s.problem("%s does not recover: breaker open %v (%s), %+v", route, open, why, tx.records)
		}
	}
}

func (s *sim) newTx(rnd *rand.Rand, m *simMail, lmtp bool) *simTx {
	s.mu.Lock()
	defer s.mu.Unlock()
	tx := &simTx{s: s, id: fmt.Sprintf("tx%d", len(s.txs)), rnd: rand.New(rand.NewPCG(rnd.Uint64(), 7)), mail: m, lmtp: lmtp,
		bad:       []float64{0, 0.05, 0.2, 0.6}[rnd.IntN(4)],
		decisions: map[Address]Decision{}, unknown: map[Address]bool{}, accepted: map[Address]bool{}}
	s.txs[tx.id] = tx
	return tx
}

func (tx *simTx) envelope() *Envelope {
	return &Envelope{ID: tx.id, ReversePath: addr("sender@goo.ne.jp"), LMTP: tx.lmtp, Begun: time.Now(),
		Size: int64(len(tx.mail.content) * tx.rnd.IntN(2))}
}

func (s *sim) tx(id string) *simTx {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.txs[id]
}

// simRouter draws a route for each transaction, over LMTP for each recipient.
type simRouter struct{ s *sim }

func (r *simRouter) Route(env *Envelope, to Address) Decision {
	tx := r.s.tx(env.ID)
	r.s.mu.Lock()
	closed := r.s.closed
	r.s.mu.Unlock()
	d := Decision{Route: []Route{SES, Cuenote}[tx.rnd.IntN(2)], Reason: ReasonSplit, SESOpen: !closed}
	if closed || r.FitRecipient(env, to) != "" {
		d.Route = Cuenote
	}
	key := to
	if !tx.lmtp {
		key = Address{}
	}
	if first, ok := tx.decisions[key]; ok {
		first.SESOpen = d.SESOpen
		return first
	}
	tx.decisions[key] = d
	return d
}

func (r *simRouter) FitRecipient(_ *Envelope, to Address) Reason {
	if strings.HasPrefix(to.Local, "odd") {
		return ReasonLocalPart
	}
	return ""
}

func (r *simRouter) FitContent(env *Envelope, _ *Content) Reason {
	if r.s.tx(env.ID).mail.unfit {
		return ReasonIdentity
	}
	return ""
}

// simClient sends mails, and comes again as Postfix does.
type simClient struct {
	s   *sim
	rnd *rand.Rand
}

func (c *simClient) run() {
	for range 1 + c.rnd.IntN(6) {
		m := c.newMail()
		lmtp := c.rnd.IntN(3) == 0
		to := c.recipients(lmtp)
		var twice sync.WaitGroup
		if c.rnd.IntN(5) == 0 { // a client that gave up waiting, and comes on a second connection
			other := &simClient{s: c.s, rnd: rand.New(rand.NewPCG(c.rnd.Uint64(), 5))}
			twice.Go(func() { time.Sleep(time.Duration(other.rnd.IntN(20)) * time.Second); other.retries(m, lmtp, to) })
		}
		c.retries(m, lmtp, to)
		twice.Wait()
	}
}

func (c *simClient) retries(m *simMail, lmtp bool, to []Address) {
	for range 5 {
		to = c.submit(m, lmtp, to)
		if len(to) == 0 {
			return
		}
		time.Sleep(time.Duration(c.rnd.IntN(400)) * time.Second)
	}
}

func (c *simClient) newMail() *simMail {
	m := &simMail{number: int(c.rnd.Uint32()), ledgered: c.rnd.IntN(4) != 0, unfit: c.rnd.IntN(8) == 0}
	head := "From: a@goo.ne.jp\r\nX-SES-TENANT: x\r\n"
	if m.ledgered {
		head += fmt.Sprintf("Message-ID: <%d@goo.ne.jp>\r\n", m.number)
	}
	if c.rnd.IntN(10) == 0 {
		head += strings.Repeat("X: "+strings.Repeat("y", 900)+"\r\n", 40)
	}
	if c.rnd.IntN(20) == 0 {
		head += strings.Repeat("Received: loop\r\n", maxReceived+1)
	}
	m.content = head + "\r\n" + strings.Repeat("body\r\n", c.rnd.IntN(20_000)/(1+c.rnd.IntN(100)))
	return m
}

func (c *simClient) recipients(lmtp bool) (to []Address) {
	for i := range 1 + c.rnd.IntN(5) {
		to = append(to, addr(fmt.Sprintf("%s%d@example.jp", []string{"r", "r", "r", "odd"}[c.rnd.IntN(4)], i)))
	}
	if lmtp && c.rnd.IntN(5) == 0 {
		to = append(to, to[0])
	}
	return to
}

// submit makes one transaction and returns the recipients that are to come again.
func (c *simClient) submit(m *simMail, lmtp bool, to []Address) (again []Address) {
	tx := c.s.newTx(c.rnd, m, lmtp)
	t := c.s.relay.Begin(tx.envelope())
	var accepted, refused []Address
	var replies []Reply
	asked := false // for the content
	crashed := guarded(func() {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		for _, a := range to {
			c.think()
			if c.rnd.IntN(60) == 0 {
				cancel() // the client has left
			}
			switch r := t.Recipient(ctx, a); {
			case r.Positive():
				accepted = append(accepted, a)
			case r == ReplyTooManyRcpts && len(accepted) == tx.s.cfg.MaxRecipients:
			default:
				tx.checkRefusal("RCPT", r)
				refused = append(refused, a)
			}
		}
		c.think()
		if len(accepted) == 0 || c.rnd.IntN(25) == 0 {
			t.Abort()
			return
		}
		asked = true
		src := &simSource{tx: tx, fakeSource: fakeSource{content: m.content, chunk: 1 + c.rnd.IntN(20_000)}}
		if c.rnd.IntN(12) == 0 {
			src.err = []error{
				&Error{Kind: ClientFault, Class: "line_ends", Reply: ReplyLineEnds},
				&Error{Kind: ClientFault, Class: "client_gone", Reply: ReplyLocalError, Err: fmt.Errorf("read: %w", io.EOF)},
				fmt.Errorf("read: %w", io.EOF),
			}[c.rnd.IntN(3)]
			tx.allowed = append(tx.allowed, ReplyLineEnds)
		}
		if strings.Contains(m.content, "Received: loop") {
			tx.allowed = append(tx.allowed, ReplyLoop)
		}
		if lmtp {
			replies = t.DataEach(ctx, src)
		} else {
			replies = slices.Repeat([]Reply{t.Data(ctx, src)}, len(accepted))
		}
	})
	t.Abort()
	t.Abort()
	tx.checkRecords(accepted, refused, asked, crashed)
	lost := crashed || c.rnd.IntN(8) == 0 // the client does not hear the replies
	for i, a := range accepted {
		if i >= len(replies) {
			again = append(again, a)
			continue
		}
		tx.checkReply(a, replies[i])
		if lost || replies[i].Temporary() {
			again = append(again, a)
		}
	}
	return again
}

// think lets time pass, sometimes more than a breaker waits.
func (c *simClient) think() {
	if c.rnd.IntN(6) == 0 {
		time.Sleep(time.Duration(c.rnd.IntN(30)) * time.Second)
	}
}

// guarded does what the session does: a panic ends the transaction.
func guarded(step func()) (crashed bool) {
	defer func() {
		if v := recover(); v != nil {
			if v != errScripted {
				panic(v)
			}
			crashed = true
		}
	}()
	step()
	return false
}

func (tx *simTx) checkRefusal(where string, r Reply) {
	if !r.Temporary() && !(r.Permanent() && slices.Contains(tx.allowed, r)) {
		tx.s.problem("%s: reply %v to %s, which nobody gave for good", tx.id, r, where)
	}
}

func (tx *simTx) checkReply(a Address, r Reply) {
	if !r.Positive() {
		tx.checkRefusal("data for "+a.String(), r)
		return
	}
	tx.s.mu.Lock()
	ok := tx.s.taken[tx.mail.key(a)]
	tx.s.mu.Unlock()
	if !ok {
		tx.s.problem("%s: 250 for %s, but no upstream said that it accepted", tx.id, a)
	}
	if tx.unknown[a] {
		tx.s.problem("%s: 250 for %s, whose outcome is unknown", tx.id, a)
	}
}

// checkRecords: each recipient stands in exactly one record; a transaction over
// SMTP has one.
func (tx *simTx) checkRecords(accepted, refused []Address, asked, crashed bool) {
	tx.s.mu.Lock()
	records := tx.records
	tx.s.mu.Unlock()
	if !tx.lmtp && asked && len(records) != 1 {
		tx.s.problem("%s: %d records", tx.id, len(records))
	}
	if !asked {
		accepted = nil
	}
	if !asked && len(refused) == 0 && !crashed && len(records) != 0 {
		tx.s.problem("%s: %d records of nothing", tx.id, len(records))
	}
	if crashed && !asked {
		return // the recipient that was being offered is nowhere
	}
	want, got := map[Address]int{}, map[Address]int{}
	for _, a := range accepted {
		want[a] = 1
	}
	for _, a := range refused { // over LMTP perhaps twice, or before it was accepted
		want[a]++
	}
	for _, r := range records {
		for _, a := range r.Recipients {
			got[a]++
		}
		for _, f := range r.Refused {
			got[f.To]++
		}
	}
	for a, n := range want {
		if got[a] != n {
			tx.s.problem("%s: %s stands in the records %d times, want %d (asked %v, crashed %v): %s", tx.id, a, got[a], n, asked, crashed, describe(records))
		}
	}
}

func describe(records []*Record) string {
	var b strings.Builder
	for _, r := range records {
		fmt.Fprintf(&b, "[%s %s %s to %v refused %v: %v]", r.Route, r.Reason, r.Result, r.Recipients, r.Refused, r.Err)
	}
	return b.String()
}

func (m *simMail) key(a Address) string { return fmt.Sprintf("%d %s", m.number, a) }

// ledgerKeys are what the duplicate ledger tells apart.
func (tx *simTx) ledgerKeys(to []Address) (keys []string) {
	names := make([]string, len(to))
	for i, a := range to {
		names[i] = a.String()
	}
	slices.Sort(names)
	if !tx.lmtp {
		names = []string{strings.Join(names, ",")}
	}
	for _, n := range names {
		keys = append(keys, fmt.Sprintf("%d %s", tx.mail.number, n))
	}
	return keys
}

// simSource is a client that may be slow, and may end in an error.
type simSource struct {
	fakeSource
	tx *simTx
}

func (s *simSource) Read(p []byte) (int, error) {
	if s.tx.rnd.IntN(50) == 0 {
		time.Sleep(time.Duration(s.tx.rnd.IntN(20)) * time.Second)
	}
	n, err := s.fakeSource.Read(p)
	if err == io.EOF {
		s.tx.complete = true
	}
	return n, err
}
