package console

import "testing"

// What an operator sees, with mail.
func TestShowsTraffic(t *testing.T) {
	t.Parallel()
	r := demo(t)
	r.set(40)
	p := open(t, r.base())
	p.live()
	p.until(`document.getElementById("requested").textContent === "40 %%"`)
	p.until(`document.getElementById("effective").textContent !== "–"`)
	p.until(`document.getElementById("tail").rows.length >= 20`)
	p.until(`document.getElementById("reasons").textContent.includes("null reverse-path")`)
	p.until(`document.getElementById("history").textContent.includes("a test")`)
	p.says("upstreams", "closed")
	p.says("instances", "1 of 1 instances apply version 1")
	p.says("states", "Brake off")
	p.says("day-forecast", "not limited")
	p.says("who", "local may change")
	// Lines are drawn: some pixel of every chart has the colour of a next hop
	// (at 100 % success one lies over the other).
	p.until(`document.querySelectorAll("#charts canvas").length >= 3 && [...document.querySelectorAll("#charts canvas, #quota-charts canvas")].every((c) => {
		const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
		const near = (i, r, g, b) => d[i + 3] > 200 && Math.abs(d[i] - r) < 8 && Math.abs(d[i + 1] - g) < 8 && Math.abs(d[i + 2] - b) < 8;
		for (let i = 0; i < d.length; i += 4) if (near(i, 0xb4, 0x53, 0x09) || near(i, 0x03, 0x69, 0xa1)) return true;
		return false;
	})`)
	if masked := eval[bool](p, `[...document.getElementById("tail").rows].every((r) => !/(news-|user)\d+@/.test(r.textContent))`); !masked {
		t.Error("an address stands in the tail")
	}
	p.quiet()
}

func TestTrace(t *testing.T) {
	t.Parallel()
	p := open(t, demo(t).base())
	p.live()
	p.until(`document.getElementById("tail").rows.length > 0`)
	p.click("hold-tail")
	id := eval[string](p, `(() => { const b = document.querySelector("#tail button"); b.id = "one"; return b.textContent })()`)
	p.click("one")
	p.until(`document.getElementById("trace").open`)
	p.says("found", id)
	p.says("found", "Attempt at cuenote")
	if p.focused() != "found" {
		t.Errorf("the focus is on %q", p.focused())
	}
	p.press("\x1b")
	p.until(`!document.getElementById("trace").open`)
	if p.focused() != "one" {
		t.Errorf("the focus went to %q, not back", p.focused())
	}
	p.fill("id", id+"\r")
	p.until(`document.getElementById("trace").open`)
	p.click("trace-close")
	p.fill("id", "nothing\r")
	p.says("found", "no message with this id")
}

// The quota's day and when it will be used up.
func TestForecast(t *testing.T) {
	t.Parallel()
	r := demo(t, "--quota", "100,5000")
	r.set(100)
	p := open(t, r.base())
	p.live()
	p.says("quota-day", "of 5,000")
	p.says("day-forecast", "is used up in about")
	p.says("rate-forecast", "Room for")
	// 20 mails a second less the null senders: 5000 are gone after about 4 minutes.
	if kind := eval[string](p, `document.getElementById("day-forecast").className`); kind != "critical" {
		t.Errorf("%q is shown as %q", p.text("day-forecast"), kind)
	}
	arithmetic := `import("/console/quota.js").then((q) => JSON.stringify([q.forecast(86400, 0, 1), q.forecast(86400, 86000, 2), q.forecast(1000, 2000, 1)]))`
	if got := eval[string](p, "%s", arithmetic); got != "[null,200,0]" {
		t.Errorf("forecasts: %s", got)
	}
}
