package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sesrelay/internal/redistest"
)

// fleetDisaster is something that goes wrong with a fleet of three, again and
// again until ctx ends; it leaves the fleet whole.
type fleetDisaster struct {
	name string
	run  func(ctx context.Context, t *testing.T, f *fleetStage)
	// unsure: a killed instance leaves claims behind, and perhaps mail that an
	// upstream took without anybody knowing.
	unsure bool
}

type fleetStage struct {
	*fleet
	redis *redistest.Server
	turns int     // how often it went wrong
	alone float64 // claims that killed instances had to decide without an answer of Redis
}

var fleetDisasters = []fleetDisaster{
	{"kill -9 every second", func(ctx context.Context, t *testing.T, f *fleetStage) {
		for ctx.Err() == nil {
			i := f.turns % len(f.all)
			f.turns++
			f.alone += f.all[i].metric(t, "relay_ledger_alone_total")
			f.all[i].signal(syscall.SIGKILL)
			<-f.all[i].done
			wait(ctx, time.Second)
			f.all[i] = f.all[i].again(t)
		}
	}, true},
	{"rolling restart", func(ctx context.Context, t *testing.T, f *fleetStage) {
		for ctx.Err() == nil {
			i := f.turns % len(f.all)
			f.turns++
			f.all[i].stop(t, 30*time.Second)
			if f.all[i].err != nil {
				t.Errorf("a drained instance ended with %v", f.all[i].err)
			}
			f.all[i] = f.all[i].again(t)
			wait(ctx, 500*time.Millisecond)
		}
	}, false},
	{"Redis killed and started empty", func(ctx context.Context, t *testing.T, f *fleetStage) {
		for ctx.Err() == nil {
			f.turns++
			f.redis.Kill()
			wait(ctx, 1500*time.Millisecond)
			if err := f.redis.Run(); err != nil {
				t.Error(err)
				return
			}
			wait(ctx, 1500*time.Millisecond)
		}
	}, false},
	{"Redis frozen", func(ctx context.Context, t *testing.T, f *fleetStage) {
		for ctx.Err() == nil {
			f.turns++
			f.redis.Freeze()
			wait(ctx, 2*time.Second)
			f.redis.Thaw()
			wait(ctx, 2*time.Second)
		}
	}, false},
	{"Redis emptied", func(ctx context.Context, t *testing.T, f *fleetStage) {
		for ctx.Err() == nil {
			f.turns++
			if _, err := f.redis.Do("FLUSHALL"); err != nil {
				t.Error(err)
			}
			wait(ctx, 700*time.Millisecond)
		}
	}, false},
}

// TestFleetConservation has each disaster while strict clients and a real
// Postfix submit numbered mail to three instances with one Redis. Nothing
// acknowledged is lost, nothing bounces, and where no process was killed nothing
// is doubled. As in TestConservation, the short form does not wait for the
// claims of killed instances to end.
func TestFleetConservation(t *testing.T) {
	t.Parallel()
	for _, d := range fleetDisasters {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			f := &fleetStage{redis: startRedis(t)}
			f.fleet = startFleet(t, fleetOptions{size: 3, relayOptions: relayOptions{plain: true, percent: "50"}, redis: at(f.redis), apart: true})
			f.mayAbort = true
			f.endure(t, d)
		})
	}
}

func (f *fleetStage) endure(t *testing.T, d fleetDisaster) {
	clients, viaPostfix, during, patience := 6, 150, 5*time.Second, 20*time.Second
	if long() {
		clients, viaPostfix, during, patience = 20, 5000, time.Minute, 400*time.Second
	}
	if d.unsure && !long() {
		patience = 5 * time.Second
	}
	var addrs, hosts []string
	for _, r := range f.all {
		addrs, hosts = append(addrs, r.smtp), append(hosts, bracketed(r.smtp))
	}
	p := startPostfix(t, strings.Join(hosts, ", "), "default_destination_concurrency_failed_cohort_limit = 1000",
		"smtp_connection_cache_destinations = 127.0.0.2, 127.0.0.3, 127.0.0.4", "smtp_connection_reuse_time_limit = 60s", "smtp_connection_cache_on_demand = yes")
	a := newAuditor("f" + strings.ReplaceAll(strings.Fields(d.name)[1], "-", "") + fmt.Sprint(len(d.name)) + "n")
	feed, stop := context.WithTimeout(t.Context(), during)
	defer stop()
	done := a.load(feed, clients, 10*time.Millisecond, patience, func() []string { return addrs })
	mails := numbered("p"+a.prefix, viaPostfix)
	var posting sync.WaitGroup
	posting.Go(func() { submit(t, p.addr, mails) })
	d.run(feed, t, f)
	posting.Wait()
	done.Wait()
	extra, refused := a.judge(t, f.hops)
	queued := f.settle(t, p, mails, d.unsure && !long())
	missing, doubled := 0, 0
	for _, m := range mails {
		switch n := f.store.Copies(m.id); n {
		case 0:
			missing++
		default:
			doubled += n - 1
		}
	}
	status := p.statuses(t)
	t.Logf("%d times, %.0f claims without an answer of Redis; by Postfix %d mails, %d queued, %d missing, %d duplicates, its log: %v", f.turns, f.alone, len(mails), queued, missing, doubled, status)
	if missing > queued {
		t.Errorf("%d mails of Postfix's are gone, and only %d are in its queue", missing, queued)
	}
	if status["bounced"]+refused > 0 {
		t.Errorf("%d bounced, %d refused", status["bounced"], refused)
	}
	if extra+doubled > 0 && !d.unsure {
		t.Errorf("%d and %d duplicates", extra, doubled)
	}
	if left := a.waiting(); left > 0 && (!d.unsure || long()) {
		t.Errorf("%d mails are still with their clients", left)
	}
	if d.name == "rolling restart" && status["deferred"] > 0 { // reconnects are all that it costs
		t.Errorf("%d deferred:\n%s", status["deferred"], troubles(p.logged(t)))
	}
	if f.turns < 2 {
		t.Errorf("it went wrong %d times only", f.turns)
	}
}

// settle waits for Postfix's queue and returns what is left of it.
func (f *fleetStage) settle(t *testing.T, p *postfix, mails []corpusMail, mayStay bool) int {
	t.Helper()
	patience := time.Minute
	if long() {
		patience = 400 * time.Second
	}
	if mayStay {
		patience = 5 * time.Second
	}
	for end := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		n := p.queued(t)
		switch {
		case n == 0 || mayStay && time.Now().After(end):
			return n
		case time.Now().After(end):
			t.Errorf("%d mails are still in Postfix's queue", n)
			return n
		}
		p.flush(t)
	}
}
