package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// patience is how long a test waits for what has to come. It is no measure: the
// machine may be busy.
const patience = 30 * time.Second

// browser starts one Chromium for all tests, with a profile of its own that is
// thrown away, and without anything that would call home.
var browser = sync.OnceValues(func() (context.Context, error) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "console-profile")
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(dir), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("lang", "en-US"), chromedp.WSURLReadTimeout(patience))
	alloc, stopAlloc := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stop := chromedp.NewContext(alloc)
	atEnd = append(atEnd, func() { stop(); stopAlloc(); os.RemoveAll(dir) })
	return ctx, chromedp.Do(ctx)
})

// page is one tab with storage of its own.
type page struct {
	*testing.T
	ctx  context.Context
	base string

	mu       sync.Mutex // guards what follows
	problems []string   // console errors, exceptions, breaches of the policy
	failed   []string   // requests without a good answer, which a test may want
	hosts    map[string]bool
}

// open opens the console in a new tab. The test fails for every error in the
// browser's console, every breach of the content security policy, and every
// request to another host.
func open(t *testing.T, base string, setup ...chromedp.Action[chromedp.Void]) *page {
	t.Helper()
	b, err := browser()
	if err != nil {
		t.Fatalf("chromium: %v (scripts/need.sh test installs it)", err)
	}
	ctx, cancel := chromedp.NewContext(b, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	p := &page{T: t, ctx: ctx, base: base, hosts: map[string]bool{}}
	if err := chromedp.Do(ctx); err != nil { // the tab lives as long as this context
		t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, p.listen); err != nil {
		t.Fatal(err)
	}
	for _, enable := range []func() error{
		func() error { _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); return err },
		func() error { _, err := chromedp.Call(ctx, log.Enable, cdp.Empty{}); return err },
		func() error {
			watch := `addEventListener("securitypolicyviolation", (e) => console.error("CSP", e.violatedDirective, e.blockedURI))`
			_, err := chromedp.Call(ctx, cdpage.AddScriptToEvaluateOnNewDocument, cdpage.AddScriptToEvaluateOnNewDocumentParams{Source: watch})
			return err
		},
	} {
		if err := enable(); err != nil {
			t.Fatal(err)
		}
	}
	p.run(chromedp.EmulateViewport(1280, 900))
	p.run(setup...)
	p.run(chromedp.Navigate(base))
	t.Cleanup(p.judge)
	return p
}

func (p *page) listen(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		p.problems = append(p.problems, "exception: "+exception(e.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeAssert {
			var words []string
			for _, a := range e.Args {
				words = append(words, string(a.Value)+a.Description)
			}
			p.problems = append(p.problems, "console.error: "+strings.Join(words, " "))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError && e.Entry.Source == log.EntrySourceNetwork {
			p.failed = append(p.failed, e.Entry.Text+" "+e.Entry.URL)
		} else if e.Entry.Level == log.EntryLevelError {
			p.problems = append(p.problems, string(e.Entry.Source)+": "+e.Entry.Text)
		}
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err == nil && u.Scheme != "data" {
			p.hosts[u.Host] = true
		}
	}
}

func exception(d *runtime.ExceptionDetails) string {
	if d.Exception != nil {
		return d.Text + " " + d.Exception.Description
	}
	return d.Text
}

func (p *page) judge() {
	if p.Failed() {
		p.shot("/tmp/console-" + strings.ReplaceAll(p.Name(), "/", "-") + ".png")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, problem := range p.problems {
		p.Errorf("in the browser: %s", problem)
	}
	for host := range p.hosts {
		if host != strings.TrimPrefix(p.base, "http://") {
			p.Errorf("a request went to %q", host)
		}
	}
}

// quiet fails for every request that had no good answer. A relay that has no
// rollout says so with 404, which the browser writes down.
func (p *page) quiet() {
	p.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.failed {
		if strings.Contains(f, "404") && strings.HasSuffix(f, "/v1/rollout") {
			continue
		}
		p.Errorf("a request failed: %s", f)
	}
}

func (p *page) run(actions ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 2*patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.Fatalf("%v", err)
	}
}

// eval returns what an expression, or the promise that it is, gives.
func eval[T any](p *page, format string, args ...any) T {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 2*patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](fmt.Sprintf(format, args...), chromedp.EvalAwaitPromise))
	if err != nil {
		p.Fatalf("%v", err)
	}
	return v
}

// until waits for an expression to be true.
func (p *page) until(format string, args ...any) {
	p.Helper()
	expression := fmt.Sprintf(format, args...)
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		if ok, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("!!("+expression+")")); err == nil && ok {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.Fatalf("never true: %s\nlink: %q, result: %q, brake: %q", expression, p.text("link"), p.text("result"), p.text("brake-said"))
}

// live waits for the first figures.
func (p *page) live() {
	p.Helper()
	p.until(`document.getElementById("link").dataset.state === "live" && document.getElementById("requested").textContent !== "–"`)
}

// text returns what an element holds; "" where there is none.
func (p *page) text(id string) string {
	return eval[string](p, "(document.getElementById(%q) || {}).textContent || ''", id)
}

// says waits until an element holds words.
func (p *page) says(id, words string) {
	p.Helper()
	p.until("document.getElementById(%q).textContent.includes(%s)", id, quoted(words))
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// click clicks with the mouse, as a person does: what is covered or hidden is
// not hit. What a figure that arrives just then moves away from under the mouse
// is clicked again.
func (p *page) click(id string) {
	p.Helper()
	for range 5 {
		p.until("document.getElementById(%q) && !document.getElementById(%[1]q).disabled && document.getElementById(%[1]q).checkVisibility()", id)
		eval[bool](p, "(window.hit = false, document.getElementById(%q).addEventListener('click', () => { window.hit = true; }, { capture: true, once: true }), true)", id)
		p.run(chromedp.Click(chromedp.ID(id)))
		if eval[bool](p, "window.hit") {
			return
		}
	}
	p.Fatalf("%s is not under the mouse", id)
}

// fill replaces what a field holds, by the keyboard.
func (p *page) fill(id, text string) {
	p.Helper()
	p.until("!document.getElementById(%q).disabled", id)
	eval[bool](p, "(document.getElementById(%q).select(), true)", id)
	p.run(chromedp.SendKeys(chromedp.ID(id), text))
}

func (p *page) press(keys string) {
	p.Helper()
	p.run(chromedp.KeyEvent(keys))
}

// focused returns the id of what has the focus.
func (p *page) focused() string { return eval[string](p, "document.activeElement.id") }

// tabTo presses Tab until an element has the focus, within n times.
func (p *page) tabTo(id string, n int) {
	p.Helper()
	var way []string
	for range n {
		p.press(kb.Tab)
		way = append(way, p.focused())
		if p.focused() == id {
			return
		}
	}
	p.Fatalf("Tab went by %v and never reached %s", way, id)
}

// shot writes a picture of the window.
func (p *page) shot(path string) {
	if b, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot()); err == nil {
		os.WriteFile(path, b, 0o644)
	}
}

// dark asks for dark colours, or for light ones.
func (p *page) dark(on bool) {
	p.Helper()
	scheme := "light"
	if on {
		scheme = "dark"
	}
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}); err != nil {
		p.Fatal(err)
	}
}
