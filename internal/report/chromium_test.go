package report

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/octopatch/octopatch/internal/procedure"
)

// tab is a report that is open in Chromium.
type tab struct {
	context.Context
	t     *testing.T
	mu    sync.Mutex
	heard []string // what the browser complained of, or asked for besides the page
}

// browse opens a report in Chromium.
func browse(t *testing.T, r Report) *tab {
	t.Helper()
	text, err := r.HTML()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	limit, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(stop)
	// Chromium has no sandbox for root, which CI often is; the page is ours.
	browser, closeBrowser := chromedp.NewExecAllocator(limit, append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium(t)), chromedp.NoSandbox)...)
	t.Cleanup(closeBrowser)
	target, closeTarget := chromedp.NewContext(browser)
	t.Cleanup(closeTarget)
	open := &tab{Context: target, t: t}
	if err := chromedp.Listen(target, open.hear); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(target, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(target, chromedp.Navigate("file://"+file)); err != nil {
		t.Fatal(err)
	}
	return open
}

func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			return found
		}
	}
	t.Skip("Chromium is not on PATH")
	return ""
}

func (o *tab) hear(event any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		o.heard = append(o.heard, "log: "+e.Entry.Text)
	case *network.EventRequestWillBeSent:
		if !strings.HasSuffix(e.Request.URL, "/report.html") {
			o.heard = append(o.heard, "request: "+e.Request.URL)
		}
	}
}

// quiet fails the test for everything that was heard.
func (o *tab) quiet() {
	o.t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, what := range o.heard {
		o.t.Error(what)
	}
}

// ask evaluates a line of JavaScript in the page.
func ask[T any](o *tab, script string) T {
	o.t.Helper()
	value, err := chromedp.Run(o, chromedp.Evaluate[T](script))
	if err != nil {
		o.t.Fatal(err)
	}
	return value
}

// TestChromium: the page fits every screen and the paper, its bars lie inside their lanes where the numbers say, and
// it asks nothing of anybody.
func TestChromium(t *testing.T) {
	t.Parallel()
	r := whole()
	r.Nodes[0].Reason = strings.Repeat("a-word-without-an-end", 20)
	page := browse(t, r)
	for _, width := range []int64{320, 768, 2560, 1280} {
		if err := chromedp.Do(page, chromedp.EmulateViewport(width, 800)); err != nil {
			t.Fatal(err)
		}
		if wide := ask[int](page, `document.documentElement.scrollWidth - innerWidth`); wide > 0 {
			t.Errorf("a screen of %d pixels is %d too narrow", width, wide)
		}
	}
	if end := ask[float64](page, `document.querySelector("header").getBoundingClientRect().bottom`); end < 50 || end > 400 {
		t.Errorf("the verdict ends at pixel %.0f", end)
	}
	if bars := ask[int](page, `document.querySelectorAll(".bar").length`); bars != 9 {
		t.Errorf("%d bars of 9", bars)
	}
	if astray := ask[int](page, `[...document.querySelectorAll(".bar")].filter(b => {
		const in_ = b.getBoundingClientRect(), out = b.parentElement.getBoundingClientRect()
		return in_.width < 1 || in_.left < out.left || in_.right > out.right + 1 || getComputedStyle(b).backgroundColor === "rgba(0, 0, 0, 0)"
	}).length`); astray != 0 {
		t.Errorf("%d bars are not inside their lanes, or not to be seen", astray)
	}
	share := ask[float64](page, `100 * document.querySelector(".bar.service-down").getBoundingClientRect().width / document.querySelector(".lane").clientWidth`)
	if share < 24.5 || share > 25.5 { // ten of forty minutes
		t.Errorf("the service's ten minutes take %.1f %% of the lane", share)
	}
	for _, colours := range []string{"light", "dark"} {
		page.media(emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: colours}}})
		if worst := ask[float64](page, contrast); worst < 4.5 { // WCAG 2.2, 1.4.3
			t.Errorf("%s: text has a contrast of %.2f only", colours, worst)
		}
	}
	page.media(emulation.SetEmulatedMediaParams{Media: "print"})
	if hidden := ask[int](page, `[...document.querySelectorAll("details > div")].filter(d => d.getBoundingClientRect().height === 0).length`); hidden != 0 {
		t.Errorf("%d tables are not on paper", hidden)
	}
	page.quiet()
}

// contrast is the least contrast of any text with what is behind it.
const contrast = `(() => {
	const light = c => { const [r, g, b] = c.match(/[\d.]+/g).slice(0, 3).map(v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4 }); return 0.2126 * r + 0.7152 * g + 0.0722 * b }
	const behind = e => { while (e && getComputedStyle(e).backgroundColor === "rgba(0, 0, 0, 0)") e = e.parentElement; return getComputedStyle(e).backgroundColor }
	return Math.min(...[...document.querySelectorAll("h1, h2, p, td, th, li, code, span, summary")].map(e => { const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x); return (a + 0.05) / (b + 0.05) }))
})()`

func (o *tab) media(params emulation.SetEmulatedMediaParams) {
	o.t.Helper()
	if _, err := chromedp.Call(o, emulation.SetEmulatedMedia, params); err != nil {
		o.t.Fatal(err)
	}
}

// TestChromiumRunsNothing: what comes from outside is text, whatever it is.
func TestChromiumRunsNothing(t *testing.T) {
	t.Parallel()
	const evil = `"'></td></table><script>document.title="owned"</script><img src=x onerror="document.title='owned'">`
	r := whole()
	r.Run, r.Error, r.Next, r.Program, r.Octopus, r.Precaution, r.Warnings = evil, evil, evil, evil, evil, evil, []string{evil}
	r.Settings = map[string]string{evil: evil}
	for _, n := range r.Nodes {
		n.Node, n.Host, n.Reason, n.Next, n.Before.Build, n.After.Build = evil, evil, evil, evil, evil, evil
		n.Precaution = &procedure.TakenPrecaution{Name: evil}
		n.Phases = []procedure.PhaseReport{{Phase: evil, Title: evil, Reason: evil, Result: procedure.Kind(evil), Started: at(0)}}
		n.Failed = []procedure.UpdateOutcome{{Title: evil, Code: evil, Words: evil, Next: evil, KBs: []string{evil}}}
		n.Skipped = []procedure.Update{{Title: evil, Skip: evil, KBs: []string{evil}}}
	}
	page := browse(t, r)
	title := ask[string](page, `document.title`)
	foreign := ask[int](page, `document.querySelectorAll("script, img").length`)
	if title == "owned" || title == "" || foreign != 0 {
		t.Errorf("title %q, %d elements that are not ours", title, foreign)
	}
	page.quiet()
}
