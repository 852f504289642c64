package simulator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// fill sends n mails with X-Test-Id 0 to n-1 over one SMTP connection into the store.
func fill(t *testing.T, store *simulator.Store, n int, to string) *simulator.SMTP {
	t.Helper()
	s := startSMTP(t, simulator.SMTPConfig{Store: store})
	c := dial(t, s).hello()
	for i := range n {
		c.open("a@b.jp", to).say(fmt.Sprintf("X-Test-Id: %d\r\nX-Kind: mod %d\r\n\r\n%s\r\n.\r\n", i, i%3, strings.Repeat("x", 100)), "250")
	}
	return s
}

func testIDs(records []simulator.Record) (ids []string) {
	for _, r := range records {
		ids = append(ids, r.TestID)
	}
	return ids
}

func TestStoreKeepsTheNewest(t *testing.T) {
	t.Parallel()
	store := simulator.NewStore(simulator.StoreConfig{MaxRecords: 70})
	fill(t, store, 200, "c@d.jp")
	ids := testIDs(store.All())
	if len(ids) != 70 || ids[0] != "130" || ids[69] != "199" {
		t.Errorf("kept %q", ids)
	}
	unique, extra, lost := store.IDs()
	if totals := store.Totals(simulator.UpstreamCuenote); totals.Messages != 200 || totals.Recipients != 200 || store.Count() != 200 || unique != 200 || extra != 0 || lost != 0 {
		t.Errorf("counters %+v, %d unique, %d extra, %d lost", totals, unique, extra, lost)
	}
	if list := store.Summaries(2); len(list) != 2 || list[0].Headers[0] != (simulator.Header{Name: "X-Test-Id", Value: "199"}) {
		t.Errorf("summaries %+v", list)
	}
	store.Reset()
	if store.Count() != 0 || len(store.All()) != 0 || len(store.Summaries(0)) != 0 {
		t.Error("Reset left something")
	}
}

func TestStoreBoundsBytes(t *testing.T) {
	t.Parallel()
	store := simulator.NewStore(simulator.StoreConfig{MaxBytes: 1000, MaxIDs: 3})
	fill(t, store, 20, "c@d.jp")
	sum := 0
	for _, r := range store.All() {
		sum += len(r.Raw)
	}
	if sum > 1000 || sum < 700 {
		t.Errorf("%d bytes kept", sum)
	}
	if unique, _, lost := store.IDs(); unique != 3 || lost != 17 {
		t.Errorf("%d ids, %d lost", unique, lost)
	}
}

func TestStoreDiscardsBodies(t *testing.T) {
	t.Parallel()
	store := simulator.NewStore(simulator.StoreConfig{DiscardBodies: true})
	keep := simulator.NewStore(simulator.StoreConfig{})
	fill(t, store, 3, "c@d.jp")
	fill(t, keep, 3, "c@d.jp")
	for i, r := range store.All() {
		k := keep.All()[i]
		if r.Raw != nil || r.Size != k.Size || r.Size != len(k.Raw) || r.SHA256 != k.SHA256 || r.TestID != fmt.Sprint(i) {
			t.Errorf("record %d: %+v, kept %+v", i, r, k)
		}
	}
	if got := testIDs(store.ByHeader("x-test-id", "1")); !slices.Equal(got, []string{"1"}) {
		t.Errorf("by header: %q", got)
	}
}

func TestStoreFinds(t *testing.T) {
	t.Parallel()
	store := simulator.NewStore(simulator.StoreConfig{})
	fill(t, store, 6, "c@d.jp")
	fill(t, store, 2, "other@d.jp")
	fill(t, store, 1, "C@d.jp")
	if got := testIDs(store.ByHeader("X-KIND", "mod 1")); !slices.Equal(got, []string{"1", "4", "1"}) {
		t.Errorf("by header: %q", got)
	}
	if got := testIDs(store.ByRecipient("OTHER@d.jp")); !slices.Equal(got, []string{"0", "1"}) {
		t.Errorf("by recipient: %q", got)
	}
	want := store.All()[4]
	if r, ok := store.Find(want.ID); !ok || r.TestID != "4" {
		t.Errorf("by id: %+v, %v", r, ok)
	}
	if _, ok := store.Find("none"); ok {
		t.Error("found what is not there")
	}
	// Id 0 went to c@d.jp twice, and once to somebody else; id 1 to two different people.
	duplicates := store.Duplicates("X-Test-Id")
	if len(duplicates) != 1 || duplicates[0].Value != "0" || duplicates[0].Recipient != "c@d.jp" || len(duplicates[0].Records) != 2 {
		t.Errorf("duplicates %+v", duplicates)
	}
	if unique, extra, _ := store.IDs(); unique != 6 || extra != 3 || store.Copies("0") != 3 {
		t.Errorf("%d ids, %d more, %d copies", unique, extra, store.Copies("0"))
	}
	if n, _ := store.MaxPerSecond(simulator.UpstreamCuenote); n < 1 || n > 9 {
		t.Errorf("%d in the best second", n)
	}
	if len(store.Of(simulator.UpstreamSES)) != 0 || len(store.Of(simulator.UpstreamCuenote)) != 9 {
		t.Error("Of mixes the upstreams")
	}
}

// Two hops, one store: a mail accepted by both is a duplicate.
func TestStoreOfBothHops(t *testing.T) {
	t.Parallel()
	store := simulator.NewStore(simulator.StoreConfig{})
	ses := startSES(t, simulator.SESConfig{Store: store})
	if _, err := send(ses, "From: a@b.jp\r\nX-Test-Id: 0\r\n\r\nx\r\n", "c@d.jp"); err != nil {
		t.Fatal(err)
	}
	fill(t, store, 1, "c@d.jp")
	if d := store.Duplicates("x-test-id"); len(d) != 1 || d[0].Records[0].Upstream == d[0].Records[1].Upstream {
		t.Errorf("duplicates %+v", d)
	}
}

func TestStoreWaits(t *testing.T) {
	t.Parallel()
	store := simulator.NewStore(simulator.StoreConfig{})
	s := startSMTP(t, simulator.SMTPConfig{Store: store})
	c := dial(t, s).hello()
	all, certain := make(chan error, 1), make(chan simulator.Record, 1)
	go func() { all <- store.Wait(t.Context(), 2) }()
	go func() {
		r, err := store.WaitFor(t.Context(), func(r simulator.Record) bool { return r.From == "second@b.jp" })
		if err != nil {
			t.Error(err)
		}
		certain <- r
	}()
	c.open("first@b.jp", "c@d.jp").say("x\r\n.\r\n", "250")
	select {
	case err := <-all:
		t.Fatalf("Wait(2) returned after one mail: %v", err)
	case r := <-certain:
		t.Fatalf("WaitFor returned %+v", r)
	default:
	}
	c.open("second@b.jp", "c@d.jp").say("x\r\n.\r\n", "250")
	if err := <-all; err != nil {
		t.Error(err)
	}
	if r := <-certain; r.From != "second@b.jp" {
		t.Errorf("WaitFor returned %+v", r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := store.Wait(ctx, 3); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "2 of 3") {
		t.Errorf("Wait(3): %v", err)
	}
	if _, err := store.WaitFor(ctx, func(simulator.Record) bool { return false }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("WaitFor nothing: %v", err)
	}
}

func TestSummaryIsJSON(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, simulator.SMTPConfig{})
	c := dial(t, s).hello().open("a@b.jp", "c@d.jp")
	io.WriteString(c, "Received: from x\r\n\tby y\r\nSubject: =?UTF-8?B?44GT44KT?=\r\n =?UTF-8?B?44Gr44Gh44Gv?=\r\nX-Bad: =?no?B?x?=\r\n\r\nbody: none\r\n.\r\n")
	c.say("", "250")
	b, err := json.Marshal(s.Store().Summaries(0))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"subject":"こんにちは"`, `"from":"a@b.jp"`, `"to":["c@d.jp"]`, `"upstream":"cuenote"`,
		`{"name":"Received","value":"from x\tby y"}`, `"sha256":"`, `"size":`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s lacks %s", b, want)
		}
	}
	if strings.Contains(string(b), `"name":"body"`) {
		t.Errorf("%s holds a line of the body", b)
	}
	empty, err := json.Marshal(simulator.NewStore(simulator.StoreConfig{}).Summaries(0))
	if err != nil || string(empty) != "[]" {
		t.Errorf("an empty store lists as %s, %v", empty, err)
	}
}
