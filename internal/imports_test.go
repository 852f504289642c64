// Package internal_test checks the import arrows of docs/flow.md.
package internal_test

import (
	"encoding/json"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "sesrelay/"

// siblings says which packages of this module each package may import.
var siblings = map[string][]string{
	"internal/relay":       {},
	"internal/mask":        {},
	"internal/emf":         {},
	"internal/tracing":     {"internal/relay"},
	"internal/simulator":   {},
	"internal/smtp":        {"internal/relay"},
	"internal/ses":         {"internal/relay"},
	"internal/cuenote":     {"internal/relay"},
	"internal/split":       {"internal/relay"},
	"internal/fleet":       {"internal/split"},
	"internal/ledger":      {"internal/relay"},
	"internal/quota":       {"internal/relay"},
	"internal/suppression": {"internal/relay"},
	"internal/rollout":     {"internal/split"},
	"internal/admin":       {"internal/relay", "internal/split", "internal/quota", "internal/rollout", "internal/mask"},
}

// libraries says which packages may import a library; everything below the
// prefix counts.
var libraries = map[string][]string{
	"github.com/emersion/go-smtp":    {"internal/smtp", "internal/cuenote", "internal/simulator"},
	"github.com/aws/aws-sdk-go-v2":   {"internal/ses", "cmd/relay", "infra/lambda"},
	"github.com/pires/go-proxyproto": {"internal/smtp"},
	"go.opentelemetry.io":            {"internal/tracing"},
}

type listed struct {
	ImportPath string
	GoFiles    []string
	Imports    []string
	Dir        string

	TestGoFiles, XTestGoFiles []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,GoFiles,Imports,Dir,TestGoFiles,XTestGoFiles", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p listed
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 3 {
		t.Fatalf("go list found only %d packages", len(all))
	}
	return all
}

// TestImportArrows: the direction of the arrows is what keeps a package readable
// without its neighbours.
func TestImportArrows(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		allowed, bound := siblings[name]
		for _, imp := range p.Imports {
			if own, ok := strings.CutPrefix(imp, module); ok && bound && !has(allowed, own) {
				t.Errorf("%s imports %s; it may import %v", name, own, allowed)
			}
			for lib, users := range libraries {
				if (imp == lib || strings.HasPrefix(imp, lib+"/")) && !under(users, name) {
					t.Errorf("%s imports %s, which only %v may", name, imp, users)
				}
			}
		}
	}
}

// redisLibrary may be imported by files named redis.go or redis_*.go, of any
// package, and by no other: whoever wonders what happens without Redis has few
// files to read.
const redisLibrary = "github.com/redis/go-redis/"

func TestRedisInFilesNamedSo(t *testing.T) {
	found := 0
	for _, p := range packages(t) {
		for _, name := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, imp := range f.Imports {
				if !strings.HasPrefix(imp.Path.Value, `"`+redisLibrary) {
					continue
				}
				found++
				if name != "redis.go" && !strings.HasPrefix(name, "redis_") {
					t.Errorf("%s/%s imports %s: name it redis_....go", p.ImportPath, name, imp.Path.Value)
				}
			}
		}
	}
	if found == 0 {
		t.Error("no file imports " + redisLibrary + ": this test checks nothing")
	}
}

// TestRelayIsPlain: the domain stands on the standard library and Prometheus alone.
func TestRelayIsPlain(t *testing.T) {
	for _, p := range packages(t) {
		if p.ImportPath != module+"internal/relay" {
			continue
		}
		for _, imp := range p.Imports {
			if strings.Contains(imp, ".") && !strings.HasPrefix(imp, "github.com/prometheus/") {
				t.Errorf("internal/relay imports %s", imp)
			}
		}
	}
}

func has(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func under(list []string, name string) bool {
	for _, x := range list {
		if name == x || strings.HasPrefix(name, x+"/") {
			return true
		}
	}
	return false
}

// TestNoRoomsWithoutAName: packages are named by what they are for.
func TestNoRoomsWithoutAName(t *testing.T) {
	for _, p := range packages(t) {
		switch base := filepath.Base(p.Dir); base {
		case "util", "utils", "common", "types", "models", "helpers":
			t.Errorf("package %s has a name that says nothing", p.ImportPath)
		}
	}
}
