package admin

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/relay"
)

func TestTraceFind(t *testing.T) {
	t.Parallel()
	tr := NewTraces(10)
	add := func(id, upstreamID string, fp byte, ended int) {
		rec := record(relay.SES, relay.ResultAccepted)
		rec.Envelope.ID, rec.Receipt = id, relay.Receipt{ID: upstreamID, RelayID: id}
		rec.Fingerprint, rec.Ended = relay.Fingerprint{fp}, epoch.Add(time.Duration(ended)*time.Second)
		tr.Observe(rec)
	}
	add("first", "", 1, 2)
	add("retry", "ses-1", 1, 9)
	add("other", "ses-2", 2, 5)
	early := &relay.Record{Envelope: relay.Envelope{ID: "early"}}
	tr.Observe(early)
	tr.Observe(&relay.Record{Envelope: relay.Envelope{ID: "early-2"}})
	fp := relay.Fingerprint{1}
	for id, want := range map[string]string{
		"first": "first retry", "retry": "first retry", "ses-1": "first retry", "ses-2": "other", "early": "early", "": "", "none": "", "ses": "",
		hex.EncodeToString(fp[:]): "first retry", strings.ToUpper(hex.EncodeToString(fp[:]))[:16]: "first retry", hex.EncodeToString(fp[:])[:15]: "",
	} {
		var got []string
		for _, r := range tr.Find(id) {
			got = append(got, r.Envelope.ID)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %v, want %s", id, got, want)
		}
	}
}

func TestTracesAreBounded(t *testing.T) {
	t.Parallel()
	tr := NewTraces(10)
	for i := range 25 {
		tr.Observe(&relay.Record{Envelope: relay.Envelope{ID: fmt.Sprint(i)}})
	}
	all, count := tr.last(1000, 0)
	if len(all) != 10 || all[0].Envelope.ID != "15" || all[9].Envelope.ID != "24" || count != 25 {
		t.Fatalf("%d, %d", len(all), count)
	}
	if some, _ := tr.last(3, 0); len(some) != 3 || some[0].Envelope.ID != "22" {
		t.Errorf("%v", some)
	}
	if some, _ := tr.last(10, 23); len(some) != 2 {
		t.Errorf("%v", some)
	}
	if none, _ := tr.last(10, 25); len(none) != 0 {
		t.Errorf("%v", none)
	}
}

// A thousand identical mails are one fingerprint, and no answer without end;
// the one that was asked for is in it.
func TestTraceOfManyIdenticalMailsIsBounded(t *testing.T) {
	t.Parallel()
	tr := NewTraces(1000)
	for i := range 1000 {
		tr.Observe(&relay.Record{Envelope: relay.Envelope{ID: fmt.Sprint("m", i)}, Fingerprint: relay.Fingerprint{7}, Ended: epoch.Add(time.Duration(i) * time.Second)})
	}
	found := tr.Find("m3")
	if len(found) != maxFound || found[0].Envelope.ID != "m3" || found[maxFound-1].Envelope.ID != "m999" {
		t.Errorf("%d records, %s to %s", len(found), found[0].Envelope.ID, found[len(found)-1].Envelope.ID)
	}
	if found = tr.Find("0700000000000000"); len(found) != maxFound || found[0].Envelope.ID != "m900" {
		t.Errorf("by fingerprint: %d", len(found))
	}
	tr.Observe(&relay.Record{Envelope: relay.Envelope{ID: "unread"}})
	if found = tr.Find("0000000000000000"); len(found) != 0 {
		t.Errorf("unread content has no fingerprint: %d", len(found))
	}
}

// Nothing in an answer shows an address, wherever it stood.
func TestTraceIsMasked(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rec := record(relay.SES, relay.ResultRejected)
	rec.Envelope.Client.HELO = "[203.0.113.77]"
	rec.Err = fmt.Errorf("SES refused hanako@docomo.ne.jp for taro.yamada@goo.ne.jp")
	rec.Reply = relay.Reply{Code: 550, Text: "no hanako@docomo.ne.jp here"}
	rec.Attempts = append(rec.Attempts, relay.Attempt{Route: relay.Cuenote, Class: "dial", Err: fmt.Errorf("<hanako@docomo.ne.jp>: refused")})
	rec.Refused = []relay.Refusal{{To: relay.Address{Local: "secret.person", Domain: "example.jp"}, Reply: relay.Reply{Code: 550, Text: "unknown secret.person@example.jp"}}}
	rec.Delay = 1500 * time.Millisecond
	f.Traces.Observe(rec)
	res := f.ask("GET", "/v1/trace/id-1", "")
	v := f.want(res, 200)
	b, _ := json.Marshal(v)
	for _, secret := range []string{"hanako", "taro.yamada", "secret.person", "192.0.2.7", "203.0.113.77"} {
		if strings.Contains(string(b), secret) {
			t.Errorf("%q is shown: %s", secret, b)
		}
	}
	r := v["records"].([]any)[0].(map[string]any)
	if r["delay_ms"] != 1500.0 || r["duration_ms"] != 90.0 || r["upstream_id"] != "ses-message-id" || r["route"] != "ses" || len(r["attempts"].([]any)) != 2 {
		t.Errorf("%v", r)
	}
	f.want(f.ask("GET", "/v1/trace/ses-message-id", ""), 200)
	f.want(f.ask("GET", "/v1/trace/unknown", ""), 404, "no message with this id")
}

func TestRouteTest(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, c := range []struct {
		body   string
		status int
		words  []string
	}{
		{`{"from":"info@goo.ne.jp","to":"a@example.jp"}`, 200, []string{`"route":"cuenote"`, `"reason":"split"`, `"ses_percent":10`, "10 % of such mail to ses, drawn for each transaction"}},
		{`{"from":"<info@goo.ne.jp>","to":"<a@docomo.ne.jp>"}`, 200, []string{`"rule":"pin"`, `"ses_percent":null`, "sends all such mail to cuenote"}},
		{`{"from":"","to":"a@example.jp"}`, 200, []string{`"reason":"null_sender"`, "SES has no null sender", `"ses_percent":null`}},
		{`{"from":"<>","to":"a@example.jp"}`, 200, []string{`"reason":"null_sender"`}},
		{`{"from":"info@goo.ne.jp","to":"a..b@docomo.ne.jp"}`, 200, []string{`"reason":"local_part"`}},
		{`{"from":"info@goo.ne.jp","to":"用@example.jp"}`, 200, []string{`"reason":"smtputf8"`}},
		{`{"from":"info@example.com","to":"a@example.jp"}`, 200, []string{`"reason":"identity"`}},
		{`{"to":"nobody"}`, 422, []string{"to: "}},
		{`{"to":"a@b.jp\r\nRCPT TO:<x@y.jp>"}`, 422, []string{"to: "}},
		{`{}`, 422, []string{"to: "}},
		{`{"from":"x","to":"a@example.jp"}`, 422, []string{"from: "}},
		{`{"from":"a@goo.ne.jp","to":"a@example.jp","client":"host"}`, 422, []string{"client: "}},
		{`{"from":"a@goo.ne.jp","to":"a@example.jp","size":-1}`, 422, []string{"size: "}},
	} {
		f.want(f.ask("POST", "/v1/route-test", c.body), c.status, c.words...)
	}
	f.want(f.ask("PUT", "/v1/split", `{"ses_percent":100,"reason":"r"}`, "If-Match: 0"), 200)
	f.want(f.ask("POST", "/v1/route-test", `{"from":"info@goo.ne.jp","to":"a@example.jp"}`), 200, `"route":"ses"`, `"ses_percent":100`)
	f.hops[0] = Upstream{Name: relay.SES, Open: true, Because: "paused"}
	f.want(f.ask("POST", "/v1/route-test", `{"from":"info@goo.ne.jp","to":"a@example.jp"}`), 200, "the breaker of ses is open now (paused)")
	f.hops[0].Open, f.quota.Spent = false, true
	f.want(f.ask("POST", "/v1/route-test", `{"from":"info@goo.ne.jp","to":"a@example.jp"}`), 200, "quota is spent now")
}
