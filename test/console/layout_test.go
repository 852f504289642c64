package console

import (
	"testing"

	cdpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// Nothing runs into its neighbour and no column is cut, in both languages. The
// tail is wider than a telephone, and scrolls.
func TestNothingIsCut(t *testing.T) {
	t.Parallel()
	r, tokens := serve(t, quickGuard)
	r.send(t, 40)
	r.order("start", tokens["admin"])
	p := openAs(t, r, tokens["admin"])
	p.until(`document.getElementById("effective").textContent.length > 5 && document.getElementById("gate").rows.length > 1 && document.getElementById("tail").rows.length >= 20`)
	p.click("brake")
	p.click("brake-sure")
	p.braked(r, tokens["admin"])
	for range 2 {
		for _, width := range []int64{1440, 1280, 1024, 390} {
			p.run(chromedp.EmulateViewport(width, 900))
			p.until(`innerWidth === %d`, width)
			if cut := eval[[]string](p, `(async () => {
				for (let n = 0; n < 3; n++) await new Promise(requestAnimationFrame);
				const bad = [], box = (e) => e.getBoundingClientRect();
				const figures = [...document.querySelectorAll(".big dd")].map((e) => { const range = document.createRange(); range.selectNodeContents(e); return range.getBoundingClientRect(); });
				figures.forEach((a, i) => figures.forEach((b, j) => { if (i < j && a.top < b.bottom && b.top < a.bottom && a.right + 4 > b.left && b.right + 4 > a.left) bad.push("figures " + i + " and " + j); }));
				const split = box(document.getElementById("split"));
				figures.forEach((a, i) => { if (a.right > split.right) bad.push("figure " + i); });
				for (const e of document.querySelectorAll("#split .wide, #rollout .wide, #upstreams-box .wide, #fleet .wide" + (innerWidth > 1000 ? ", .wide" : ""))) {
					if (e.checkVisibility() && e.scrollWidth > e.clientWidth) bad.push(e.closest("section").id + ": " + e.getAttribute("aria-label") + " " + e.scrollWidth + " > " + e.clientWidth);
				}
				const below = box(document.querySelector("header")).bottom;
				document.getElementById("trace").show();
				if (box(document.getElementById("trace")).top < below) bad.push("the dialog is under the head");
				document.getElementById("trace").close();
				return bad;
			})()`); len(cut) > 0 {
				t.Errorf("%s at %d pixels: %v", eval[string](p, "document.documentElement.lang"), width, cut)
			}
		}
		p.click("language")
	}
}

// What a chart writes below its lines is read off the canvas: times of 24
// hours, each once, with room between them.
func TestChartTimes(t *testing.T) {
	t.Parallel()
	// Every text that is drawn after the canvas was cleared, by canvas.
	spy := `{
		const P = CanvasRenderingContext2D.prototype, fill = P.fillText, clear = P.clearRect;
		P.clearRect = function (...a) { this.canvas.texts = []; return clear.apply(this, a); };
		P.fillText = function (text, x, y, ...a) { (this.canvas.texts ||= []).push([text, x, y, this.measureText(text).width]); return fill.call(this, text, x, y, ...a); };
	}`
	r := demo(t)
	p := open(t, "about:blank")
	p.base = r.base()
	if _, err := chromedp.Call(p.ctx, cdpage.AddScriptToEvaluateOnNewDocument, cdpage.AddScriptToEvaluateOnNewDocumentParams{Source: spy}); err != nil {
		t.Fatal(err)
	}
	p.run(chromedp.Navigate(r.base()))
	p.live()
	for range 2 {
		for _, width := range []int64{1440, 1024, 390} {
			p.run(chromedp.EmulateViewport(width, 900))
			p.until(`innerWidth === %d && (() => {
				const all = [...document.querySelectorAll(".plot canvas")].filter((c) => c.texts);
				return all.length >= 5 && all.every((c) => {
					const low = Math.max(...c.texts.map((x) => x[2])), times = c.texts.filter((x) => x[2] === low).sort((a, b) => a[1] - b[1]);
					return times.length >= 2 && times.every(([text, x,, wide], i) => /^\d\d:\d\d(:\d\d)?$/.test(text) && (i === 0 || times[i - 1][0] !== text && x - times[i - 1][1] > (wide + times[i - 1][3]) / 2 + 4));
				});
			})()`, width)
		}
		p.click("language")
	}
}
