package console

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const vendored = "../../internal/admin/console/uplot"

// What the console vendors is what npm has under the pinned checksum (npm ci
// compares it), and the folder says of which version and licence it is.
func TestVendoredBytes(t *testing.T) {
	t.Parallel()
	for ours, theirs := range map[string]string{"uPlot.iife.min.js": "dist/uPlot.iife.min.js", "uPlot.min.css": "dist/uPlot.min.css", "LICENSE": "LICENSE"} {
		a, err := os.ReadFile(filepath.Join(vendored, ours))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join("node_modules/uplot", theirs))
		if err != nil {
			t.Fatalf("%v: sh scripts/need.sh console", err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s differs from the npm package: make vendor-console", ours)
		}
	}
	var lock struct {
		Packages map[string]struct{ Version, Integrity, License string }
	}
	b, err := os.ReadFile("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &lock); err != nil {
		t.Fatal(err)
	}
	pinned := lock.Packages["node_modules/uplot"]
	if !strings.HasPrefix(pinned.Integrity, "sha512-") {
		t.Errorf("uplot is not pinned by a checksum: %+v", pinned)
	}
	readme, err := os.ReadFile(filepath.Join(vendored, "README.md"))
	if err != nil || !strings.Contains(string(readme), "uPlot "+pinned.Version+" ") || !strings.Contains(string(readme), pinned.License+" licence") {
		t.Errorf("README.md does not name uPlot %s and its licence %s: %v", pinned.Version, pinned.License, err)
	}
}
