package console

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// Japanese and back, kept over a reload; the brake and what it has said too.
func TestLanguage(t *testing.T) {
	t.Parallel()
	r := demo(t)
	r.set(30)
	p := open(t, r.base())
	p.live()
	english := eval[map[string]string](p, `Object.fromEntries([...document.querySelectorAll("[data-t]")].map((e) => [e.dataset.t, e.textContent]))`)
	p.click("brake")
	p.click("brake-sure")
	p.braked(r, "")
	p.click("language")
	p.says("brake", "Cuenoteへ戻す")
	p.says("brake-said", "完了:新しいメールのSESへの割合は 0% です。")
	p.says("brake-state", "ブレーキ作動中")
	p.says("instances", "1台中1台がバージョン 1 を適用しています。")
	japanese := eval[map[string]string](p, `Object.fromEntries([...document.querySelectorAll("[data-t]")].map((e) => [e.dataset.t, e.textContent]))`)
	for key, text := range japanese {
		if same := key == "id"; text == "" || !same && text == english[key] {
			t.Errorf("%s is %q in Japanese", key, text)
		}
	}
	if lang := eval[string](p, "document.documentElement.lang"); lang != "ja" {
		t.Errorf("lang=%q", lang)
	}
	p.run(chromedp.Reload())
	p.live()
	p.says("brake", "Cuenoteへ戻す")
	p.says("alarms", "警告")
	p.click("language")
	p.says("brake", "Back to Cuenote")
	p.says("split-h", "Split")
	p.quiet()
}

// axe finds nothing, in both languages, light and dark, with what opens open;
// nothing is wider than a telephone.
func TestAccessible(t *testing.T) {
	t.Parallel()
	axe, err := os.ReadFile("node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatalf("%v: sh scripts/need.sh console", err)
	}
	r := demo(t)
	r.set(30)
	p := open(t, r.base())
	p.live()
	p.until(`document.getElementById("tail").rows.length > 0 && document.querySelectorAll("#charts canvas").length >= 3`)
	p.click("hold-tail")
	look := func(when string) {
		t.Helper()
		eval[bool](p, "(window.axe || (() => { %s })(), true)", string(axe))
		found := eval[[]string](p, `axe.run({ resultTypes: ["violations"] }).then((r) => r.violations.map((v) => v.id + " (" + v.impact + "): " + v.nodes.slice(0, 3).map((n) => n.target + " " + n.failureSummary).join(" | ")))`)
		for _, violation := range found {
			t.Errorf("%s: %s", when, violation)
		}
	}
	look("light")
	p.fill("percent", "50")
	p.fill("why", "a look")
	p.click("plan")
	p.until(`document.getElementById("confirm").open`)
	p.click("brake")
	look("with the questions open")
	p.press("\x1b")
	p.dark(true)
	p.click("language")
	look("dark, Japanese")
	for _, width := range []int64{360, 800} {
		p.run(chromedp.EmulateViewport(width, 700))
		if wide := eval[string](p, `document.documentElement.scrollWidth > innerWidth ? [...document.querySelectorAll("main *, header *")].filter((e) => e.getBoundingClientRect().right > innerWidth && !e.closest(".wide")).map((e) => e.tagName + "#" + e.id).slice(0, 5).join() : ""`); wide != "" {
			t.Errorf("at %d pixels too wide: %s", width, wide)
		}
		look(fmt.Sprintf("%d pixels", width))
	}
}

// The document of each language names every state as the page writes it.
func TestDocumentNamesEveryState(t *testing.T) {
	t.Parallel()
	p := open(t, demo(t).base())
	p.live()
	for language, file := range map[string]string{"en": "console.md", "ja": "console.ja.md"} {
		text, err := os.ReadFile("../../docs/" + file)
		if err != nil {
			t.Fatal(err)
		}
		states := eval[[]string](p, `import("/console/words.js").then(({ words }) => {
			const w = words[%q];
			return [w.live, w.polling, w.ready, w.notReady, w.draining, w.closed, w.sharedUp, w.opened("").replace(/[::]\s*$/, ""), w.sharedDown("").split(/[::]/)[0], w.lost("").split(/[,(]/)[0],
				...[w.brakeIs, w.savedIs, w.phases, w.verdicts, w.guardVerdicts, w.guardStates].flatMap((list) => Object.values(list))];
		})`, language)
		if len(states) < 30 {
			t.Fatalf("only %d states: %v", len(states), states)
		}
		for _, state := range states {
			if !strings.Contains(string(text), "`"+state+"`") {
				t.Errorf("%s does not name %q", file, state)
			}
		}
	}
}
