//go:build pictures

package console

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestPictures takes the pictures of docs/images anew, of the demo under
// traffic (make pictures). Somebody has to look at them.
func TestPictures(t *testing.T) {
	dir := os.Getenv("PICTURES")
	r := demo(t, "--quota", "60,200000")
	r.set(10)
	time.Sleep(5 * time.Second)
	r.set(25)
	p := open(t, r.base(), chromedp.EmulateViewport(1440, 1000))
	p.live()
	p.until(`document.getElementById("tail").rows.length >= 40`)
	p.fill("percent", "50")
	p.fill("why", "week 2: half of the mail")
	time.Sleep(90 * time.Second)
	p.full(filepath.Join(dir, "console.png"))
	p.click("plan")
	p.until(`document.getElementById("confirm").open`)
	p.shot(filepath.Join(dir, "console-confirm.png"))
	p.press("\x1b")
	p.click("language")
	p.full(filepath.Join(dir, "console-ja.png"))
	p.dark(true)
	p.click("brake")
	p.shot(filepath.Join(dir, "console-brake-ask.png"))
	p.click("brake-sure")
	p.until(`document.getElementById("brake-said").className === "good"`)
	time.Sleep(3 * time.Second)
	p.full(filepath.Join(dir, "console-brake.png"))
	p.dark(false)
	p.run(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
	p.click("language")
	time.Sleep(2 * time.Second)
	p.shot(filepath.Join(dir, "console-narrow.png"))
	p.full(filepath.Join(dir, "console-narrow-full.png"))
}

// full writes a picture of the whole page.
func (p *page) full(path string) {
	p.Helper()
	b, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(path, b, 0o644)
	}
	if err != nil {
		p.Fatal(err)
	}
}
