//go:build pictures

package console

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	cdpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"sesrelay/internal/simulator"
)

// TestPictures takes the pictures of docs/images anew, of real relays in the
// states that matter at night, in both languages (make pictures). Somebody has
// to look at them.
func TestPictures(t *testing.T) {
	for name, take := range map[string]func(*testing.T){
		"usual": picturesOfTheUsual, "brake": picturesOfTheBrake, "lost": picturesOfNoConnection,
		"rolled back": picturesOf("rolled-back", 1500, rolledBack), "breaker": picturesOf("breaker", 1000, breakerOpen), "redis": picturesOf("redis-away", 1000, redisAway),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			take(t)
		})
	}
	t.Cleanup(func() { // behind the parallel ones
		files, err := filepath.Glob(picture("console*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%d pictures, %v", len(files), err)
		}
		for _, file := range files {
			if err := shrink(file); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	})
}

const (
	wide   = 1280
	minute = 75 * time.Second // of figures, before a picture shows charts
)

// week2 is a relay in the middle of its rollout, with the volumes configured.
func week2(t *testing.T) (*instance, string) {
	t.Helper()
	h := newHops(t)
	h.ses.SetLatency(simulator.Latency{P50: 60 * time.Millisecond, P99: 180 * time.Millisecond})
	h.cue.SetLatency(simulator.Latency{P50: 25 * time.Millisecond, P99: 90 * time.Millisecond})
	r, admin := h.serve("relay-1", "traffic: {peak_per_minute: 12000, per_day: 900000}\n"), h.tokens["admin"]
	for range 4 {
		r.send(t, 15)
	}
	r.order("start", admin)
	time.Sleep(5 * time.Second)
	r.order("promote", admin)
	return r, admin
}

func picturesOfTheUsual(t *testing.T) {
	r, admin := week2(t)
	p := openAs(t, r, admin, chromedp.EmulateViewport(wide, 1160))
	p.until(`document.getElementById("tail").rows.length >= 40`)
	time.Sleep(minute)
	p.fill("percent", "100")
	p.fill("why", "week 3")
	p.says("outlook", "At 100 %")
	p.both("console")
	p.parts("console-hops", "upstreams-box", "quota-box", "fleet")
	p.parts("console-tail", "tail-box")
	p.run(chromedp.EmulateViewport(wide, 800))
	for _, suffix := range []string{"", ".ja"} {
		p.click("plan")
		p.until(`document.getElementById("confirm").open`)
		p.shot(picture("console-confirm" + suffix))
		p.press("\x1b")
		p.click("language")
	}
	p.run(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
	p.top()
	p.both("console-narrow")
}

func picturesOfTheBrake(t *testing.T) {
	r, admin := week2(t)
	p := openAs(t, r, admin, chromedp.EmulateViewport(wide, 860))
	time.Sleep(minute)
	p.click("brake")
	p.both("console-brake-ask")
	p.click("brake-sure")
	p.braked(r, admin)
	p.says("alarms", "the brake is on")
	p.top()
	p.both("console-brake")
}

// picturesOfNoConnection are dark.
func picturesOfNoConnection(t *testing.T) {
	r, admin := week2(t)
	p := openAs(t, r, admin, chromedp.EmulateViewport(wide, 860))
	p.dark(true)
	time.Sleep(minute / 5)
	r.stop()
	p.until(`document.getElementById("link").dataset.state === "lost"`)
	time.Sleep(time.Second)
	p.both("console-lost")
}

func picturesOf(name string, height int64, state func(*testing.T) (*instance, string)) func(*testing.T) {
	return func(t *testing.T) {
		r, admin := state(t)
		p := openAs(t, r, admin, chromedp.EmulateViewport(wide, height))
		time.Sleep(minute / 5)
		p.both("console-" + name)
	}
}

// both takes a picture of the window in each language.
func (p *page) both(name string) {
	p.Helper()
	for _, suffix := range []string{"", ".ja"} {
		p.shot(picture(name + suffix))
		p.click("language")
	}
}

// parts takes a picture of sections that stand together, in each language.
func (p *page) parts(name string, ids ...string) {
	p.Helper()
	for _, suffix := range []string{"", ".ja"} {
		time.Sleep(2 * time.Second) // the charts are made anew
		p.whole(picture(name+suffix), ids)
		p.click("language")
	}
}

func picture(name string) string { return filepath.Join(os.Getenv("PICTURES"), name+".png") }

// top scrolls up.
func (p *page) top() { eval[bool](p, "(scrollTo(0, 0), document.activeElement.blur(), true)") }

// whole writes a picture of everything that some sections cover.
func (p *page) whole(path string, ids []string) {
	p.Helper()
	p.top()
	box := eval[[]float64](p, `(() => {
		const all = %s.map((id) => document.getElementById(id).getBoundingClientRect());
		const left = Math.min(...all.map((b) => b.left)), top = Math.min(...all.map((b) => b.top));
		return [left, top, Math.max(...all.map((b) => b.right)) - left, Math.max(...all.map((b) => b.bottom)) - top];
	})()`, list(ids))
	beyond := true
	b, err := chromedp.Call(p.ctx, cdpage.CaptureScreenshot, cdpage.CaptureScreenshotParams{CaptureBeyondViewport: &beyond,
		Clip: &cdpage.Viewport{X: box[0], Y: box[1], Width: box[2], Height: box[3], Scale: 1}})
	if err == nil {
		err = os.WriteFile(path, b.Data, 0o644)
	}
	if err != nil {
		p.Fatal(err)
	}
}

func list(ids []string) string {
	b, _ := json.Marshal(ids)
	return string(b)
}
