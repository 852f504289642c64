package console

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"sesrelay/internal/redistest"
	"sesrelay/internal/simulator"
)

// openAs opens the console with a token.
func openAs(t *testing.T, r *instance, token string, setup ...chromedp.Action[chromedp.Void]) *page {
	t.Helper()
	p := open(t, r.base(), setup...)
	p.until(`!document.getElementById("login").hidden`)
	p.fill("token", token+"\r")
	p.live()
	return p
}

// order gives an order of the rollout beside the page.
func (r *instance) order(name, token string) {
	r.t.Helper()
	r.api("POST", "/v1/rollout/"+name, token, `{"reason":"week 1","force":true}`)
}

const quickGuard = "rollout: {guard: {min_messages: 50, window: 1m}}\n"

// rolledBack is a relay whose guard has put the split back from 50 to 10 %,
// because SES refused every third mail.
func rolledBack(t *testing.T) (*instance, string) {
	t.Helper()
	h := newHops(t)
	r, admin := h.serve("relay-1", quickGuard), h.tokens["admin"]
	r.send(t, 60)
	r.order("start", admin)
	r.order("promote", admin)
	if err := h.ses.Faults().Set(simulator.Fault{Name: simulator.FaultMessageRejected, Probability: 0.33}); err != nil {
		t.Fatal(err)
	}
	r.eventually(admin, "/v1/rollout", func(v map[string]any) bool { return v["phase"] == "rolled_back" })
	h.ses.Faults().Clear()
	return r, admin
}

// breakerOpen is a relay for whose account SES has stopped the sending.
func breakerOpen(t *testing.T) (*instance, string) {
	t.Helper()
	h := newHops(t)
	r, admin := h.serve("relay-1", "split: {ses_percent: 50}\nbreaker: {open_for: 10m}\n"), h.tokens["admin"]
	r.send(t, 30)
	if err := h.ses.Faults().Set(simulator.Fault{Name: simulator.FaultSendingPaused}); err != nil {
		t.Fatal(err)
	}
	r.eventually(admin, "/v1/status", func(v map[string]any) bool {
		return v["upstreams"].([]any)[0].(map[string]any)["breaker"] == "open"
	})
	return r, admin
}

// redisAway is one of three instances whose Redis is gone.
func redisAway(t *testing.T) (*instance, string) {
	t.Helper()
	redis, err := redistest.Start(t.TempDir())
	if err != nil {
		t.Fatalf("%v (scripts/need.sh test installs it)", err)
	}
	t.Cleanup(redis.Kill)
	h := newHops(t)
	more := "split: {ses_percent: 25}\nstate: {redis: \"redis://" + redis.Addr + "\"}\n"
	r, admin := h.serve("relay-1", more), h.tokens["admin"]
	for _, name := range []string{"relay-2", "relay-3"} {
		h.serve(name, more).send(t, 10)
	}
	r.send(t, 10)
	r.eventually(admin, "/v1/status", func(v map[string]any) bool {
		f := v["fleet"].(map[string]any)
		return f["reporting"] == 3.0 && len(v["split"].(map[string]any)["instances"].([]any)) == 3
	})
	redis.Kill()
	r.eventually(admin, "/v1/status", func(v map[string]any) bool { return v["fleet"].(map[string]any)["up"] == false })
	return r, admin
}

// What an operator finds at night. Each state says what has happened and what
// the way back is, and the brake works in it.
func TestRolledBack(t *testing.T) {
	t.Parallel()
	r, admin := rolledBack(t)
	p := openAs(t, r, admin)
	p.says("phase", "rolled back")
	p.says("rollout-text", "The guard has put the split back. Look at the reason")
	p.says("trips", "50 % → 10 %: SES accepted")
	p.until(`document.getElementById("applied").textContent === "10 %%" && document.getElementById("history").textContent.includes("rollback")`)
	p.says("settling", "The share was changed at")
	p.click("brake")
	p.click("brake-sure")
	p.braked(r, admin)
}

func TestBreakerOpen(t *testing.T) {
	t.Parallel()
	r, admin := breakerOpen(t)
	p := openAs(t, r, admin)
	p.says("alarms", "the breaker of ses is open")
	p.says("upstreams", "OPEN:")
	p.says("states", "Breaker ses OPEN")
	p.says("reasons", "breaker open")
	p.click("brake")
	p.click("brake-sure")
	p.braked(r, admin)
}

func TestRedisAway(t *testing.T) {
	t.Parallel()
	r, admin := redisAway(t)
	p := openAs(t, r, admin)
	p.says("states", "Shared state DOWN")
	p.says("states", "Nothing changes at once; the brake works.")
	p.click("brake")
	p.click("brake-sure")
	p.says("brake-said", "Done: SES gets 0 % of new mail. 3 of 3 instances apply it.")
}

// Without a connection nothing says that all is well.
func TestNoConnection(t *testing.T) {
	t.Parallel()
	r := demo(t)
	g := newGate(t, r)
	p := open(t, g.URL)
	p.live()
	p.says("alarms", "No alarms.")
	g.cut(without("/v1/events", "/v1/status"))
	p.says("alarms", "No connection to the relay: everything below is from")
	if text := p.text("alarms"); strings.Contains(text, "No alarms") {
		t.Errorf("without a connection it says %q", text)
	}
	g.cut(nil)
	p.says("alarms", "No alarms.")
}

// What is not known is not 0, and nothing is promised for it.
func TestUnknownVolume(t *testing.T) {
	t.Parallel()
	r, tokens := serve(t, "split: {ses_percent: 20}\n")
	p := openAs(t, r, tokens["admin"])
	p.says("outlook", "SES day (recipients): need not known, 1,000,000 available")
	p.says("outlook", "SES rate at the peak (recipients/s): need not known, 900 available")
	p.says("outlook", "Cuenote at the peak (messages/s): need not known, no limit set (cuenote.rate)")
	p.says("difference", "No mail in the last five minutes.")
	p.fill("percent", "0")
	p.says("outlook", "SES day (recipients): 0 needed")
	p.says("outlook", "Not known: whether Cuenote can carry everything")
	if text := p.text("outlook"); strings.Contains(text, "can carry its share") || strings.Contains(text, "can carry their share") {
		t.Errorf("without any mail it promises: %q", text)
	}

	// With mail the day is reckoned, and said to be.
	r.send(t, 40)
	p.fill("percent", "90")
	p.says("outlook", "at the rate of the last minute")
	p.until(`/SES day \(recipients\): about [\d,]{7,} needed at the rate of the last minute, 1,000,000 available/.test(document.getElementById("outlook").textContent)`)
	p.until(`[...document.querySelectorAll("#outlook li.critical")].some((e) => e.textContent.startsWith("SES day"))`)
}

// Mail came and none was accepted: the share is not known, and the page does
// not say that there was no mail.
func TestNothingAccepted(t *testing.T) {
	t.Parallel()
	h := newHops(t)
	r := h.serve("relay-1", "split: {ses_percent: 20}\n")
	for _, set := range []func(simulator.Outage) error{h.ses.SetOutage, h.cue.SetOutage} {
		if err := set(simulator.OutageUnavailable); err != nil {
			t.Fatal(err)
		}
	}
	r.send(t, 20)
	p := openAs(t, r, h.tokens["admin"])
	p.says("difference", "and none was accepted: what SES gets is not known.")
	p.until(`document.getElementById("effective").textContent === "–" && document.getElementById("reasons").rows.length > 0`)
}

// eventually asks until the answer is as wanted.
func (r *instance) eventually(token, path string, wanted func(map[string]any) bool) {
	r.t.Helper()
	var last map[string]any
	if !poll(func() bool { last = r.api(http.MethodGet, path, token, ""); return wanted(last) }) {
		r.t.Fatalf("%s is never as wanted: %v", path, last)
	}
}
