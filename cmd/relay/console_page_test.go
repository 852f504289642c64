package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The page of the console, in its two languages.
var consolePages = []string{"console.md", "console.ja.md"}

// Both languages have the same sections, with the same pictures, commands,
// tables and links, each to its own language.
func TestConsolePagesAgree(t *testing.T) {
	t.Parallel()
	english, japanese := sections(runbook(t, consolePages[0])), sections(runbook(t, consolePages[1]))
	if len(english) < 14 || len(english) != len(japanese) {
		t.Fatalf("%d sections in English, %d in Japanese", len(english), len(japanese))
	}
	for i, e := range english {
		j := japanese[i]
		for _, link := range j.links {
			if english := strings.Replace(link, ".ja.", ".", 1); link == english && strings.Contains(link, "images/") {
				t.Errorf("%q shows %s, which is English", j.heading, link)
			}
		}
		if e.level != j.level || e.rows != j.rows || !slices.Equal(languageless(e.links), languageless(j.links)) || !slices.Equal(e.code, j.code) {
			t.Errorf("%q and %q differ:\n level %d, %d; rows of tables %d, %d\n links %q\n       %q\n code  %q\n       %q",
				e.heading, j.heading, e.level, j.level, e.rows, j.rows, e.links, j.links, e.code, j.code)
		}
	}
}

// languageless are links without what the two languages do not share: the
// suffix of the file, and the heading within it.
func languageless(links []string) (out []string) {
	for _, link := range links {
		file, _, _ := strings.Cut(link, "#")
		if file = strings.Replace(file, ".ja.", ".", 1); file != consolePages[0] {
			out = append(out, file)
		}
	}
	return out
}

// Every picture that a document shows is there, and every picture of the
// console is shown.
func TestPicturesAreShown(t *testing.T) {
	t.Parallel()
	shown := map[string]bool{}
	for _, name := range append([]string{"../README.md", "performance.md"}, consolePages...) {
		for _, s := range sections(runbook(t, name)) {
			for _, link := range s.links {
				if strings.HasSuffix(link, ".png") {
					shown[filepath.Base(link)] = true
					if _, err := os.Stat(filepath.Join("../../docs", filepath.Dir(name), link)); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
			}
		}
	}
	files, err := filepath.Glob("../../docs/images/*.png")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d pictures, %v", len(files), err)
	}
	for _, file := range files {
		if !shown[filepath.Base(file)] {
			t.Errorf("nobody shows %s", file)
		}
	}
}
