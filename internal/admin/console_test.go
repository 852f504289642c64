package admin

import (
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// own returns the console's own files by name, without what is vendored.
func own(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{"index.html": string(consolePage)}
	names, err := fs.Glob(console, "console/*.*")
	if err != nil || len(names) < 10 {
		t.Fatalf("%v, %v", names, err)
	}
	for _, name := range names {
		b, err := console.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(name, "console/")] = string(b)
	}
	return files
}

// The page loads nothing from elsewhere, and puts nothing in as markup.
func TestConsoleIsSelfContained(t *testing.T) {
	t.Parallel()
	for name, text := range own(t) {
		for _, bad := range []string{"http:", "https:", "//cdn", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "style=", "onclick=\""} {
			if strings.Contains(text, bad) {
				t.Errorf("%s holds %q", name, bad)
			}
		}
	}
}

var loads = regexp.MustCompile(`(?:src|href)="(/[^"]*)"|from "\./([^"]+)"`)

// Whatever the page and its modules load is served, with its type; a second
// visit costs a 304.
func TestConsoleFilesAreServed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	targets := map[string]bool{"/": true}
	for _, text := range own(t) {
		for _, m := range loads.FindAllStringSubmatch(text, -1) {
			if m[2] != "" {
				m[1] = "/console/" + m[2]
			}
			targets[m[1]] = true
		}
	}
	if len(targets) < 15 {
		t.Errorf("only %v", slices.Sorted(maps.Keys(targets)))
	}
	for target := range targets {
		kind := "text/html"
		switch {
		case strings.HasSuffix(target, ".css"):
			kind = "text/css"
		case strings.HasSuffix(target, ".js"):
			kind = "text/javascript"
		}
		res := f.ask("GET", target, "")
		if got := res.Header.Get("Content-Type"); res.StatusCode != 200 || !strings.HasPrefix(got, kind) {
			t.Errorf("%s: %d, type %s", target, res.StatusCode, got)
		}
		if again := f.ask("GET", target, "", "If-None-Match: "+res.Header.Get("ETag")); again.StatusCode != 304 {
			t.Errorf("%s again: %d", target, again.StatusCode)
		}
	}
	f.want(f.ask("GET", "/console/index.html", ""), 404)
	f.want(f.ask("GET", "/console/LICENSE", ""), 404)
}

// The brake needs nothing that the rest of the page loads.
func TestBrakeStandsAlone(t *testing.T) {
	t.Parallel()
	files := own(t)
	if strings.Contains(files["brake.js"], "import ") {
		t.Error("brake.js imports something")
	}
	page := files["index.html"]
	if brake := strings.Index(page, "brake.js"); brake < 0 || brake > strings.Index(page, "main.js") || brake > strings.Index(page, "uPlot.iife") {
		t.Error("brake.js is not the first script")
	}
}

var (
	wordKey = regexp.MustCompile(`(?:^|[{,]\s*)([a-zA-Z0-9_]+): `)
	wanted  = regexp.MustCompile(`data-(?:t|label)="([^"]*)"|\bt\("([^"]+)"\)|\bnamed\("([^"]+)"`)
)

// keys returns the names of a table of words, those of the tables in it too.
func keys(table string) map[string]bool {
	// What a text holds is no key.
	table = regexp.MustCompile("\"[^\"\\n]*\"|`[^`\\n]*`").ReplaceAllString(table, `""`)
	out := map[string]bool{}
	for line := range strings.Lines(table) {
		for _, m := range wordKey.FindAllStringSubmatch(strings.TrimSpace(line), -1) {
			out[m[1]] = true
		}
	}
	return out
}

// Both languages have every text, and the page asks for none that is missing.
func TestConsoleLanguages(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"words.js", "brake.js"} {
		en, ja, ok := strings.Cut(own(t)[name], "\n  ja: {")
		if name == "brake.js" {
			en, ja, ok = strings.Cut(own(t)[name], "\n    ja: {")
			ja, _, _ = strings.Cut(ja, "\n  };")
		}
		_, en, _ = strings.Cut(en, "en: {")
		if !ok {
			t.Fatalf("%s has no Japanese", name)
		}
		e, j := keys(en), keys(ja)
		if len(e) < 10 {
			t.Fatalf("%s: only %v", name, e)
		}
		for k := range e {
			if !j[k] {
				t.Errorf("%s: %s has no Japanese", name, k)
			}
		}
		for k := range j {
			if !e[k] {
				t.Errorf("%s: %s has no English", name, k)
			}
		}
	}
	_, table, _ := strings.Cut(own(t)["words.js"], "en: {")
	have := keys(table)
	for name, text := range own(t) {
		if name == "brake.js" || name == "words.js" {
			continue
		}
		for _, m := range wanted.FindAllStringSubmatch(text, -1) {
			if k := m[1] + m[2] + m[3]; !have[k] {
				t.Errorf("%s asks for %q", name, k)
			}
		}
	}
}
