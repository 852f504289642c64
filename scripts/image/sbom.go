package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// writeSBOM writes what the binary is made of, in CycloneDX JSON: the modules
// that the linker has recorded in it (as go version -m shows them), not those
// of go.mod, of which tests and tools need some alone. The same binary gives the
// same document.
func writeSBOM(binary, certificates, version, out string) error {
	b, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	info, err := buildinfo.Read(bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("%s: %w", binary, err)
	}
	doc, err := describe(info, b, certificates, version)
	if err != nil {
		return err
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := cdx.NewBOMEncoder(f, cdx.BOMFileFormatJSON).SetPretty(true).Encode(doc); err != nil {
		return err
	}
	return f.Close()
}

func describe(info *debug.BuildInfo, binary []byte, certificates, version string) (*cdx.BOM, error) {
	sum := sha256.Sum256(binary)
	relay := cdx.Component{
		BOMRef: "sesrelay", Type: cdx.ComponentTypeApplication, Name: "sesrelay", Version: version,
		Hashes:     &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}},
		Licenses:   &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}},
		PackageURL: "pkg:golang/" + info.Main.Path + "@" + version,
	}
	if rev := setting(info, "vcs.revision"); rev != "" {
		relay.Properties = &[]cdx.Property{{Name: "vcs:revision", Value: rev}, {Name: "vcs:modified", Value: setting(info, "vcs.modified")}}
	}
	goVersion := strings.TrimPrefix(info.GoVersion, "go")
	parts := []cdx.Component{library("std", goVersion, "")}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		parts = append(parts, library(m.Path, m.Version, m.Sum))
	}
	ca, err := os.ReadFile(certificates)
	if err != nil {
		return nil, err
	}
	caSum := sha256.Sum256(ca)
	parts = append(parts, cdx.Component{BOMRef: "ca-certificates", Type: cdx.ComponentTypeFile, Name: "etc/ssl/certs/ca-certificates.crt",
		Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(caSum[:])}}})
	doc := cdx.NewBOM()
	doc.SerialNumber = "urn:uuid:" + uuid(sum)
	doc.Metadata = &cdx.Metadata{Component: &relay, Timestamp: built(info)}
	doc.Components = &parts
	needs := make([]string, len(parts))
	for i, c := range parts {
		needs[i] = c.BOMRef
	}
	slices.Sort(needs)
	doc.Dependencies = &[]cdx.Dependency{{Ref: relay.BOMRef, Dependencies: &needs}}
	return doc, nil
}

// library is one module. Its sum is that of go.sum, which is no plain hash of a file.
func library(path, version, sum string) cdx.Component {
	purl := "pkg:golang/" + path + "@" + version
	c := cdx.Component{BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: path, Version: version, PackageURL: purl, Scope: cdx.ScopeRequired}
	if sum != "" {
		c.Properties = &[]cdx.Property{{Name: "go:sum", Value: sum}}
	}
	return c
}

// uuid is a UUID made of a hash (RFC 9562 section 5.8).
func uuid(sum [sha256.Size]byte) string {
	sum[6] = sum[6]&0x0f | 0x80
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

func setting(info *debug.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

// built is the time of the commit.
func built(info *debug.BuildInfo) string {
	if t, err := time.Parse(time.RFC3339, setting(info, "vcs.time")); err == nil {
		return t.UTC().Format(time.RFC3339)
	}
	return ""
}
