package console

import (
	"testing"

	"github.com/chromedp/chromedp/kb"
)

func TestChange(t *testing.T) {
	t.Parallel()
	r := demo(t)
	p := open(t, r.base())
	p.live()
	p.until(`document.getElementById("rate-forecast") && document.getElementById("upstreams").rows.length === 2`)
	// The slider moves the number, and the plan of it is shown.
	eval[bool](p, `(document.getElementById("slider").focus(), true)`)
	for range 3 {
		p.press(kb.ArrowRight)
	}
	p.until(`document.getElementById("percent").value === "3"`)
	p.says("outlook", "At 3 %")
	p.fill("percent", "25.5")
	p.says("outlook", "At 25.5 %")
	p.says("outlook", "SES rate at the peak (recipients/s)")

	// No reason, no question.
	p.click("plan")
	if eval[bool](p, `document.getElementById("confirm").open`) {
		t.Error("asked without a reason")
	}
	p.fill("why", "week 1")
	p.until(`document.getElementById("upstreams").textContent.match(/[1-9]/)`) // mail flows: a day can be reckoned
	p.click("plan")
	p.says("confirm-h", "SES to 25.5 %?")
	p.says("effect", "messages a day go to SES")
	p.says("effect", "more than now")
	p.says("apply", "messages a day to SES")
	if got := p.focused(); got != "apply" {
		t.Errorf("the focus is on %q", got)
	}
	p.press(kb.Escape)
	p.until(`!document.getElementById("confirm").open && document.activeElement.id === "plan"`)
	if now := r.applied(""); now != 0 {
		t.Fatalf("Escape has applied it: %v", now)
	}
	p.press(kb.Enter)
	p.until(`document.getElementById("confirm").open`)
	p.press(kb.Enter)
	p.says("result", "In force: version 1, requested 25.5 %, applied 25.5 %")
	if now := r.applied(""); now != 25.5 {
		t.Errorf("%v %% are applied", now)
	}
	p.until(`document.getElementById("history").textContent.includes("week 1")`)
	p.quiet()
}

// Somebody else was quicker: nothing is overwritten.
func TestStaleChange(t *testing.T) {
	t.Parallel()
	r := demo(t)
	p := open(t, r.base())
	p.live()
	p.fill("percent", "40")
	p.fill("why", "mine")
	p.click("plan")
	p.until(`document.getElementById("confirm").open`)
	r.set(5)
	p.click("apply")
	p.says("confirm-error", "Somebody else has changed the split meanwhile")
	if now := r.applied(""); now != 5 {
		t.Errorf("%v %% are applied", now)
	}
}

// What SES cannot carry is said, refused, and passed only with the box.
func TestChangeThatSESCannotCarry(t *testing.T) {
	t.Parallel()
	r := demo(t, "--quota", "2,1000000")
	g := newGate(t, r)
	p := open(t, g.URL)
	p.live()
	p.until(`document.getElementById("tail").rows.length >= 20`)
	p.fill("percent", "90")
	p.fill("why", "all of it")
	p.says("outlook", "Not enough:")
	p.click("plan")
	p.until(`!document.getElementById("force-row").hidden`)
	p.click("apply")
	p.says("confirm-error", "SES cannot carry 90 %")
	p.click("force")
	p.click("apply")
	p.says("result", "applied 90 %")

	// Without a plan there is no increase, but always a decrease.
	g.cut(without("/v1/split/plan"))
	p.live()
	p.fill("percent", "95")
	p.fill("why", "more")
	p.click("plan")
	p.says("result", "An increase needs a plan")
	p.fill("percent", "10")
	p.click("plan")
	p.says("missing", "Lowering is never refused")
	p.click("apply")
	p.says("result", "applied 10 %")
}

// The split is changed without a mouse (TestBrakeByKeyboard pulls the brake).
// What has the focus is seen on the whole way.
func TestChangeByKeyboard(t *testing.T) {
	t.Parallel()
	r := demo(t)
	p := open(t, r.base())
	p.live()
	p.until(`document.getElementById("tail").rows.length > 0`)
	p.tabTo("slider", 20)
	p.seen()
	for range 3 {
		p.press(kb.ArrowRight)
	}
	p.until(`document.getElementById("percent").value === "3"`)
	p.tabTo("percent", 1)
	p.seen()
	p.press(kb.ArrowUp)
	p.until(`document.getElementById("slider").value === "3" && document.getElementById("percent").value === "3.01"`)
	p.says("outlook", "At 3.01 %")
	p.tabTo("why", 1)
	p.seen()
	p.press("by keys" + kb.Enter)
	p.until(`document.getElementById("confirm").open && document.activeElement.id === "apply"`)
	p.seen()
	p.press(kb.Enter)
	p.says("result", "In force: version 1, requested 3.01 %, applied 3.01 %")
	p.quiet()
}

// seen fails when one cannot see what has the focus: no outline, out of the
// window, or under something else.
func (p *page) seen() {
	p.Helper()
	p.until(`(() => {
		const e = document.activeElement, b = e.getBoundingClientRect(), s = getComputedStyle(e);
		const top = document.elementFromPoint(b.x + b.width / 2, b.y + b.height / 2);
		return s.outlineStyle === "solid" && parseFloat(s.outlineWidth) >= 2 && b.top >= 0 && b.bottom <= innerHeight && (top === e || e.contains(top));
	})()`)
}
