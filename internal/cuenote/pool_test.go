package cuenote

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"sesrelay/internal/relay"
)

// virtual runs body in virtual time with a client of the scripted server.
func virtual(t *testing.T, f *fake, change func(*Config), body func(t *testing.T, c *Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f.reacted = make(chan struct{}) // of this bubble
		t.Cleanup(f.wait)
		c := newClient(t, "fake.example:25", change)
		c.dial = f.dial
		body(t, c)
	})
}

// begin starts a transaction that holds a connection.
func begin(t *testing.T, c *Client) relay.Delivery {
	t.Helper()
	d, err := c.Begin(context.Background(), envelope(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.AddRecipients(context.Background(), addresses(t, "a@example.jp"))[0]; err != nil {
		t.Fatal(err)
	}
	return d
}

func TestPoolIsBounded(t *testing.T) {
	t.Parallel()
	f := newFake()
	virtual(t, f, func(cfg *Config) { cfg.Connections = 2 }, func(t *testing.T, c *Client) {
		first, second := begin(t, c), begin(t, c)
		start := time.Now()
		r := mail(t, c, envelope(t), "b@example.jp", "c@example.jp")
		if got, want := describe(r.failure(t)), "not accepted, unavailable, busy, pool, "+unavailableReply; got != want || r.rcpt[1] != r.rcpt[0] {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if waited := time.Since(start); waited != 5*time.Second {
			t.Errorf("waited %v", waited)
		}
		var wg sync.WaitGroup
		for range 5 { // each waits for the one before
			wg.Go(func() { mail(t, c, envelope(t), "b@example.jp").ok(t) })
		}
		time.Sleep(4 * time.Second)
		first.Abort()
		wg.Wait()
		second.Abort()
		if f.count() != 2 || len(c.pool.slots) != 0 || len(c.pool.idle) != 2 {
			t.Errorf("%d connections, %d slots taken, %d idle", f.count(), len(c.pool.slots), len(c.pool.idle))
		}
	})
}

func TestWaitingEndsWithTheClient(t *testing.T) {
	t.Parallel()
	virtual(t, newFake(), func(cfg *Config) { cfg.Connections = 1 }, func(t *testing.T, c *Client) {
		d := begin(t, c)
		defer d.Abort()
		for want, ctx := range map[string]func() (context.Context, context.CancelFunc){
			"not accepted, client, none, canceled, 451 4.3.0 Local error, try again later": func() (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(context.Background())
				time.AfterFunc(time.Second, cancel)
				return ctx, cancel
			},
			"not accepted, unavailable, none, timeout, " + unavailableReply: func() (context.Context, context.CancelFunc) {
				return context.WithTimeout(context.Background(), time.Second)
			},
		} {
			start := time.Now()
			ctx, cancel := ctx()
			r := mailBody(t, ctx, c, envelope(t), content(message), "a@example.jp")
			if got := describe(r.failure(t)); got != want || time.Since(start) != time.Second {
				t.Errorf("after %v got  %s\nwant %s", time.Since(start), got, want)
			}
			cancel()
		}
	})
}

// TestLIFO: the connection used last is used first, so that the others age out.
func TestLIFO(t *testing.T) {
	t.Parallel()
	f := newFake()
	virtual(t, f, func(*Config) {}, func(t *testing.T, c *Client) {
		a, b := begin(t, c), begin(t, c)
		a.Abort()
		time.Sleep(time.Second)
		b.Abort()
		for range 30 {
			time.Sleep(time.Second)
			mail(t, c, envelope(t), "x@example.jp").ok(t)
		}
		if got := f.conn(0).commands; len(c.pool.idle) != 1 || got[len(got)-1] != "QUIT" {
			t.Errorf("%d idle, first connection %q", len(c.pool.idle), got)
		}
	})
}

func TestRate(t *testing.T) {
	t.Parallel()
	virtual(t, newFake(), func(cfg *Config) { cfg.Rate = 2 }, func(t *testing.T, c *Client) {
		start := time.Now()
		for range 5 {
			mail(t, c, envelope(t), "a@example.jp").ok(t)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("5 mails at 2/s took %v", took)
		}
		c.SetRate(0.1)
		if got, want := describe(mail(t, c, envelope(t), "a@example.jp").failure(t)), "not accepted, unavailable, busy, rate, 451 4.4.5 Sending rate reached, try again later"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if time.Since(start) != 2*time.Second {
			t.Error("a mail that cannot go in time waited all the same")
		}
		time.Sleep(10 * time.Second)
		mail(t, c, envelope(t), "a@example.jp").ok(t) // the refused one took nothing
		c.SetRate(0)
		start = time.Now()
		for range 100 {
			mail(t, c, envelope(t), "a@example.jp").ok(t)
		}
		if time.Since(start) != 0 {
			t.Errorf("unlimited took %v", time.Since(start))
		}
	})
}

// TestWaitingIsBoundedInAll: the time spent on the rate is not spent again on
// a connection.
func TestWaitingIsBoundedInAll(t *testing.T) {
	t.Parallel()
	virtual(t, newFake(), func(cfg *Config) { cfg.Rate, cfg.Connections = 0.25, 1 }, func(t *testing.T, c *Client) {
		d := begin(t, c)
		defer d.Abort()
		start := time.Now()
		if e := mail(t, c, envelope(t), "a@example.jp").failure(t); e.Class != classPool || time.Since(start) != 5*time.Second {
			t.Errorf("%v after %v", e, time.Since(start))
		}
	})
}

// TestClose lets running transactions finish, and late ones begin.
func TestClose(t *testing.T) {
	t.Parallel()
	f := newFake()
	virtual(t, f, func(*Config) {}, func(t *testing.T, c *Client) {
		running, idle := begin(t, c), begin(t, c)
		idle.Abort()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := c.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close with a running transaction: %v", err)
		}
		if got := f.conn(1).commands; got[len(got)-1] != "QUIT" {
			t.Errorf("idle connection: %q", got)
		}
		closed := make(chan error)
		go func() { closed <- c.Close(context.Background()) }()
		synctest.Wait()
		mail(t, c, envelope(t), "late@example.jp").ok(t)
		if err := running.AddRecipients(context.Background(), addresses(t, "b@example.jp"))[0]; err != nil {
			t.Error(err)
		}
		if _, err := running.Send(context.Background(), content(message)); err != nil {
			t.Error(err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		for i := range 3 {
			if got := f.conn(i).commands; got[len(got)-1] != "QUIT" {
				t.Errorf("connection %d: %q", i, got)
			}
		}
	})
}

// TestCloseDoesNotWaitForTheDeaf: a server that does not answer QUIT holds
// nothing up.
func TestCloseDoesNotWaitForTheDeaf(t *testing.T) {
	t.Parallel()
	virtual(t, newFake(script{"QUIT": "hang"}), func(*Config) {}, func(t *testing.T, c *Client) {
		mail(t, c, envelope(t), "a@example.jp").ok(t)
		start := time.Now()
		if err := c.Close(context.Background()); err != nil || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// TestMetrics: two clients of one registry, as after a reload, share their gauges.
func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	f := newFake(script{"RCPT TO:<no@example.jp>": "550 5.1.1 no"})
	address := f.listen(t)
	with := func(cfg *Config) { cfg.Registerer = registry }
	old, young := newClient(t, address, with), newClient(t, address, with)
	a, b := begin(t, old), begin(t, young)
	check := func(busy, idle float64) {
		t.Helper()
		if gotBusy, gotIdle := testutil.ToFloat64(young.metrics.busy), testutil.ToFloat64(old.metrics.idle); gotBusy != busy || gotIdle != idle {
			t.Errorf("busy %v idle %v, want %v and %v", gotBusy, gotIdle, busy, idle)
		}
	}
	check(2, 0)
	a.Abort()
	check(1, 1)
	b.AddRecipients(context.Background(), addresses(t, "no@example.jp"))
	b.Abort()
	check(0, 2)
	if got := testutil.ToFloat64(old.metrics.errors.WithLabelValues(classRejected)); got != 1 {
		t.Errorf("%v rejected", got)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	for _, c := range []*Client{old, young} {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
	check(0, 0)
}

func TestConfigMistakes(t *testing.T) {
	t.Parallel()
	_, err := New(Config{Address: "smtp.example", TLS: "ssl", Connections: -1, Username: "u"})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{`address "smtp.example": write host:port`, `tls "ssl": must be`, `hostname "": must be`, "connections and mails", "a username needs a password", "without verified TLS"} {
		if !contains(err, want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
	for _, file := range []string{"testdata/absent.pem", "pool_test.go"} {
		if _, err := New(Config{Address: "a:25", Hostname: "h", TLS: TLSStartTLS, CAFile: file}); !contains(err, "ca_file") {
			t.Errorf("%s: %v", file, err)
		}
	}
}
