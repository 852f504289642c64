package main

import (
	"archive/tar"
	"bytes"
	"debug/buildinfo"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// relay builds the binary as make image does.
func relay(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "relay")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "./cmd/relay")
	cmd.Dir, cmd.Env = "../..", append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// TestImage: the image holds the static binary and the certificates, nothing
// else, and is run by nobody; the SBOM lists every module that the binary holds.
// The same binary gives the same bytes.
func TestImage(t *testing.T) {
	binary, dir := relay(t), t.TempDir()
	certificates := filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(certificates, []byte("certificates"), 0o644); err != nil {
		t.Fatal(err)
	}
	made := map[string][]byte{}
	for _, n := range []string{"1", "2"} {
		if err := run(binary, "amd64", "sesrelay:test", filepath.Join(dir, "image"+n), certificates); err != nil {
			t.Fatal(err)
		}
		if err := writeSBOM(binary, certificates, "v1", filepath.Join(dir, "sbom"+n)); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"image", "sbom"} {
			b, err := os.ReadFile(filepath.Join(dir, name+n))
			if err != nil {
				t.Fatal(err)
			}
			if before, ok := made[name]; ok && !bytes.Equal(before, b) {
				t.Errorf("%s: other bytes from the same binary", name)
			}
			made[name] = b
		}
	}
	checkImage(t, filepath.Join(dir, "image1"))
	checkSBOM(t, made["sbom"], binary)
}

func checkImage(t *testing.T, path string) {
	t.Helper()
	img, err := tarball.ImageFromPath(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Config.User != nobody || strings.HasPrefix(cfg.Config.User, "0") || cfg.Config.Entrypoint[0] != "/relay" || len(cfg.Config.Env) > 0 {
		t.Errorf("%+v", cfg.Config)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for tr := tar.NewReader(r); ; {
			h, err := tr.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, h.Name)
			if h.Mode&0o6022 != 0 {
				t.Errorf("%s has mode %o", h.Name, h.Mode)
			}
		}
	}
	if !slices.Equal(files, []string{"etc/ssl/certs/ca-certificates.crt", "relay"}) {
		t.Errorf("the image holds %v", files)
	}
}

func checkSBOM(t *testing.T, b []byte, binary string) {
	t.Helper()
	var doc cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(b), cdx.BOMFileFormatJSON).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, c := range *doc.Components {
		listed[c.Name] = c.Version
		if c.Type == cdx.ComponentTypeLibrary && (c.PackageURL != "pkg:golang/"+c.Name+"@"+c.Version || c.Version == "") {
			t.Errorf("%s %s: %s", c.Name, c.Version, c.PackageURL)
		}
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range info.Deps {
		if listed[m.Path] != m.Version {
			t.Errorf("%s %s is in the binary, and %q in the SBOM", m.Path, m.Version, listed[m.Path])
		}
	}
	if len(listed) != len(info.Deps)+2 || listed["std"] == "" || listed["github.com/emersion/go-smtp"] == "" {
		t.Errorf("%d components for %d modules, Go %q", len(listed), len(info.Deps), listed["std"])
	}
	if doc.Metadata.Component.Hashes == nil || doc.Metadata.Component.Version != "v1" {
		t.Errorf("%+v", doc.Metadata.Component)
	}
}
