package split

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"sesrelay/internal/relay"
)

var testRecipient = relay.Address{Local: "user", Domain: "example.org"}

func testEnvelope() *relay.Envelope {
	return &relay.Envelope{
		ReversePath: relay.Address{Local: "info", Domain: "goo.ne.jp"},
		Client:      relay.Client{Addr: netip.MustParseAddr("192.0.2.7"), HELO: "mx1.goo.ne.jp", Extended: true},
	}
}

func testLive(t *testing.T, p Percent) *Live {
	t.Helper()
	l, err := NewLive(t.Context(), NewMemoryStore(), LiveConfig{Initial: p})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func testRouter(t *testing.T, p Percent, cfg Config) *Router {
	t.Helper()
	if cfg.Identities == nil {
		cfg.Identities = []string{"goo.ne.jp"}
	}
	r, err := NewRouter(testLive(t, p), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func percent(p Percent) *Percent { return &p }

func address(t *testing.T, s string) relay.Address {
	t.Helper()
	a, err := relay.ParseAddress(s, true)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return a
}

// At 100 % only what SES cannot take stays away, each with its reason.
func TestBuiltInRules(t *testing.T) {
	t.Parallel()
	r := testRouter(t, Full, Config{MessageSize: 1000, Rules: []Rule{{Name: "all", SenderDomain: "goo.ne.jp", Route: "ses"}, {NullSender: true, Route: "ses"}}})
	for _, c := range []struct {
		name, from, to string
		edit           func(*relay.Envelope)
		want           relay.Reason
	}{
		{name: "plain", from: "info@goo.ne.jp", to: "a@docomo.ne.jp", want: relay.ReasonRule},
		{name: "subdomain of the identity", from: "info@mail.goo.ne.jp", to: "a@docomo.ne.jp", want: relay.ReasonSplit},
		{name: "upper case identity", from: "info@GOO.NE.JP", to: "a@docomo.ne.jp", want: relay.ReasonRule},
		{name: "null sender", to: "a@docomo.ne.jp", want: relay.ReasonNullSender},
		{name: "SMTPUTF8", from: "info@goo.ne.jp", to: "a@example.jp", edit: func(e *relay.Envelope) { e.SMTPUTF8 = true }, want: relay.ReasonSMTPUTF8},
		{name: "two dots", from: "info@goo.ne.jp", to: "a..b@docomo.ne.jp", want: relay.ReasonLocalPart},
		{name: "dot before the at", from: "info@goo.ne.jp", to: "a.@docomo.ne.jp", want: relay.ReasonLocalPart},
		{name: "leading dot", from: "info@goo.ne.jp", to: ".a@docomo.ne.jp", want: relay.ReasonLocalPart},
		{name: "quoted", from: "info@goo.ne.jp", to: `"a b"@example.jp`, want: relay.ReasonLocalPart},
		{name: "non-ASCII local part", from: "info@goo.ne.jp", to: "用@example.jp", want: relay.ReasonLocalPart},
		{name: "long local part", from: "info@goo.ne.jp", to: strings.Repeat("a", 65) + "@example.jp", want: relay.ReasonLocalPart},
		{name: "64 octets", from: "info@goo.ne.jp", to: strings.Repeat("a", 64) + "@example.jp", want: relay.ReasonRule},
		{name: "sender's local part", from: "a..b@goo.ne.jp", to: "a@example.jp", want: relay.ReasonLocalPart},
		{name: "VERP sender", from: "bounce+a=example.jp@goo.ne.jp", to: "a@example.jp", want: relay.ReasonRule},
		{name: "literal", from: "info@goo.ne.jp", to: "a@[192.0.2.1]", want: relay.ReasonDomain},
		{name: "IPv6 literal", from: "info@goo.ne.jp", to: "a@[IPv6:::1]", want: relay.ReasonDomain},
		{name: "sender's literal", from: "info@[192.0.2.1]", to: "a@example.jp", want: relay.ReasonDomain},
		{name: "underscore", from: "info@goo.ne.jp", to: "a@my_host.example.jp", want: relay.ReasonDomain},
		{name: "U-label", from: "info@goo.ne.jp", to: "a@例え.jp", want: relay.ReasonDomain},
		{name: "A-label", from: "info@goo.ne.jp", to: "a@xn--r8jz45g.jp", want: relay.ReasonRule},
		{name: "final dot", from: "info@goo.ne.jp", to: "a@example.jp.", want: relay.ReasonDomain},
		{name: "no dot", from: "info@goo.ne.jp", to: "root@localhost", want: relay.ReasonDomain},
		{name: "hyphen at an end", from: "info@goo.ne.jp", to: "a@-x.jp", want: relay.ReasonDomain},
		{name: "not verified", from: "info@example.com", to: "a@example.jp", want: relay.ReasonIdentity},
		{name: "looks like the identity", from: "info@evilgoo.ne.jp", to: "a@example.jp", want: relay.ReasonIdentity},
		{name: "parent of the identity", from: "info@ne.jp", to: "a@example.jp", want: relay.ReasonIdentity},
		{name: "declared size", from: "info@goo.ne.jp", to: "a@example.jp", edit: func(e *relay.Envelope) { e.Size = 1001 }, want: relay.ReasonSize},
		{name: "size that fits", from: "info@goo.ne.jp", to: "a@example.jp", edit: func(e *relay.Envelope) { e.Size = 1000 }, want: relay.ReasonRule},
	} {
		env := testEnvelope()
		env.ReversePath = relay.Address{}
		if c.from != "" {
			env.ReversePath = address(t, c.from)
		}
		if c.edit != nil {
			c.edit(env)
		}
		to := address(t, c.to)
		d, fit := r.Route(env, to), r.FitRecipient(env, to)
		onSES := c.want == relay.ReasonRule || c.want == relay.ReasonSplit
		if d.Reason != c.want || (d.Route == relay.SES) != onSES || (fit == "") != onSES || !onSES && (fit != c.want || d.SESOpen || d.Rule != "") {
			t.Errorf("%s: %+v, fit %q; want %q", c.name, d, fit, c.want)
		}
	}
}

func TestDecisionCarriesTheAppliedSplit(t *testing.T) {
	t.Parallel()
	live := testLive(t, 0)
	r, err := NewRouter(live, Config{Identities: []string{"goo.ne.jp"}})
	if err != nil {
		t.Fatal(err)
	}
	check := func(step string, version int64, open bool) {
		t.Helper()
		if d := r.Route(testEnvelope(), testRecipient); d.Step != step || d.Version != version || d.SESOpen != open {
			t.Errorf("%+v; want step %s, version %d, open %v", d, step, version, open)
		}
	}
	check("0", 0, false)
	must(t)(live.Set(t.Context(), 0, 1250, "week 1", "ops"))
	check("12_5", 1, true)
	must(t)(live.Brake("ops", "bounces"))
	check("0", 1, false)
}

// Under the brake mail is held that the requested share would have sent to SES,
// by the same draw: what the rules keep away, and what the split does not ask
// for, is not.
func TestTheBrakeHoldsWhatWasRequested(t *testing.T) {
	t.Parallel()
	live := testLive(t, 2500)
	draw := uint64(0)
	r, err := NewRouter(live, Config{Identities: []string{"goo.ne.jp"}, Draw: func() uint64 { return draw },
		Rules: []Rule{{Name: "all", RecipientDomain: "example.com", Route: "ses"}}})
	if err != nil {
		t.Fatal(err)
	}
	null := testEnvelope()
	null.ReversePath = relay.Address{}
	look := func(what string, env *relay.Envelope, to string, route relay.Route, held bool) {
		t.Helper()
		if d := r.Route(env, address(t, to)); d.Route != route || d.Held != held {
			t.Errorf("%s: %s, held %v", what, d.Route, d.Held)
		}
	}
	look("before", testEnvelope(), "user@example.org", relay.SES, false)
	must(t)(live.Brake("ops", "bounces"))
	look("asked for", testEnvelope(), "user@example.org", relay.Cuenote, true)
	look("asked for by a rule", testEnvelope(), "user@example.com", relay.Cuenote, true)
	look("no sender", null, "user@example.org", relay.Cuenote, false)
	draw = 1 << 63
	look("not asked for", testEnvelope(), "user@example.org", relay.Cuenote, false)
}

func must(t *testing.T) func(*Snapshot, error) *Snapshot {
	return func(s *Snapshot, err error) *Snapshot {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func TestReconfigure(t *testing.T) {
	t.Parallel()
	r := testRouter(t, Full, Config{})
	if err := r.Reconfigure(Config{Rules: []Rule{{Route: "nowhere"}}}); err == nil {
		t.Fatal("a bad rule was taken")
	}
	if d := r.Route(testEnvelope(), testRecipient); d.Route != relay.SES {
		t.Fatalf("a refused configuration changed the route: %+v", d)
	}
	cfg := Config{Identities: []string{"goo.ne.jp"}, By: ByClient, Rules: []Rule{{Name: "pin", RecipientDomain: "example.org", Route: "cuenote"}}}
	if err := r.Reconfigure(cfg); err != nil {
		t.Fatal(err)
	}
	if d := r.Route(testEnvelope(), testRecipient); d.Route != relay.Cuenote || d.Rule != "pin" || d.Reason != relay.ReasonRule || d.SESOpen {
		t.Fatalf("%+v", d)
	}
	if r.By() != ByClient {
		t.Fatalf("by %s", r.By())
	}
	for _, bad := range []Config{{By: "colour"}, {ClientFrom: "shoe"}, {Identities: []string{"not a domain"}}} {
		if err := r.Reconfigure(bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

func TestIdentities(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	r, err := NewRouter(testLive(t, Full), Config{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	reason := func(from string) relay.Reason {
		env := testEnvelope()
		env.ReversePath = address(t, from)
		return r.Route(env, testRecipient).Reason
	}
	want := func(from string, w relay.Reason) {
		t.Helper()
		if got := reason(from); got != w {
			t.Errorf("%s: %s, want %s", from, got, w)
		}
	}
	want("info@goo.ne.jp", relay.ReasonIdentity) // nothing delivered yet: nobody
	if err := r.SetIdentities([]string{"goo.ne.jp", "One@example.com", "a.b.example.net"}); err != nil {
		t.Fatal(err)
	}
	want("info@goo.ne.jp", relay.ReasonSplit)
	want("info@x.goo.ne.jp", relay.ReasonSplit)
	want("One@EXAMPLE.com", relay.ReasonSplit)
	want("one@example.com", relay.ReasonIdentity) // SES compares local parts exactly
	want("two@example.com", relay.ReasonIdentity)
	want("x@b.example.net", relay.ReasonIdentity)

	r.MarkUnverified("X.goo.ne.jp", now.Add(time.Hour))
	want("info@x.goo.ne.jp", relay.ReasonIdentity)
	want("info@y.x.goo.ne.jp", relay.ReasonIdentity)
	want("info@goo.ne.jp", relay.ReasonSplit)
	if err := r.SetIdentities([]string{"goo.ne.jp"}); err != nil {
		t.Fatal(err)
	}
	want("info@x.goo.ne.jp", relay.ReasonIdentity) // a poll does not forget the refusal
	if err := r.Reconfigure(Config{Identities: []string{"goo.ne.jp"}, Now: func() time.Time { return now }}); err != nil {
		t.Fatal(err)
	}
	want("info@x.goo.ne.jp", relay.ReasonIdentity)
	now = now.Add(time.Hour)
	want("info@x.goo.ne.jp", relay.ReasonSplit)

	if err := r.SetIdentities([]string{"example.com"}); err != nil {
		t.Fatal(err)
	}
	want("info@example.com", relay.ReasonIdentity) // the configuration names some
	if err := r.SetIdentities([]string{"a b"}); err == nil {
		t.Error("a bad identity was taken")
	}
	if err := r.Reconfigure(Config{Identities: []string{AnyIdentity}}); err != nil {
		t.Fatal(err)
	}
	want("x@anything.example", relay.ReasonSplit)
}

func TestRefusedDomainsAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	id := &identities{any: true}
	for i := range maxRefused + 50 {
		id = id.withRefused("d"+time.Duration(i).String()+".example", now.Add(time.Minute), now)
	}
	if len(id.refused) != maxRefused {
		t.Fatalf("%d domains are held", len(id.refused))
	}
	now = now.Add(time.Minute)
	if id = id.withRefused("new.example", now.Add(time.Minute), now); len(id.refused) != 1 {
		t.Fatalf("%d domains are held after all expired", len(id.refused))
	}
}

// SES takes the sender from the message's own From.
func TestFitContent(t *testing.T) {
	t.Parallel()
	r := testRouter(t, Full, Config{MessageSize: 1000, Identities: []string{"goo.ne.jp", "dev.example.jp"}})
	jis := "=?ISO-2022-JP?B?GyRCOzNFRBsoQg==?="
	for _, c := range []struct {
		name string
		head relay.Header
		size int64
		line int
		want relay.Reason
	}{
		{name: "plain", head: relay.Header{From: []string{"info@goo.ne.jp"}}},
		{name: "ISO-2022-JP encoded name", head: relay.Header{From: []string{jis + " <info@goo.ne.jp>"}}},
		{name: "unknown charset", head: relay.Header{From: []string{"=?x-unknown?Q?a?= <info@goo.ne.jp>"}}},
		{name: "quoted name with an address inside", head: relay.Header{From: []string{`"x@evil.example" <info@goo.ne.jp>`}}},
		{name: "name of the identity, other address", head: relay.Header{From: []string{`"info@goo.ne.jp" <x@evil.example>`}}, want: relay.ReasonIdentity},
		{name: "comment", head: relay.Header{From: []string{"info@goo.ne.jp (Yamada)"}}},
		{name: "two, both verified", head: relay.Header{From: []string{"a@goo.ne.jp, b@dev.example.jp"}}},
		{name: "two, one not verified", head: relay.Header{From: []string{"a@goo.ne.jp, b@evil.example"}}, want: relay.ReasonIdentity},
		{name: "group", head: relay.Header{From: []string{"team: a@goo.ne.jp, b@goo.ne.jp;"}}},
		{name: "group with a stranger", head: relay.Header{From: []string{"team: a@goo.ne.jp, b@evil.example;"}}, want: relay.ReasonIdentity},
		{name: "empty group", head: relay.Header{From: []string{"undisclosed:;"}}, want: relay.ReasonIdentity},
		{name: "not readable", head: relay.Header{From: []string{"<<goo.ne.jp"}}, want: relay.ReasonIdentity},
		{name: "no domain", head: relay.Header{From: []string{"root"}}, want: relay.ReasonIdentity},
		{name: "empty", head: relay.Header{From: []string{""}}, want: relay.ReasonIdentity},
		{name: "huge", head: relay.Header{From: []string{strings.Repeat("a@goo.ne.jp,", 2000) + "a@goo.ne.jp"}}, want: relay.ReasonIdentity},
		{name: "quoted at", head: relay.Header{From: []string{`"x@goo.ne.jp"@evil.example`}}, want: relay.ReasonIdentity},
		{name: "absent", want: relay.ReasonContent},
		{name: "sender verified", head: relay.Header{From: []string{"a@goo.ne.jp"}, Sender: []string{"b@goo.ne.jp"}}},
		{name: "sender not verified", head: relay.Header{From: []string{"a@goo.ne.jp"}, Sender: []string{"b@evil.example"}}, want: relay.ReasonIdentity},
		{name: "return-path", head: relay.Header{From: []string{"a@goo.ne.jp"}, ReturnPath: []string{"<b@goo.ne.jp>"}}},
		{name: "return-path not verified", head: relay.Header{From: []string{"a@goo.ne.jp"}, ReturnPath: []string{"<b@evil.example>"}}, want: relay.ReasonIdentity},
		{name: "null return-path", head: relay.Header{From: []string{"a@goo.ne.jp"}, ReturnPath: []string{"<>"}}, want: relay.ReasonIdentity},
		{name: "repeated field", head: relay.Header{From: []string{"a@goo.ne.jp"}, Repeated: true}, want: relay.ReasonContent},
		{name: "998", head: relay.Header{From: []string{"a@goo.ne.jp"}}, line: 998},
		{name: "999", head: relay.Header{From: []string{"a@goo.ne.jp"}}, line: 999, want: relay.ReasonContent},
		{name: "real size", head: relay.Header{From: []string{"a@goo.ne.jp"}}, size: 1001, want: relay.ReasonSize},
		{name: "size that fits", head: relay.Header{From: []string{"a@goo.ne.jp"}}, size: 1000},
	} {
		got := r.FitContent(testEnvelope(), &relay.Content{Header: c.head, Size: c.size, LongestLine: c.line})
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func FuzzMailboxes(f *testing.F) {
	for _, s := range []string{"a@b.jp", "=?ISO-2022-JP?B?GyRCOzNFRBsoQg==?= <a@b.jp>", "g: a@b.jp;", `"a@b"@c.jp`, "<>", "a@[1.2.3.4]"} {
		f.Add(s)
	}
	id, err := newIdentities([]string{"goo.ne.jp"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := &relay.Content{Header: relay.Header{From: []string{s}}}
		if id.allVerified(c, time.Time{}) && !strings.Contains(strings.ToLower(s), "goo.ne.jp") {
			t.Fatalf("%q is verified without the identity in it", s)
		}
	})
}

func TestExplainDoesNotDraw(t *testing.T) {
	t.Parallel()
	draw := func() uint64 { t.Error("drawn"); return 0 }
	for _, c := range []struct {
		share Percent
		route relay.Route
		drawn bool
	}{{0, relay.Cuenote, false}, {2500, relay.Cuenote, true}, {7500, relay.SES, true}, {Full, relay.SES, false}} {
		e := testRouter(t, c.share, Config{Draw: draw}).Explain(testEnvelope(), testRecipient)
		if e.Route != c.route || e.Drawn != c.drawn || e.Share != c.share || e.From != 0 || e.Reason != relay.ReasonSplit {
			t.Errorf("at %s: %+v", c.share, e)
		}
	}
	r := testRouter(t, 5000, Config{By: ByRecipient})
	for i := range 100 {
		to := relay.Address{Local: "user" + strings.Repeat("x", i), Domain: "example.org"}
		e, d := r.Explain(testEnvelope(), to), r.Route(testEnvelope(), to)
		if e.Decision != d || e.Drawn {
			t.Fatalf("%+v, but %+v", e, d)
		}
		if (e.From > 0) != (e.Reason == relay.ReasonSplit) {
			t.Fatalf("%+v", e)
		}
		if e.From == 0 {
			continue
		}
		for share, want := range map[Percent]relay.Route{e.From: relay.SES, e.From - 1: relay.Cuenote} {
			if at := testRouter(t, share, Config{By: ByRecipient}).Explain(testEnvelope(), to); at.Route != want {
				t.Fatalf("on ses from %s, but at %s: %+v", e.From, share, at)
			}
		}
	}
	null := testEnvelope()
	null.ReversePath = relay.Address{}
	if e := r.Explain(null, testRecipient); e.Share != 0 || e.Reason != relay.ReasonNullSender || e.Route != relay.Cuenote {
		t.Errorf("%+v", e)
	}
}

// Routes are decided while everything around them changes.
func TestRouterUnderChange(t *testing.T) {
	t.Parallel()
	r := testRouter(t, 5000, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	change := func(f func(i int) error) {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if err := f(i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	change(func(i int) error {
		_, err := r.live.Set(context.Background(), r.live.Current().Version, Percent(i%int(Full)), "r", "w")
		return err
	})
	change(func(i int) error { return r.SetIdentities([]string{"goo.ne.jp"}) })
	change(func(i int) error {
		r.MarkUnverified("other.example", time.Now().Add(time.Minute))
		return r.Reconfigure(Config{Identities: []string{"goo.ne.jp"}, Rules: []Rule{{Name: "pin", RecipientDomain: "docomo.ne.jp", Route: "cuenote"}}})
	})
	for range 20_000 {
		d := r.Route(testEnvelope(), testRecipient)
		if d.Reason != relay.ReasonSplit || d.Step == "" {
			t.Fatalf("%+v", d)
		}
	}
	cancel()
	wg.Wait()
}

func BenchmarkRoute(b *testing.B) {
	live, err := NewLive(b.Context(), NewMemoryStore(), LiveConfig{Initial: 5000})
	if err != nil {
		b.Fatal(err)
	}
	r, err := NewRouter(live, Config{Identities: []string{"goo.ne.jp"}, By: ByRecipient, Rules: []Rule{{RecipientDomain: "docomo.ne.jp", Route: "cuenote"}}})
	if err != nil {
		b.Fatal(err)
	}
	env := testEnvelope()
	b.ReportAllocs()
	for b.Loop() {
		r.Route(env, testRecipient)
	}
}
