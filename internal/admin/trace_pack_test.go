package admin

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/relay"
)

// randomRecord fills what a packed record keeps, each field with a value of its own.
func randomRecord(rnd *rand.Rand) *relay.Record {
	text := func() string { return strings.Repeat(string(rune('!'+rnd.IntN(90))), rnd.IntN(300)) }
	number := func() int64 { return rnd.Int64() >> rnd.IntN(64) * int64(1-2*rnd.IntN(2)) }
	address := func() relay.Address { return relay.Address{Local: text(), Domain: text()} }
	reply := func() relay.Reply {
		return relay.Reply{Code: rnd.IntN(1000), Enhanced: [3]int{rnd.IntN(6), rnd.IntN(1000), rnd.IntN(1000)}, Text: text()}
	}
	fault := func() error {
		if rnd.IntN(2) == 0 {
			return nil
		}
		return errors.New("x" + text())
	}
	r := &relay.Record{
		Receipt: relay.Receipt{ID: text(), RelayID: text()},
		Route:   relay.Route(text()), Reason: relay.Reason(text()), Result: relay.Result(text()), QueueID: text(),
		Decision: relay.Decision{Rule: text(), Version: number()}, Size: number(),
		Duration: time.Duration(number()), Delay: time.Duration(number()), Reply: reply(), Err: fault(),
	}
	r.Envelope.ID, r.Envelope.ReversePath, r.Envelope.Client.HELO = text(), address(), text()
	switch rnd.IntN(4) {
	case 0:
		r.Envelope.Client.Addr = netip.AddrFrom4([4]byte{192, 0, 2, byte(rnd.IntN(256))})
	case 1:
		r.Envelope.Client.Addr = netip.MustParseAddr("2001:db8::7%a-zone-of-some-length")
	case 2:
		r.Envelope.Client.Addr = netip.MustParseAddr("::ffff:192.0.2.7")
	}
	for i := range r.Fingerprint {
		r.Fingerprint[i] = byte(rnd.Uint32())
	}
	if rnd.IntN(4) > 0 {
		r.Ended = time.Unix(rnd.Int64N(4e9), rnd.Int64N(1e9))
	}
	for range rnd.IntN(4) {
		r.Recipients = append(r.Recipients, address())
		r.Attempts = append(r.Attempts, relay.Attempt{Route: relay.Route(text()), Class: text(), Outcome: relay.Outcome(rnd.IntN(3)), Took: time.Duration(number()), Err: fault()})
	}
	for range rnd.IntN(3) {
		r.Refused = append(r.Refused, relay.Refusal{To: address(), Reply: reply()})
	}
	return r
}

// A record that is packed and unpacked is the same.
func TestTracePack(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range 2000 {
		want := randomRecord(rnd)
		b := appendTrace(nil, want)
		got := unpackTrace(b)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("record %d:\n%+v became\n%+v", n, want, got)
		}
		if ids := unpackIDs(b); ids != (traceIDs{want.Fingerprint, want.Envelope.ID, want.Receipt.ID, want.Receipt.RelayID}) {
			t.Fatalf("record %d: %+v", n, ids)
		}
	}
}

// What the ring gives out is as it was put in, also when a place has held a
// longer record, and a long one does not keep its room.
func TestTracesKeepEach(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	tr := NewTraces(7)
	var all []*relay.Record
	for n := range 500 {
		r := randomRecord(rnd)
		all = append(all, r)
		tr.Observe(r)
		got, count := tr.last(7, 0)
		if want := all[max(0, len(all)-7):]; count != uint64(n+1) || !reflect.DeepEqual(got, want) {
			t.Fatalf("after %d records: %d of %d differ", n+1, len(got), len(want))
		}
	}
	many := &relay.Record{}
	for i := range 5000 {
		many.Recipients = append(many.Recipients, relay.Address{Local: fmt.Sprint(i), Domain: "example.jp"})
	}
	tr.Observe(many)
	for range 7 {
		tr.Observe(&relay.Record{})
	}
	for i, b := range tr.ring {
		if cap(b) > maxRoom {
			t.Errorf("place %d keeps %d bytes for %d", i, cap(b), len(b))
		}
	}
}

// A search does not stop the mail, and mail does not spoil the search.
func TestTracesSearchedUnderTraffic(t *testing.T) {
	t.Parallel()
	tr := NewTraces(4 * atOnce)
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				tr.Observe(&relay.Record{Envelope: relay.Envelope{ID: fmt.Sprint("m", i)}, Fingerprint: relay.Fingerprint{1, byte(i)}})
			}
		}
	}()
	for range 200 {
		for _, r := range tr.Find("0142000000000000") {
			if r.Fingerprint != (relay.Fingerprint{1, 0x42}) {
				t.Errorf("found %s with %x", r.Envelope.ID, r.Fingerprint)
			}
		}
	}
	close(stop)
	<-done
}

func BenchmarkTraces(b *testing.B) {
	tr := NewTraces(20_000)
	rec := record(relay.SES, relay.ResultAccepted)
	b.ReportAllocs()
	for b.Loop() {
		tr.Observe(rec)
	}
}
