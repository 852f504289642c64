package console

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// braked waits until the page says that the brake is pulled, and asks the relay.
func (p *page) braked(r *instance, token string) {
	p.Helper()
	p.says("brake-said", "Done: SES gets 0 % of new mail. 1 of 1 instances apply it.")
	if now := r.applied(token); now != 0 {
		p.Errorf("SES still gets %v %%", now)
	}
}

func TestBrakeTakesTwoClicks(t *testing.T) {
	t.Parallel()
	r := demo(t)
	r.set(30)
	p := open(t, r.base())
	p.live()
	p.click("brake")
	p.click("brake-sure")
	p.braked(r, "")
	p.says("alarms", "the brake is on")
	p.says("states", "Brake on")
	p.until(`document.getElementById("applied").textContent === "0 %%" && document.getElementById("requested").textContent === "30 %%"`)

	p.click("release")
	p.says("effect", "From 0 % to 30 % of the mail.")
	p.click("apply")
	if p.until(`document.getElementById("confirm").open`); r.applied("") != 0 {
		t.Error("released without a reason")
	}
	p.fill("reason", "it was a drill")
	p.click("apply")
	p.says("result", "applied 30 %")
	if now := r.applied(""); now != 30 {
		t.Errorf("%v %% after the release", now)
	}
	p.until(`document.getElementById("braked").hidden && document.getElementById("history").textContent.includes("it was a drill")`)
	p.quiet()
}

// The brake works whatever else does not: two clicks each time.
func TestBrakeStandsAlone(t *testing.T) {
	t.Parallel()
	r := demo(t)
	for name, shut := range map[string]func(string) bool{
		"no events":          without("/v1/events"),
		"no charts":          without("/console/uPlot.iife.min.js", "/console/uPlot.min.css"),
		"no plan":            without("/v1/split/plan"),
		"no rollout":         without("/v1/rollout"),
		"no page":            without("/console/main.js"),
		"a module is gone":   without("/console/quota.js"),
		"no style":           without("/console/console.css"),
		"nothing but itself": only("/", "/console/brake.js", "/v1/brake"),
	} {
		t.Run(name, func(t *testing.T) { // one after the other: they share the relay
			r.api("GET", "/v1/status", "", "")
			g := newGate(t, r)
			g.cut(shut)
			r.raise(50)
			p := open(t, g.URL)
			p.click("brake")
			p.click("brake-sure")
			p.braked(r, "")
		})
	}
}

// The stream is cut while the page is open, and an overlay is open too.
func TestBrakeWhileTheStreamIsDown(t *testing.T) {
	t.Parallel()
	r := demo(t)
	r.set(30)
	g := newGate(t, r)
	p := open(t, g.URL)
	p.live()
	p.fill("percent", "60")
	p.fill("why", "an overlay")
	p.click("plan")
	p.until(`document.getElementById("confirm").open`)
	g.cut(without("/v1/events", "/v1/status"))
	p.until(`document.getElementById("link").dataset.state === "lost"`)
	p.says("link", "no connection")
	p.click("brake")
	p.click("brake-sure")
	p.braked(r, "")
	g.cut(without("/v1/events"))
	p.until(`document.getElementById("link").dataset.state === "polling"`)
	g.cut(nil)
	p.live()
	p.says("alarms", "the brake is on")
}

func TestBrakeByKeyboard(t *testing.T) {
	t.Parallel()
	r := demo(t)
	r.set(30)
	p := open(t, r.base())
	p.live()
	p.tabTo("brake", 1)
	if outline := eval[string](p, `getComputedStyle(document.getElementById("brake")).outlineStyle`); outline != "solid" {
		t.Errorf("the focus is not seen: outline %s", outline)
	}
	p.press(kb.Enter)
	p.until(`document.activeElement.id === "brake-sure"`)
	p.press(kb.Escape)
	p.until(`document.activeElement.id === "brake" && document.getElementById("brake-ask").hidden`)
	if now := r.applied(""); now != 30 {
		t.Errorf("Escape has pulled it: %v %%", now)
	}
	p.press(kb.Enter)
	p.press(kb.Enter)
	p.braked(r, "")
	p.quiet()
}

// From anywhere in the page one key asks, and another pulls.
func TestBrakeFromAnywhere(t *testing.T) {
	t.Parallel()
	r := demo(t)
	r.set(30)
	p := open(t, r.base())
	p.live()
	p.fill("id", "an id") // at the end of the page, and a field that takes the key itself
	alt, shift := int64(chromedp.ModifierAlt), int64(chromedp.ModifierShift)
	p.key(input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Modifiers: alt | shift, Key: "B", Code: "KeyB", UnmodifiedText: "B", WindowsVirtualKeyCode: 'B'})
	p.until(`document.activeElement.id === "brake-sure"`)
	if typed := eval[string](p, `document.getElementById("id").value`); typed != "an id" {
		t.Errorf("the field has %q", typed)
	}
	if now := r.applied(""); now != 30 {
		t.Fatalf("the first key has pulled it: %v %%", now)
	}
	p.press(kb.Enter)
	p.braked(r, "")
}

// A press is one step, however long it is or how often it bounces.
func TestBrakeIsNotPulledByAccident(t *testing.T) {
	t.Parallel()
	r := demo(t)
	r.set(30)
	p := open(t, r.base())
	p.live()
	asked := func(by string) {
		t.Helper()
		p.until(`!document.getElementById("brake-ask").hidden`)
		time.Sleep(500 * time.Millisecond) // for what must not happen
		if said, now := p.text("brake-said"), r.applied(""); said != "" || now != 30 {
			t.Fatalf("%s has pulled it: %q, %v %%", by, said, now)
		}
		p.press(kb.Escape)
		p.until(`document.getElementById("brake-ask").hidden`)
	}
	for _, key := range []struct {
		name, text string
		code       int64
	}{{"Enter", "\r", 13}, {" ", " ", 32}} {
		p.run(chromedp.Focus(chromedp.ID("brake")))
		down := input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: key.name, Text: key.text, UnmodifiedText: key.text, WindowsVirtualKeyCode: key.code}
		p.key(down)
		again := true
		for range 5 {
			held := down
			held.AutoRepeat = &again
			p.key(held)
		}
		p.key(input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyUp, Key: key.name, WindowsVirtualKeyCode: key.code})
		asked(fmt.Sprintf("%q held down", key.name))
	}

	// A double click whose second half hits what has come under the mouse.
	p.click("brake")
	p.until(`!document.getElementById("brake-ask").hidden`)
	at := eval[[]float64](p, `(() => { const b = document.getElementById("brake-sure").getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2] })()`)
	p.run(chromedp.MouseClickXY(at[0], at[1], chromedp.ClickCount(2)))
	asked("a double click")
}

func (p *page) key(e input.DispatchKeyEventParams) {
	p.Helper()
	if _, err := chromedp.Call(p.ctx, input.DispatchKeyEvent, e); err != nil {
		p.Fatal(err)
	}
}

// A brake that the relay cannot answer is tried again, and says what to do.
func TestBrakeIsTriedAgain(t *testing.T) {
	t.Parallel()
	r := demo(t)
	r.set(30)
	g := newGate(t, r)
	p := open(t, g.URL)
	p.live()
	g.cut(without("/v1/brake"))
	p.click("brake")
	p.click("brake-sure")
	p.says("brake-said", "Trying again")
	p.says("brake-said", "NOT DONE")
	p.says("brake-said", "relay brake")
	p.click("brake")
	p.click("brake-sure")
	p.says("brake-said", "Trying again (2)")
	g.cut(nil)
	p.braked(r, "")
}

// raise undoes the brake and sets a share, beside the page.
func (r *instance) raise(percent int) {
	r.t.Helper()
	s := r.api("GET", "/v1/split", "", "")
	if s["brake"] != nil {
		r.api("DELETE", "/v1/brake", "", `{"reason":"next"}`, "If-Match", quotedVersion(s))
	}
	r.set(percent)
}
